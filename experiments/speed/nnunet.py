"""Folders and files that nnU-Net expects. Imported in its own environment, too: standard library only."""

import json
from pathlib import Path

PYTHON = Path(".cache/nnunet/bin/python")  # made by `make bench`
NUMBER, NAME = 501, "Dataset501_CT"
DATASET = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1, "tumour": 2}, "file_ending": ".nii.gz"}


def environment(folder: Path) -> dict[str, str]:
    """Return nnU-Net's variables: its folders below this one, one augmenting process, no torch.compile."""
    folders = {f"nnUNet_{part}": str(folder / part) for part in ("raw", "preprocessed", "results")}
    return {**folders, "nnUNet_n_proc_DA": "1", "nnUNet_compile": "f"}


def write_dataset(folder: Path, cases: int) -> None:
    """Write dataset.json."""
    (folder / "dataset.json").write_text(json.dumps(DATASET | {"numTraining": cases}))
