"""python -m experiments.speed.start --write

Prints how long `python train.py` takes from the start of its process to the end of its first training step, beside the
import of the two libraries that it cannot do without.
"""

import os
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from experiments.speed.command import parser_of, publish
from experiments.speed.first_step import TOLD
from experiments.speed.machine import machine
from experiments.speed.rounds import middle_and_range
from lightning_liver.tables import Row, text_table

ROOT = Path(__file__).parents[2]
COMMAND = "make bench-start"
IMPORTS, STEP = 'python -c "import torch, pytorch_lightning"', "python train.py, first step done"
AGAIN = "of it the step, as long as the second one takes"
LOGGED = ("logger._target_=experiments.speed.first_step.FirstStep", "trainer.log_every=1")
TARGET = 1.5
PATIENCE_S = 600


def imports() -> float:
    """Seconds from the start of a process until it has imported torch and Lightning."""
    told = "import torch, pytorch_lightning, time; print(time.time())"
    began = time.time()
    said = subprocess.run([sys.executable, "-c", told], check=True, capture_output=True, text=True).stdout
    return float(said.split()[-1]) - began


def steps(options: Sequence[str]) -> tuple[float, float]:
    """Seconds from the start of a training to the end of its first step, and from there to the second."""
    with TemporaryDirectory() as folder:
        told = Path(folder) / "told"
        command = [sys.executable, "train.py", *LOGGED, *options, f"hydra.run.dir={folder}/run"]
        environment = os.environ | {TOLD: str(told), "PYTHONPATH": str(ROOT)}  # where the logger is
        began = time.time()
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
        )
        try:
            first, second = _told(process, told, began + PATIENCE_S)
            return first - began, second - first
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def rows(taken: Mapping[str, Sequence[float]]) -> list[Row]:
    """A row a program: median over rounds and range."""
    made: list[Row] = []
    for name, seconds in taken.items():
        median, spread = middle_and_range(seconds, 2)
        made.append({"program": name, "s": median, "range": spread})
    return made


def verdict(taken: Mapping[str, Sequence[float]]) -> list[str]:
    """The target, as a ratio of the same round, and what of it the arithmetic of the step is not guilty of."""
    rounds = list(zip(taken[IMPORTS], taken[STEP], taken[AGAIN], strict=True))
    ratio, spread = middle_and_range([step / imports for imports, step, _ in rounds], 2)
    start, its_spread = middle_and_range([(step - again) / imports for imports, step, again in rounds], 2)
    word = "pass" if ratio <= TARGET else "FAIL"
    return [
        f"first step done over imports: {ratio:.2f} ({spread}), target <= {TARGET:g}: {word}",
        f"without the arithmetic of the step: {start:.2f} ({its_spread})",
    ]


def times(options: Sequence[str], rounds: int) -> dict[str, list[float]]:
    """Seconds of both in each round, after one that makes the store and warms the disk's cache."""
    taken: dict[str, list[float]] = {IMPORTS: [], STEP: [], AGAIN: []}
    for number in range(rounds + 1):
        seconds = imports() if number % 2 else 0.0  # every round begins with the other program
        first, again = steps(options)
        for name, value in ((IMPORTS, seconds or imports()), (STEP, first), (AGAIN, again)):
            taken[name].append(value)
    return {name: seconds[1:] for name, seconds in taken.items()}


def main() -> None:
    parser = _parser()
    given = parser.parse_args()
    taken = times(given.typed, given.rounds)
    title = f"Median of {given.rounds} rounds and their range"
    where = machine(("torch", "pytorch-lightning", "hydra-core"))
    text = "\n\n".join([where, title, text_table(rows(taken)), "\n".join(verdict(taken))])
    publish(text, parser, given, command=COMMAND, name="start")


def _told(process: subprocess.Popen[bytes], told: Path, patience: float) -> tuple[float, float]:
    """The clock at the ends of the first two steps."""
    while process.poll() is None and time.time() < patience:
        if told.exists() and len(lines := told.read_text().splitlines(keepends=True)) > 1 and lines[1].endswith("\n"):
            return float(lines[0]), float(lines[1])
        time.sleep(0.02)
    raise RuntimeError("train.py did not come to its second step: run it by hand to see why")


def _parser() -> ArgumentParser:
    parser = parser_of(__doc__)
    parser.add_argument("--typed", nargs="+", default=[], help="options of train.py, as loss=focal (none)")
    parser.add_argument("--rounds", type=int, default=7, help="over both programs (%(default)s)")
    return parser


if __name__ == "__main__":
    main()
