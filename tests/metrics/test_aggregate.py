from itertools import pairwise

import numpy as np
import pytest

from lightning_liver.errors import LiverError
from lightning_liver.metrics.aggregate import BANDS_MM, case_rows, data_set_figures, lesion_rows
from lightning_liver.metrics.case_score import CaseScore, score_case

SHAPE = (3, 40, 60)
SIDES = (4, 12, 24)  # of lesions, in pixels of a millimetre: below 10 mm, 10 to 20 mm, from 20 mm


def case(found: tuple[int, ...], missed: tuple[int, ...], mode: str = "corrected") -> CaseScore:
    """Score squares of tumour side by side in one slice; the found ones are predicted exactly."""
    truth, prediction = (np.ones(SHAPE, np.uint8) for _ in range(2))
    x = 1
    for side in (*found, *missed):
        truth[1, 1 : 1 + side, x : x + side] = 2
        x += side + 2
    prediction[truth == 2] = 2
    for side in missed:
        prediction[1, :, x - side - 2 : x] = 1
        x -= side + 2
    return score_case(truth, prediction, spacing_mm=(3.0, 1.0, 1.0), mode=mode, tolerance_mm=1.0)


def test_recall_by_size_counts_lesions_of_all_cases() -> None:
    figures = data_set_figures([case(SIDES[:2], SIDES[2:]), case(SIDES[:1], SIDES[:1])], "test")
    recall = [figures[f"test/lesion/recall_50_{band}"] for band in BANDS_MM]
    assert recall == [pytest.approx(2 / 3), 1, 0]
    assert figures["test/lesion/recall_50"] == 3 / 5
    assert figures["test/lesion/precision_50"] == 1
    assert figures["test/lesion/f1_50"] == pytest.approx(2 * 1 * 0.6 / 1.6)


def test_bands_cover_every_diameter() -> None:
    ends = list(BANDS_MM.values())
    assert ends[0][0] == 0
    assert ends[-1][1] == float("inf")
    assert all(high == low for (_, high), (low, _) in pairwise(ends))


def test_dice_per_case_is_a_mean_over_cases_and_dice_global_over_voxels() -> None:
    figures = data_set_figures([case((24,), (4,)), case((), (4,))], "test")
    whole = 2 * 576 / (2 * 576 + 16)
    assert figures["test/tumour/dice_per_case"] == pytest.approx(whole / 2)
    assert figures["test/tumour/dice_global"] == pytest.approx(2 * 576 / (2 * 576 + 32))


def test_columns_of_the_tables_do_not_change() -> None:
    score = case((12,), (4,))
    rows = case_rows("7", "B", score)
    built_in = [
        *("case", "patient", "structure", "dice", "jaccard", "voe", "rvd", "assd_mm", "rmsd_mm", "mssd_mm", "hd95_mm"),
        *("surface_dice", "true_ml", "predicted_ml", "true_voxels", "predicted_voxels", "common_voxels"),
    ]
    assert [name for name in rows[0] if name in built_in] == built_in
    assert [(row["case"], row["patient"], row["structure"]) for row in rows] == [
        ("7", "B", "liver"),
        ("7", "B", "tumour"),
    ]
    found, missed, predicted = lesion_rows("7", "B", score)
    assert list(found) == [
        *("case", "patient", "kind", "lesion", "volume_ml", "diameter_mm", "slice_index"),
        *("x_ras_mm", "y_ras_mm", "z_ras_mm"),
        *("overlap", "detected_0", "detected_50"),
    ]
    assert [row["detected_50"] for row in (found, missed, predicted)] == [1, 0, 1]
    assert (predicted["kind"], predicted["overlap"]) == ("predicted", 1)


def test_mixed_modes_and_empty_data_sets_are_refused() -> None:
    with pytest.raises(LiverError, match="got corrected, official"):
        data_set_figures([case((4,), ()), case((4,), (), mode="official")], "test")
    with pytest.raises(LiverError, match="expected cases of one mode, got no case"):
        data_set_figures([], "test")
