"""The grid of DICOM slices from their positions, and reasons to refuse them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from lightning_liver.errors import LiverError
from lightning_liver.imageio.dicom_checks import refuse_minority
from lightning_liver.imageio.dicom_header import Frame

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SAME_MM = 1e-2  # distance of slices that count as doubled
_PIXEL_MM = 1e-4
_COSINE = 1e-3  # rounding of cosines; half a pixel over a whole slice
_ROUNDING_MM = 0.1  # rounding of positions
_OFF_NORMAL = 5e-4  # fraction of the way along the normal: half a pixel over half a metre
_OFF_GRID = 0.1  # fraction of the distance between slices
_CURE = "export the series again, whole; if it was scanned so, resample it to an even NIfTI"

Affine = Float[np.ndarray, "4 4"]
Points = Float[np.ndarray, "k 3"]


def stack(folder: Path, frames: Sequence[Frame]) -> tuple[list[Frame], Affine]:
    """Sort slices along their normal and return the affine from voxel indices (i, j, k) to millimetres (RAS+).

    Source: PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1, for a slice; the slices are one step along the normal apart.

    Raises:
        LiverError: fewer than two slices; different orientations or pixel spacings; slices that are doubled, missing,
            unevenly spaced, or whose positions leave the normal (gantry tilt).
    """
    if len(frames) < 2:
        raise LiverError(f"{folder}: 1 slice gives no distance between slices, at least 2 are needed; {_CURE}")
    orientation = _find_common(folder, frames, lambda frame: frame.orientation, _COSINE, "orientation")
    pixel_mm = _find_common(folder, frames, lambda frame: frame.pixel_mm, _PIXEL_MM, "pixel spacing in mm")
    row, column = orientation[:3], orientation[3:]
    _refuse_skew(folder, row, column)
    normal = np.cross(row, column)
    ordered = sorted(frames, key=lambda frame: float(frame.position_mm @ normal))
    _refuse_positions(folder, ordered, normal)
    first, last = ordered[0].position_mm, ordered[-1].position_mm
    affine = np.eye(4)
    affine[:3, 0] = row * pixel_mm[1]
    affine[:3, 1] = column * pixel_mm[0]
    affine[:3, 2] = normal * ((last - first) @ normal / (len(ordered) - 1))
    affine[:3, 3] = first
    return ordered, _LPS_TO_RAS @ affine


def _find_common(
    folder: Path, frames: Sequence[Frame], of: Callable[[Frame], np.ndarray], tolerance: float, what: str
) -> Float[np.ndarray, " n"]:
    """Return the value of most slices, to within a tolerance."""
    values = np.array([of(frame) for frame in frames])
    usual: np.ndarray = np.median(values, axis=0)
    same = np.abs(values - usual).max(axis=1) <= tolerance
    texts = (str(usual if is_same else value) for value, is_same in zip(values, same, strict=True))
    refuse_minority(folder, {frame.name: text for frame, text in zip(frames, texts, strict=True)}, what)
    return usual


def _refuse_skew(folder: Path, row: Float[np.ndarray, "3"], column: Float[np.ndarray, "3"]) -> None:
    gram = np.array([row @ row, column @ column, row @ column])
    if np.abs(gram - [1, 1, 0]).max() > _COSINE:
        raise LiverError(
            f"{folder}: ImageOrientationPatient {row.tolist()}, {column.tolist()} is no pair of unit vectors at "
            f"right angles; {_CURE}"
        )


def _refuse_positions(folder: Path, ordered: Sequence[Frame], normal: Float[np.ndarray, "3"]) -> None:
    positions = np.array([frame.position_mm for frame in ordered])
    depths_mm = positions @ normal
    gaps_mm = np.diff(depths_mm)
    _refuse_doubles(folder, ordered, gaps_mm)
    _refuse_tilt(folder, ordered, positions - np.outer(depths_mm, normal), depths_mm - depths_mm[0])
    even_mm = np.linspace(depths_mm[0], depths_mm[-1], len(ordered))
    if np.abs(depths_mm - even_mm).max() > max(_ROUNDING_MM, _OFF_GRID * (even_mm[1] - even_mm[0])):
        _refuse_gaps(folder, ordered, depths_mm, gaps_mm)


def _refuse_doubles(folder: Path, ordered: Sequence[Frame], gaps_mm: Float[np.ndarray, " gap"]) -> None:
    doubles = np.flatnonzero(gaps_mm < _SAME_MM)
    if doubles.size:
        one, other = ordered[doubles[0]], ordered[doubles[0] + 1]
        raise LiverError(
            f"{folder}: {doubles.size} of {len(ordered)} slices lie where another lies, such as {one.name} and "
            f"{other.name} at {one.position_mm.tolist()} mm; remove copies, put each phase or reconstruction into a "
            "folder of its own"
        )


def _refuse_tilt(folder: Path, ordered: Sequence[Frame], in_plane_mm: Points, way_mm: Float[np.ndarray, " k"]) -> None:
    """Refuse positions that differ across the normal."""
    off_mm = np.linalg.norm(in_plane_mm - in_plane_mm[0], axis=1)
    if (off_mm > _ROUNDING_MM + _OFF_NORMAL * way_mm).any():
        worst = int(off_mm.argmax())
        angle = np.degrees(np.arctan2(off_mm[worst], way_mm[worst]))
        raise LiverError(
            f"{folder}: slices are shifted against each other, {ordered[worst].name} by {off_mm[worst]:.2f} mm over "
            f"{way_mm[worst]:.2f} mm of depth against {ordered[0].name} ({angle:.1f} degrees): the gantry was tilted, "
            "or these are several acquisitions; convert the series to NIfTI with a tool that corrects tilt "
            "(dcm2niix does), or give one acquisition"
        )


def _refuse_gaps(
    folder: Path, ordered: Sequence[Frame], depths_mm: Float[np.ndarray, " k"], gaps_mm: Float[np.ndarray, " gap"]
) -> None:
    usual_mm = float(np.median(gaps_mm))
    missing = np.rint(gaps_mm / usual_mm).astype(int) - 1
    whole = np.abs(gaps_mm - (missing + 1) * usual_mm).max() <= max(_ROUNDING_MM, _OFF_GRID * usual_mm)
    if not whole or not missing.any():
        raise LiverError(
            f"{folder}: {len(ordered)} slices are unevenly spaced, {gaps_mm.min():.3f} to {gaps_mm.max():.3f} mm apart "
            f"(most {usual_mm:.3f}); {_CURE}"
        )
    at = int(missing.argmax())
    raise LiverError(
        f"{folder}: missing slices: about {missing.sum()}, in {np.count_nonzero(missing)} of the gaps, such as between "
        f"{ordered[at].name} and {ordered[at + 1].name} (at {depths_mm[at]:.2f} and {depths_mm[at + 1]:.2f} mm along "
        f"the normal; most slices are {usual_mm:.2f} mm apart); {_CURE}"
    )
