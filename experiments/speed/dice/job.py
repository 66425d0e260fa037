"""What a contender is told and what it leaves, as files: each is a process, one of them in another environment."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from experiments.speed.dice.clock import Clock

JOB, TRAINING, MIRRORED = "job.json", "training.json", "mirrored"

Train = Callable[["Job", "Progress"], None]
Predict = Callable[["Job", Path, Path], None]  # weights, and the folder that gets a mask for every scan held out


@dataclass(frozen=True)
class Scan:
    """A labelled scan: its case's number, whose it is, and its files."""

    case: str
    patient: str
    volume: str
    labels: str

    @property
    def mask(self) -> str:
        return f"segmentation-{self.case}.nii.gz"


@dataclass(frozen=True)
class Job:
    """Train for some minutes on the scans of some patients, then predict those of another one.

    Args:
        root, patients: the data set, and its CSV case,patient.
        typed: more options of train.py, to try.
    """

    root: str
    patients: str
    train: tuple[Scan, ...]
    held: tuple[Scan, ...]
    minutes: float
    seed: int
    folder: Path
    typed: tuple[str, ...] = ()

    def write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / JOB).write_text(json.dumps(asdict(self) | {"folder": None}, indent=1) + "\n")

    @staticmethod
    def read(folder: Path) -> "Job":
        told = json.loads((folder / JOB).read_text())
        scans = {part: tuple(Scan(**scan) for scan in told[part]) for part in ("train", "held")}
        return Job(**(told | scans | {"folder": folder, "typed": tuple(told["typed"])}))


class Progress:
    """What a contender tells while it trains: seconds of preparation, then steps, with its network at hand."""

    def __init__(self, job: Job) -> None:
        self.job, self.preparation_s, self.began = job, 0.0, time.perf_counter()
        self.notes: dict[str, Any] = {"precision": "float32"}

    def start(self, network: nn.Module) -> Clock:
        """Preparation is over, and a clock counts from here; seconds of imports are no part of either."""
        self.preparation_s = self.preparation_s or time.perf_counter() - self.began
        self.clock = Clock(self.job.minutes, lambda mark: torch.save(network.state_dict(), weights(self.job, mark)))
        return self.clock

    def write(self, versions: Mapping[str, str]) -> None:
        reached = {f"{mark:g}": reached._asdict() for mark, reached in self.clock.reached.items()}
        told = {"preparation_s": self.preparation_s, "reached": reached, "threads": torch.get_num_threads()}
        text = json.dumps(told | self.notes | {"versions": dict(versions)}, indent=1)
        (self.job.folder / TRAINING).write_text(text + "\n")


def weights(job: Job, mark: float) -> Path:
    return job.folder / f"{mark:g}.pt"


def masks(job: Job, mark: str) -> Path:
    return job.folder / f"masks-{mark}"


def use_all_cores() -> None:
    """As the framework does: torch alone takes half of them where two share an arithmetic unit."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    torch.set_num_threads(int(given) if given.isdecimal() else len(os.sched_getaffinity(0)))


def run(train: Train, predict: Predict, versions: Mapping[str, str]) -> None:
    """A contender's main: what is trained or predicted already is left alone."""
    job = Job.read(Path(sys.argv[1]))
    use_all_cores()
    torch.manual_seed(job.seed)
    if not (job.folder / TRAINING).exists():
        progress = Progress(job)
        train(job, progress)
        progress.write(versions)
    for mark, target in missing(job):
        target.mkdir(exist_ok=True)
        predict(job, weights(job, mark), target)


def missing(job: Job) -> Iterator[tuple[float, Path]]:
    """Marks that training reached and whose masks are not all there."""
    for mark in json.loads((job.folder / TRAINING).read_text())["reached"]:
        target = masks(job, mark)
        if not all((target / scan.mask).exists() for scan in job.held):
            yield float(mark), target
