"""Answer to flags of other tools, such as -i SCAN -o FOLDER, with the options that mean the same here."""

import re
from collections.abc import Sequence

from lightning_liver.errors import LiverError
from lightning_liver.help import options
from lightning_liver.help.mistakes import proposal

# Hydra's own: https://hydra.cc/docs/advanced/hydra-command-line-flags
_WITHOUT_VALUE = {"-h", "--help", "--hydra-help", "--version", "--resolve", "-r", "--run", "-m", "--multirun"}
_WITHOUT_VALUE |= {"-sc", "--shell-completion"}
_WITH_VALUE = {"-c", "--cfg", "-p", "--package", "-cp", "--config-path", "-cn", "--config-name", "-cd", "--config-dir"}
_WITH_VALUE |= {"--experimental-rerun"}
_INFO, _INFO_VALUES = ("-i", "--info"), ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")

# by command: flags of nnU-Net's and TotalSegmentator's commands, and of habit
_SAME = {
    "predict": {
        "-i": "input",
        "-o": "output",
        "-m": "run",
        "--model": "run",
        "-d": "trainer",
        "--device": "trainer",
        "--preview": "preview",
        "--force": "continue",
        "--continue_prediction": "continue",
        "--disable_tta": "inference.flips",
        "--save_probabilities": "options.probabilities",
    },
    "train": {"-d": "data", "--device": "trainer", "--epochs": "trainer.max_epochs", "--batch-size": "data.batch_size"},
    "export": {"-o": "output", "-i": "run", "--model": "run"},
    "evaluate": {"-i": "predictions", "--model": "run"},
}


def refuse_flags(command: str, arguments: Sequence[str]) -> None:
    """Refuse flags that Hydra does not have.

    Raises:
        LiverError: it says how the option is typed here.
    """
    place = 0
    while place < len(arguments):
        flag, _, joined = arguments[place].partition("=")
        value = joined or (arguments[place + 1] if place + 1 < len(arguments) else "")
        if not re.match(r"--?[A-Za-z]", flag) or flag in _WITHOUT_VALUE:
            if flag in ("-m", "-r") and _is_typed_value(value) and not joined:
                raise LiverError(_answer(command, flag, value))
            place += 1
        elif flag in _WITH_VALUE or (flag in _INFO and (value in _INFO_VALUES or not _is_typed_value(value))):
            place += 1 if joined or flag in _INFO else 2
        else:
            raise LiverError(_answer(command, flag, value))


def _is_typed_value(value: str) -> bool:
    """Return True for a word that is neither an option=value nor another flag."""
    return bool(value) and not re.match(r"--?[A-Za-z]|[^=]+=", value) and not value.startswith(("~", "+"))


def _answer(command: str, flag: str, value: str) -> str:
    given = value if _is_typed_value(value) else ""
    name = flag.lstrip("-").replace("-", "_")
    known = [option.name for option in options.command(command).options]
    known += [group.name for group in options.groups(command)]
    meant = _SAME.get(command, {}).get(flag) or (name if name in known else "")
    if not meant and (near := proposal(name, known)):
        meant = near.removeprefix("; did you mean ").removesuffix("?")
    example = f"{meant or 'OPTION'}={given or 'VALUE'}"
    return f"{flag}: options are typed as OPTION=VALUE, without dashes; type {example}, --help lists the options"
