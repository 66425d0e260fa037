"""The Python interface: what lightning_liver/api/README.md promises."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import pytorch_lightning as pl
import torch

import lightning_liver as ll
from lightning_liver.errors import LiverWarning
from tests.apps.commands import ROOT, SMALL, call
from tests.conftest import write_scan

CPU = ("trainer=cpu", "trainer.threads=1", "trainer.precision=32-true")
SPACING_MM = (3.0, 1.5, 1.5)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scans, and a run that was trained from Python."""
    root = tmp_path_factory.mktemp("api")
    for number in range(20, 25):
        write_scan(root / "scans", number)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIVER_CACHE", str(root / "cache"))
        metrics = ll.train(config(root), str(root / "run"))
    assert 0 <= metrics["test/liver/dice_per_case"] <= 1
    return root


def config(root: Path, *overrides: str) -> ll.compose:
    return ll.compose("train", [f"data.root={root / 'scans'}", *SMALL, "trainer.max_epochs=1", *overrides])


def hu_of(root: Path, number: int) -> np.ndarray:
    """HU (z, y, x) of a scan that is stored as LPS."""
    return np.asarray(nib.load(root / "scans" / f"volume-{number}.nii.gz").dataobj).T


def test_import_takes_neither_torch_nor_hydra_and_all_names_are_there() -> None:
    script = "import sys, lightning_liver as ll; print({'torch', 'hydra', 'numpy'} & set(sys.modules)); dir(ll)"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "set()\n"
    assert all(getattr(ll, name) is not None for name in ll.__all__)
    assert set(ll.__all__) <= set(dir(ll))
    assert re.fullmatch(r"\d+\.\d+\.\d+", ll.__version__)
    with pytest.raises(AttributeError, match="no attribute 'predict_all'"):
        ll.predict_all  # noqa: B018


@pytest.mark.parametrize(
    ("app", "arguments", "told"),
    [
        ("predict", ("run=run", "input=scans/volume-20.nii.gz", "output=masks", *CPU), "1 scan in masks"),
        pytest.param("evaluate", ("run=run", *CPU), "its test cases", marks=pytest.mark.slow),
        ("report", ("run=run",), "report.html"),
        ("train", ("resume=run",), "is complete"),
    ],
)
def test_a_folder_trained_from_python_is_accepted_by_commands(
    place: Path, app: str, arguments: tuple[str, ...], told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call(app, *arguments, folder=place, capfd=capfd)
    assert code == 0, output
    assert told in output


def test_another_config_is_refused_in_the_folder_and_the_same_one_returns_its_metrics(place: Path) -> None:
    assert ll.train(config(place), place / "run")["epochs"] == 1
    with pytest.raises(ll.LiverError, match="holds a run with another config"):
        ll.train(config(place, "loss=bce"), place / "run")
    assert "dice_bce" in (place / "run" / ".hydra" / "config.yaml").read_text()


def test_a_loaded_run_labels_an_array_as_liver_predict_labels_its_file(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    own = ("inference.thresholds=tuned", "inference.postprocess.fill_holes=true")
    arguments = ("run=run", "input=scans/volume-21.nii.gz", "output=tuned", *CPU, *own)
    code, output = call("predict", *arguments, folder=place, capfd=capfd)
    assert code == 0, output
    written = np.asarray(nib.load(place / "tuned" / "segmentation-21.nii.gz").dataobj).T
    run = ll.load_run(place / "run", [*CPU, *own])
    assert run.options.post_process.largest_liver, "as the run had it"
    labels = run.predict(hu_of(place, 21).astype(np.float32), SPACING_MM)
    assert np.array_equal(labels, written)
    assert labels.any()
    maps = ll.load_run([place / "run", place / "run"], [*CPU, "options.probabilities=true"])
    assert maps.predict_maps(hu_of(place, 21), SPACING_MM).probabilities["liver"].max() > 100


def test_arrays_that_are_no_scan_are_refused(place: Path) -> None:
    run, cube = ll.load_run(place / "run", CPU), np.zeros((2, 2, 2))
    for volume, spacing_mm, told in (
        (cube[0], SPACING_MM, r"volume_hu: expected numbers \(z, y, x\), got float64 of shape \(2, 2\)"),
        (cube > 0, SPACING_MM, "got bool"),
        (cube * np.nan, SPACING_MM, "got values from nan"),
        (cube + 1e6, SPACING_MM, "rescale them to HU"),
        (cube - 50, (1, 1), "expected three positive numbers"),
        (cube - 50, (1, 0, 1), "expected three positive numbers"),
    ):
        with pytest.raises(ll.LiverError, match=told):
            run.predict(volume, spacing_mm)
    with pytest.warns(LiverWarning, match="as those of a label map"):
        run.predict(np.indices((2, 2, 2))[0], SPACING_MM)


def test_a_missing_run_and_options_of_the_command_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ll.LiverError, match="no such folder"):
        ll.load_run(tmp_path / "nowhere")
    with pytest.raises(ll.LiverError, match="not a run folder"):
        ll.load_run(tmp_path)
    with pytest.raises(ll.LiverError, match=r"input=a\.nii: expected options of the prediction alone"):
        ll.load_run(tmp_path, ["input=a.nii"])


def test_masks_are_scored_as_the_command_does() -> None:
    truth = np.zeros((6, 8, 8), int)
    truth[1:5, 1:7, 1:7], truth[2:4, 2:4, 2:4] = 1, 2
    prediction = truth.astype(float)
    prediction[4] = 0
    score = ll.evaluate(truth, prediction, (3, 1, 1))
    assert score.structures["liver"].metrics["dice"] == pytest.approx(2 * 108 / (144 + 108))
    assert score.structures["tumour"].metrics["dice"] == 1
    assert score.structures["liver"].true_ml == pytest.approx(144 * 3 / 1000)
    assert ll.evaluate(truth, truth * 0, (3, 1, 1), mode="corrected").mode == "corrected"
    for wrong, told in (
        (prediction * 0.5, "expected the labels"),
        (truth[0], "one whole scan"),
        (truth * 2, "label 4"),
    ):
        with pytest.raises(ll.LiverError, match=told):
            ll.evaluate(truth, wrong, (3, 1, 1))


@pytest.fixture
def lightning(place: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ll.SliceDataModule, pl.Trainer]:
    monkeypatch.setenv("LIVER_CACHE", str(place / "cache"))
    off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = pl.Trainer(max_epochs=1, accelerator="cpu", **off)
    return ll.build_data(config(place)), trainer


def test_a_plain_trainer_trains_and_tests_a_sum_of_losses(
    place: Path, tmp_path: Path, lightning: tuple[ll.SliceDataModule, pl.Trainer]
) -> None:
    data, trainer = lightning
    cfg = config(
        place, "loss=sum", "loss@loss.terms.first.loss=dice", "loss@loss.terms.second.loss=bce",
        "+loss/weight@loss.terms.second.weight=linear", f"hydra.run.dir={tmp_path}",
    )  # fmt: skip
    task = ll.build_task(cfg)
    first = ll.build_task(cfg).state_dict()
    assert all(torch.equal(tensor, first[name]) for name, tensor in task.network.state_dict(prefix="network.").items())
    trainer.fit(task, data)
    assert "train/weight/second" in trainer.callback_metrics
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    [tested] = trainer.test(task, data, verbose=False)
    again = ll.build_task(cfg)
    [reloaded] = trainer.test(again, data, ckpt_path=tmp_path / "own.ckpt", weights_only=True, verbose=False)
    assert reloaded == tested
    with pytest.raises(ll.LiverError, match=r"not network, loss, terms.*lightning_liver\.build_task\(cfg\)"):
        ll.SegmentationTask.load_from_checkpoint(tmp_path / "own.ckpt")
    parts = {"optimizer": task.optimizer, "scheduler": task.scheduler, "multiple": task.multiple}
    network = ll.build_task(config(place, "seed=7")).network
    loaded = ll.SegmentationTask.load_from_checkpoint(
        tmp_path / "own.ckpt", network=network, loss=again.loss, terms={}, **parts
    )
    assert torch.equal(next(loaded.network.parameters()), next(task.network.parameters()).cpu())


@pytest.mark.parametrize("option", ["finetune=full", "inference.thresholds=tuned"])
def test_options_of_whole_runs_are_refused_for_a_plain_trainer(place: Path, option: str) -> None:
    source = [f"finetune.source={place / 'run'}"] * option.startswith("finetune")
    with pytest.raises(ll.LiverError, match=r"plain Trainer.*lightning_liver\.train"):
        ll.build_task(config(place, option, *source))


def test_a_copied_run_is_loaded_from_where_it_is(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "run", tmp_path / "moved")
    assert ll.load_run(str(tmp_path / "moved"), CPU).predict(hu_of(place, 20), SPACING_MM).shape == (12, 40, 48)
