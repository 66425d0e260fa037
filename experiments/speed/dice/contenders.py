"""Who is compared, and how one of them is run: a process that trains and predicts, then our scorer."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.speed.dice.job import JOB, MIRRORED, TRAINING, Job, Scan, masks
from experiments.speed.machine import machine
from lightning_liver.data.sources import lits
from lightning_liver.errors import LiverError
from lightning_liver.evaluation.pairs import Pair
from lightning_liver.evaluation.score import Scored, score_pairs
from lightning_liver.tables import Row, Value
from lightning_liver.types import STRUCTURES

CHECKOUT = Path(__file__).parents[3]
NNUNET, NNUNET_MIRRORED = "nnunet", "nnunet, mirrored"


@dataclass(frozen=True)
class Contender:
    """A module that is run, and its full budget."""

    module: str
    minutes: float


CONTENDERS = {
    "ours": Contender("ours", 10),
    "bare": Contender("bare", 10),
    "monai": Contender("monai_unet", 20),
    NNUNET: Contender("nnunet", 60),
}


def job_of(
    data: Path, patients: Path, held: str, *, minutes: float, seed: int, folder: Path, typed: Sequence[str] = ()
) -> Job:
    """All labelled scans but those of a patient train.

    Raises:
        LiverError: the data set cannot be read, or has no such patient, or nobody else.
    """
    scans = [
        Scan(case.name, case.patient, str(case.volume.resolve()), str(case.labels.resolve()))
        for case in lits(data, patients=patients)
        if case.labels is not None
    ]
    train, of_held = (tuple(s for s in scans if (s.patient == held) is wanted) for wanted in (False, True))
    if not train or not of_held:
        raise LiverError(f"--held {held}: the labelled patients are {', '.join(sorted({s.patient for s in scans}))}")
    paths = str(data.resolve()), str(patients.resolve())
    return Job(*paths, train, of_held, minutes, seed, folder.resolve(), tuple(typed))


def run_contender(name: str, job: Job, nnunet: Path) -> None:
    """Train and predict what of it is missing in the job's folder.

    Raises:
        LiverError: the folder is that of another job, or the process failed; what it did is kept.
    """
    if (job.folder / JOB).exists() and Job.read(job.folder) != job:
        raise LiverError(f"{job.folder} was begun with other scans or options: delete it, or give another --folder")
    job.write()
    python = nnunet.absolute() if name == NNUNET else Path(sys.executable)
    if not python.exists():
        raise LiverError(f"--nnunet {nnunet}: no such interpreter; make bench-dice makes it")
    command = [str(python), "-m", f"experiments.speed.dice.{CONTENDERS[name].module}", str(job.folder)]
    done = subprocess.run(command, cwd=CHECKOUT, env={**os.environ, **environment(job.folder)}, check=False)
    if done.returncode:
        raise LiverError(f"{name} without patient {job.held[0].patient} ended with exit code {done.returncode}")


def environment(folder: Path) -> dict[str, str]:
    """Variables of nnU-Net: its folders, one process that augments, no compiler."""
    folders = {f"nnUNet_{part}": str(folder / part) for part in ("raw", "preprocessed", "results")}
    return {**folders, "nnUNet_n_proc_DA": "1", "nnUNet_compile": "f"}


def rows_of(name: str, job: Job) -> list[Row]:
    """A row for every minute that was reached and structure."""
    told = json.loads((job.folder / TRAINING).read_text())
    rows = []
    for mark, reached in told["reached"].items():
        rows += _rows(name, job, told, float(mark), reached, masks(job, mark))
    mirrored = job.folder / MIRRORED
    if mirrored.is_dir():
        rows += _rows(NNUNET_MIRRORED, job, told, job.minutes, told["reached"][f"{job.minutes:g}"], mirrored)
    return rows


def _rows(
    name: str, job: Job, told: Mapping[str, object], minutes: float, reached: Mapping[str, float], folder: Path
) -> list[Row]:
    scored = score(job.held, folder)
    shared: dict[str, Value] = {
        "steps": reached["steps"],
        "seconds": round(reached["seconds"], 1),
        "preparation_s": round(float(str(told["preparation_s"])), 1),
        "budget": job.minutes,
        "seed": job.seed,
        "threads": int(str(told["threads"])),
        "precision": str(told["precision"]),
        "machine": machine(("numpy",)).partition(";")[0],
        "versions": json.dumps(told["versions"]).replace('"', "").strip("{}"),
    }
    whose: dict[str, Value] = {"contender": name, "held": job.held[0].patient, "minutes": minutes}
    return [{**whose, "structure": structure, **dices(scored, structure), **shared} for structure in STRUCTURES]


def score(held: Sequence[Scan], folder: Path) -> list[Scored]:
    """As liver-evaluate scores masks."""
    pairs = [Pair(scan.case, Path(scan.labels), folder / scan.mask) for scan in held]
    scored = score_pairs(pairs, mode="corrected", tolerance_mm=1.0, workers=0)
    if wrong := [one.error for one in scored if one.error]:
        raise LiverError("\n".join(wrong))
    return scored


def dices(scored: Sequence[Scored], structure: str) -> dict[str, str | float]:
    """The mean over cases, and that of each."""
    each = {one.pair.case: one.score.structures[structure].metrics["dice"] for one in scored if one.score is not None}
    told = " ".join(f"{case}:{dice:.4f}" for case, dice in each.items())
    return {"dice": round(sum(each.values()) / len(each), 6), "cases": told}
