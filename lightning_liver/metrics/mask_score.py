"""All figures of a mask beside its truth: overlap, surfaces, volumes."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from lightning_liver.metrics.modes import Mode
from lightning_liver.metrics.surface import HEIMANN, surface_figures
from lightning_liver.metrics.voxel_counts import SpacingMm, dice, jaccard, voe, voxel_ml, voxels


@dataclass(frozen=True)
class MaskScore:
    """Figures of two masks, as volumes.py and surface.py define them; None where undefined, see modes.py."""

    dice: float
    jaccard: float
    voe: float
    rvd: float | None
    assd_mm: float | None
    rmsd_mm: float | None
    mssd_mm: float | None
    hd95_mm: float | None
    surface_dice: float
    true_ml: float
    predicted_ml: float
    true_voxels: int
    predicted_voxels: int
    common_voxels: int


def mask_score(
    truth: Bool[np.ndarray, "z y x"],
    prediction: Bool[np.ndarray, "z y x"],
    *,
    spacing_mm: SpacingMm,
    tolerance_mm: float,
    mode: Mode,
) -> MaskScore:
    """Score a mask; arguments as of score_case. Surfaces are as Heimann et al. define them, in both modes."""
    count, millilitres = voxels(truth, prediction), voxel_ml(spacing_mm)
    surface = surface_figures(truth, prediction, spacing_mm=spacing_mm, tolerance_mm=tolerance_mm, definition=HEIMANN)
    return MaskScore(
        dice=dice(count),
        jaccard=jaccard(count),
        voe=voe(count),
        rvd=mode.rvd(count),
        **surface._asdict(),
        true_ml=count.true * millilitres,
        predicted_ml=count.predicted * millilitres,
        true_voxels=count.true,
        predicted_voxels=count.predicted,
        common_voxels=count.common,
    )
