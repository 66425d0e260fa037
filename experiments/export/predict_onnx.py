"""Segment a scan with an exported network and nothing of this package: python predict_onnx.py NETWORK SCAN MASK"""

import json
import sys
from typing import Any

import cv2
import nibabel as nib
import numpy as np
import onnxruntime
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform

session = onnxruntime.InferenceSession(sys.argv[1])
image: Any = nib.load(sys.argv[2])
model = json.loads(session.get_modelmeta().custom_metadata_map["lightning_liver"])
scans, lps = io_orientation(image.affine), axcodes2ornt(model["orientation"])
turn = ornt_transform(scans, lps)
hu = np.clip(np.rint(apply_orientation(image.get_fdata(dtype=np.float32), turn).T), *model["hu_range"])
xy_mm, (low, high) = nib.affines.voxel_sizes(image.affine)[np.argsort(turn[:, 0])][:2], model["window_hu"]
native = hu.shape[:0:-1]  # width and height
mm = model["spacing_mm"]
grid = native if mm is None else tuple(max(1, round(n * s / mm)) for n, s in zip(native, xy_mm, strict=True))
method = cv2.INTER_AREA if np.prod(grid) < np.prod(native) else cv2.INTER_LINEAR
hu = np.stack([np.rint(cv2.resize(plane, grid, interpolation=method)) for plane in hu])
pixels = ((np.clip((hu - low) / (high - low), 0, 1) - model["mean"]) / model["std"]).astype(np.float32)
pixels = np.pad(pixels, [(0, 0), *((0, -n % model["multiple"]) for n in grid[::-1])], mode="edge")
labels = np.zeros((len(hu), *native[::-1]), np.uint8)
for z in range(len(hu)):
    channels = np.clip(np.arange(z - model["context"], z + model["context"] + 1), 0, len(hu) - 1)
    (logits,) = session.run(["logits"], {"image": pixels[None, channels]})
    for label, (name, plane) in enumerate(zip(model["classes"], logits[0], strict=True), start=1):  # tumour is last
        probability = 1 / (1 + np.exp(-cv2.resize(plane[: grid[1], : grid[0]], native)))
        labels[z][probability > model["thresholds"][name]] = label
nib.save(nib.Nifti1Image(apply_orientation(labels.T, ornt_transform(lps, scans)), image.affine), sys.argv[3])
