"""Segment a scan with an exported network and nothing of this package: python predict_onnx.py NETWORK SCAN MASK"""

import json
import sys
from typing import Any

import nibabel as nib
import onnxruntime
from segment import segment  # type: ignore[import-not-found]  # lightning_liver/formats/standalone/segment.py

session = onnxruntime.InferenceSession(sys.argv[1])
model = json.loads(session.get_modelmeta().custom_metadata_map["lightning_liver"])
image: Any = nib.load(sys.argv[2])
labels = segment(lambda images: session.run(["logits"], {"image": images})[0], image, model)
nib.save(nib.Nifti1Image(labels, image.affine), sys.argv[3])
