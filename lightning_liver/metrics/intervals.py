"""Means over patients with intervals."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import bootstrap, norm, t

ALPHA = 0.05
DECIMALS = 12  # values that rounding alone makes unequal are ties
RESAMPLES = 9999
_FEWEST_PATIENTS = 3  # with two, every resample is one of three values


class Mean(NamedTuple):
    """A mean over patients and the ends of its interval; None where there is too little to say."""

    mean: float | None
    low: float | None
    high: float | None


def mean_over_patients(scores: Sequence[float | None], patients: Sequence[str]) -> Mean:
    """Mean over patients with its 95 % interval, as mean_interval has it; the scans of a patient are averaged first.

    Args:
        scores: one for each scan; None and NaN are left out.
        patients: to whom each scan belongs.
    """
    return mean_interval(patient_means(scores, patients).tolist())


def patient_means(scores: Sequence[float | None], patients: Sequence[str]) -> Float[np.ndarray, " patient"]:
    """The mean of each patient's scans, by the patients' names; None and NaN are left out."""
    scans: dict[str, list[float]] = {}
    for score, patient in zip(scores, patients, strict=True):
        if score is not None and math.isfinite(score):
            scans.setdefault(patient, []).append(score)
    return np.array([np.mean(scans[patient]) for patient in sorted(scans)], dtype=np.float64)


def mean_interval(values: Sequence[float]) -> Mean:
    """Mean with its 95 % bootstrap interval: BCa, widened as Student's t is wider than the normal distribution.

    Without the widening the interval is too short for few values: of 30 it holds the truth in 93 to 94 % of studies.

    Returns:
        No interval for fewer than three values, nothing at all for none. Equal input gives equal output.

    Source: Efron 1987, doi:10.1080/01621459.1987.10478410; Hesterberg 2015, doi:10.1080/00031305.2015.1089789, 3.3.
    """
    sample = np.asarray(values, dtype=np.float64)
    if not sample.size:
        return Mean(None, None, None)
    mean = float(sample.mean())
    if sample.size < _FEWEST_PATIENTS:
        return Mean(mean, None, None)
    if np.ptp(np.round(sample, DECIMALS)) == 0:  # BCa divides by the spread
        return Mean(mean, mean, mean)
    n, random = sample.size, np.random.default_rng(0)
    tail = norm.cdf(np.sqrt(n / (n - 1)) * t.ppf(ALPHA / 2, n - 1))
    result = bootstrap((sample,), np.mean, n_resamples=RESAMPLES, confidence_level=1 - 2 * tail, random_state=random)
    return Mean(mean, float(result.confidence_interval.low), float(result.confidence_interval.high))
