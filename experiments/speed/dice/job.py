"""Files between the benchmark and a contender, which is a process, in another environment for nnU-Net."""

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
Predict = Callable[["Job", Path, Path], None]  # weights, and the folder for the masks of all scans held out


@dataclass(frozen=True)
class Scan:
    """Labelled scan: number of the case, patient, files."""

    case: str
    patient: str
    volume: str
    labels: str

    @property
    def mask(self) -> str:
        return f"segmentation-{self.case}.nii.gz"


@dataclass(frozen=True)
class Job:
    """Training for some minutes on the scans of some patients, then prediction of another patient's.

    Args:
        root, patients: the data set, and its CSV case,patient.
        overrides: more options of train.py.
    """

    root: str
    patients: str
    train: tuple[Scan, ...]
    held: tuple[Scan, ...]
    minutes: float
    seed: int
    folder: Path
    overrides: tuple[str, ...] = ()

    def write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / JOB).write_text(json.dumps(asdict(self) | {"folder": None}, indent=1) + "\n")

    @staticmethod
    def read(folder: Path) -> "Job":
        saved = json.loads((folder / JOB).read_text())
        scans = {part: tuple(Scan(**scan) for scan in saved[part]) for part in ("train", "held")}
        return Job(**(saved | scans | {"folder": folder, "overrides": tuple(saved["overrides"])}))


class Progress:
    """Record of a training: seconds of preparation, then the clock that counts steps and saves weights."""

    def __init__(self, job: Job) -> None:
        self.job, self.preparation_s, self.began = job, 0.0, time.perf_counter()
        self.notes: dict[str, Any] = {"precision": "float32"}

    def start(self, network: nn.Module) -> Clock:
        """End preparation and start the clock; imports count for neither."""
        self.preparation_s = self.preparation_s or time.perf_counter() - self.began
        self.clock = Clock(self.job.minutes, lambda mark: torch.save(network.state_dict(), weights(self.job, mark)))
        return self.clock

    def write(self, versions: Mapping[str, str]) -> None:
        reached = {f"{mark:g}": reached._asdict() for mark, reached in self.clock.reached.items()}
        record = {"preparation_s": self.preparation_s, "reached": reached, "threads": torch.get_num_threads()}
        text = json.dumps(record | self.notes | {"versions": dict(versions)}, indent=1)
        (self.job.folder / TRAINING).write_text(text + "\n")


def weights(job: Job, mark: float) -> Path:
    return job.folder / f"{mark:g}.pt"


def masks(job: Job, mark: str) -> Path:
    return job.folder / f"masks-{mark}"


def use_all_cores() -> None:
    """Use all cores, as the framework does; torch's default is half of them where two share an arithmetic unit."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    torch.set_num_threads(int(given) if given.isdecimal() else len(os.sched_getaffinity(0)))


def run(train: Train, predict: Predict, versions: Mapping[str, str]) -> None:
    """Run a contender's process: train and predict whatever is missing."""
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
    """Yield the marks that training reached and whose masks are incomplete."""
    for mark in json.loads((job.folder / TRAINING).read_text())["reached"]:
        target = masks(job, mark)
        if not all((target / scan.mask).exists() for scan in job.held):
            yield float(mark), target
