"""Damaged files end in a message or are read; tests/fuzz/campaign.csv has the counts of a long campaign."""

import os
from pathlib import Path

import pytest

from tests.fuzz.campaign import tried

FAST = {
    "nifti": 50,
    "dicom": 25,
    "corrected": 60,
    "checkpoint": 10,
    "config": 12,
    "store": 40,
    "manifest": 20,
    "run": 25,
}
SLOW = {**dict.fromkeys(FAST, 500), "report": 30}  # a report is drawn in a second


def check(kind: str, seeds: range, folder: Path) -> None:
    outcomes = tried(kind, seeds, folder)
    assert not outcomes.failures, "\n".join(f"seed {seed}: {why}" for seed, why in outcomes.failures.items())
    assert outcomes.counts["refused"] > len(seeds) / 20, "hardly anything was damaged"


@pytest.mark.parametrize("kind", FAST)
def test_damaged_files_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    check(kind, range(FAST[kind]), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SLOW)
def test_many_damaged_files_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    check(kind, range(1000, 1000 + int(os.environ.get("LIVER_MUTATIONS", SLOW[kind]))), tmp_path)
