"""python train.py data=csv, with masks that number liver and tumour otherwise."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.apps.commands import call, small_run


@pytest.mark.slow
def test_scans_of_a_table_train_and_are_scored_with_their_own_labels(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = ["image,mask,patient,split"]
    for number, part in zip(range(20, 25), ("train", "train", "val", "test", "test"), strict=True):
        mask = nib.load(scans / f"segmentation-{number}.nii.gz")
        other = np.array([0, 6, 7], np.uint8)[np.asarray(mask.dataobj)]
        nib.save(nib.Nifti1Image(other, mask.affine), scans / f"organs-{number}.nii.gz")
        rows.append(f"volume-{number}.nii.gz,organs-{number}.nii.gz,P{number},{part}")
    (scans / "cases.csv").write_text("\n".join(rows))
    table = ["data=csv", "data.table=scans/cases.csv", "data.labels={liver:[6],tumour:[7]}"]
    replaced = ("data=", "data.root=")
    own = [each for each in small_run(scans, "run", "trainer.max_epochs=1") if not each.startswith(replaced)]
    code, output = call("train", *table, *own, folder=tmp_path, capfd=capfd)
    assert code == 0, output
    split = json.loads((tmp_path / "run" / "split.json").read_text())
    assert split == {
        "train": ["volume-20", "volume-21"],
        "val": ["volume-22"],
        "test": ["volume-23", "volume-24"],
    }
    scored = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert scored["test/tumour/dice_global"] is not None, "the native labels have tumours"


def test_masks_with_other_values_are_scored(scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for folder, values in (("truth", [0, 6, 7]), ("found", [3, 1, 2])):
        (tmp_path / folder).mkdir()
        mask = nib.load(scans / "segmentation-20.nii.gz")
        stored = np.array(values, np.uint8)[np.asarray(mask.dataobj)]
        nib.save(nib.Nifti1Image(stored, mask.affine), tmp_path / folder / "segmentation-20.nii.gz")
    maps = ("truth_labels={liver:[6],tumour:[7]}", "prediction_labels={liver:[1],tumour:[2],background:others}")
    given = ("truth=truth", "predictions=found", "workers=0", "hydra.run.dir=scores")
    code, output = call("evaluate", *given, *maps, folder=tmp_path, capfd=capfd)
    assert code == 0, output
    figures = json.loads((tmp_path / "scores" / "metrics.json").read_text())
    assert figures["test/tumour/dice_per_case"] == 1.0
    code, output = call("evaluate", *given, maps[0], folder=tmp_path, capfd=capfd)
    assert code == 2
    assert "but the mask also has 3" in output
