"""Contenders, each run as a process that trains and predicts, then scored by our scorer."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.speed import nnunet
from experiments.speed.command import ROOT, interpreter
from experiments.speed.dice.job import JOB, MIRRORED, TRAINING, Job, Scan, masks
from experiments.speed.machine import machine
from lightning_liver.data.sources import lits
from lightning_liver.errors import LiverError
from lightning_liver.evaluation.pairs import CasePair
from lightning_liver.evaluation.score import Scored, score_pairs
from lightning_liver.tables import Row, Value
from lightning_liver.types import STRUCTURES

NNUNET, NNUNET_MIRRORED = "nnunet", "nnunet, mirrored"


@dataclass(frozen=True)
class Contender:
    """Module that is run, and its full budget."""

    module: str
    minutes: float


CONTENDERS = {
    "ours": Contender("ours", 10),
    "bare": Contender("bare", 10),
    "monai": Contender("monai_unet", 20),
    NNUNET: Contender("nnunet", 60),
}


def job_of(
    data: Path, patients: Path, held: str, *, minutes: float, seed: int, folder: Path, overrides: Sequence[str] = ()
) -> Job:
    """Return a job that trains on all labelled scans except those of one patient.

    Raises:
        LiverError: the data set cannot be read, or has no such patient, or no other one.
    """
    scans = [
        Scan(case.name, case.patient, str(case.volume.resolve()), str(case.labels.resolve()))
        for case in lits(data, patients=patients)
        if case.labels is not None
    ]
    train, of_held = (tuple(s for s in scans if (s.patient == held) is wanted) for wanted in (False, True))
    if not train or not of_held:
        raise LiverError(
            f"--held {held}: expected one of the labelled patients {', '.join(sorted({s.patient for s in scans}))}"
        )
    paths = str(data.resolve()), str(patients.resolve())
    return Job(*paths, train, of_held, minutes, seed, folder.resolve(), tuple(overrides))


def run_contender(name: str, job: Job, nnunet_python: Path) -> None:
    """Train and predict what is missing in the job's folder.

    Raises:
        LiverError: the folder belongs to another job, or the process failed; its results so far remain.
    """
    if (job.folder / JOB).exists() and Job.read(job.folder) != job:
        raise LiverError(
            f"--folder {job.folder}: belongs to a job with other scans or options; delete it or give another folder"
        )
    job.write()
    python = interpreter("nnunet", nnunet_python) if name == NNUNET else Path(sys.executable)
    command = [str(python), "-m", f"experiments.speed.dice.{CONTENDERS[name].module}", str(job.folder)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | nnunet.environment(job.folder), check=False)
    if done.returncode:
        raise LiverError(f"{name} without patient {job.held[0].patient} ended with exit code {done.returncode}")


def rows_of(name: str, job: Job) -> list[Row]:
    """Return a row for every structure and minute reached."""
    training = json.loads((job.folder / TRAINING).read_text())
    rows = []
    for mark, reached in training["reached"].items():
        rows += _rows(name, job, training, float(mark), reached, masks(job, mark))
    mirrored = job.folder / MIRRORED
    if mirrored.is_dir():
        rows += _rows(NNUNET_MIRRORED, job, training, job.minutes, training["reached"][f"{job.minutes:g}"], mirrored)
    return rows


def _rows(
    name: str, job: Job, training: Mapping[str, object], minutes: float, reached: Mapping[str, float], folder: Path
) -> list[Row]:
    scored = score(job.held, folder)
    shared: dict[str, Value] = {
        "steps": reached["steps"],
        "seconds": round(reached["seconds"], 1),
        "preparation_s": round(float(str(training["preparation_s"])), 1),
        "budget": job.minutes,
        "seed": job.seed,
        "threads": int(str(training["threads"])),
        "precision": str(training["precision"]),
        "machine": machine(("numpy",)).partition(";")[0],
        "versions": json.dumps(training["versions"]).replace('"', "").strip("{}"),
    }
    point: dict[str, Value] = {"contender": name, "held": job.held[0].patient, "minutes": minutes}
    return [{**point, "structure": structure, **dices(scored, structure), **shared} for structure in STRUCTURES]


def score(held: Sequence[Scan], folder: Path) -> list[Scored]:
    """Score masks as liver-evaluate does."""
    pairs = [CasePair(scan.case, Path(scan.labels), folder / scan.mask) for scan in held]
    scored = score_pairs(pairs, mode="corrected", tolerance_mm=1.0, workers=0)
    if wrong := [one.error for one in scored if one.error]:
        raise LiverError("\n".join(wrong))
    return scored


def dices(scored: Sequence[Scored], structure: str) -> dict[str, str | float]:
    """Return the mean over cases, and the Dice of each."""
    scores = {one.pair.case: one.score.structures[structure] for one in scored if one.score is not None}
    each = {case: score.metrics["dice"] or 0.0 for case, score in scores.items()}
    listed = " ".join(f"{case}:{dice:.4f}" for case, dice in each.items())
    return {"dice": round(sum(each.values()) / len(each), 6), "cases": listed}
