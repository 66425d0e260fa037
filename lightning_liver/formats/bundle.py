"""MONAI bundles: network, weights, preprocessing and scripts, which run without lightning_liver.

Specification: https://docs.monai.io/en/stable/mb_specification.html
"""

import json
import shutil
import warnings
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lightning_liver.formats import standalone, torch_export
from lightning_liver.formats.model_card import Facts, model_card
from lightning_liver.types.tensors import Images

# The release of MONAI's test data that MONAI's own bundles name; their website serves the same file.
_SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
_MONAI = "1.4.0"  # the oldest that the bundle is made for, where MONAI is not installed
_SCRIPTS = ("__init__.py", "files.py", "segment.py")
_INFERENCE = "inference.json"
_USAGE = """
    pip install 'monai[fire]' nibabel scipy opencv-python-headless
    python -m monai.bundle run --config_file configs/inference.json --input SCAN_OR_FOLDER --output masks

in the folder of the bundle writes `masks/NAME_seg.nii.gz`, 0 background, 1 liver, 2 tumour, on the scan's own grid. The
`scripts/` do before and after the network what was done when it was tested, post-processing included.
"""


def write(network: nn.Module, images: Images, document: Mapping[str, Any], folder: Path, *, facts: Facts) -> None:
    """Write a bundle into a folder: metadata.json, inference.json, weights, exported network, scripts and card.

    Args:
        images: example input.
    """
    source = Path(standalone.__file__).parent
    for name in ("configs", "models", "docs", "scripts"):
        (folder / name).mkdir()
    _write_json(folder / "configs" / "metadata.json", metadata(document, facts))
    _write_json(folder / "configs" / "preprocessing.json", document)
    shutil.copyfile(source / _INFERENCE, folder / "configs" / _INFERENCE)
    for name in _SCRIPTS:
        shutil.copyfile(source / name, folder / "scripts" / name)
    torch.save(dict(network.state_dict()), folder / "models" / "model.pt")
    torch_export.write(network, images, dict(document), folder / "models" / "model.pt2")
    (folder / "docs" / "README.md").write_text(model_card(facts, document, _USAGE))
    (folder / "docs" / "license.txt").write_text(f"{facts.licence or 'not stated'}\n")


def read(folder: Path) -> tuple[Any, dict[str, Any]]:
    """Read the network of a bundle as its inference.json does, and the document."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch warns of its own calls
        network = torch.export.unflatten(torch.export.load(folder / "models" / "model.pt2"))
    network.load_state_dict(torch.load(folder / "models" / "model.pt", weights_only=True, map_location="cpu"))
    return network.eval(), json.loads((folder / "configs" / "preprocessing.json").read_text())


def metadata(document: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """Return the contents of metadata.json."""
    multiple, channels = document["multiple"], 2 * document["context"] + 1
    plane = {"spatial_shape": [f"{multiple}*n", f"{multiple}*p"], "dtype": "float32", "value_range": []}
    around = {str(n): f"slice {n - document['context']:+d}" if channels > 1 else "slice" for n in range(channels)}
    return {
        "schema": _SCHEMA,
        "version": "0.1.0",
        "changelog": {"0.1.0": "exported by lightning_liver"},
        "monai_version": _version("monai") or _MONAI,
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": str(_version("numpy")),
        "required_packages_version": {
            name: str(_version(name)) for name in ("nibabel", "scipy", "opencv-python-headless")
        },
        "task": "Segmentation of liver and liver tumours in abdominal CT",
        "description": f"{facts.network} Trained on {facts.data}.",
        "authors": "not stated",
        "copyright": f"licence of the weights: {facts.licence or 'not stated'}",
        "data_source": facts.data,
        "data_type": "nibabel",
        "image_classes": "slices with their neighbours as channels, standardised as configs/preprocessing.json says",
        "label_classes": "0 background, 1 liver, 2 tumour",
        "pred_classes": "logits of two classes that overlap: 0 liver including tumour, 1 tumour",
        "eval_metrics": dict(facts.figures),
        "intended_use": "research, not clinical use",
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "hounsfield",
                    "modality": "CT",
                    "num_channels": channels,
                    "is_patch_data": False,
                    "channel_def": around,
                    **plane,
                }
            },
            "outputs": {
                "pred": {
                    "type": "image",
                    "format": "classes",
                    "num_channels": len(document["classes"]),
                    "is_patch_data": False,
                    "channel_def": {str(n): name for n, name in enumerate(document["classes"])},
                    **plane,
                }
            },
        },
    }


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
