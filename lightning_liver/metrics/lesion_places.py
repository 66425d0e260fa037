"""Places of lesions of a label map: slice and centroid, in the mask's file and in millimetres."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from nibabel.affines import apply_affine

from lightning_liver.metrics.components import Affine, axial_diameters_mm, centroids, components, largest_slices
from lightning_liver.metrics.voxel_counts import SpacingMm, voxel_ml
from lightning_liver.volume import axial_axis, file_index


@dataclass(frozen=True)
class LesionPlace:
    """Place and size of a lesion, a connected component of tumour.

    Args:
        lesion: number from 1, the largest first.
        slice_index: of its largest axial area, in the mask's file, from 0.
        x_ras_mm, y_ras_mm, z_ras_mm: centroid in the file's world frame: to the patient's right, to the front, to the
            head (RAS+, as NIfTI has it). DICOM's coordinates are -x, -y, z.
        diameter_mm: the longest in an axial slice.
    """

    lesion: int
    slice_index: int
    x_ras_mm: float
    y_ras_mm: float
    z_ras_mm: float
    volume_ml: float
    diameter_mm: float


def lesion_places(labels: UInt8[np.ndarray, "z y x"], spacing_mm: SpacingMm, affine: Affine) -> list[LesionPlace]:
    """Return the lesions of a label map 0, 1 liver, 2 tumour, the largest first.

    Args:
        affine: of the file, as in Volume.
    """
    parts = components(labels == 2, affine)
    axial = np.column_stack((largest_slices(parts), np.zeros((len(parts.voxels), 2))))
    slices = file_index(axial, labels.shape, affine)[:, axial_axis(affine)].astype(int).tolist()
    places_mm = apply_affine(affine, file_index(centroids(parts), labels.shape, affine)).tolist()
    volumes_ml = (parts.voxels * voxel_ml(spacing_mm)).tolist()
    diameters_mm = axial_diameters_mm(parts, spacing_mm).tolist()
    return [
        LesionPlace(lesion, slices[part], x, y, z, volumes_ml[part], diameters_mm[part])
        for lesion, part in enumerate(np.argsort(-parts.voxels, kind="stable").tolist(), start=1)
        for x, y, z in [places_mm[part]]
    ]
