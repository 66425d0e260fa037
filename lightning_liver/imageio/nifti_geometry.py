"""Geometry of NIfTI files, and comparison of a mask's header with its volume's."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Float
from nibabel.affines import voxel_sizes
from nibabel.orientations import apply_orientation, io_orientation, ornt_transform
from nibabel.spatialimages import HeaderDataError

from lightning_liver.errors import LiverError

Affine = Float[np.ndarray, "4 4"]

# One text per kind, without numbers: callers group warnings by the text after the file's name.
PIXDIM_TRUSTED = "the affine is the identity although pixdim gives a spacing; pixdim is used"
FORMS_DISAGREE = "sform and qform give different places; the sform is used, and masks are written with both"
PIXDIM_INVALID = "pixdim is zero or negative; the sform's is used"
PIXDIM_DISAGREES = "spacing of the affine and of pixdim differ by more than 1 %; the affine is used"
MASK_SAYS_NOTHING = "the mask's header gives no spacing or orientation; the volume's are used"
MASK_SAYS_NO_ORIGIN = "the mask's header has no origin; the volume's is used"
MASK_TURNED = "the mask is stored in another orientation; its own header gives the volume's grid and is followed"
MASK_ORIENTED_OTHERWISE = "the mask's header gives another orientation than the volume's; the volume's is used"

FORMS = (  # of a header, pixdim with the sign of the qform
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z", "pixdim"),
)
_SAME_MM = 1e-3
_MASK_SPACING_MM = 0.01
_TURNED_BY = 0.1  # largest entry of a rotation between axes that are parallel but for rounding, 6 degrees
_FAR_MM = 50.0  # a mask so far from its volume belongs to another scan
_CT_MM = (0.02, 50.0)  # beyond any scanner's range
_FLOAT32_MM = 1e-5  # headers keep millimetres as float32
_SINGULAR = 1e-3  # volume of a voxel over the product of its edges; a gantry tilted by 30 degrees has 0.87
_CURE = "write the header again from the DICOM series or another copy of the file"


@dataclass(frozen=True)
class Geometry:
    """Affine from voxel indices (i, j, k) to millimetres (RAS+), and notes for the user.

    `forms` has the fields of a header whose sform and qform differ, as they are; None if they agree.
    """

    affine: Affine
    notes: tuple[str, ...]
    forms: Mapping[str, Any] | None = None


def read_geometry(path: Path, header: Any) -> Geometry:
    """Read the affine: sform, else qform, else pixdim; pixdim's spacing if the affine is the identity.

    Raises:
        LiverError: spacing that is not finite and positive without an sform that gives one, an affine that is singular
            or not finite.
    """
    pixdim_mm: np.ndarray = header["pixdim"][1:4].astype(np.float64)
    is_valid = bool((pixdim_mm > 0).all())
    if not np.isfinite(pixdim_mm).all() or (not is_valid and header["sform_code"] <= 0):
        _refuse_pixdim(path, pixdim_mm)
    affine = _affine(path, header)
    _refuse_other_units(path, header, voxel_sizes(affine))
    if not is_valid:
        if is_uninformative(affine):
            _refuse_pixdim(path, pixdim_mm)
        return Geometry(affine, (PIXDIM_INVALID,))
    if is_uninformative(affine) and not np.allclose(pixdim_mm, 1, rtol=0, atol=1e-3):
        affine[:3, :3] = np.sign(affine[:3, :3].round()) * pixdim_mm
        return Geometry(affine, (PIXDIM_TRUSTED,))
    agrees = np.allclose(voxel_sizes(affine), pixdim_mm, rtol=0.01, atol=0)
    differ, contradict = _compare_forms(header)
    notes = (FORMS_DISAGREE,) * contradict + (PIXDIM_DISAGREES,) * (not agrees)
    return Geometry(affine, notes, {name: header[name].copy() for name in FORMS} if differ else None)


def is_uninformative(affine: Affine) -> bool:
    """Return True for the affine of a program that knows no geometry: 1 mm, axes unmoved or reversed."""
    return bool(np.allclose(np.abs(affine[:3, :3]), np.eye(3), rtol=0, atol=1e-4))


@dataclass(frozen=True)
class MaskOrder:
    """Order of a mask's voxels beside its volume's.

    Args:
        turn: nibabel's orientation transform from the mask's axes (i, j, k) to the volume's.
        notes: for the user.
    """

    turn: Float[np.ndarray, "3 2"]
    notes: tuple[str, ...]

    def shape(self, mask_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape (i, j, k) of the mask in the volume's order."""
        turned: np.ndarray = apply_orientation(np.broadcast_to(np.uint8(0), mask_shape), self.turn)
        return turned.shape


_AS_STORED = np.array([(0, 1), (1, 1), (2, 1)], float)


def mask_order(
    path: Path, header: Any, mask_shape: tuple[int, ...], volume_affine: Affine, volume_shape: tuple[int, ...]
) -> MaskOrder:
    """Return how the voxels of a mask are brought into the order of its volume's file.

    A mask follows its own header where flips and swaps of its axes give the volume's grid. A header without spacing,
    orientation or origin, or with another orientation about the same origin, is taken for wrong: then the voxels are in
    the order of the volume's.

    Args:
        mask_shape, volume_shape: voxels along i, j and k.

    Raises:
        LiverError: the mask's header gives another spacing, or a place that is more than 50 mm away.
    """
    try:
        mask_affine = read_geometry(path, header).affine
    except LiverError:
        return MaskOrder(_AS_STORED, (MASK_SAYS_NOTHING,))
    if is_uninformative(mask_affine) and not is_uninformative(volume_affine):
        return MaskOrder(_AS_STORED, (MASK_SAYS_NOTHING,))
    step = np.linalg.solve(mask_affine, volume_affine)  # from indices of the volume to those of the mask
    is_parallel = _is_turn(step[:3, :3])
    turn = _turn_of(step[:3, :3]) if is_parallel else ornt_transform(*map(io_orientation, (mask_affine, volume_affine)))
    _refuse_other_spacing(path, mask_affine, volume_affine, turn)
    order, is_turned = MaskOrder(turn, ()), not np.array_equal(turn, _AS_STORED)
    if order.shape(mask_shape) != volume_shape or (is_turned and not is_parallel):
        return MaskOrder(_AS_STORED, (MASK_ORIENTED_OTHERWISE,) * is_turned)
    off = _offsets(step, turn, mask_shape, volume_shape)
    if np.abs(off).max() <= 0.5:
        return MaskOrder(turn, (MASK_TURNED,) * is_turned)
    origin = mask_affine[:3, 3]
    is_same = np.linalg.norm(origin - volume_affine[:3, 3]) < voxel_sizes(volume_affine).min() / 2
    if is_turned and (is_same or not origin.any()):
        return MaskOrder(_AS_STORED, (MASK_ORIENTED_OTHERWISE,))
    if not origin.any() and is_parallel:
        return MaskOrder(turn, (MASK_SAYS_NO_ORIGIN,))
    away_mm = float(np.linalg.norm(off @ mask_affine[:3, :3].T, axis=1).max())
    if is_parallel and away_mm > _FAR_MM:
        raise LiverError(
            f"{path}: the mask's header places it {away_mm:.0f} mm away from its volume; "
            "give the pair that belongs together, or correct the origin in the mask's header"
        )
    told = f"the mask's header places it up to {away_mm:.1f} mm away from its volume, whose place is used"
    return MaskOrder(turn, ((MASK_TURNED,) * is_turned) + (told,))


def _is_turn(linear: Float[np.ndarray, "3 3"]) -> bool:
    whole = np.abs(np.rint(linear))
    return bool((whole.sum(0) == 1).all() and (whole.sum(1) == 1).all() and np.abs(linear).max() < 1.5) and bool(
        np.abs(linear - np.rint(linear)).max() < _TURNED_BY
    )


def _turn_of(linear: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 2"]:
    towards = np.abs(linear).argmax(axis=1)
    return np.stack([towards, np.sign(linear[range(3), towards])], axis=1).astype(float)


def _offsets(
    step: Affine, turn: Float[np.ndarray, "3 2"], mask_shape: tuple[int, ...], volume_shape: tuple[int, ...]
) -> Float[np.ndarray, "8 3"]:
    """Return how far, in voxels of the mask, its header places it from each corner of the volume."""
    corners = np.array(list(product(*((0, size - 1) for size in volume_shape))), float)
    towards, signs = turn[:, 0].astype(int), turn[:, 1]
    meant = np.where(signs > 0, corners[:, towards], np.array(mask_shape) - 1 - corners[:, towards])
    offsets: np.ndarray = corners @ step[:3, :3].T + step[:3, 3] - meant
    return offsets


def format_mm(spacing_mm: Float[np.ndarray, "3"]) -> str:
    return " x ".join(f"{mm:.6g}" for mm in spacing_mm) + " mm"


def _refuse_other_spacing(
    path: Path, mask_affine: Affine, volume_affine: Affine, turn: Float[np.ndarray, "3 2"]
) -> None:
    mask_mm, volume_mm = np.empty(3), voxel_sizes(volume_affine)
    mask_mm[turn[:, 0].astype(int)] = voxel_sizes(mask_affine)
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


def _refuse_pixdim(path: Path, pixdim_mm: Float[np.ndarray, "3"]) -> NoReturn:
    raise LiverError(f"{path}: the spacing (pixdim) is {format_mm(pixdim_mm)}; {_CURE}")


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


def _compare_forms(header: Any) -> tuple[bool, bool]:
    """Return whether sform and qform differ, and whether in direction or origin.

    A qform cannot have shear, and its spacing is that of pixdim, which is compared apart.
    """
    sform, qform = header.get_sform(coded=True)[0], _qform(header)
    if sform is None or qform is None or np.allclose(sform, qform, rtol=0, atol=_SAME_MM):
        return False, False
    nearest = header.copy()
    nearest.set_qform(sform, "scanner", strip_shears=True)
    return True, not np.allclose(_unscaled(nearest.get_qform()), _unscaled(qform), rtol=0, atol=_SAME_MM)


def _unscaled(affine: Affine) -> Affine:
    return np.asarray(affine / [*voxel_sizes(affine), 1])


def _qform(header: Any) -> Affine | None:
    """Return the affine of the qform; None if the header has none, or an invalid one."""
    try:
        affine: Affine | None = header.get_qform(coded=True)[0]
    except (HeaderDataError, ValueError):
        return None
    return affine if affine is not None and np.isfinite(affine).all() else None


def _is_singular(linear: Float[np.ndarray, "3 3"]) -> bool:
    edges_mm = np.linalg.norm(linear, axis=0)
    return not edges_mm.all() or bool(abs(np.linalg.det(linear / edges_mm)) < _SINGULAR)
