"""The official mode reproduces the official scorer's figures, and both organisers' figures of the golden case."""

from pathlib import Path

import numpy as np
import pytest

from experiments.speed.scoring.masks import SETS, SPACING_MM
from lightning_liver.imageio.nifti import read_labels, read_volume
from lightning_liver.metrics.aggregate import data_set_figures
from lightning_liver.metrics.case_metric import MaskPair
from lightning_liver.metrics.case_score import score_case
from lightning_liver.metrics.mask_score import score_mask
from lightning_liver.metrics.modes import mode_of
from lightning_liver.metrics.surface import CHAOS, HEIMANN
from tests.metrics.printed import PRINTED


def official_figures(name: str) -> dict[str, float | None]:
    scores = [
        score_case(*pair[:2], spacing_mm=SPACING_MM, mode="official", tolerance_mm=1.0, affine=pair.affine)
        for pair in SETS[name]
    ]
    return data_set_figures(scores, "test")


@pytest.mark.parametrize("name", SETS)
def test_figures_are_those_that_the_official_scorer_printed(name: str) -> None:
    figures = official_figures(name)
    ours = {metric: f"{figures[f'test/{metric}']:.3f}" for metric in PRINTED[name]}
    assert ours == PRINTED[name]


def test_official_figures_depend_on_the_order_of_lesions_in_the_file() -> None:
    """With another affine, the pairs of the scattered lesions have other overlaps."""
    pair = SETS["scattered"][2]
    overlaps = [
        [
            lesion.overlap
            for lesion in score_case(
                *pair[:2], spacing_mm=SPACING_MM, mode="official", tolerance_mm=1.0, affine=affine
            ).lesions.lesions
        ]
        for affine in (pair.affine, np.diag((-1.0, -1.0, 1.0, 1.0)))
    ]
    assert sorted(overlaps[0]) != sorted(overlaps[1])


@pytest.mark.real
def test_the_golden_case_has_both_organisers_figures(real_scans: Path) -> None:
    """CHAOS: Dice 0.978, RAVD 0.665 %, ASSD 0.734, MSSD 14. LiTS: VOE 0.042, RVD 0.007, ASSD 0.594, RMSD 1.438."""
    folder = real_scans / "chaos3"
    volume = read_volume(folder / "volume-3.nii.gz")
    truth, prediction = (
        read_labels(folder / f"{name}-3.nii.gz", volume) > 0 for name in ("segmentation", "sample_submission")
    )
    lits, corrected, chaos = (
        score_mask(MaskPair(truth, prediction, volume.spacing_mm, 1.0, mode_of(mode), definition)).metrics
        for mode, definition in (("official", HEIMANN), ("corrected", HEIMANN), ("official", CHAOS))
    )
    shown = [f"{lits[name]:.3f}" for name in ("dice", "voe", "rvd", "assd_mm", "rmsd_mm", "mssd_mm")]
    assert shown == ["0.978", "0.042", "0.007", "0.594", "1.438", "14.000"]
    ravd = f"{abs(100 * corrected['rvd']):.3f}"
    assert (ravd, f"{chaos['assd_mm']:.3f}", chaos["mssd_mm"]) == ("0.665", "0.734", 14)
