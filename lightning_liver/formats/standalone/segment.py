"""Label a scan with an exported network: needs nibabel, NumPy, OpenCV and SciPy, and nothing of lightning_liver.

An export copies this file: it does what lightning_liver does around a network, as the export's document says.
"""

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from scipy import ndimage

Network = Callable[[np.ndarray], np.ndarray]  # (batch, channel, height, width) -> logits (batch, class, height, width)

_MIRRORED = ((), (-1,), (-2,), (-2, -1))


def segment(network: Network, image: Any, model: Mapping[str, Any]) -> np.ndarray:
    """Return the label map of a CT scan, 0, 1 liver, 2 tumour, voxel for voxel in the order of its file.

    Args:
        network: called with one slice at a time, in float32.
        image: as nibabel loads it, in HU.
        model: the document of the export.
    """
    stored, lps = io_orientation(image.affine), axcodes2ornt(model["orientation"])
    turn = ornt_transform(stored, lps)
    hu = np.clip(np.rint(apply_orientation(image.get_fdata(dtype=np.float32), turn).T), *model["hu_range"])
    x_mm, y_mm, z_mm = (float(mm) for mm in nib.affines.voxel_sizes(image.affine)[np.argsort(turn[:, 0])])
    labels = post_process(_labels(network, hu, (x_mm, y_mm), model), (z_mm, y_mm, x_mm), model["postprocess"])
    return np.asarray(apply_orientation(labels.T, ornt_transform(lps, stored)))


def _labels(network: Network, hu: np.ndarray, xy_mm: tuple[float, float], model: Mapping[str, Any]) -> np.ndarray:
    """Return the labels of a scan (z, y, x) before post-processing."""
    (low, high), mm, native = model["window_hu"], model["spacing_mm"], hu.shape[:0:-1]  # width and height
    grid = native if mm is None else tuple(max(1, round(n * s / mm)) for n, s in zip(native, xy_mm, strict=True))
    method = cv2.INTER_AREA if np.prod(grid) < np.prod(native) else cv2.INTER_LINEAR
    small = np.stack([np.rint(cv2.resize(plane, grid, interpolation=method)) for plane in hu])
    pixels = ((np.clip((small - low) / (high - low), 0, 1) - model["mean"]) / model["std"]).astype(np.float32)
    pixels = np.pad(pixels, [(0, 0), *((0, -n % model["multiple"]) for n in grid[::-1])], mode="edge")
    labels = np.zeros(hu.shape, np.uint8)
    for z in range(len(hu)):
        around = np.clip(np.arange(z - model["context"], z + model["context"] + 1), 0, len(hu) - 1)
        probability = _probability(network, pixels[None, around], grid, native, flips=model["flips"])
        for label, (name, plane) in enumerate(zip(model["classes"], probability, strict=True), start=1):
            labels[z][plane > model["thresholds"][name]] = label  # tumour is last, and counts wherever it is found
    return labels


def _probability(
    network: Network, images: np.ndarray, grid: tuple[int, ...], native: tuple[int, ...], *, flips: bool
) -> np.ndarray:
    """Return the probability of each class on the scan's own grid, the mean over mirrored views if `flips`.

    What was padded is mirrored too, so the padding is cut off first and made again.
    """
    width, height = grid
    views = []
    for axes in _MIRRORED if flips else _MIRRORED[:1]:
        turned = np.flip(images[..., :height, :width], axes) if axes else images
        if axes:
            gaps = (images.shape[-2] - height, images.shape[-1] - width)
            turned = np.pad(turned, [(0, 0), (0, 0), (0, gaps[0]), (0, gaps[1])], mode="edge")
        logits = network(np.ascontiguousarray(turned))[0, :, :height, :width]
        logits = np.flip(logits, axes) if axes else logits
        views.append([1 / (1 + np.exp(-cv2.resize(np.ascontiguousarray(plane), native))) for plane in logits])
    return np.mean(views, axis=0)


def post_process(labels: np.ndarray, spacing_mm: tuple[float, float, float], options: Mapping[str, Any]) -> np.ndarray:
    """Return a label map (z, y, x) after the steps that are on, in the order of lightning_liver.

    Args:
        spacing_mm: distance between voxel centres along z, y and x.
        options: fill_holes, largest_liver, tumour_in_liver, and min_tumour_mm3.
    """
    labels = labels.copy()
    if options["fill_holes"]:
        labels[ndimage.binary_fill_holes(labels == 2)] = 2
        labels[ndimage.binary_fill_holes(labels > 0) & (labels == 0)] = 1
    if options["largest_liver"] and labels.any():
        parts, _ = ndimage.label(labels > 0)
        labels[parts != np.bincount(parts.ravel())[1:].argmax() + 1] = 0
    if options["tumour_in_liver"]:
        tumours, count = ndimage.label(labels == 2)
        labels[np.isin(tumours, np.setdiff1d(np.arange(1, count + 1), _touching(tumours, labels)))] = 0
    if options["min_tumour_mm3"]:
        tumours, count = ndimage.label(labels == 2)
        volumes_mm3 = np.bincount(tumours.ravel(), minlength=count + 1) * np.prod(spacing_mm)
        small = np.setdiff1d(np.flatnonzero(volumes_mm3 < options["min_tumour_mm3"]), [0])
        touching = _touching(tumours, labels)
        labels[np.isin(tumours, np.intersect1d(small, touching))] = 1
        labels[np.isin(tumours, np.setdiff1d(small, touching))] = 0
    return labels


def _touching(tumours: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the numbers of the tumours that have a face on liver."""
    return np.unique(tumours[ndimage.binary_dilation(labels == 1) & (tumours > 0)])
