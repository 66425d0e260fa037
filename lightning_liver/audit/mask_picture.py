"""Pictures of masks: slices of CT with the contours of liver and tumour, and a mark around what is doubted."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Int16, UInt8

from lightning_liver.data.store import Store

Rgb = UInt8[np.ndarray, "height width rgb"]

# Okabe and Ito 2008, as in the other pictures
_LIVER, _TUMOUR, _MARK, _OTHER = (86, 180, 233), (230, 159, 0), (240, 228, 66), (204, 121, 167)
_WINDOW_HU = (-150.0, 250.0)
_MARGIN_MM = 25.0  # around the liver of the slices
_PANEL = 384  # height of a panel in pixels
_GAP = 6  # pixels between panels
_MARK_MM = 4.0  # between the mark and what it is around

PixelBox = tuple[int, int, int, int]  # first y and x, y and x after the last


class Mark(NamedTuple):
    """Mark in the picture of a slice, beside its contours.

    Args:
        box: on the store's grid, drawn as a frame.
        offsets: of further slices.
        moved: by which the mask is drawn once more: slices, and pixels along y and x.
        whole: show the whole slice, not the liver alone.
    """

    box: PixelBox | None = None
    offsets: Sequence[int] = ()
    moved: tuple[int, float, float] | None = None
    whole: bool = False

    @staticmethod
    def beside(count: int, box: PixelBox | None = None) -> "Mark":
        """Return a mark that shows the slices before and after `count` slices, too."""
        return Mark(box, offsets=(-1, count))


def draw_mask(store: Store, name: str, z: int, mark: Mark, second: Bool[np.ndarray, "y x"] | None = None) -> Rgb:
    """Draw a slice without and with contours, and further slices as the mark says, side by side.

    Liver is blue, tumour orange, the mark yellow, a second mask purple. The patient's right is on the left.

    Args:
        second: such as a prediction; None is the mask moved as the mark says, or none.
    """
    depth = store.cases[name].shape[0]
    further = [z + offset for offset in mark.offsets if 0 <= z + offset < depth]
    order = sorted({z, *further}) if mark.offsets else [z]
    labels = {n: store.read(name, "labels", n) for n in order}
    if second is None and mark.moved is not None:
        second = _moved(store, name, z, mark.moved)
    return draw_slices(
        {n: store.read(name, "hu", n) for n in order},
        labels,
        z,
        mark,
        pixel_mm=store.cases[name].spacing_mm[1:],
        second=second,
    )


def draw_slices(
    hu: dict[int, Int16[np.ndarray, "y x"]],
    labels: dict[int, UInt8[np.ndarray, "y x"]],
    z: int,
    mark: Mark,
    *,
    pixel_mm: tuple[float, float],
    second: Bool[np.ndarray, "y x"] | None = None,
) -> Rgb:
    """Draw slices, by their position along z, as draw_mask does; the one at `z` also without contours.

    Args:
        second: another mask in slice `z`.
    """
    shown = [plane > 0 for plane in labels.values()] + ([] if second is None else [second])
    y, x = _crop(shown, mark, pixel_mm)
    panels = []
    for n in sorted(hu):
        grey = _grey(hu[n][y, x], pixel_mm)
        if n == z and len(hu) == 1:
            panels.append(grey.copy())
        if n == z and second is not None:
            _outline(grey, second[y, x], _OTHER)
        for value, colour in ((1, _LIVER), (2, _TUMOUR)):
            _outline(grey, labels[n][y, x] >= value, colour)
        if n == z and mark.box is not None:
            _frame(grey, mark.box, (y, x), pixel_mm)
        panels.append(grey)
    bar = np.full((panels[0].shape[0], _GAP, 3), 255, np.uint8)
    return np.concatenate([part for panel in panels for part in (bar, panel)][1:], axis=1)


def _moved(store: Store, name: str, z: int, moved: tuple[int, float, float]) -> Bool[np.ndarray, "y x"]:
    """Return the liver that slice z has once the mask is moved."""
    slices, y, x = moved
    source = min(max(z - slices, 0), store.cases[name].shape[0] - 1)
    plane = store.read(name, "labels", source)
    shift = np.array([[1, 0, x], [0, 1, y]], np.float32)
    found: np.ndarray = cv2.warpAffine(plane, shift, plane.shape[::-1], flags=cv2.INTER_NEAREST) > 0
    return found


def _crop(shown: Sequence[Bool[np.ndarray, "y x"]], mark: Mark, pixel_mm: tuple[float, float]) -> tuple[slice, slice]:
    """Return rows and columns around all labels and the mark."""
    shape = shown[0].shape
    used = [np.argwhere(plane) for plane in shown if plane.any()]
    if mark.box is not None:
        used.append(np.array((mark.box[:2], mark.box[2:])))
    if mark.whole or not used:
        return slice(0, shape[0]), slice(0, shape[1])
    points = np.concatenate(used)
    sides = []
    for axis in (0, 1):
        margin = round(_MARGIN_MM / pixel_mm[axis])
        low, high = int(points[:, axis].min()) - margin, int(points[:, axis].max()) + margin + 1
        sides.append(slice(max(low, 0), min(high, shape[axis])))
    return sides[0], sides[1]


def _size(shape: Sequence[int], pixel_mm: tuple[float, float]) -> tuple[int, int]:
    """Return width and height of a panel, with pixels of equal sides."""
    return max(1, round(_PANEL * shape[1] * pixel_mm[1] / (shape[0] * pixel_mm[0]))), _PANEL


def _grey(hu: Int16[np.ndarray, "y x"], pixel_mm: tuple[float, float]) -> Rgb:
    low, high = _WINDOW_HU
    bright = np.clip((hu.astype(np.float32) - low) / (high - low), 0, 1) * 255
    large = cv2.resize(bright.astype(np.uint8), _size(hu.shape, pixel_mm), interpolation=cv2.INTER_LINEAR)
    return np.repeat(large[..., None], 3, axis=-1)


def _outline(picture: Rgb, mask: np.ndarray, colour: tuple[int, int, int]) -> None:
    large = cv2.resize(mask.astype(np.uint8), picture.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(large, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, colour, 1)


def _frame(picture: Rgb, box: PixelBox, crop: tuple[slice, slice], pixel_mm: tuple[float, float]) -> None:
    sides = [side.stop - side.start for side in crop]
    scale = [picture.shape[axis] / sides[axis] for axis in (0, 1)]
    margin = [_MARK_MM / pixel_mm[axis] for axis in (0, 1)]
    low, high = (
        [round((box[2 * end + axis] - crop[axis].start + sign * margin[axis]) * scale[axis]) for axis in (1, 0)]
        for end, sign in ((0, -1), (1, 1))
    )
    cv2.rectangle(picture, low, high, _MARK, 1)
