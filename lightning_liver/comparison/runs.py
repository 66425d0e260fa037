"""Run folders read back: status, names of configurations, and the scores of each case."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from lightning_liver.config import REPEATS, VERSION, groups_repeats
from lightning_liver.errors import LiverError
from lightning_liver.run_folder import NAMES, RunFolder
from lightning_liver.runs.scores import ScoredCase as ScoredCase
from lightning_liver.runs.scores import read_cases, read_losses
from lightning_liver.runs.settings import Settings, configuration_names, learnt, read_settings, stratum
from lightning_liver.runs.status import COMPLETE as COMPLETE
from lightning_liver.runs.status import SEARCHED as SEARCHED
from lightning_liver.runs.status import json_of, status_of
from lightning_liver.runs.timing import read_timing
from lightning_liver.tables import Row

_PLACES = ("predictions", "run")  # whose masks were scored
_OF_EVALUATION = (*_PLACES, "mode", "tolerance_mm")  # what tells evaluations apart
UNKNOWN = "?"  # the configuration of a folder without a config
LESION_FIGURES = ("recall_50", "precision_50")  # of lesions detected with an overlap of half


class Score(NamedTuple):
    """Dice of one structure of one scan in one run; None if it is undefined.

    stratum is such as "data.tumour_scale=0.5" if only runs that share this value are compared.
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
    true_voxels: int | None = None
    predicted_voxels: int | None = None
    common_voxels: int | None = None


@dataclass(frozen=True)
class Run:
    """A run; what its end writes is known only if it is complete.

    Args:
        folder: of the run; for a row of results.csv only its name, and no such folder need exist.
        reason: why it failed or was pruned; of a trial its score.
        losses: mean over patients of each loss measured in testing; the scans of a patient are averaged first.
        lesions: recall and precision of lesions detected, by LESION_FIGURES.
        seconds: of training and testing.
        progress: how far it is.
        where: host and process of a running run.
        version: of what its options mean, see config.VERSION.
    """

    folder: Path
    status: str
    reason: str
    settings: Settings = field(repr=False)
    seed: int
    fold: int
    cases: tuple[ScoredCase, ...] = field(default=(), repr=False)
    losses: Mapping[str, float] = field(default_factory=dict, repr=False)
    lesions: Mapping[str, float] = field(default_factory=dict, repr=False)
    epochs: int | None = None
    steps: int | None = None
    seconds: float | None = None
    progress: str = ""
    where: str = ""
    version: int = VERSION

    @property
    def name(self) -> str:
        return self.folder.name


def read_runs(folders: Iterable[Path]) -> list[Run]:
    """Read the runs in and below some folders, each once, by path.

    Folders of other commands are skipped, but for those of liver-evaluate that are given themselves: they count as a
    complete run of whose masks they scored. An empty folder directly below a given one is a run that has not begun.

    Raises:
        LiverError: a folder is missing or has no run, or a run's files are damaged.
    """
    folders, found = list(folders), set[Path]()
    for folder in folders:
        if not folder.is_dir():
            raise LiverError(
                f"{folder}: no such folder; give a run folder, one above it such as multirun/STUDY, or a results.csv"
            )
        begun = {path.parents[1].resolve() for path in folder.rglob(str(NAMES.config))}
        empty = {path.resolve() for path in folder.iterdir() if path.is_dir() and not any(path.iterdir())}
        if not begun | empty:
            raise LiverError(f"{folder}: no run in it or below; give a folder with a {NAMES.config}, or one above it")
        found |= begun | empty
    named = {folder.resolve() for folder in folders}
    runs = [_read_run(folder, is_named=folder in named) for folder in sorted(found)]
    return _with_short_names([run for run in runs if run is not None])


def complete_runs(runs: Iterable[Run]) -> list[Run]:
    """Return the complete runs, by name."""
    return sorted((run for run in runs if run.status == COMPLETE), key=lambda run: (run.name, run.folder))


def scores(runs: Sequence[Run], within: Sequence[str] = ()) -> list[Score]:
    """Return the scores of the complete runs: a row for each run, scan and structure.

    Args:
        within: options whose values are the strata.
    """
    done = complete_runs(runs)
    names = configurations(done, within)
    count = Counter(run.name for run in done)
    rows = []
    for run in done:
        name = run.name if count[run.name] == 1 else str(run.folder)
        head, values = (name, names[run.folder], run.seed, run.fold), stratum(run.settings, within)
        rows += [
            Score(*head, *case[:4], values, case.true_voxels, case.predicted_voxels, case.common_voxels)
            for case in run.cases
        ]
    return rows


def configurations(runs: Sequence[Run], within: Sequence[str] = ()) -> dict[Path, str]:
    """Name the configuration of each run folder by what differs between the runs, except seed and fold.

    Args:
        within: options left out of the names: only runs that share their values are compared.
    """
    known = [run for run in runs if run.settings]
    names = configuration_names([run.settings for run in known], within)
    unknown = {run.folder: UNKNOWN for run in runs}
    return unknown | {run.folder: name for run, name in zip(known, names, strict=True)}


def status_rows(runs: Sequence[Run]) -> list[Row]:
    """Return a row for each run, for text_table: configuration, status, progress, host, reason of a failure."""
    names, is_running = configurations(runs), any(run.where for run in runs)
    return [
        {
            "run": run.name,
            "configuration": names[run.folder],
            "seed": run.seed,
            "fold": run.fold,
            "status": run.status,
            "progress": run.progress or (f"{run.epochs} epochs" if run.epochs else ""),
            **({"where": run.where} if is_running else {}),
            "reason": run.reason,
        }
        for run in runs
    ]


def _read_run(folder: Path, *, is_named: bool) -> Run | None:
    settings = read_settings(folder)
    if settings and "loss._target_" not in settings:
        if not (is_named and _is_evaluation(settings)):
            return None  # of liver-prepare, liver-summary and the like
        settings = {name: settings[name] for name in _OF_EVALUATION if settings.get(name)}
    status, reason, progress, where = status_of(folder)
    seed, fold = (_whole(settings.get(name)) or 0 for name in REPEATS)
    run = Run(
        folder,
        status,
        reason,
        learnt(settings),
        seed,
        fold,
        progress=progress,
        where=where,
        version=_version(folder, settings),
    )
    if status != COMPLETE:
        return run
    files = RunFolder(folder)
    metrics, seconds = json_of(files.metrics) or {}, read_timing(folder).total_s(with_preparation=False)
    return replace(
        run,
        cases=read_cases(files.cases),
        losses=read_losses(files.losses),
        lesions={
            name: value for name in LESION_FIGURES if (value := _number(metrics.get(f"test/lesion/{name}"))) is not None
        },
        epochs=_whole(metrics.get("epochs")),
        steps=_whole(metrics.get("steps")),
        seconds=None if seconds is None else round(seconds, 1),
    )


def _version(folder: Path, settings: Settings) -> int:
    """Return the version of a run; before runs kept theirs, only those on LiTS without data.patients differ."""
    grouped = {"_target_": settings.get("data.source._target_"), "patients": settings.get("data.patients")}
    kept = (json_of(RunFolder(folder).chosen) or {}).get("version")
    return int(kept or (1 if groups_repeats({"source": grouped}) else VERSION))


def present_runs(runs: Sequence[Run]) -> tuple[list[Run], str]:
    """Return the runs of the latest version among the complete ones, and a line about those that are left out."""
    latest = max((run.version for run in runs if run.status == COMPLETE), default=VERSION)
    kept = [run for run in runs if run.version == latest]
    if len(kept) == len(runs):
        return kept, ""
    return kept, (
        f"{len(runs) - len(kept)} of {len(runs)} runs are of an earlier version of their options, and are left out; "
        "liver-compare with their folders or results.csv alone compares them."
    )


def _is_evaluation(settings: Settings) -> bool:
    return bool(settings.get("predictions") or (settings.get("run") and "tolerance_mm" in settings))


def _with_short_names(runs: Sequence[Run]) -> list[Run]:
    """Give evaluations the last part of the path of their masks or run, where that tells them apart."""
    paths = {str(run.settings[name]) for run in runs for name in _PLACES if name in run.settings}
    if len({Path(path).name for path in paths}) < len(paths):
        return list(runs)
    return [
        replace(
            run,
            settings={
                name: Path(str(value)).name if name in _PLACES else value for name, value in run.settings.items()
            },
        )
        for run in runs
    ]


def _number(value: object) -> float | None:
    return round(float(value), 6) if isinstance(value, int | float) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None
