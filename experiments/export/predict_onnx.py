"""Segment a scan with an exported network and nothing of this package: python predict_onnx.py NETWORK SCAN MASK"""

import json
import sys

import nibabel as nib
import numpy as np
import onnxruntime
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform


def weights(pixels: int, wanted: int, *, area: bool) -> np.ndarray:
    """(wanted, pixels): means of the area that a wanted pixel covers, or interpolation between pixel centres."""
    step, low, pixel = pixels / wanted, np.arange(wanted)[:, None] * pixels / wanted, np.arange(pixels)
    if area:
        return np.clip(np.minimum(low + step, pixel + 1) - np.maximum(low, pixel), 0, None) / step
    return np.clip(1 - abs(np.clip(low + step / 2 - 0.5, 0, pixels - 1) - pixel), 0, None)


def resized(planes: np.ndarray, shape: tuple[int, int], *, area: bool) -> np.ndarray:
    rows, columns = (weights(n, wanted, area=area) for n, wanted in zip(planes.shape[-2:], shape, strict=True))
    return rows @ planes @ columns.T


def main(network: str, scan: str, mask: str) -> None:
    session = onnxruntime.InferenceSession(network)
    model = json.loads(session.get_modelmeta().custom_metadata_map["lightning_liver"])
    image = nib.load(scan)
    scans, lps = io_orientation(image.affine), axcodes2ornt(model["orientation"])
    turn = ornt_transform(scans, lps)
    hu = np.clip(np.rint(apply_orientation(image.get_fdata(dtype=np.float32), turn).T), *model["hu_range"])
    x_mm, y_mm, _ = nib.affines.voxel_sizes(image.affine)[np.argsort(turn[:, 0])]
    native, mm = hu.shape[1:], model["spacing_mm"]
    grid = native if mm is None else (round(native[0] * y_mm / mm), round(native[1] * x_mm / mm))
    shrinks = grid[0] * grid[1] < native[0] * native[1]
    low, high = model["window_hu"]
    windowed = [np.clip((np.rint(resized(plane, grid, area=shrinks)) - low) / (high - low), 0, 1) for plane in hu]
    pixels = ((np.stack(windowed) - model["mean"]) / model["std"]).astype(np.float32)
    pixels = np.pad(pixels, [(0, 0), *((0, -n % model["multiple"]) for n in grid)], mode="edge")
    labels = np.zeros(hu.shape, np.uint8)
    for z in range(len(pixels)):
        channels = np.clip(np.arange(z - model["context"], z + model["context"] + 1), 0, len(pixels) - 1)
        (logits,) = session.run(["logits"], {"image": pixels[None, channels]})
        logits = resized(logits[0, :, : grid[0], : grid[1]], native, area=False)
        for label, name in enumerate(model["classes"]):  # liver, then tumour over it
            threshold = model["thresholds"][name]
            labels[z][logits[label] > np.log(threshold / (1 - threshold))] = label + 1
    nib.save(nib.Nifti1Image(apply_orientation(labels.T, ornt_transform(lps, scans)), image.affine), mask)


if __name__ == "__main__":
    main(*sys.argv[1:])
