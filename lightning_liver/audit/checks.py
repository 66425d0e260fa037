"""Checks of a data set, each with the scans or pairs that it saw."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from lightning_liver.audit.disagreement import KINDS as DISAGREEMENT_KINDS
from lightning_liver.audit.disagreement import disagreements
from lightning_liver.audit.finding import Finding
from lightning_liver.audit.fingerprint import CaseFingerprint
from lightning_liver.audit.labels import EMPTY, LABEL_KINDS, doubtful_labels
from lightning_liver.audit.leaks import NamedSplit, find_leaks, shared_findings
from lightning_liver.audit.pairs import Pair
from lightning_liver.audit.result import Check, checks_of
from lightning_liver.audit.unlike_scans import cut_findings, intensity_findings, outlier_findings, phase_findings
from lightning_liver.data.store import Store
from lightning_liver.run_folder import NAMES, RunFolder
from lightning_liver.runs.trained import tested_cases

PAIR_KINDS = ("same_scan", "overlap", "same_patient")
FINGERPRINT_KINDS = ("no_hu", "window", "steps", "cut_liver", "outlier", "phase")


class Splits(NamedTuple):
    """Splits to check, and why there are none."""

    splits: Sequence[NamedSplit]
    without: str | None = None


def readable_check(*stores: Store) -> Check:
    """Return the check of scans that could not be read, of one or several data sets."""
    refused = [each for store in stores for each in store.refused]
    total = sum(len(store.cases) for store in stores) + len(refused)
    return Check("unreadable", _scans(total), [Finding("unreadable", "fix", (r.name,), r.reason, 1.0) for r in refused])


def leak_check(splits: Splits, pairs: Sequence[Pair], store: Store) -> Check:
    """Return the check of groups of one patient that lie in two parts of a split."""
    names = [each.name for each in splits.splits]
    which = names[0] if len(names) == 1 else f"{len(names)} folds"
    findings = find_leaks(splits.splits, pairs, patients_of(store))
    return Check("leak", f"{which}: patients and pairs", findings, skipped=splits.without)


def shared_check(pairs: Sequence[Pair], store: Store, other: Store, name: str) -> Check:
    """Return the check of scans and patients that two data sets share.

    Args:
        pairs: between both.
        name: of the other data set.
    """
    seen = f"{len(store.cases)} x {len(other.cases)} pairs"
    return Check("shared", seen, shared_findings(pairs, name))


def pair_checks(pairs: Sequence[Pair], store: Store) -> list[Check]:
    """Return the checks of pairs; one of the same patient that the data already keep together is no finding."""
    count, patients = len(store.cases), patients_of(store)
    if count < 2:
        return [Check(kind, "", skipped="there is one scan only") for kind in PAIR_KINDS]
    known = [p for p in pairs if p.kind == "same_patient" and patients[p.first] == patients[p.second]]
    findings = [pair.finding() for pair in pairs if pair not in known]
    number = count * (count - 1) // 2
    kept = f"; {len(known)} of one patient are known as such" if known else ""
    return [
        replace(each, seen=each.seen + kept) if each.kind == "same_patient" else each
        for each in checks_of(PAIR_KINDS, findings, f"{number} pair{'s' * (number != 1)}")
    ]


def label_checks(store: Store, *, workers: int) -> list[Check]:
    """Return the checks of masks that need no network."""
    findings = doubtful_labels(store, workers=workers)
    return checks_of((EMPTY, *LABEL_KINDS), findings, f"{len(store.labelled())} masks")


def disagreement_checks(store: Store, runs: Sequence[Path], trust: Sequence[str]) -> list[Check]:
    """Return the checks of labels by the networks of runs, each on its own test cases.

    Args:
        runs: folders of one run, or of a cross-validation; of a run without weights only the split is checked.
        trust: modules of other code from which a run may be built.

    Raises:
        LiverError: a run is damaged, or no test case is in the store with a mask.
    """
    trained = [run for run in runs if RunFolder(run).best.is_file()]
    if not trained:
        return [Check(kind, "", skipped=f"the run has no {NAMES.best}") for kind in DISAGREEMENT_KINDS]
    tested = {name for run in trained for name in tested_cases(run) if name in store.cases}
    findings = disagreements(store, trained, trust=trust)
    return checks_of(DISAGREEMENT_KINDS, findings, f"{len(tested)} test cases")


def header_check(store: Store) -> Check:
    """Return the check of headers, of which the reader warned when it prepared the scans."""
    findings = [
        Finding("header", "look", (name,), text.partition(": ")[2] or text, 1.0)
        for name, record in store.cases.items()
        for text in record.warnings
    ]
    return Check("header", _scans(len(store.cases)), findings)


def fingerprint_checks(scans: Sequence[CaseFingerprint]) -> list[Check]:
    """Return the checks of what scans are like."""
    findings = [*intensity_findings(scans), *cut_findings(scans), *outlier_findings(scans), *phase_findings(scans)]
    return checks_of(FINGERPRINT_KINDS, findings, _scans(len(scans)))


def patients_of(store: Store) -> dict[str, str]:
    """Return the patient of each case."""
    return {name: record.patient for name, record in store.cases.items()}


def _scans(count: int) -> str:
    return f"{count} scan{'s' * (count != 1)}"
