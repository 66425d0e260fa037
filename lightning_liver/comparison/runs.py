"""Run folders read back: what became of each, how their configurations differ, what each scored on each case."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from lightning_liver.errors import LiverError
from lightning_liver.runs.scored import Case as Case
from lightning_liver.runs.scored import read_cases, read_losses
from lightning_liver.runs.settings import REPEATS, Settings, configuration_names, learnt, read_settings, stratum
from lightning_liver.runs.status import COMPLETE as COMPLETE
from lightning_liver.runs.status import json_of, status_of
from lightning_liver.tables import Row

UNKNOWN = "?"  # the configuration of a folder without a config


class Score(NamedTuple):
    """Dice of one structure of one scan, as one run saw it; None where it is undefined.

    stratum is "data.tumour_scale=0.5" where runs are compared only with those that share that value.
    """

    run: str
    configuration: str
    seed: int
    fold: int
    patient: str
    case: str
    structure: str
    dice: float | None
    stratum: str = ""


@dataclass(frozen=True)
class Run:
    """A run; what is known of its end is there only if it is complete.

    folder is where it lies; of a row of results.csv its name alone, and nothing needs to be there.
    reason says why it failed or was pruned, progress how far it is. losses are means over patients of what was
    measured in testing (scans of a patient averaged first), seconds went into training and testing.
    """

    folder: Path
    status: str
    reason: str
    settings: Settings = field(repr=False)
    seed: int
    fold: int
    cases: tuple[Case, ...] = field(default=(), repr=False)
    losses: Mapping[str, float] = field(default_factory=dict, repr=False)
    epochs: int | None = None
    steps: int | None = None
    seconds: float | None = None
    progress: str = ""

    @property
    def name(self) -> str:
        return self.folder.name


def read_runs(folders: Iterable[Path]) -> list[Run]:
    """The runs in and below some folders, each once, by path.

    Folders of other commands are left out; an empty folder just below one of those given is a run that did nothing yet.

    Raises:
        LiverError: a folder is not there, has no run, or a run's files are damaged.
    """
    found: set[Path] = set()
    for folder in folders:
        if not folder.is_dir():
            raise LiverError(
                f"{folder}: no such folder. Give a run folder, one above it such as multirun/STUDY, or a results.csv."
            )
        here = {path.parents[1].resolve() for path in folder.rglob(".hydra/config.yaml")}
        hollow = {path.resolve() for path in folder.iterdir() if path.is_dir() and not any(path.iterdir())}
        if not here | hollow:
            raise LiverError(
                f"{folder}: no run in it or below. A run folder has a .hydra/config.yaml; is it elsewhere?"
            )
        found |= here | hollow
    return [run for run in map(_read_run, sorted(found)) if run is not None]


def complete_runs(runs: Iterable[Run]) -> list[Run]:
    """The complete runs, by name."""
    return sorted((run for run in runs if run.status == COMPLETE), key=lambda run: (run.name, run.folder))


def scores(runs: Sequence[Run], within: Sequence[str] = ()) -> list[Score]:
    """A row for each run, scan and structure of the complete runs, whose configurations are named among themselves.

    Args:
        within: options whose values are the strata.
    """
    done = complete_runs(runs)
    names = configurations(done, within)
    known = Counter(run.name for run in done)
    rows = []
    for run in done:
        name = run.name if known[run.name] == 1 else str(run.folder)
        head, values = (name, names[run.folder], run.seed, run.fold), stratum(run.settings, within)
        rows += [Score(*head, *case, values) for case in run.cases]
    return rows


def configurations(runs: Sequence[Run], within: Sequence[str] = ()) -> dict[Path, str]:
    """By folder a name for the configuration of each run: what differs between the runs, seed and fold apart.

    Args:
        within: options whose values set runs apart that are never compared, and that are not told in the names.
    """
    known = [run for run in runs if run.settings]
    names = configuration_names([run.settings for run in known], within)
    unknown = {run.folder: UNKNOWN for run in runs}
    return unknown | {run.folder: name for run, name in zip(known, names, strict=True)}


def status_rows(runs: Sequence[Run]) -> list[Row]:
    """A row for each run: what it is, how far it is, why it failed; for text_table."""
    names = configurations(runs)
    return [
        {
            "run": run.name,
            "configuration": names[run.folder],
            "seed": run.seed,
            "fold": run.fold,
            "status": run.status,
            "progress": run.progress or (f"{run.epochs} epochs" if run.epochs else ""),
            "reason": run.reason,
        }
        for run in runs
    ]


def _read_run(folder: Path) -> Run | None:
    settings = read_settings(folder)
    if settings and "loss._target_" not in settings:
        return None  # of liver-prepare, liver-summary and the like
    status, reason, progress = status_of(folder)
    seed, fold = (_whole(settings.get(name)) or 0 for name in REPEATS)
    run = Run(folder, status, reason, learnt(settings), seed, fold, progress=progress)
    if status != COMPLETE:
        return run
    metrics, timing = (json_of(folder / f"{name}.json") or {} for name in ("metrics", "timing"))
    return replace(
        run,
        cases=read_cases(folder / "cases.csv"),
        losses=read_losses(folder / "losses.csv"),
        epochs=_whole(metrics.get("epochs")),
        steps=_whole(metrics.get("steps")),
        seconds=_seconds(timing),
    )


def _seconds(timing: Mapping[str, Any]) -> float | None:
    parts = [timing.get(name) for name in ("fit_s", "test_s")]
    return None if None in parts else round(sum(float(part or 0) for part in parts), 1)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None
