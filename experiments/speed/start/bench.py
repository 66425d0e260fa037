"""Time from `python train.py` to the end of its first step, beside importing torch and Lightning.

Both are whole processes; the import of the two libraries is the least that a start can take.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from experiments.speed.command import ROOT, add_counts, parser_of, publish
from experiments.speed.machine import machine
from experiments.speed.rounds import judged_ratio, ratio_text, time_rows
from experiments.speed.start.first_step import FILE
from lightning_liver.tables import text_table

IMPORTS, STEP = 'python -c "import torch, pytorch_lightning"', "python train.py, first step done"
AGAIN = "of that, the step (time of the second)"
LOGGED = ("logger.tensorboard._target_=experiments.speed.start.first_step.FirstStep", "trainer.log_every_n_steps=1")
TARGET = 1.5
TIMEOUT_S = 600


def imports() -> float:
    """Return seconds from the start of a process until it has imported torch and Lightning."""
    program = "import torch, pytorch_lightning, time; print(time.time())"
    began = time.time()
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    return float(output.split()[-1]) - began


def steps(options: Sequence[str]) -> tuple[float, float]:
    """Return seconds from the start of a training to the end of its first step, and from there to the second."""
    with TemporaryDirectory() as folder:
        clock = Path(folder) / "clock"
        command = [sys.executable, "train.py", *LOGGED, *options, f"hydra.run.dir={folder}/run"]
        environment = os.environ | {FILE: str(clock), "PYTHONPATH": str(ROOT)}  # where the logger is
        began = time.time()
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
        )
        try:
            first, second = _step_ends(process, clock, began + TIMEOUT_S)
            return first - began, second - first
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def verdict(taken: Mapping[str, Sequence[float]]) -> list[str]:
    """Judge the ratio of the same round; also return it without the arithmetic of the step."""
    rounds = list(zip(taken[IMPORTS], taken[STEP], taken[AGAIN], strict=True))
    whole = [step / imports for imports, step, _ in rounds]
    start = [(step - again) / imports for imports, step, again in rounds]
    return [
        judged_ratio("first step done over imports", whole, "<=", TARGET, 2),
        ratio_text("without the arithmetic of the step", start, 2),
    ]


def times(options: Sequence[str], rounds: int) -> dict[str, list[float]]:
    """Return seconds of both in each round, after one that makes the store and warms the disk's cache."""
    taken: dict[str, list[float]] = {IMPORTS: [], STEP: [], AGAIN: []}
    for number in range(rounds + 1):
        seconds = imports() if number % 2 else 0.0  # every round begins with the other program
        first, again = steps(options)
        for name, value in ((IMPORTS, seconds or imports()), (STEP, first), (AGAIN, again)):
            taken[name].append(value)
    return {name: seconds[1:] for name, seconds in taken.items()}


def main(arguments: Sequence[str]) -> None:
    parser = parser_of("start", __doc__)
    parser.add_argument("--overrides", nargs="+", default=[], help="options of train.py, such as loss=focal (none)")
    add_counts(parser, rounds=(7, "rounds over both programs"))
    given = parser.parse_args(arguments)
    taken = times(given.overrides, given.rounds)
    title = f"Median of {given.rounds} rounds and their range"
    where = machine(("torch", "pytorch-lightning", "hydra-core"))
    text = "\n\n".join([where, title, text_table(time_rows(taken, "program", "s")), "\n".join(verdict(taken))])
    publish(text, parser, given)


def _step_ends(process: subprocess.Popen[bytes], clock: Path, deadline: float) -> tuple[float, float]:
    """Return the times at which the first two steps ended."""
    while process.poll() is None and time.time() < deadline:
        if clock.exists() and len(lines := clock.read_text().splitlines(keepends=True)) > 1 and lines[1].endswith("\n"):
            return float(lines[0]), float(lines[1])
        time.sleep(0.02)
    raise RuntimeError("train.py did not reach its second step; run it by hand to see why")
