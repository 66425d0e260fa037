"""Alignment of two straightened spines: shift along z, in-plane similarity, mirror; and how well they then agree."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float32, Float64, Int64, Shaped

from lightning_liver.audit.spine import PATCH, Spine

LEAST_LEVELS = 12  # 36 mm of common spine, or all of a shorter scan
_RADIUS, _EDGE = 17.0, 1.5  # pixels: 51 mm about the spine, and the softness of that circle
_CENTRE = (17.5, 23.5)  # pixels (y, x) of that circle
_SCALES = np.exp(np.linspace(-0.25, 0.25, 11))  # in plane: headers lie, and Kaggle's PNG have none
_STARTS = 3
_APART = 2  # levels between two starts
_STEPS = (0.7, 0.02, 0.04, 0.7, 0.7, 0.03)  # first steps of the search, as in Alignment
_BOUNDS = (6.0, 0.12, 0.3, 8.0, 6.0, 0.2)  # from the start, but scale and shifts from none
_FINEST = 0.1  # levels, the last step along z
_GAIN = 1e-4


def _weight() -> Float32[np.ndarray, "y x"]:
    y, x = np.ogrid[: PATCH[0], : PATCH[1]]
    distance = np.hypot(y - _CENTRE[0], x - _CENTRE[1])
    return (1 / (1 + np.exp((distance - _RADIUS) / _EDGE))).astype(np.float32)


WEIGHT = _weight()


@dataclass(frozen=True)
class Alignment:
    """Alignment of a second spine with a first: level i of the first is level (i - shift) * exp(stretch) of the second.

    Args:
        score: correlation of the aligned spines, -1 to 1.
        shift: levels.
        stretch: logarithm of the second's scale along z relative to the first's.
        zoom: logarithm of the factor in plane that the second is enlarged by.
        down, right: shift of the second's patches in pixels.
        turn: rotation of the second's patches, radians.
        mirrored: the second is mirrored left to right.
        levels: number of common levels.
    """

    score: float
    shift: float
    stretch: float
    zoom: float
    down: float
    right: float
    turn: float
    mirrored: bool
    levels: int = 0

    @classmethod
    def of_copies(cls, levels: int) -> "Alignment":
        """Return the alignment of a scan with itself."""
        return cls(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, mirrored=False, levels=levels)

    @property
    def values(self) -> Float64[np.ndarray, " 6"]:
        return np.array([self.shift, self.stretch, self.zoom, self.down, self.right, self.turn])

    def level(self, first: Shaped[np.ndarray, " z"]) -> Float64[np.ndarray, " z"]:
        """Return levels of the second for levels of the first."""
        return (first - self.shift) * np.exp(self.stretch)

    def matrix(self) -> Float64[np.ndarray, "2 2"]:
        """Return the matrix from (x, y) about a patch's centre in the first to the second, without its shift."""
        cos, sin = np.cos(self.turn) / np.exp(self.zoom), np.sin(self.turn) / np.exp(self.zoom)
        mirror = -1.0 if self.mirrored else 1.0
        return np.array([[mirror * cos, mirror * sin], [-sin, cos]])


def sliding(
    first: Float32[np.ndarray, "a d"], second: Float32[np.ndarray, "v b d"]
) -> tuple[Float64[np.ndarray, "v s"], Int64[np.ndarray, " s"], Int64[np.ndarray, " s"]]:
    """Correlate the levels of a spine with those of variants of another, at every shift.

    Returns:
        Correlation of each variant and shift; number of common levels, and shift in levels: level i of the first lies
        on i - shift of the second. Shifts with fewer than LEAST_LEVELS common levels are left out.
    """
    variants, b, _ = second.shape
    a = len(first)
    # a row longer than its step moves every row one further: columns are then the diagonals of first @ second.T
    products = np.zeros((variants, a, a + b), np.float32)
    np.matmul(first, second[:, ::-1].transpose(0, 2, 1), out=products[:, :, :b])
    sums = products.reshape(variants, -1)[:, : a * (a + b - 1)].reshape(variants, a, a + b - 1).sum(1)
    shift = np.arange(a + b - 1) - (b - 1)
    start, stop = np.maximum(0, shift), np.minimum(a, b + shift)
    energy = _energy(first[None], start, stop) * _energy(second, start - shift, stop - shift)
    enough = stop - start >= min(LEAST_LEVELS, a, b)
    scores = sums / np.sqrt(energy + 1.0)
    return scores[:, enough].astype(np.float64), (stop - start)[enough], shift[enough]


def _energy(
    levels: Float32[np.ndarray, "v z d"], start: Int64[np.ndarray, " s"], stop: Int64[np.ndarray, " s"]
) -> Float64[np.ndarray, "v s"]:
    total = np.cumsum(np.einsum("vzd,vzd->vz", levels, levels), axis=1, dtype=np.float64)
    total = np.pad(total, ((0, 0), (1, 0)))
    return np.maximum(total[:, stop] - total[:, start], 0)


def align(first: Spine, second: Spine) -> Alignment:
    """Find the alignment with the highest correlation: all shifts and some scales, then an ascent from the best few."""
    return max((_refine(first, second, start) for start in _starts(first, second)), key=lambda found: found.score)


def rows(patches: Float32[np.ndarray, "z y x"], shrink: int) -> Float32[np.ndarray, "z d"]:
    """Return patches, weighted towards the spine and made smaller, as a row each, whose mean is 0."""
    size = (PATCH[1] // shrink, PATCH[0] // shrink)
    small = np.stack([cv2.resize(patch, size, interpolation=cv2.INTER_AREA) for patch in patches])
    weight = cv2.resize(WEIGHT, size, interpolation=cv2.INTER_AREA)
    small -= np.tensordot(small, weight / weight.sum(), 2)[:, None, None]
    return (small * np.sqrt(weight)).reshape(len(patches), -1)


def moved(
    patches: Float32[np.ndarray, "z y x"], factor: float, *, down: float = 0, mirrored: bool = False
) -> Float32[np.ndarray, "z y x"]:
    """Return patches mirrored left to right, scaled in plane about their centre, and moved to the back by pixels."""
    height, width = PATCH
    mirror = -1.0 if mirrored else 1.0
    matrix = np.array(
        [
            [mirror * factor, 0, (1 - mirror * factor) * (width - 1) / 2],
            [0, factor, (1 - factor) * (height - 1) / 2 + down],
        ]
    )
    return np.stack([cv2.warpAffine(p, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE) for p in patches])


def _starts(first: Spine, second: Spine) -> list[Alignment]:
    """Return the best alignments of a coarse search, best first."""
    moving = second.patches.astype(np.float32)
    variants = [(float(factor), mirrored) for factor in _SCALES for mirrored in (False, True)]
    changed = [moved(moving, factor, mirrored=mirrored) for factor, mirrored in variants]
    scores, _, shifts = sliding(rows(first.patches.astype(np.float32), 2), np.stack([rows(c, 2) for c in changed]))
    found: list[Alignment] = []
    for place in np.argsort(-scores, axis=None).tolist():
        variant, i = divmod(place, len(shifts))
        factor, mirrored = variants[variant]
        shift = float(shifts[i])
        if all(abs(shift - other.shift) > _APART or mirrored != other.mirrored for other in found):
            found.append(Alignment(float(scores[variant, i]), shift, 0.0, math.log(factor), 0.0, 0.0, 0.0, mirrored))
        if len(found) == _STARTS:
            break
    return found


def _refine(first: Spine, second: Spine, start: Alignment) -> Alignment:
    """Climb to the nearest maximum, one parameter at a time with ever smaller steps."""
    fixed, moving = first.patches.astype(np.float32), second.patches.astype(np.float32)
    best = _scored(fixed, moving, start, every=2)
    centre = np.array([start.shift, 0, 0, 0, 0, 0])
    steps = np.array(_STEPS)
    while steps[0] > _FINEST:
        before = best.score
        for parameter in range(len(steps)):
            for sign in (1, -1):
                values = best.values
                values[parameter] += sign * steps[parameter]
                if abs(values - centre)[parameter] > _BOUNDS[parameter]:
                    continue
                tried = _scored(fixed, moving, _with(best, values, len(fixed), len(moving)), every=2)
                if tried.score > best.score + _GAIN:
                    best = tried
                    break
        if best.score == before:
            steps /= 2
    return _scored(fixed, moving, best, every=1)


def _with(found: Alignment, values: Float64[np.ndarray, " 6"], first: int, second: int) -> Alignment:
    """Return an alignment with other values; a stretch keeps the middle of the common part where it is."""
    shift, stretch, zoom, down, right, turn = values.tolist()
    if stretch != found.stretch:
        middle = (max(0.0, shift) + min(first, shift + second)) / 2
        shift = middle - (middle - shift) * float(np.exp(found.stretch - stretch))
    return replace(found, shift=shift, stretch=stretch, zoom=zoom, down=down, right=right, turn=turn)


def _scored(
    fixed: Float32[np.ndarray, "a y x"], moving: Float32[np.ndarray, "b y x"], tried: Alignment, *, every: int
) -> Alignment:
    """Return an alignment with its score, from every so many levels and pixels; -1 if too little is common."""
    levels = np.arange(0, len(fixed), every)
    place = tried.level(levels)
    common = (place >= -0.5) & (place <= len(moving) - 0.5)
    count = int(common.sum()) * every
    if count < min(LEAST_LEVELS, len(fixed), len(moving)):
        return replace(tried, score=-1.0, levels=count)
    place = place[common].clip(0, len(moving) - 1)
    below = np.minimum(place.astype(int), max(len(moving) - 2, 0))
    above = np.minimum(below + 1, len(moving) - 1)
    part = (place - below).astype(np.float32)[:, None, None]
    x, y = _sources(tried, every)
    blend = moving[below] * (1 - part) + moving[above] * part
    second = np.stack([cv2.remap(p, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for p in blend])
    first = fixed[levels[common], ::every, ::every]
    return replace(tried, score=_correlation(first, second, WEIGHT[::every, ::every]), levels=count)


def _sources(tried: Alignment, every: int) -> tuple[Float32[np.ndarray, "y x"], Float32[np.ndarray, "y x"]]:
    """Return where in the second's patch (x, y) each pixel of the first's patch lies."""
    half_y, half_x = (PATCH[0] - 1) / 2, (PATCH[1] - 1) / 2
    y, x = np.meshgrid(np.arange(0, PATCH[0], every), np.arange(0, PATCH[1], every), indexing="ij")
    source = np.tensordot(tried.matrix(), np.stack([x - half_x - tried.right, y - half_y - tried.down]), 1)
    return (source[0] + half_x).astype(np.float32), (source[1] + half_y).astype(np.float32)


def _correlation(
    first: Float32[np.ndarray, "z y x"], second: Float32[np.ndarray, "z y x"], weight: Float32[np.ndarray, "y x"]
) -> float:
    centred = []
    for patches in (first, second):
        centred.append(patches - np.tensordot(patches, weight / weight.sum(), 2)[:, None, None])
    a, b = centred
    energy = float((a * a * weight).sum()) * float((b * b * weight).sum())
    return float((a * b * weight).sum()) / float(np.sqrt(energy + 1.0))
