"""Kill commands at random moments, type them again, and compare with undisturbed runs.

    python -m experiments.promises.kills kills=200 [seed=0] [only=train,predict] [folder=DIR]

Each life of a command is a fresh folder, one to three kills (SIGKILL or SIGTERM, at a moment drawn from the time that
the command takes), and the same command once more, to its end. A life fails if a process is left after some seconds, if
the last command fails, if a temporary file is left, or if a result differs from that of the undisturbed run. The
commands run in forks of this process, which has the libraries loaded, so that moments are not spent on imports. Linux.
"""

import importlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lightning_liver.run_folder import NAMES

_LEFT_S = 10.0  # in which every process of a killed command has to end
_LIMIT_S = 600.0  # for a command to its end
_SEAL = re.compile(rb'"crc32": \d+')

_SCANS = ["data=lits", "data.root=scans", "data.store=store", "data.workers=2"]
_SMALL = [
    *_SCANS,
    *("data.size=32", "data.slices_per_epoch=32", "data.batch_size=4", "data.num_workers=1", "model.base_channels=4"),
    *("model.depth=2", "model.dropout=0.3", "trainer=cpu", "trainer.threads=1", "trainer.max_epochs=6"),
    *("trainer.enable_progress_bar=false", "results=null"),
]

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Command:
    """A command with the results that have to be equal.

    Args:
        app: module of lightning_liver.apps.
        ready: folders of the undisturbed runs that it needs, copied into its folder.
        results: reads what it wrote below a folder.
    """

    app: str
    arguments: list[str]
    ready: tuple[str, ...]
    results: Callable[[Path], Results]


def _bytes(*patterns: str) -> Callable[[Path], Results]:
    """Return a reader of whole files."""

    def read(folder: Path) -> Results:
        paths = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
        return {str(path.relative_to(folder)): path.read_bytes() for path in paths}

    return read


def _trained(folder: Path) -> Results:
    """Read tables of runs and the tensors of their checkpoints."""
    found = dict(_bytes(*(f"**/{name}" for name in (NAMES.metrics, NAMES.cases, NAMES.split, NAMES.decision)))(folder))
    for path in sorted(folder.glob("**/checkpoints/*.ckpt")):
        saved = torch.load(path, weights_only=True, map_location="cpu")
        found[str(path.relative_to(folder))] = [
            (name, tensor.numpy().tobytes()) for name, tensor in sorted(saved["state_dict"].items())
        ]
    return found


def _scored(folder: Path) -> Results:
    """Read the tables of an evaluation, whose folder is named by its time: those of the last, whole one."""
    paths = sorted(folder.glob(f"outputs/evaluate/*/*/{NAMES.cases}"))
    return {str(NAMES.cases): paths[-1].read_bytes()} if paths else {}


_FOLDERS = {"train": "run/", "sweep": "multirun/"}
_RUN = ["hydra.run.dir=run"]
COMMANDS = {
    "prepare": Command("prepare", _SCANS, ("scans",), _bytes("store/**/*.b2nd", "store/**/case.json", "store/**/man*")),
    "train": Command("train", [*_SMALL, *_RUN], ("scans", "store"), _trained),
    "test": Command("evaluate", ["run=run", "trainer=cpu"], ("scans", "store", "run"), _scored),
    "sweep": Command(
        "train",
        ["-m", *_SMALL, "report=false", "seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
        ("scans", "store"),
        _trained,
    ),
    "predict": Command(
        "predict",
        ["run=run", "input=scans", "output=masks", "trainer=cpu"],
        ("scans", "run"),
        _bytes("masks/*.nii.gz", "masks/*.csv"),
    ),
    "export": Command("export", ["run=run"], ("scans", "store", "run"), _bytes("run/network.onnx")),
}


def main() -> None:
    """Print the counts as JSON, and leave with 1 if a life failed."""
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    wanted, names = int(given.get("kills", 200)), given.get("only", ",".join(COMMANDS)).split(",")
    chance = random.Random(int(given.get("seed", 0)))
    _load()
    folder = Path(given.get("folder") or tempfile.mkdtemp(prefix="kills-")).resolve()
    scale = _undisturbed(folder / "whole")
    kills: Counter[str] = Counter()
    lives: Counter[str] = Counter()
    faults: list[str] = []
    while sum(kills.values()) < wanted:
        name = names[sum(lives.values()) % len(names)]
        for number in _life(name, folder, scale[name], chance, faults):
            kills[f"{name} {signal.Signals(number).name}"] += 1
        lives[name] += 1
        print(json.dumps({"kills": dict(kills), "lives": dict(lives), "faults": faults}), flush=True)
    print(f"{sum(kills.values())} kills in {sum(lives.values())} lives, {len(faults)} faults")
    sys.exit(bool(faults))


def _load() -> None:
    """Import what the commands import."""
    for name in ("prepare", "train", "evaluate_run", "predict", "export"):
        importlib.import_module(f"lightning_liver.commands.{name}")
    for name in {command.app for command in COMMANDS.values()}:
        importlib.import_module(f"lightning_liver.apps.{name}")


def _undisturbed(folder: Path) -> dict[str, float]:
    """Run every command once to its end; return the seconds that each took."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    phantom = [
        "data=phantom",
        "data.cases=6",
        "data.matrix=64",
        "data.root=scans",
        "data.store=phantom",
        "data.workers=0",
    ]
    commands = {"phantom": Command("prepare", phantom, (), _bytes())} | COMMANDS
    seconds = {}
    for name, command in commands.items():
        began = time.monotonic()
        code, said = _to_its_end(command, folder)
        seconds[name] = time.monotonic() - began
        if code:
            raise SystemExit(f"{name} failed undisturbed ({code}):\n{said}")
    return seconds


def _life(name: str, folder: Path, seconds: float, chance: random.Random, faults: list[str]) -> list[int]:
    """Kill a command one to three times and run it to its end; return the signals of the kills that hit it."""
    command, whole, here = COMMANDS[name], folder / "whole", folder / "life"
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir()
    for part in command.ready:
        shutil.copytree(whole / part, here / part, copy_function=shutil.copy2)
    if name == "export":
        (here / "run" / "network.onnx").unlink()
    sent: list[int] = []
    for _ in range(chance.randint(1, 3)):
        number = chance.choice([signal.SIGKILL, signal.SIGTERM])
        after = chance.uniform(0, seconds)
        process = _start(command, here)
        if _wait(process, after) is None:
            os.kill(process, number)
            sent.append(number)
            _wait(process, _LIMIT_S)
        if left := _left(process):
            faults.append(f"{name}: {len(left)} processes left after {signal.Signals(number).name} at {after:.2f} s")
            for each in left:
                os.kill(each, signal.SIGKILL)
    code, said = _to_its_end(command, here)
    where = f"{name} after {[signal.Signals(number).name for number in sent]}"
    if code:
        faults.append(f"{where}: exit code {code}: {said[-500:]}")
    if remains := [str(path.relative_to(here)) for path in here.rglob(".*") if _is_temporary(path)]:
        faults.append(f"{where}: left {remains}")
    wanted, got = command.results(whole), command.results(here)
    if name in _FOLDERS:  # the folder of the undisturbed runs holds them all
        wanted = {path: value for path, value in wanted.items() if path.startswith(_FOLDERS[name])}
    if name in ("prepare", "predict"):
        wanted, got = _relative(wanted, whole), _relative(got, here)
    if not wanted:
        faults.append(f"{name}: the undisturbed run has no results")
    if differing := sorted(path for path in wanted.keys() | got.keys() if wanted.get(path) != got.get(path)):
        faults.append(f"{where}: other results in {differing}")
    return sent


def _relative(results: Results, folder: Path) -> Results:
    """Return files without the name of their folder, and without the checksum of a file that has that name."""
    plain = {path: value.replace(str(folder).encode(), b"HERE") for path, value in results.items()}
    return {path: _SEAL.sub(b"", value) if path.endswith(".json") else value for path, value in plain.items()}


def _is_temporary(path: Path) -> bool:
    return path.name.endswith((".partial", ".probe")) or (path.parent.name == "native" and path.is_dir())


def _start(command: Command, folder: Path) -> int:
    """Start a command in a session of its own; return the id of its process, which is that of the session."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        os.setsid()
        os.chdir(folder)
        out = os.open(folder / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.argv[:] = [command.app, *command.arguments]
        importlib.import_module(f"lightning_liver.apps.{command.app}").main()
        code = 0
    except SystemExit as left:
        code = int(left.code or 0)
    finally:
        sys.stdout.flush()
        os._exit(code)


def _to_its_end(command: Command, folder: Path) -> tuple[int, str]:
    process = _start(command, folder)
    code = _wait(process, _LIMIT_S)
    if code is None:
        os.killpg(process, signal.SIGKILL)
        os.waitpid(process, 0)
    return (-1 if code is None else code), (folder / "said.txt").read_text(errors="replace")


def _wait(process: int, seconds: float) -> int | None:
    """Return the exit code of a process, None if it runs on after these seconds."""
    end = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= end:
            return None
        time.sleep(0.005)


def _left(session: int) -> list[int]:
    """Return the processes of a session that are left after some seconds."""
    end = time.monotonic() + _LEFT_S
    while (found := _members(session)) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def _members(session: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, its = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(its) == session and state != "Z":
            found.append(int(folder.name))
    return found


if __name__ == "__main__":
    main()
