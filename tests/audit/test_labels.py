"""Faults planted in masks are found, each by the check of its kind, and untouched masks give few alarms."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.random import default_rng

from lightning_liver.audit.labels import LABEL_KINDS, check_case, doubtful_labels
from lightning_liver.audit.masked_scan import MaskedScan, read_masked_scan
from lightning_liver.data.phantom.data_set import render
from lightning_liver.data.phantom.domain import Domain
from lightning_liver.data.prepare import prepare
from lightning_liver.data.sources import lits
from lightning_liver.errors import LiverWarning
from tests.audit.faults import FAULTS, Fault, MemoryStore, Scan, plain_scan

Change = Callable[[Scan], None]


def masked(scan: Scan) -> MaskedScan:
    found = read_masked_scan(MemoryStore({"a": scan}), "a")
    assert found is not None
    return found


def found_kinds(scan: Scan) -> set[str]:
    return {kind for kind, _ in check_case(MemoryStore({"a": scan}), "a")}


def test_a_mask_without_fault_gives_no_finding() -> None:
    assert not found_kinds(plain_scan())


@pytest.mark.parametrize("name", FAULTS)
def test_each_kind_of_planted_fault_is_found(name: str) -> None:
    fault, kinds = FAULTS[name]
    scan = plain_scan()
    fault(default_rng(2), scan)
    assert any(LABEL_KINDS[kind].check(masked(scan)) for kind in kinds)


def test_a_doubt_names_the_slice_and_frames_the_place() -> None:
    scan = plain_scan()
    scan.labels[20, 50:54, 40:43] = 0
    [doubt] = LABEL_KINDS["holes"].check(masked(scan))
    assert doubt.z == 20
    assert doubt.mark.box == (50, 40, 54, 43)
    assert doubt.text == "1 hole inside the liver, 0.43 ml together"


def test_slices_without_liver_do_not_part_it() -> None:
    scan = plain_scan()
    scan.labels[18:20] = 0
    assert found_kinds(scan) == {"missing_slices"}


def test_a_part_that_touches_the_liver_by_a_corner_of_its_tumour_is_in_the_liver() -> None:
    scan = plain_scan()
    edge = int(np.flatnonzero(scan.labels[18, 45])[-1])
    scan.labels[18, 44:49, edge : edge + 1] = 0
    scan.labels[18, 46:48, edge + 1 : edge + 4] = 2
    assert not LABEL_KINDS["tumour_outside_liver"].check(masked(scan))


@pytest.mark.parametrize(
    ("mirror", "said"),
    [
        (lambda scan: setattr(scan, "labels", scan.labels[:, :, ::-1].copy()), "the mask alone is"),
        (
            lambda scan: (
                setattr(scan, "labels", scan.labels[:, :, ::-1].copy()),
                setattr(scan, "hu", scan.hu[:, :, ::-1].copy()),
            ),
            "both are mirrored",
        ),
    ],
)
def test_a_liver_on_the_left_says_what_is_mirrored(mirror: Change, said: str) -> None:
    scan = plain_scan()
    mirror(scan)
    [doubt] = LABEL_KINDS["liver_swapped"].check(masked(scan))
    assert said in doubt.text


def test_a_shift_is_told_in_millimetres() -> None:
    scan = plain_scan()
    scan.labels = np.roll(scan.labels, (3, -4), axis=(1, 2))
    [doubt] = LABEL_KINDS["mask_shifted"].check(masked(scan))
    assert "+0 mm to the head, -9 to the back, +12 to the left" in doubt.text


def test_metal_is_known_where_hu_were_cut_below_it() -> None:
    scan = plain_scan()
    scan.hu[scan.ball(np.array((16, 33, 48)), 8)] = 1500
    scan.hu = scan.hu.clip(-160, 240)
    scan.labels[scan.ball(np.array((16, 33, 48)), 8)] = 2
    [doubt] = LABEL_KINDS["tumour_air_or_metal"].check(masked(scan))
    assert "as dense as metal" in doubt.text


def test_an_empty_mask_is_told() -> None:
    scan = plain_scan()
    scan.labels[:] = 0
    assert found_kinds(scan) == {"empty_mask"}


def test_findings_are_ranked_within_a_kind_and_drawn() -> None:
    small, large = plain_scan(), plain_scan()
    small.labels[20, 50:53, 40:43] = 0
    large.labels[18:22, 48:54, 40:46] = 0
    found = doubtful_labels(MemoryStore({"small": small, "large": large}), workers=0)
    assert [(finding.kind, finding.cases, finding.severity) for finding in found] == [
        ("holes", ("large",), "look"),
        ("holes", ("small",), "look"),
    ]
    draw = found[1].draw
    assert draw is not None
    picture = draw()
    assert picture.shape[0] == 384
    for colour in ((86, 180, 233), (240, 228, 66)):  # of the liver's contour and of the frame
        assert (picture == colour).all(axis=-1).any()


def phantom(case: int, seed: int, version: int, phase: str | None = None) -> Scan:
    volume, labels = render(
        case, seed=seed, matrix=192, tumour_fraction=0.012, version=version, domain=Domain(phase=phase)
    )
    return Scan(volume.hu, labels, volume.spacing_mm)


@pytest.mark.slow
def test_thirty_planted_faults_are_found_with_few_false_alarms() -> None:
    """On phantoms of a seed on which no bound was chosen."""
    kinds = [(1, None)] * 10 + [(2, None)] * 26 + [(2, "native")] * 4
    scans = [phantom(case, 41, version, phase) for case, (version, phase) in enumerate(kinds)]
    alarms = [found_kinds(scan) for scan in scans]
    assert sum(map(bool, alarms)) <= len(scans) // 10, alarms
    rng, missed = default_rng(7), []
    for number, name in enumerate(sorted([*FAULTS] * 3)):
        fault, named = FAULTS[name]
        scan, before = _planted(rng, fault, scans, number)
        if not any(kind in named for kind in found_kinds(scan) - before):
            missed.append((name, number))
    assert not missed


def _planted(rng: np.random.Generator, fault: Fault, scans: list[Scan], number: int) -> tuple[Scan, set[str]]:
    """A copy of one of the scans with a fault, and the kinds of finding that the scan had without."""
    for step in range(len(scans)):
        base = scans[(number + step) % len(scans)]
        scan = Scan(base.hu.copy(), base.labels.copy(), base.spacing_mm)
        try:
            fault(rng, scan)
        except AssertionError:  # no place for it here
            continue
        return scan, found_kinds(base)
    raise AssertionError("no phantom has a place for this fault")


@pytest.mark.real
@pytest.mark.slow
def test_real_masks_are_aligned_and_whole(real_scans: Path, tmp_path: Path) -> None:
    if not (real_scans / "lits").is_dir():
        pytest.skip("no scans of LiTS there")
    with pytest.warns(LiverWarning):
        every = lits(real_scans / "lits", patients=None)
    cases = [case for case in every if case.labels is not None]
    store = prepare(cases, store=tmp_path / "store", spacing_mm=2.0, workers=0, skip_bad=False)
    found = {(finding.kind, finding.cases) for finding in doubtful_labels(store, workers=0)}
    assert found == {("holes", ("1",))}
