"""Means over patients with confidence intervals."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import bootstrap, norm, t

ALPHA = 0.05
DECIMALS = 12  # differences below are rounding, so the values are ties
RESAMPLES = 9999
FEWEST_PATIENTS = 3  # of two, every resample has one of three means


class Mean(NamedTuple):
    """Mean over patients and ends of its interval; None with too few values."""

    mean: float | None
    low: float | None
    high: float | None


def mean_over_patients(scores: Sequence[float | None], patients: Sequence[str]) -> Mean:
    """Return the mean over patients with its 95 % interval (mean_interval), averaging a patient's scans first.

    Args:
        scores: one for each scan; None and NaN are left out.
        patients: of each scan.
    """
    return mean_interval(patient_means(scores, patients).tolist())


def patient_means(scores: Sequence[float | None], patients: Sequence[str]) -> Float[np.ndarray, " patient"]:
    """Return the mean of each patient's scans, sorted by patient; None and NaN are left out."""
    scans: dict[str, list[float]] = {}
    for score, patient in zip(scores, patients, strict=True):
        if score is not None and math.isfinite(score):
            scans.setdefault(patient, []).append(score)
    return np.array([np.mean(scans[patient]) for patient in sorted(scans)], dtype=np.float64)


def mean_interval(values: Sequence[float]) -> Mean:
    """Return the mean with its 95 % bootstrap interval: BCa, widened by the ratio of Student's t to the normal.

    Without the widening the interval is too short: with 30 values it contains the true mean in 93 to 94 % of studies.

    Returns:
        No interval for fewer than three values, no mean for none. Equal input gives equal output.

    Source: Efron 1987, doi:10.1080/01621459.1987.10478410; Hesterberg 2015, doi:10.1080/00031305.2015.1089789, 3.3.
    """
    sample = np.asarray(values, dtype=np.float64)
    if not sample.size:
        return Mean(None, None, None)
    mean = float(sample.mean())
    if sample.size < FEWEST_PATIENTS:
        return Mean(mean, None, None)
    if np.ptp(np.round(sample, DECIMALS)) == 0:  # BCa divides by the spread
        return Mean(mean, mean, mean)
    n, random = sample.size, np.random.default_rng(0)
    tail = norm.cdf(np.sqrt(n / (n - 1)) * t.ppf(ALPHA / 2, n - 1))
    result = bootstrap((sample,), np.mean, n_resamples=RESAMPLES, confidence_level=1 - 2 * tail, random_state=random)
    return Mean(mean, float(result.confidence_interval.low), float(result.confidence_interval.high))
