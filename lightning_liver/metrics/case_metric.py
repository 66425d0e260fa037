"""Metrics of a case: what a file in metrics/case/ declares, and how these files are found."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from pkgutil import iter_modules
from typing import Literal

import numpy as np
from jaxtyping import Bool

from lightning_liver.errors import LiverError
from lightning_liver.metrics import case
from lightning_liver.metrics.intervals import UNBOUNDED, Bounds
from lightning_liver.metrics.modes import Mode
from lightning_liver.metrics.surface import HEIMANN, Definition, Distances, surface_distances
from lightning_liver.metrics.voxel_counts import SpacingMm, Voxels, count_voxels

Mask = Bool[np.ndarray, "z y x"]


@dataclass(frozen=True)
class MaskPair:
    """A true and a predicted mask of one shape, with what several metrics need of them.

    Args:
        spacing_mm: distance between voxel centres along z, y and x.
        tolerance_mm: largest surface distance that counts as none for surface_dice.
        mode: scoring rules, see modes.py.
        definition: of a surface; HEIMANN in both modes.

    Raises:
        LiverError: a tolerance below 0.
    """

    truth: Mask
    prediction: Mask
    spacing_mm: SpacingMm
    tolerance_mm: float
    mode: Mode
    definition: Definition = HEIMANN

    def __post_init__(self) -> None:
        if not self.tolerance_mm >= 0:
            raise LiverError(f"tolerance_mm={self.tolerance_mm}: expected 0 or more")

    @cached_property
    def voxels(self) -> Voxels:
        return count_voxels(self.truth, self.prediction)

    @cached_property
    def distances(self) -> Distances | None:
        """Return surface distances; None where a mask is empty."""
        return surface_distances(self.truth, self.prediction, spacing_mm=self.spacing_mm, definition=self.definition)


@dataclass(frozen=True)
class CaseMetric:
    """A metric of a case, averaged over cases as the mode says: undefined values are left out or replaced.

    Args:
        function: returns the metric of two masks, None where it is undefined.
        label: display name.
        better: direction.
        short: abbreviation for column headings.
        unit: also the ending of the file's name.
        decimals: shown.
        worst: official value of an undetected liver or of no detected lesion; None takes the penalty.
        mean_name: name of the mean over cases in metrics.json, if not the file's name.
        bounds: least and largest possible value.
        position: of the column; equal positions are sorted by name.
    """

    function: Callable[[MaskPair], float | None]
    label: str
    better: Literal["higher", "lower", "nearer to 0"]
    short: str = ""
    unit: str = ""
    decimals: int = 3
    worst: float | None = None
    mean_name: str | None = None
    bounds: Bounds = UNBOUNDED
    position: int = 100

    @property
    def heading(self) -> str:
        return self.short or self.label


@cache
def case_metrics() -> dict[str, CaseMetric]:
    """Return the metrics of the folder metrics/case by name, in the order of their columns."""
    names = [module.name for module in iter_modules(case.__path__)]
    found: dict[str, CaseMetric] = {name: import_module(f"{case.__name__}.{name}").METRIC for name in names}
    return dict(sorted(found.items(), key=lambda item: (item[1].position, item[0])))
