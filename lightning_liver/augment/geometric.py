"""Movements of anatomy: image and labels alike, labels by their nearest pixel. Beyond the slice is air."""

from typing import Annotated, Any

import albumentations
import cv2
import numpy as np
from pydantic import Field, validate_call

from lightning_liver.augment.policy import AIR_HU, Degrees, Policy, policy_of
from lightning_liver.augment.transforms import Image, Labels, Options, by_channels
from lightning_liver.errors import LiverError
from lightning_liver.types.options import BelowOne, Fraction, NonNegative

Grid = Annotated[float, Field(ge=1, allow_inf_nan=False)]

# A displacement of one sixth of its grid does not fold: with nodes at plus and minus the displacement, in the worst
# order, OpenCV's cubic interpolation folds from one over 5.2 of their distance on.
FOLDING = 1 / 6


@validate_call
def flip(*, left_right: Fraction, up_down: Fraction) -> Policy:
    """Mirror the slice. Mirrored anatomy is wrong anatomy: the liver lies on the patient's right, the spine behind.

    Args:
        left_right: probability of swapping the patient's left and right.
        up_down: probability of swapping front and back.
    """
    return Policy(_flips(left_right, up_down))


@validate_call
def rotate(*, rotation_degrees: Degrees, probability: Fraction) -> Policy:
    """Rotate about the slice's centre by an angle drawn uniformly.

    Args:
        rotation_degrees: largest angle, either way.
    """
    return Policy([Affine(rotation_degrees=rotation_degrees, scale=0, shift_mm=0, probability=probability)])


@validate_call
def geometric(
    *,
    left_right: Fraction,
    up_down: Fraction,
    rotation_degrees: Degrees,
    scale: BelowOne,
    shift_mm: NonNegative,
    probability: Fraction,
) -> Policy:
    """Flip, then rotate, scale and shift in one interpolation.

    Args:
        left_right, up_down: probabilities of the flips.
        rotation_degrees, scale, shift_mm: see Affine.
        probability: of rotation, scale and shift.
    """
    affine = Affine(rotation_degrees=rotation_degrees, scale=scale, shift_mm=shift_mm, probability=probability)
    return Policy([*_flips(left_right, up_down), affine])


def _flips(left_right: float, up_down: float) -> list[albumentations.BasicTransform]:
    return [albumentations.HorizontalFlip(p=left_right), albumentations.VerticalFlip(p=up_down)]


class _Moving(Options, albumentations.DualTransform):  # type: ignore[misc]
    """Base of movements; `origin` draws the place that each output pixel comes from, once for image and labels."""

    @property
    def targets_as_params(self) -> list[str]:
        return ["mask", "spacing_mm"]

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        return {"origin": self.origin(data["mask"].shape, data["spacing_mm"])}

    def origin(self, shape: tuple[int, int], spacing_mm: tuple[float, float]) -> np.ndarray:
        raise NotImplementedError

    def uniform(self, limit: float) -> float:
        return float(self.random_generator.uniform(-limit, limit))


class Affine(_Moving):
    """Rotation, scale and shift about the slice's centre, in millimetres, so that pixels need not be square.

    Args:
        rotation_degrees: largest angle, either way.
        scale: sizes are multiplied by 1 - scale to 1 + scale.
        shift_mm: largest shift along each axis, either way.
    """

    rotation_degrees: Degrees
    scale: BelowOne
    shift_mm: NonNegative

    def origin(self, shape: tuple[int, int], spacing_mm: tuple[float, float]) -> np.ndarray:
        """Draw the matrix (2, 3) that takes an output pixel (x, y, 1) to the place it comes from."""
        angle, scale = np.deg2rad(self.uniform(self.rotation_degrees)), 1 + self.uniform(self.scale)
        shift = np.array([self.uniform(self.shift_mm), self.uniform(self.shift_mm)])
        to_mm = np.diag([spacing_mm[1], spacing_mm[0]])
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
        linear = np.linalg.inv(to_mm) @ turn @ to_mm
        centre = np.array([shape[1] - 1, shape[0] - 1]) / 2
        return np.column_stack([linear, centre - linear @ (centre + shift / np.diag(to_mm))])

    def apply(self, img: Image, origin: np.ndarray, **params: Any) -> Image:
        return by_channels(img, lambda part: _warp(part, origin, cv2.INTER_LINEAR, (AIR_HU,) * 4))

    def apply_to_mask(self, mask: Labels, origin: np.ndarray, **params: Any) -> Labels:
        return _warp(mask, origin, cv2.INTER_NEAREST, 0)


class Elastic(_Moving):
    """Smooth random deformation: displacements drawn at the nodes of a coarse grid, cubic in between.

    Args:
        amplitude_mm: largest displacement of a node along each axis; every sample draws its own, up to this.
        grid_mm: least distance between nodes; the slice has as many as fit, one at least along each axis.

    Source: Simard et al. 2003, doi:10.1109/ICDAR.2003.1227801, for the idea; a coarse grid as in Ronneberger et al.
    2015, arXiv:1505.04597, section 3.1, takes a tenth of the time of a filter over the whole slice.
    """

    amplitude_mm: NonNegative
    grid_mm: Grid

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.amplitude_mm > self.grid_mm * FOLDING * (1 + 1e-9):
            raise LiverError(
                f"augment: amplitude_mm={self.amplitude_mm:g}: expected at most a sixth of grid_mm={self.grid_mm:g}, "
                f"{self.grid_mm * FOLDING:g}, beyond which anatomy may fold over; lower it or raise grid_mm"
            )

    def origin(self, shape: tuple[int, int], spacing_mm: tuple[float, float]) -> np.ndarray:
        """Draw the place that each output pixel comes from: (y, x, 2), x first."""
        nodes = [max(int(n * mm / self.grid_mm), 1) for n, mm in zip(shape, spacing_mm, strict=True)]
        amplitude = self.random_generator.uniform(0, self.amplitude_mm)
        moves = self.random_generator.uniform(-amplitude, amplitude, (*nodes, 2)).astype(np.float32)
        moves /= np.array(spacing_mm[::-1], np.float32)
        dense = cv2.resize(moves, shape[::-1], interpolation=cv2.INTER_CUBIC)
        dense[..., 0] += np.arange(shape[1], dtype=np.float32)
        dense[..., 1] += np.arange(shape[0], dtype=np.float32)[:, None]
        return dense

    def apply(self, img: Image, origin: np.ndarray, **params: Any) -> Image:
        return by_channels(img, lambda part: _remap(part, origin, cv2.INTER_LINEAR, (AIR_HU,) * 4))

    def apply_to_mask(self, mask: Labels, origin: np.ndarray, **params: Any) -> Labels:
        return _remap(mask, origin, cv2.INTER_NEAREST, 0)


elastic = policy_of(Elastic)


def _warp(pixels: np.ndarray, origin: np.ndarray, interpolation: int, beyond: Any) -> np.ndarray:
    flags = interpolation | cv2.WARP_INVERSE_MAP
    size = (pixels.shape[1], pixels.shape[0])
    return cv2.warpAffine(pixels, origin, size, flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=beyond)


def _remap(pixels: np.ndarray, origin: np.ndarray, interpolation: int, beyond: Any) -> np.ndarray:
    no_second_map: Any = None  # x and y are in one
    return cv2.remap(pixels, origin, no_second_map, interpolation, borderMode=cv2.BORDER_CONSTANT, borderValue=beyond)
