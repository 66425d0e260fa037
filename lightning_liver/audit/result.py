"""Result of an audit: each check with what it found and how much it saw, also one that found nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from lightning_liver.audit.finding import Finding
from lightning_liver.audit.fingerprint import CaseFingerprint
from lightning_liver.tables import Row


class Kind(NamedTuple):
    """Kind of finding in the words of the report: a title, and why it matters or what to do."""

    title: str
    meaning: str


KINDS: dict[str, Kind] = {
    "unreadable": Kind("Unreadable scans", "They are left out of everything below. Repair or remove them."),
    "leak": Kind(
        "Leaks of the split",
        "A network that trained on a patient scores better on another scan of the same patient than on a stranger's. "
        "Give the scans of a patient one name in data.patients.",
    ),
    "shared": Kind(
        "Scans that two data sets share",
        "A network that trained on one data set is not validated externally by these scans of the other.",
    ),
    "same_scan": Kind(
        "The same scan twice", "It counts twice in training, or stands on both sides of a split. Remove one."
    ),
    "overlap": Kind("Overlapping parts of one scan", "Give both one patient in data.patients, or remove one."),
    "same_patient": Kind(
        "The same patient",
        "Give both one patient in data.patients, if you see the same person: no split parts them then.",
    ),
    "empty_mask": Kind("Empty masks", "There is no liver in them. Remove them, or name their values in data.labels."),
    "liver_swapped": Kind("Livers on the left", "Mask, scan or both are mirrored. Export the pair again."),
    "mask_shifted": Kind("Masks beside their livers", "Headers that disagree, or slices that are missing."),
    "liver_parts": Kind("Livers in several parts", "A slice that was forgotten, or something that is no liver."),
    "holes": Kind("Holes in livers", "Often a vessel or a tumour that was forgotten."),
    "tumour_outside_liver": Kind("Tumours outside the liver", "Another organ's, or liver that the mask lacks."),
    "specks": Kind("Specks", "Single voxels from a slip of the brush. The score counts each as a lesion."),
    "missing_slices": Kind("Slices that miss their label", "The slices above and below have it."),
    "area_jumps": Kind("Jumps of the liver's area", "A slice was drawn by another hand, or not at all."),
    "liver_hu": Kind("Liver of unusual HU", "No liver has such HU, so it is something else."),
    "tumour_hu": Kind("Tumours of unusual HU", "No tumour has such HU, so it is something else."),
    "tumour_air_or_metal": Kind("Tumours of air or metal", "A gas bubble, a clip or a drain."),
    "unlabelled_tumour": Kind("Tumours without a label", "A network that did not train on the scan is sure of them."),
    "doubted_tumour": Kind("Doubted tumours", "A network that did not train on the scan is sure that they are none."),
    "unlabelled_liver": Kind("Liver without a label", "A network that did not train on the scan is sure of it."),
    "doubted_liver": Kind("Doubted liver", "A network that did not train on the scan is sure that it is none."),
    "doubted_case": Kind("Doubted masks", "The network doubts far more of them than of others: one of both is wrong."),
    "no_hu": Kind("Values that are no HU", "A window in HU means nothing for them. Export the scans again from DICOM."),
    "window": Kind(
        "A window is burnt in",
        "What is beyond it is lost. A data.window_hu within it, as by default, treats all scans alike.",
    ),
    "steps": Kind("HU in steps", "The scans went through pictures of few grey levels, as on some sites."),
    "header": Kind(
        "Headers that are doubtful", "The reader took the sensible choice. Check that masks lie on their livers."
    ),
    "cut_liver": Kind("Livers that are not whole", "Volumes and surface distances of these livers are wrong."),
    "phase": Kind("Another contrast phase", "A network that saw few such scans may fail on them."),
    "outlier": Kind("Scans unlike the others", "Often a wrong spacing in the header, or a scanner of its own."),
}


@dataclass(frozen=True)
class Check:
    """A check and what it found.

    Args:
        kind: of its findings.
        seen: on what it was done, as in "24 scans" or "276 pairs of scans".
        findings: the worst first.
        skipped: why it was not done; None if it was.
    """

    kind: str
    seen: str
    findings: Sequence[Finding] = field(default_factory=tuple)
    skipped: str | None = None

    @property
    def title(self) -> str:
        known = KINDS.get(self.kind)
        return known.title if known else self.kind.replace("_", " ").capitalize()

    @property
    def noun(self) -> str:
        """Return the title as it stands within a sentence."""
        return self.title if self.title.startswith("HU") else self.title[:1].lower() + self.title[1:]

    @property
    def meaning(self) -> str:
        known = KINDS.get(self.kind)
        return known.meaning if known else ""

    def of(self, severity: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == severity]


class DataSet(NamedTuple):
    """Name of a data set and the fingerprints of its scans."""

    name: str
    scans: Sequence[CaseFingerprint]


@dataclass(frozen=True)
class Audit:
    """Result of an audit: its checks with their findings, and what the scans are like.

    Args:
        other: the data set that it was compared with; None without one.
        facts: of the data set, by what they are called.
        notes: what the reader should know, as that there was nothing to compare.
        next_steps: what to do, most urgent first.
    """

    data: DataSet
    other: DataSet | None
    checks: Sequence[Check]
    facts: Mapping[str, str]
    notes: Sequence[str] = ()
    next_steps: Sequence[str] = ()

    def findings(self) -> list[tuple[Check, Finding]]:
        """Return all findings, what must be fixed first."""
        every = [(check, finding) for check in self.checks for finding in check.findings]
        return sorted(every, key=lambda each: each[1].severity != "fix")


def checks_of(kinds: Iterable[str], findings: Iterable[Finding], seen: str) -> list[Check]:
    """Return a check for each kind, and for each other kind among the findings, its findings ranked by score."""
    by_kind: dict[str, list[Finding]] = {kind: [] for kind in kinds}
    for finding in findings:
        by_kind.setdefault(finding.kind, []).append(finding)
    return [Check(kind, seen, sorted(of, key=lambda each: -each.score)) for kind, of in by_kind.items()]


def finding_rows(audit: Audit) -> list[Row]:
    """Return the rows of audit.csv; slices count from 0 at the feet."""
    return [
        {
            "severity": finding.severity,
            "kind": finding.kind,
            "cases": " ".join(finding.cases),
            "slice_index": finding.z,
            "score": round(finding.score, 4),
            "text": finding.text,
        }
        for _, finding in audit.findings()
    ]


COLUMNS = ("severity", "kind", "cases", "slice_index", "score", "text")
