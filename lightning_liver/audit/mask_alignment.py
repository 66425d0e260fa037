"""Alignment of a mask with the liver of its scan, by the HU just inside and outside its edge."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool
from scipy.fft import irfftn, next_fast_len, rfftn
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter

from lightning_liver.audit.masked_scan import CoarseScan

FARTHEST_MM = 40.0  # of the shifts that are tried, along each axis
_SHELL = 2  # voxels of the coarse grid inside, and outside, of the edge
_ALIKE_HU = 25.0  # standard deviation of the bell that says how much a voxel looks like this liver
_SEEN = 0.8  # fraction of both shells that must lie in the scan

BODY_HU = -140.0  # fat is body

Mask = Bool[np.ndarray, "z y x"]


class MaskAlignment(NamedTuple):
    """Fit of a mask: how much more its inner shell looks like liver than its outer one, 0 to 1.

    Args:
        fit: where the mask lies.
        best: at the best shift.
        shift_mm: that shift along z, y and x: to the head, the back and the patient's left.
    """

    fit: float
    best: float
    shift_mm: tuple[float, float, float]

    @property
    def distance_mm(self) -> float:
        return float(np.linalg.norm(self.shift_mm))


def align(scan: CoarseScan, liver: Mask, *, reach_mm: float = FARTHEST_MM) -> MaskAlignment:
    """Find the shift of a mask at which its shells differ most.

    A voxel looks like liver by its smoothed HU, beside the median of the mask's, so a mask that lies half beside its
    liver still knows it. All shifts are tried at once, by Fourier transform.

    Args:
        liver: mask on the coarse grid.
        reach_mm: of the shifts along each axis.
    """
    smooth = gaussian_filter(scan.hu, 0.5)
    alike = np.exp(-0.5 * ((smooth - np.median(smooth[liver])) / _ALIKE_HU) ** 2).astype(np.float32)
    inner = liver & ~binary_erosion(liver, iterations=_SHELL, border_value=1)
    outer = binary_dilation(liver, iterations=_SHELL) & ~liver
    shape = tuple(
        next_fast_len(n + int(reach_mm / mm) + 1, real=True) for n, mm in zip(liver.shape, scan.spacing_mm, strict=True)
    )
    found, seen = rfftn(alike, shape), rfftn(np.ones_like(alike), shape)
    means, fractions = [], []
    for shell in (inner, outer):
        kernel = np.conj(rfftn(shell.astype(np.float32), shape))
        inside = irfftn(kernel * seen, shape)
        means.append(irfftn(kernel * found, shape) / np.maximum(inside, 1))
        fractions.append(inside / max(int(shell.sum()), 1))
    fit = np.where(np.minimum(*fractions) >= _SEEN, means[0] - means[1], -1.0)
    steps = [int(reach_mm / mm) for mm in scan.spacing_mm]
    near = np.ix_(*(np.arange(-n, n + 1) for n in steps))
    window = fit[near]
    at = np.unravel_index(int(window.argmax()), window.shape)
    shift = tuple(float((i - n) * mm) for i, n, mm in zip(at, steps, scan.spacing_mm, strict=True))
    return MaskAlignment(float(fit[0, 0, 0]), float(window[at]), (shift[0], shift[1], shift[2]))


def middle_of_body(scan: CoarseScan) -> float:
    """Return the median x of the body, in voxels of the coarse grid; the lungs are left out."""
    return float(np.median(np.nonzero(scan.hu > BODY_HU)[2]))
