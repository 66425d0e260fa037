"""Scanning of a phantom: the phase of the contrast medium, noise, slices and field of view.

Options left open are drawn as measured on LiTS, see lightning_liver.data.phantom.data_set.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import AfterValidator, Field

from lightning_liver.types.options import check, number

Levels = tuple[float, float, float, float, float, float, float, float]  # of the fields of canvas.Enhancement


class Phase(NamedTuple):
    """Contrast phase: ranges of HU of the organs; the tumours' arguments are those of Patient."""

    lowest_hu: Levels
    highest_hu: Levels
    hypervascular: float = 0.0
    tumour_below_hu: tuple[float, float] = (34.0, 62.0)
    tumour_hu: tuple[float, float] = (33.0, 64.0)


# liver, spleen, artery, vein, kidney cortex, medulla, gut wall, muscle
PHASES = {
    "arterial": Phase((85, 98, 220, 108, 160, 78, 85, 55), (96, 118, 330, 130, 220, 105, 110, 66), hypervascular=0.35),
    "portal": Phase((86, 94, 128, 130, 145, 130, 80, 55), (124, 130, 165, 172, 190, 175, 112, 66)),
    "late": Phase((85, 86, 104, 104, 110, 115, 75, 55), (98, 102, 122, 122, 140, 150, 98, 66)),
    # No contrast medium. 64 livers without disease had 58 HU (standard deviation 9) after death, doi:10.1007/
    # s00414-019-02016-1; blood 40 to 50 HU, 25 to 37 in anaemia, doi:10.1038/s41598-022-24265-8; spleen 35 to 55 and
    # kidney 20 to 40, Prokop and Galanski 2003, Spiral and Multislice Computed Tomography of the Body.
    # Tumours are chosen, not measured: in 11 of 28 patients metastases that take up much contrast medium were more than
    # 15 HU below a liver without any, Bressler et al. 1987, doi:10.1148/radiology.162.1.3024210.
    "native": Phase(
        (50, 42, 34, 34, 28, 28, 35, 48),
        (66, 52, 46, 46, 38, 38, 45, 60),
        tumour_below_hu=(16.0, 36.0),
        tumour_hu=(15.0, 50.0),
    ),
}
PHASE_PROBABILITIES = {"arterial": 0.2, "portal": 0.6, "late": 0.2}
NOISE_HU = (10.0, 20.0)
SLICES_MM = (3.25, 3.5, 4.0, 5.0)


def _lowest_first(noise_hu: tuple[float, float]) -> tuple[float, float]:
    if not noise_hu[0] <= noise_hu[1]:
        raise ValueError("expected the lowest, then the highest standard deviation in HU, as in [10,20]")
    return noise_hu


_Deviation = Annotated[float, Field(ge=1, le=200, strict=True)]
_NoiseHu = Annotated[tuple[_Deviation, _Deviation], AfterValidator(_lowest_first)]


@dataclass(frozen=True)
class Domain:
    """Scanner and protocol; None draws an option as measured on LiTS.

    Args:
        phase: of the contrast medium: arterial, portal, late, or native for none.
        noise_hu: standard deviation of the noise, lowest and highest over cases.
        slice_mm: distance of slices.

    Raises:
        LiverError: an option is unknown or out of range.
    """

    phase: str | None = None
    noise_hu: Sequence[float] | None = None
    slice_mm: float | None = None

    def __post_init__(self) -> None:
        check("data.phase", self.phase, Literal[*PHASES] | None)
        check("data.noise_hu", self.noise_hu, _NoiseHu | None)
        check("data.slice_mm", self.slice_mm, number(0.5, 20) | None)

    def given(self) -> dict[str, Any]:
        """Return the options that are not drawn."""
        noise_hu = None if self.noise_hu is None else list(self.noise_hu)  # as JSON keeps it
        options = {"phase": self.phase, "noise_hu": noise_hu, "slice_mm": self.slice_mm}
        return {name: value for name, value in options.items() if value is not None}


AS_MEASURED = Domain()


class ScanGrid(NamedTuple):
    """Voxels of a scan: their spacing along z, y and x, and their centres in the body's millimetres."""

    spacing_mm: tuple[float, float, float]
    axes_mm: list[np.ndarray]


def scan_grid(
    ends_mm: tuple[float, float], slice_mm: float, centre_mm: tuple[float, float], field_mm: float, matrix: int
) -> ScanGrid:
    """Return the voxels of a square field of view.

    Args:
        ends_mm: lowest slice, and the height below which the highest one lies.
        slice_mm: distance of slices.
        centre_mm: middle of the field along y and x.
        field_mm: edge of the field, rounded to a quarter of a millimetre.
        matrix: pixels along the edge.
    """
    # whole quarters of a millimetre over a power of two survive the header's float32 exactly
    pixel = float(np.float32(np.rint(4 * field_mm) / 4 / matrix))
    thickness = float(np.float32(slice_mm))
    plane = (np.arange(matrix) - (matrix - 1) / 2) * pixel
    axes_mm = [np.arange(*ends_mm, thickness), plane + centre_mm[0], plane + centre_mm[1]]
    return ScanGrid((thickness, pixel, pixel), axes_mm)
