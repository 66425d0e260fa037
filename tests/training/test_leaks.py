"""What test cases are is known to nothing but the test: leaks are planted, and every one of them shows."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from lightning_liver.augment.policy import none
from lightning_liver.build import build, prepared
from lightning_liver.config import compose
from lightning_liver.data import datamodule
from lightning_liver.data.datamodule import SliceDataModule
from lightning_liver.data.splits import Split
from lightning_liver.data.store import Store
from lightning_liver.errors import LiverError
from lightning_liver.run_folder import RunFolder
from lightning_liver.training.assembly import new_split
from lightning_liver.training.threshold_tuning import ThresholdTuning
from tests.apps.commands import called, small_run
from tests.conftest import write_scan

SPLIT = Split(("20", "21", "22"), ("23",), ("24",))
TYPED = "data.split={train:[20,21,22],val:[23],test:[24]}"


def data_of(scans: Path, *typed: str) -> Any:
    return compose("train", ["data=lits", f"data.root={scans}", "data.workers=0", *typed]).data


def module(store: Store) -> SliceDataModule:
    options = build(compose("train", ["data=lits", "data.root=/"]).data.slices)
    return SliceDataModule(store, SPLIT, none(), options, seed=0)


def brighter(store: Store, case: str) -> Store:
    """Return the store with another histogram of a case."""
    record = store.cases[case]
    return replace(store, cases={**store.cases, case: replace(record, hu_counts=record.hu_counts[::-1])})


@pytest.mark.parametrize(("case", "changes"), [("20", True), ("22", True), ("23", False), ("24", False)])
def test_standardising_knows_the_training_cases_alone(scans: Path, case: str, changes: bool) -> None:
    store = prepared(data_of(scans))
    assert (module(brighter(store, case)).normalization != module(store).normalization) is changes


@pytest.mark.parametrize("saved", ["copy", "flipped"])
def test_the_same_scan_under_two_names_is_refused_in_two_parts(scans: Path, saved: str) -> None:
    for kind in ("volume", "segmentation"):
        source, target = scans / f"{kind}-20.nii.gz", scans / f"{kind}-24.nii.gz"
        if saved == "copy":
            shutil.copy(source, target)
        else:  # another orientation of the file
            nib.save(nib.load(source).as_reoriented(np.array([[0, -1], [1, -1], [2, 1]])), target)
    data = data_of(scans, TYPED)
    with pytest.raises(LiverError, match="cases 20 in train and 24 in test: expected different scans"):
        new_split(data, prepared(data))
    (scans / "patients.csv").write_text("case,patient\n20,A\n24,A\n21,B\n22,C\n23,D\n")
    data = data_of(scans, f"data.patients={scans}/patients.csv", "data.folds=3")
    split = new_split(data, prepared(data))
    assert any({"20", "24"} <= set(part) for part in (split.train, split.val, split.test))


def test_thresholds_are_counted_on_validation_alone() -> None:
    hooks = {name for name in vars(ThresholdTuning) if name.startswith("on_")}
    assert hooks == {"on_validation_epoch_start", "on_validation_batch_end"}


def outcome(run: Path) -> dict[str, Any]:
    """Return what a run decided before its test: weights, normalization, thresholds and validation scores."""
    files = RunFolder(run)
    checkpoint = torch.load(files.best, weights_only=True)
    weights = {name: tensor.tolist() for name, tensor in checkpoint["state_dict"].items()}
    metrics = {name: value for name, value in json.loads(files.metrics.read_text()).items() if "val/" in name}
    decision = json.loads(files.decision.read_text())
    return {"weights": weights, "input": checkpoint["SliceDataModule"], "scores": metrics, "decision": decision}


def standardise_with_all(patch: pytest.MonkeyPatch) -> None:
    """Plant a leak: mean and deviation of all cases."""
    own = datamodule.intensity
    holder: list[Any] = []
    begin = SliceDataModule.__init__

    def remembering(self: SliceDataModule, store: Store, *args: Any, **kwargs: Any) -> None:
        holder[:] = list(store.cases.values())
        begin(self, store, *args, **kwargs)

    patch.setattr(SliceDataModule, "__init__", remembering)
    patch.setattr(datamodule, "intensity", lambda cases, window: own(holder, window))


def choose_on_test(patch: pytest.MonkeyPatch) -> None:
    """Plant a leak: checkpoints and thresholds chosen by test cases."""
    whole = SliceDataModule._whole
    patch.setattr(
        SliceDataModule, "val_dataloader", lambda self: whole(self, self.split.test, native=False, store=self.store)
    )


def train_on_test(patch: pytest.MonkeyPatch) -> None:
    """Plant a leak: slices of the test cases among those of training."""
    own = SliceDataModule.train_dataloader

    def leaking(self: SliceDataModule) -> Any:
        split, self.split = self.split, replace(self.split, train=self.split.train + self.split.test)
        try:
            return own(self)
        finally:
            self.split = split

    patch.setattr(SliceDataModule, "train_dataloader", leaking)


LEAKS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], set[str]]] = {
    "none": (lambda patch: None, set()),
    "standardising": (standardise_with_all, {"input", "weights"}),
    "thresholds": (choose_on_test, {"scores", "decision"}),
    "training": (train_on_test, {"weights"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("leak", LEAKS)
def test_other_test_cases_change_nothing_before_the_test_unless_a_leak_is_planted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leak: str
) -> None:
    plant, shown = LEAKS[leak]
    plant(monkeypatch)
    found = []
    for kind, tested in (("first", 24), ("second", 34)):
        for number in (20, 21, 22, 23):
            write_scan(tmp_path / kind, number)
        write_scan(tmp_path / "other", tested, spacing_mm=1.5)
        for name in ("volume", "segmentation"):
            shutil.copy(tmp_path / "other" / f"{name}-{tested}.nii.gz", tmp_path / kind / f"{name}-24.nii.gz")
        if kind == "second":
            change_hu(tmp_path / kind / "volume-24.nii.gz")
        arguments = small_run(tmp_path / kind, kind, TYPED, "inference.thresholds=tuned", "trainer.precision=32-true")
        assert called("train", *arguments, folder=tmp_path) == 0
        found.append(outcome(tmp_path / kind))
    differing = {name for name in found[0] if found[0][name] != found[1][name]}
    assert differing >= shown if shown else not differing


def change_hu(path: Path) -> None:
    """Make a scan brighter."""
    image = nib.load(path)
    nib.save(nib.Nifti1Image((image.get_fdata() + 40).astype(np.int16), image.affine), path)
