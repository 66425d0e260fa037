"""Geometry of NIfTI files, and comparison of a mask's header with its volume's."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from nibabel.affines import voxel_sizes
from nibabel.orientations import io_orientation
from nibabel.spatialimages import HeaderDataError

from lightning_liver.errors import LiverError

Affine = Float[np.ndarray, "4 4"]

# One text per kind, without numbers: callers group warnings by the text after the file's name.
PIXDIM_TRUSTED = "the affine is the identity although pixdim gives a spacing; pixdim is used"
PIXDIM_DISAGREES = "spacing of the affine and of pixdim differ by more than 1 %; the affine is used"
MASK_SAYS_NOTHING = "the mask's header gives no spacing or orientation; the volume's are used"
MASK_ORIENTED_OTHERWISE = "the mask's header gives another orientation than the volume's; the volume's is used"

_MASK_SPACING_MM = 0.01
_CT_MM = (0.02, 50.0)  # beyond any scanner's range
_FLOAT32_MM = 1e-5  # headers keep millimetres as float32
_SINGULAR = 1e-3  # volume of a voxel over the product of its edges; a gantry tilted by 30 degrees has 0.87
_CURE = "write the header again from the DICOM series or another copy of the file"


@dataclass(frozen=True)
class Geometry:
    """Affine from voxel indices (i, j, k) to millimetres (RAS+), and notes for the user."""

    affine: Affine
    notes: tuple[str, ...]


def read_geometry(path: Path, header: Any) -> Geometry:
    """Read the affine: sform, else qform, else pixdim; pixdim's spacing if the affine is the identity.

    Raises:
        LiverError: spacing that is not finite and positive, an affine that is singular or not finite.
    """
    pixdim_mm = _pixdim_mm(path, header)
    affine = _affine(path, header)
    _refuse_other_units(path, header, voxel_sizes(affine))
    if is_uninformative(affine) and not np.allclose(pixdim_mm, 1, rtol=0, atol=1e-3):
        affine[:3, :3] = np.sign(affine[:3, :3].round()) * pixdim_mm
        return Geometry(affine, (PIXDIM_TRUSTED,))
    agrees = np.allclose(voxel_sizes(affine), pixdim_mm, rtol=0.01, atol=0)
    return Geometry(affine, () if agrees else (PIXDIM_DISAGREES,))


def is_uninformative(affine: Affine) -> bool:
    """Return True for the affine of a program that knows no geometry: 1 mm, axes unmoved or reversed."""
    return bool(np.allclose(np.abs(affine[:3, :3]), np.eye(3), rtol=0, atol=1e-4))


def mask_notes(path: Path, header: Any, volume_affine: Affine) -> tuple[str, ...]:
    """Return notes on a mask whose header differs from its volume's, which is used in any case.

    Raises:
        LiverError: the mask's header gives another spacing.
    """
    try:
        mask_affine = read_geometry(path, header).affine
    except LiverError:
        return (MASK_SAYS_NOTHING,)
    if is_uninformative(mask_affine) and not is_uninformative(volume_affine):
        return (MASK_SAYS_NOTHING,)
    _refuse_other_spacing(path, mask_affine, volume_affine)
    same = np.array_equal(io_orientation(mask_affine), io_orientation(volume_affine))
    return () if same else (MASK_ORIENTED_OTHERWISE,)


def format_mm(spacing_mm: Float[np.ndarray, "3"]) -> str:
    return " x ".join(f"{mm:.6g}" for mm in spacing_mm) + " mm"


def _refuse_other_spacing(path: Path, mask_affine: Affine, volume_affine: Affine) -> None:
    mask_mm, volume_mm = voxel_sizes(mask_affine), voxel_sizes(volume_affine)
    if np.abs(mask_mm - volume_mm).max() > _MASK_SPACING_MM + _FLOAT32_MM:
        raise LiverError(
            f"{path}: the mask's spacing is {format_mm(mask_mm)}, its volume's {format_mm(volume_mm)} (i, j, k); "
            "one of the two belongs to another scan or was resampled: give the pair that belongs together"
        )


def _refuse_other_units(path: Path, header: Any, spacing_mm: Float[np.ndarray, "3"]) -> None:
    """Refuse spacing that no CT has: a header in metres or microns, whatever unit it names."""
    if spacing_mm.min() < _CT_MM[0] or spacing_mm.max() > _CT_MM[1]:
        unit = header.get_xyzt_units()[0]
        raise LiverError(
            f"{path}: a spacing of {format_mm(spacing_mm)} is no CT's (the header's unit is {unit}); "
            "write the header again in millimetres"
        )


def _pixdim_mm(path: Path, header: Any) -> Float[np.ndarray, "3"]:
    pixdim_mm: np.ndarray = header["pixdim"][1:4].astype(np.float64)
    if not (np.isfinite(pixdim_mm) & (pixdim_mm > 0)).all():
        raise LiverError(f"{path}: the spacing (pixdim) is {format_mm(pixdim_mm)}; {_CURE}")
    return pixdim_mm


def _affine(path: Path, header: Any) -> Affine:
    if header["pixdim"][0] not in (-1, 1):  # the standard: anything else means 1
        header["pixdim"][0] = 1
    try:
        affine: np.ndarray = np.array(header.get_best_affine(), dtype=np.float64)
    except (HeaderDataError, ValueError) as error:
        raise LiverError(f"{path}: the qform gives no rotation ({error}); {_CURE}") from None
    if not np.isfinite(affine).all() or _is_singular(affine[:3, :3]):
        raise LiverError(f"{path}: the affine is singular or not finite: {affine[:3].tolist()}; {_CURE}")
    return affine


def _is_singular(linear: Float[np.ndarray, "3 3"]) -> bool:
    edges_mm = np.linalg.norm(linear, axis=0)
    return not edges_mm.all() or bool(abs(np.linalg.det(linear / edges_mm)) < _SINGULAR)
