"""Lesions of a case: size of each, detection, and score."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64
from nibabel.affines import apply_affine

from lightning_liver.metrics.case_metric import Mask, MaskPair
from lightning_liver.metrics.components import (
    Affine,
    Components,
    axial_diameters_mm,
    centroids,
    components,
    largest_slices,
    masks_of,
)
from lightning_liver.metrics.lesion_matching import Detection, LesionPair, overlaps
from lightning_liver.metrics.mask_score import MaskScore, score_mask
from lightning_liver.metrics.voxel_counts import SpacingMm, voxel_ml
from lightning_liver.volume import axial_axis, file_index

THRESHOLDS = {"0": 0.0, "50": 0.5}  # of intersection over union: a lesion is detected above it
KINDS = ("reference", "predicted")
_SPECK_VOXELS = 512  # of the box around a pair


class MaskPlace(NamedTuple):
    """Place of masks in their scan.

    Args:
        first: index (z, y, x) of their first voxel in the scan.
        shape: of the scan.
        affine: of the file, as in Volume.
    """

    first: tuple[int, int, int]
    shape: tuple[int, ...]
    affine: Affine

    def millimetres(self, places: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Convert indices (z, y, x) in the masks to x, y, z in the file's millimetres."""
        return apply_affine(self.affine, self._in_file(places + self.first))

    def slices(self, z: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """Convert indices of slices in the masks to those in the file."""
        places = np.column_stack((z + self.first[0], np.zeros((len(z), 2))))
        return self._in_file(places)[:, axial_axis(self.affine)].astype(np.int64)

    def _in_file(self, places: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        return file_index(places, self.shape, self.affine)


@dataclass(frozen=True)
class Lesion:
    """Lesion: a connected component of tumour.

    Args:
        kind: "reference" or "predicted".
        number: from 1 within its case and kind.
        diameter_mm: the longest in an axial slice.
        slice_index: of its largest axial area, in the file, from 0.
        centroid_ras_mm: x, y, z of its middle in the file's millimetres (RAS+: to the right, the front and the head).
        overlap: intersection over union of its pair, as the mode computes it; 0 without a pair.
        detected: True if the overlap is above the threshold, by the threshold's name.
    """

    kind: str
    number: int
    volume_ml: float
    diameter_mm: float
    slice_index: int
    centroid_ras_mm: tuple[float, float, float]
    overlap: float
    detected: Mapping[str, bool]


@dataclass(frozen=True)
class LesionScore:
    """Lesions of a case and their score.

    Args:
        lesions: reference lesions, then predicted ones.
        detections: counts by the threshold's name.
        found: scores of lesions detected above 0.5. `official` has one for each pair, and none in a case where it
            counts no lesion as found; `corrected` has one for each reference lesion, equal where they were merged.
    """

    lesions: tuple[Lesion, ...]
    detections: Mapping[str, Detection]
    found: tuple[MaskScore, ...]


def score_lesions(tumours: MaskPair, affine: Affine, place: MaskPlace) -> LesionScore:
    """Match and score the connected components of two masks of tumour; affine as for score_case.

    Args:
        place: of the masks in the scan.
    """
    spacing_mm, mode = tumours.spacing_mm, tumours.mode
    pair_of_masks = (tumours.truth, tumours.prediction)
    parts = {kind: components(mask, affine) for kind, mask in zip(KINDS, pair_of_masks, strict=True)}
    shared = overlaps(parts["predicted"], parts["reference"], tumours.truth.shape)
    detections = {name: mode.match(shared, threshold) for name, threshold in THRESHOLDS.items()}
    lesions = [lesion for kind in KINDS for lesion in _lesions(kind, parts[kind], detections, spacing_mm, place)]
    strict, found = detections["50"], []
    score = _EqualScoredOnce(tumours)
    for pair in strict.detected if strict.tp > 0 else ():
        found += [score(*_masks(pair, parts))] * (1 if mode.is_official else len(pair.reference))
    return LesionScore(tuple(lesions), detections, tuple(found))


class _EqualScoredOnce:
    """Score of a pair of masks; small ones of equal form, such as thousands of specks, are scored once."""

    def __init__(self, like: MaskPair) -> None:
        self._like = like
        self._scores: dict[tuple[tuple[int, ...], bytes, bytes], MaskScore] = {}

    def __call__(self, truth: Mask, prediction: Mask) -> MaskScore:
        if truth.size > _SPECK_VOXELS:
            return score_mask(replace(self._like, truth=truth, prediction=prediction))
        form = (truth.shape, truth.tobytes(), prediction.tobytes())
        if form not in self._scores:
            self._scores[form] = score_mask(replace(self._like, truth=truth, prediction=prediction))
        return self._scores[form]


def _lesions(
    kind: str, parts: Components, detections: Mapping[str, Detection], spacing_mm: SpacingMm, place: MaskPlace
) -> list[Lesion]:
    overlap = {n: pair.overlap for pair in detections["0"].pairs for n in _mine(pair, kind)}
    hits = {name: {n for pair in found.detected for n in _mine(pair, kind)} for name, found in detections.items()}
    diameters_mm = axial_diameters_mm(parts, spacing_mm)
    slices, places_mm = place.slices(largest_slices(parts)), place.millimetres(centroids(parts))
    return [
        Lesion(
            kind=kind,
            number=n,
            volume_ml=float(size * voxel_ml(spacing_mm)),
            diameter_mm=float(diameter_mm),
            slice_index=int(slices[n - 1]),
            centroid_ras_mm=(float(places_mm[n - 1, 0]), float(places_mm[n - 1, 1]), float(places_mm[n - 1, 2])),
            overlap=overlap.get(n, 0.0),
            detected={name: n in found for name, found in hits.items()},
        )
        for n, (size, diameter_mm) in enumerate(zip(parts.voxels, diameters_mm, strict=True), start=1)
    ]


def _mine(pair: LesionPair, kind: str) -> tuple[int, ...]:
    return pair.reference if kind == "reference" else pair.predicted


def _masks(pair: LesionPair, parts: Mapping[str, Components]) -> list[Mask]:
    """Return truth and prediction of a pair, in the box around both."""
    return masks_of(*(np.concatenate([parts[kind].part(n) for n in _mine(pair, kind)]) for kind in KINDS))
