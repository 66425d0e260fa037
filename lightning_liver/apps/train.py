"""python train.py loss=focal"""

import os
import sys
from pathlib import Path

from lightning_liver.apps.console import forgiving_streams
from lightning_liver.apps.main import EXPECTED, Job, command, stop, with_home
from lightning_liver.config import BUDGET, typed
from lightning_liver.errors import LiverError
from lightning_liver.help.changes import told_once
from lightning_liver.help.screen import FLAGS
from lightning_liver.readers import parsing, read_yaml
from lightning_liver.run_folder import NAMES, RunFolder

_PLACES = ("data.root", "data.store", "data.table")  # scans may be moved while a run waits
_PROCESSES = ("data.workers", "data.num_workers")
_OF_RESUMING = tuple(f"{option}=" for option in (*BUDGET, *_PLACES, *_PROCESSES, "trust"))
_QUOTES = "'\""
_YES = ("true", "yes", "on", "1")  # as YAML has them, and what people type


@forgiving_streams()
def main() -> None:
    """Train, test and draw; resume=RUN_FOLDER continues that run; estimate=true only says how many runs the command
    means and how long they take."""
    given = sys.argv[1:] = with_home(sys.argv[1:])
    wishes = [argument.partition("=")[2].lower() for argument in given if argument.startswith("estimate=")]
    if wishes and wishes[-1] in _YES and not FLAGS & set(given):
        return _estimate([argument for argument in given if not argument.startswith("estimate=")])
    if not FLAGS & set(given) and (told := told_once(given)):
        print(told, file=sys.stderr)
    resumed = [argument.partition("=")[2] for argument in given if argument.startswith("resume=")]
    if not resumed or resumed[-1] in ("", "null") or FLAGS & set(given):
        return _train()
    try:
        folder = _run_folder(resumed[-1])
        others = [argument for argument in given if not argument.startswith("resume=")]
        _refuse_changes(others)
        here = typed(str(folder))
        # the folder's own .hydra stays as it is
        own = [f"resume={here}", f"hydra.run.dir={here}", "hydra.output_subdir=null"]
        sys.argv[1:] = [*map(_as_of_another_folder, others), *own]
        _change_to_start_folder(folder)
    except LiverError as error:
        stop(error)
    return _resume()


@command("train")
def _train() -> Job:
    from lightning_liver.commands.train import train

    return train


@command("train")
def _resume() -> Job:
    from lightning_liver.commands.train import resume

    return resume


def _estimate(arguments: list[str]) -> None:
    from lightning_liver.commands.estimate import estimate

    try:
        print(estimate(arguments))
    except EXPECTED as error:
        stop(error)


def _run_folder(given: str) -> Path:
    folder = Path(given.strip(_QUOTES)).expanduser().resolve()
    if not RunFolder(folder).config.is_file():
        raise LiverError(f"resume={folder}: not a run folder, it has no {NAMES.config}")
    return folder


def _refuse_changes(others: list[str]) -> None:
    if changed := [argument for argument in others if not argument.startswith(_OF_RESUMING)]:
        raise LiverError(
            f"resume= continues a run with its own config; only a longer {' or '.join(BUDGET)}, and "
            f"where its data lie now ({', '.join(_PLACES)}), may be given, not {' '.join(changed)}"
        )


def _as_of_another_folder(argument: str) -> str:
    """Return an override that holds in the run's start folder, and for data that the default config does not have."""
    option, _, value = argument.partition("=")
    if option not in _PLACES:
        return argument
    place = value.strip(_QUOTES)
    return f"++{option}={typed(place if '://' in place else str(Path(place).expanduser().absolute()))}"


def _change_to_start_folder(folder: Path) -> None:
    """Change to the folder in which the run began, if it still exists: relative paths in the config start there."""
    saved = RunFolder(folder).hydra_config
    whole = read_yaml(saved) if saved.exists() else {}
    with parsing(saved):
        began = ((whole.get("hydra") or {}).get("runtime") or {}).get("cwd")
        if began and Path(began).is_dir():
            os.chdir(began)


if __name__ == "__main__":
    main()
