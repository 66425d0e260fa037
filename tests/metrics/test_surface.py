from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lightning_liver.errors import LiverError
from lightning_liver.metrics.case_metric import MaskPair, case_metrics
from lightning_liver.metrics.modes import mode_of
from lightning_liver.metrics.surface import CHAOS, HEIMANN, Definition, surface_distances
from tests.metrics import oracles
from tests.optional import needs

SPACING_MM = (2.5, 0.75, 0.5)
SHAPE = (4, 5, 6)
NAMES = ("assd_mm", "rmsd_mm", "mssd_mm", "hd95_mm", "surface_dice")
masks = hnp.arrays(bool, SHAPE)
definitions = st.sampled_from([HEIMANN, CHAOS])
few = settings(max_examples=25)


def figures(truth: np.ndarray, prediction: np.ndarray, **given: Any) -> tuple[float | None, ...]:
    """Return ASSD, RMSD, MSSD, HD95 and surface Dice."""
    options = {"spacing_mm": SPACING_MM, "tolerance_mm": 0.8, "mode": mode_of("corrected")} | given
    masks, metrics = MaskPair(truth, prediction, **options), case_metrics()
    return tuple(metrics[name].function(masks) for name in NAMES)


@few
@given(truth=masks, prediction=masks, definition=definitions)
def test_figures_are_those_of_all_pairs_of_surface_voxels(
    truth: np.ndarray, prediction: np.ndarray, definition: Definition
) -> None:
    steps = {1: oracles.FACES, 2: oracles.EDGES}[definition.connectivity]
    true, predicted = (oracles.surface(mask, steps, goes_on=definition.goes_on) for mask in (truth, prediction))
    assume(true and predicted)
    ways = [oracles.distances(*pair, SPACING_MM) for pair in ((true, predicted), (predicted, true))]
    pooled = np.array(ways[0] + ways[1])
    expected = (
        pooled.sum() / (len(true) + len(predicted)),
        np.sqrt((pooled**2).sum() / (len(true) + len(predicted))),
        pooled.max(),
        max(np.quantile(way, 0.95) for way in ways),
        np.count_nonzero(pooled <= 0.8) / len(pooled),
    )
    assert figures(truth, prediction, definition=definition) == pytest.approx(expected)


@pytest.mark.parametrize("specks", [0, 3, 3000])
def test_a_tree_and_a_distance_transform_find_the_same(specks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    z, y, x = np.ogrid[:20, :30, :40]
    truth = (z - 9) ** 2 / 49 + (y - 14) ** 2 / 81 + (x - 19) ** 2 / 144 < 1
    prediction = np.roll(truth, (1, 2, 3), (0, 1, 2))
    prediction.flat[np.random.default_rng(0).integers(0, truth.size, specks)] ^= True
    found = []
    for many in (0, 10**9):
        monkeypatch.setattr("lightning_liver.metrics.surface._MANY", many)
        found.append(surface_distances(truth, prediction, spacing_mm=SPACING_MM, definition=HEIMANN))
    for tree, transform in zip(*found, strict=True):
        np.testing.assert_allclose(tree, transform)


@few
@given(truth=masks, prediction=masks, definition=definitions)
def test_figures_are_symmetric(truth: np.ndarray, prediction: np.ndarray, definition: Definition) -> None:
    there, back = (figures(*pair, definition=definition) for pair in ((truth, prediction), (prediction, truth)))
    assert there == pytest.approx(back)


@few
@given(
    truth=masks, prediction=masks, axes=st.sets(st.integers(0, 2)), before=st.integers(0, 3), after=st.integers(0, 3)
)
def test_flips_and_padding_change_nothing(
    truth: np.ndarray, prediction: np.ndarray, axes: set[int], before: int, after: int
) -> None:
    moved = [np.pad(np.flip(mask, tuple(axes)), (before, after)) for mask in (truth, prediction)]
    assert figures(*moved) == pytest.approx(figures(truth, prediction))


@few
@given(truth=masks, prediction=masks, factor=st.sampled_from([0.5, 3.0]))
def test_millimetres_scale_with_the_spacing(truth: np.ndarray, prediction: np.ndarray, factor: float) -> None:
    assume(truth.any() and prediction.any())
    spacing_mm = tuple(factor * mm for mm in SPACING_MM)
    scaled = figures(truth, prediction, spacing_mm=spacing_mm, tolerance_mm=0.8 * factor)
    plain = figures(truth, prediction)
    assert scaled[:4] == pytest.approx([factor * float(mm or 0) for mm in plain[:4]])
    assert scaled[4] == plain[4]


@few
@given(mask=masks)
def test_a_mask_has_distance_0_to_itself(mask: np.ndarray) -> None:
    assume(mask.any())
    assert figures(mask, mask) == (0, 0, 0, 0, 1)


def test_monai_measures_the_same_between_surfaces_of_6_neighbours() -> None:
    needs("monai")
    metrics = pytest.importorskip("monai.metrics")
    rng = np.random.default_rng(3)
    truth, prediction = (np.pad(rng.random((8, 9, 10)) > 0.6, 1) for _ in range(2))
    pair = [torch.from_numpy(mask)[None, None] for mask in (prediction, truth)]
    given: dict[str, Any] = {"include_background": True, "spacing": SPACING_MM}
    assd_mm, _, mssd_mm, hd95_mm, _ = figures(truth, prediction, definition=Definition(1, goes_on=False))
    assert assd_mm == pytest.approx(float(metrics.compute_average_surface_distance(*pair, symmetric=True, **given)))
    assert mssd_mm == pytest.approx(float(metrics.compute_hausdorff_distance(*pair, **given)))
    assert hd95_mm == pytest.approx(float(metrics.compute_hausdorff_distance(*pair, percentile=95, **given)))


def test_the_border_of_the_scan_is_a_surface_for_lits_and_not_for_chaos() -> None:
    whole = np.ones((3, 5, 5), bool)
    inner = np.zeros_like(whole)
    inner[1, 2, 2] = True
    assert figures(whole, inner)[0] is not None
    assert surface_distances(whole, inner, spacing_mm=SPACING_MM, definition=CHAOS) is None


def test_distances_to_an_empty_mask_are_undefined() -> None:
    nothing, speck = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    speck[1, 2, 3] = True
    assert figures(nothing, nothing) == (None, None, None, None, 1)
    assert figures(nothing, speck) == figures(speck, nothing) == (None, None, None, None, 0)


def test_a_negative_tolerance_is_refused() -> None:
    with pytest.raises(LiverError, match=r"tolerance_mm=-1\.0: expected 0 or more"):
        figures(np.ones(SHAPE, bool), np.ones(SHAPE, bool), tolerance_mm=-1.0)
