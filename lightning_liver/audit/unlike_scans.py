"""Scans of a data set that are unlike the others, or whose HU were damaged, by their fingerprints."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from lightning_liver.audit.finding import Finding
from lightning_liver.audit.fingerprint import CaseFingerprint, is_picture

_OUTLIER_Z = 3.5  # Iglewicz and Hoaglin 1993, How to Detect and Handle Outliers
_FEWEST_CASES = 6  # for outliers
_WHOLE_STEPS = 0.9  # fraction of the HU that occur, below which a scan is quantised


class Measure(NamedTuple):
    """A measured quantity of a scan: field of CaseFingerprint, heading, unit, decimals.

    Args:
        by_ratio: scans are compared by ratios, since the quantity is positive and skewed.
        least: deviation from the median that matters: in the unit, or as a ratio minus 1.
    """

    name: str
    title: str
    unit: str
    decimals: int
    by_ratio: bool
    least: float


MEASURES = (
    Measure("slice_mm", "Slice distance", "mm", 2, True, 0.5),
    Measure("pixel_mm", "Pixel", "mm", 2, True, 0.3),
    Measure("slices", "Slices", "", 0, True, 0.5),
    Measure("coverage_mm", "Coverage along z", "mm", 0, True, 0.4),
    Measure("field_mm", "Field of view", "mm", 0, True, 0.25),
    Measure("lowest_hu", "Lowest HU", "HU", 0, False, 150),
    Measure("highest_hu", "Highest HU", "HU", 0, False, 1500),
    Measure("step_hu", "Step of HU", "HU", 2, False, 0.25),
    Measure("noise_hu", "Noise in the liver", "HU", 1, True, 0.4),
    Measure("liver_hu", "Liver", "HU", 0, False, 15),
    Measure("aorta_hu", "Aorta", "HU", 0, False, 40),
    Measure("liver_ml", "Liver volume", "ml", 0, True, 0.5),
    Measure("tumours", "Tumours", "", 0, True, 1.0),
    Measure("tumour_ml", "Tumour volume", "ml", 1, True, 1.0),
    Measure("largest_mm", "Largest tumour", "mm", 0, True, 0.5),
    Measure("tumour_hu", "Tumour", "HU", 0, False, 15),
    Measure("contrast_hu", "Tumour minus liver", "HU", 0, False, 15),
)
# a scan that differs in these is no fault, so that it is shown and not named
_NOT_NAMED = ("slices", "tumours", "tumour_ml", "largest_mm", "aorta_hu", "highest_hu", "lowest_hu", "step_hu")


class Outlier(NamedTuple):
    """A scan that is unlike the others in a measure.

    Args:
        z: distance from the median in robust standard deviations, with its sign.
    """

    case: str
    measure: Measure
    value: float
    median: float
    z: float


def outliers(of: Sequence[CaseFingerprint], measure: Measure) -> list[Outlier]:
    """Return the scans whose value lies far from the median, the farthest first.

    The distance is the modified z score 0.6745 (x - median) / MAD of Iglewicz and Hoaglin 1993, of the logarithm where
    the measure is compared by ratios. It must be 3.5, and the deviation large enough to matter.
    """
    known = [(each.case, float(value)) for each in of if (value := getattr(each, measure.name)) is not None]
    if measure.by_ratio:
        known = [(case, value) for case, value in known if value > 0]
    if len(known) < _FEWEST_CASES:
        return []
    values = np.array([value for _, value in known])
    scale = np.log(values) if measure.by_ratio else values
    middle = float(np.median(scale))
    least = float(np.log1p(measure.least)) if measure.by_ratio else measure.least
    spread = max(1.4826 * float(np.median(np.abs(scale - middle))), least / _OUTLIER_Z)
    median = float(np.median(values))
    found = [
        Outlier(case, measure, value, median, float((at - middle) / spread))
        for (case, value), at in zip(known, scale, strict=True)
        if abs(at - middle) >= _OUTLIER_Z * spread
    ]
    return sorted(found, key=lambda each: -abs(each.z))


def outlier_findings(of: Sequence[CaseFingerprint]) -> list[Finding]:
    """Return a finding for each scan that is unlike the others in a measure that should agree."""
    return [
        Finding("outlier", "look", (each.case,), _outlier_text(each), score=abs(each.z))
        for measure in MEASURES
        if measure.name not in _NOT_NAMED
        for each in outliers(of, measure)
    ]


def intensity_findings(of: Sequence[CaseFingerprint]) -> list[Finding]:
    """Return a finding for each kind of damage to HU: pictures of 8 bits, steps, and a window that was burnt in."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for each in of:
        for damage in _damages(each):
            groups.setdefault(damage, []).append(each.case)
    findings = []
    for (kind, severity, text), cases in groups.items():
        who = "All scans" if len(cases) == len(of) > 1 else f"{len(cases)} of {len(of)} scans"
        rest = "" if len(cases) == len(of) else ", and others do not: a network sees which is which"
        fraction = len(cases) / len(of)
        findings.append(
            Finding(kind, "fix" if severity == "fix" else "look", tuple(cases), f"{who}: {text}{rest}.", fraction)
        )
    return findings


def cut_findings(of: Sequence[CaseFingerprint]) -> list[Finding]:
    """Return a finding for each scan that begins or ends within the liver."""
    text = "the scan ends within the liver at the {}, whose volume and surface are then not known"
    return [
        Finding(
            "cut_liver",
            "look",
            (each.case,),
            text.format(each.cut_liver),
            1.0,
            z=0 if each.cut_liver == "feet" else each.slices - 1,
        )
        for each in of
        if each.cut_liver
    ]


def phase_findings(of: Sequence[CaseFingerprint]) -> list[Finding]:
    """Return a finding for each scan of another contrast phase than nearly all others."""
    known = [each for each in of if each.phase]
    if len(known) < _FEWEST_CASES:
        return []
    [(common, count)] = Counter(each.phase for each in known).most_common(1)
    if count < 0.8 * len(known):
        return []
    return [
        Finding(
            "phase",
            "look",
            (each.case,),
            f"estimated as {each.phase}, while {count} of {len(known)} scans are {common}: {_phase_reason(each)}",
            1 - count / len(known),
        )
        for each in known
        if each.phase != common
    ]


def _phase_reason(of: CaseFingerprint) -> str:
    liver = "" if of.liver_hu is None else f"liver {of.liver_hu:.0f} HU"
    aorta = "no bright aorta" if of.aorta_hu is None else f"aorta {of.aorta_hu:.0f} HU"
    return ", ".join(filter(None, (liver, aorta)))


def _outlier_text(of: Outlier) -> str:
    name, unit, decimals = of.measure.title.lower().replace("hu", "HU"), of.measure.unit, of.measure.decimals
    value, median = (f"{number:.{decimals}f} {unit}".strip() for number in (of.value, of.median))
    return f"{name} is {value}, the median {median} ({abs(of.z):.1f} robust standard deviations)"


def _damages(of: CaseFingerprint) -> Iterable[tuple[str, str, str]]:
    """Yield kind, severity and text of what was done to the HU of a scan."""
    if is_picture(of.lowest_hu, of.highest_hu):
        yield "no_hu", "fix", f"values from {of.lowest_hu:.0f} to {of.highest_hu:.0f}, a picture of 8 bits and no HU"
        return
    if of.cut_low or of.cut_high:
        ends = [f"below {of.lowest_hu:.0f}"] * of.cut_low + [f"above {of.highest_hu:.0f}"] * of.cut_high
        yield "window", "look", f"a window is burnt in: HU {' and '.join(ends)} are cut"
    if of.step_hu is not None and of.step_hu > 1 / _WHOLE_STEPS:
        yield "steps", "look", f"HU in steps of about {of.step_hu:.1f}, as after a picture of 8 bits"
