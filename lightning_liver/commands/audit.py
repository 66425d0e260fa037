"""liver-audit: is a data set fit to learn from, and does its split leak?"""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from lightning_liver.audit.checks import (
    Splits,
    disagreement_checks,
    fingerprint_checks,
    header_check,
    label_checks,
    leak_check,
    pair_checks,
    patients_of,
    readable_check,
    shared_check,
)
from lightning_liver.audit.disagreement import cross_validation
from lightning_liver.audit.finding import Finding
from lightning_liver.audit.fingerprint import fingerprints
from lightning_liver.audit.leaks import NamedSplit, draft_patients
from lightning_liver.audit.pairs import Pair, find_pairs
from lightning_liver.audit.record import write_record
from lightning_liver.audit.result import COLUMNS, Audit, Check, DataSet, finding_rows
from lightning_liver.build import build, prepared
from lightning_liver.config import cache_of, compose, typed
from lightning_liver.data.address import is_address
from lightning_liver.data.splits import Split
from lightning_liver.data.store import Store
from lightning_liver.errors import LiverError, PartlyDone, first_line
from lightning_liver.files import required_run
from lightning_liver.machine import cache_folder, cores
from lightning_liver.report.html.audit import write_audit_report
from lightning_liver.report.numbers import counted
from lightning_liver.run_folder import NAMES, RunFolder
from lightning_liver.runs.trained import trusted
from lightning_liver.tables import duration, write_csv
from lightning_liver.types.options import Natural, check

log = logging.getLogger(__name__)

_ONE_SCAN = "There is one scan only, so there is nothing to compare it with: no pairs, no outliers."


def audit(cfg: DictConfig, folder: Path) -> Path:
    """Look at a data set and write audit.html, audit.csv, fingerprint.csv and a draft of patients.csv into a folder.

    The pairs that it found are also kept beside the store, so that a training warns of those that its split crosses.

    Raises:
        LiverError: a mistake in the options, or no scan can be read.
        PartlyDone: some scans cannot be read; the others are audited.
    """
    most_pictures = check("pictures", cfg.pictures, Natural)
    runs = [] if cfg.run is None else _runs(cfg.run)
    other_data = _other_data(cfg)
    store = _store(cfg.data)
    other = None if other_data is None else _other(other_data, cfg)
    begin = time.monotonic()
    splits = _splits(cfg, store, runs)
    doubted = disagreement_checks(store, runs, trusted(cfg)) if runs else []
    pairs = find_pairs(store, workers=_workers(cfg))
    result = _look(cfg, store, other, splits, pairs, doubted, folder)
    _write(result, pairs, store, folder, most_pictures)
    took = duration(time.monotonic() - begin)
    log.info(f"{len(store.cases)} scans audited in {took}\n{_summary(result)}\n{folder / 'audit.html'}")
    if unreadable := result.checks[0].findings:
        listed = "\n".join(f"  {each.cases[0]}: {each.text}" for each in unreadable)
        raise PartlyDone(f"{len(unreadable)} scans could not be read; the others are audited:\n{listed}")
    return folder / "audit.html"


class _Other(NamedTuple):
    """Data set to compare with."""

    name: str
    store: Store


def _look(
    cfg: DictConfig,
    store: Store,
    other: _Other | None,
    splits: Splits,
    pairs: Sequence[Pair],
    doubted: Sequence[Check],
    folder: Path,
) -> Audit:
    """Do every check but for finding the pairs, and what the networks doubt."""
    workers = _workers(cfg)
    scans = fingerprints(store, workers=workers)
    checks = [readable_check(store, *([other.store] if other else [])), leak_check(splits, pairs, store)]
    compared = None
    if other is not None:
        shared = find_pairs(store, others=other.store, workers=workers)
        checks.append(shared_check(shared, store, other.store, other.name))
        compared = DataSet(other.name, fingerprints(other.store, workers=workers))
    checks += [*pair_checks(pairs, store), *doubted, *label_checks(store, workers=workers)]
    checks += [header_check(store), *fingerprint_checks(scans)]
    return Audit(
        DataSet(_name(cfg.data, _choice()), scans),
        compared,
        checks,
        _facts(cfg, store),
        notes=_notes(store, splits),
        next_steps=_next_steps(cfg, store, pairs, checks, folder),
    )


def _workers(cfg: DictConfig) -> int:
    return cores() if cfg.data.workers is None else int(cfg.data.workers)


def _choice() -> str:
    """Return the choice of the group data."""
    return str(HydraConfig.get().runtime.choices.get("data", ""))


def _other(data: DictConfig, cfg: DictConfig) -> _Other:
    return _Other(_name(data, cfg.compare_data or _choice()), _store(data))


def _runs(given: object) -> list[Path]:
    """Return the folder of a run, or those of a cross-validation.

    Raises:
        LiverError: there is none, or one has no split.
    """
    runs = cross_validation(required_run(given))
    for run in runs:
        if not RunFolder(run).split.is_file():
            raise LiverError(
                f"run={run}: expected a {NAMES.split}, which training writes when it begins; give another run"
            )
    return runs


def _other_data(cfg: DictConfig) -> DictConfig | None:
    """Return the data config of the data set to compare with; None without one.

    Raises:
        LiverError: there is no such folder or file, or it is the audited one.
    """
    if cfg.compare is None and cfg.compare_data is None:
        return None
    by_table = "table" in cfg.data if cfg.compare_data is None else cfg.compare_data == "csv"
    place = None if cfg.compare is None else str(cfg.compare)
    if place is not None and not is_address(place):
        _refuse_missing(Path(place).expanduser(), by_table)
    option = "table" if by_table else "root"
    if cfg.compare_data is not None:
        chosen = [] if place is None else [f"data.{option}={typed(place)}"]
        data: DictConfig = compose("audit", [f"data={cfg.compare_data}", *chosen]).data
    else:
        data = _copy(cfg.data)
        data[option] = place
        if not OmegaConf.is_interpolation(cfg.data, "store"):  # typed for the audited scans
            data.store = cache_of(str(place))
        if "patients" in data:
            data.patients = None
    for name in ("spacing_mm", "workers"):
        data[name] = cfg.data[name]
    if cache_of(str(data[option])) == cache_of(str(cfg.data.get(option))):
        raise LiverError(f"compare={cfg.compare}: expected another data set than data.{option}; give its {option}")
    return data


def _refuse_missing(place: Path, by_table: bool) -> None:
    if not (place.is_file() if by_table else place.is_dir()):
        kind = "a table of scans, as data.table" if by_table else "a folder of scans, as data.root"
        raise LiverError(f"compare={place}: there is no such {'file' if by_table else 'folder'}; give {kind}")


def _copy(data: DictConfig) -> DictConfig:
    """Return a data config that can be changed, its store beside those of its own root."""
    whole = OmegaConf.create({"data": OmegaConf.to_container(data, resolve=False)})
    with open_dict(whole):
        return DictConfig(whole.data)


def _store(data: DictConfig) -> Store:
    """Return the store of a data config without the scans that cannot be read.

    Raises:
        LiverError: none can be read.
    """
    forgiving = _copy(data)
    forgiving.skip_bad = True
    store = prepared(forgiving)
    if not store.cases:
        raise LiverError(f"{_refused_text(store)}\nNo scan is left to audit.")
    return store


def _refused_text(store: Store) -> str:
    total = len(store.cases) + len(store.refused)
    listed = "\n".join(f"  {each.name}: {each.reason}" for each in store.refused)
    return f"{len(store.refused)} of {total} scans could not be read:\n{listed}"


def _name(data: DictConfig, choice: str) -> str:
    """Return the name of a data set: that of its table or folder, or its choice if its folder is in the cache."""
    if "table" in data:
        return Path(str(data.table)).stem
    root = str(data.root)
    if is_address(root):
        return root.rstrip("/").rpartition("/")[2]
    path = Path(root).expanduser().resolve()
    return choice if path.is_relative_to(cache_folder().resolve()) else path.name


def _splits(cfg: DictConfig, store: Store, runs: Sequence[Path]) -> Splits:
    """Return the splits of the runs, else that of data.split or of the table, else all folds.

    Raises:
        LiverError: an invalid data.split, or one of other patients; a run of other cases.
    """
    if runs:
        return Splits([NamedSplit(str(run), _split_of_run(run, store)) for run in runs])
    patients = {name: store.cases[name].patient for name in store.labelled()}
    with_tumour = [name for name in patients if store.cases[name].has_tumour]
    parts = {name: part for name in patients if (part := store.cases[name].part)}
    data = _copy(cfg.data)
    by_folds = data.split is None and not parts
    found = []
    try:
        for fold in range(data.folds) if by_folds else [data.fold]:
            data.fold = fold
            name = f"fold {fold} of {data.folds}" if by_folds else "data.split" if data.split else "column split"
            found.append(NamedSplit(name, build(data.splitting, patients, with_tumour, parts=parts)))
    except LiverError as error:
        if not by_folds:
            raise
        return Splits([], first_line(error))  # as of too few patients
    return Splits(found)


def _split_of_run(run: Path, store: Store) -> Split:
    split = Split.read(RunFolder(run).split)
    names = [*split.train, *split.val, *split.test]
    gone = [name for name in names if name not in store.cases]
    if len(gone) == len(names):
        raise LiverError(
            f"run={run}: none of its {len(names)} cases is in data.root ({', '.join(names[:5])}, ...); give the data "
            "set that it was trained on"
        )
    if gone:
        log.warning(f"run={run}: cases of its split are not in data.root and cannot be checked: {', '.join(gone)}")
    return split


def _facts(cfg: DictConfig, store: Store) -> dict[str, str]:
    records = store.cases.values()
    facts = {
        "Data": _choice(),
        "Scans": str(len(records)),
        "With a mask": str(sum(record.labelled for record in records)),
        "With a tumour": str(sum(record.has_tumour for record in records)),
        "Patients": str(len({record.patient for record in records})),
        "Folder": str(cfg.data.root),
    }
    return {name: value for name, value in facts.items() if value}


def _notes(store: Store, splits: Splits) -> list[str]:
    notes = [_ONE_SCAN] if len(store.cases) == 1 else []
    return notes + [f"No split could be checked: {splits.without}"] * bool(splits.without)


def _next_steps(
    cfg: DictConfig, store: Store, pairs: Sequence[Pair], checks: Sequence[Check], folder: Path
) -> list[str]:
    steps = []
    if store.refused:
        steps.append(
            "Repair or remove the scans that cannot be read. Training stops at them, or skips them with "
            "data.skip_bad=true."
        )
    unknown = [pair for pair in pairs if store.cases[pair.first].patient != store.cases[pair.second].patient]
    if unknown:
        how = (
            f"pass it as data.patients={folder / 'patients.csv'}"
            if "patients" in cfg.data
            else "give your table its patients"
        )
        steps.append(
            f"Look at the {counted(len(unknown), 'pair')} of scans below. patients.csv, beside this page, is a draft "
            f"that gives the scans of each pair one patient: correct it, then {how}. Nothing uses it before."
        )
    if any(each.kind == "leak" and each.findings for each in checks):
        steps.append("Split again, with one patient on one side: a Dice of the present split is too high.")
    return steps


def _write(result: Audit, pairs: Sequence[Pair], store: Store, folder: Path, most_pictures: int) -> None:
    patients = patients_of(store)
    draft = draft_patients(pairs, patients)
    try:
        write_csv(folder / "audit.csv", finding_rows(result), COLUMNS)
        rows = [
            {"data": each.name, **scan.row()} for each in (result.data, result.other) if each for scan in each.scans
        ]
        write_csv(folder / "fingerprint.csv", rows)
        write_csv(folder / "patients.csv", [{"case": name, "patient": draft[name]} for name in patients])
        write_record(store, pairs, folder)
    except OSError as error:
        raise LiverError(f"{folder}: cannot be written ({error.strerror or error}); check folder and space") from error
    write_audit_report(folder, result, most_pictures=most_pictures)


def _summary(result: Audit) -> str:
    """Return a line for each check that found something."""
    lines = [
        f"  {'FIX ' if finding.severity == 'fix' else 'look'}  {check.title}: {_who(finding)}: {finding.text}"
        for check in result.checks
        for finding in check.of("fix")
    ]
    counts = [f"{check.noun} {len(of)}" for check in result.checks if (of := check.of("look"))]
    lines += [f"  look  {', '.join(counts)}"] if counts else []
    fine = sum(not check.findings and check.skipped is None for check in result.checks)
    notes = [f"  {note}" for note in result.notes]
    return "\n".join([*lines, f"  fine  {counted(fine, 'check')} found nothing", *notes])


def _who(finding: Finding) -> str:
    names = finding.cases
    if len(names) > 3:
        return f"{len(names)} scans"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
