"""python train.py as a process."""

import csv
import json
import math
import shutil
import signal
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.scalars import read_curves
from tests.apps.commands import call, run, small_run, start
from tests.conftest import write_scan

STOPPING = ("callbacks=early_stopping", "callbacks.early_stopping.patience=1")


def weights(folder: Path, checkpoint: str = "last") -> dict[str, torch.Tensor]:
    kept = torch.load(folder / "checkpoints" / f"{checkpoint}.ckpt", weights_only=True)["state_dict"]
    return dict(kept)


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scans in `scans` and a complete run in `run`."""
    folder = tmp_path_factory.mktemp("trained")
    for number in range(20, 25):
        write_scan(folder / "scans", number)
    code, output = run("train", *small_run(folder / "scans", "run", "trainer.max_epochs=3"), folder=folder)
    assert code == 0, output
    (folder / "output.txt").write_text(output)
    return folder


def test_run_folder_holds_what_it_promises(trained: Path) -> None:
    folder = trained / "run"
    for name in (
        ".hydra/config.yaml",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "metrics.json",
        "timing.json",
        "cases.csv",
        "data.csv",
        "environment.json",
        "differs.json",
        "split.json",
        "model.txt",
        "train.log",
    ):
        assert (folder / name).stat().st_size > 0, name
    assert not list((folder / "checkpoints").glob("*-v*"))


def test_metrics_are_flat_and_without_times(trained: Path) -> None:
    metrics = json.loads((trained / "run" / "metrics.json").read_text())
    for structure in ("liver", "tumour", "mean"):
        assert 0 <= metrics[f"test/{structure}/dice_per_case"] <= 1
        assert 0 <= metrics[f"val/{structure}/dice_per_case"] <= 1
    assert metrics["steps"] == 3 * 4
    assert not [name for name in metrics if name.endswith("_s")]


def test_cases_csv_agrees_with_metrics(trained: Path) -> None:
    rows = list(csv.DictReader((trained / "run" / "cases.csv").open()))
    metrics = json.loads((trained / "run" / "metrics.json").read_text())
    split = json.loads((trained / "run" / "split.json").read_text())
    assert {row["case"] for row in rows} == set(split["test"])
    for structure in ("liver", "tumour"):
        scores = [float(row["dice"]) for row in rows if row["structure"] == structure]
        assert sum(scores) / len(scores) == pytest.approx(metrics[f"test/{structure}/dice_per_case"], abs=1e-6)


def test_pictures_are_drawn_and_named_at_the_end(trained: Path) -> None:
    pictures = {path.name for path in (trained / "run" / "pictures").iterdir()}
    stem = next(name for name in pictures if name.startswith("best")).split(".")[0].split("-mask")[0]
    assert any(name.endswith("-mask.svg") for name in pictures), stem
    output = (trained / "output.txt").read_text()
    assert "liver Dice" in output
    assert str(trained / "run" / "pictures") in output


def test_tensorboard_has_scalars_pictures_and_hyperparameters(trained: Path) -> None:
    events = EventAccumulator(str(trained / "run" / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    tags = events.Tags()
    wanted = {
        "train/loss",
        "train/slices_per_s",
        "train/wait_share",
        "val/loss",
        "val/liver/dice_per_case",
        "val/tumour/dice_per_case",
        "lr-AdamW",
        "test/tumour/dice_per_case",
    }
    assert wanted <= set(tags["scalars"]), tags["scalars"]
    assert len(events.Images(tags["images"][0])) == 3, "a picture an epoch"
    assert "_hparams_/session_start_info" in events.summary_metadata


@pytest.mark.slow
def test_panels_are_of_slices_that_validation_looks_at(trained: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Of twelve slices the fourth and the tenth, neither of which is the one with most tumour."""
    arguments = small_run(trained / "scans", "thinned", "data.val_slices=2", "trainer.max_epochs=1")
    code, output = call("train", *arguments, folder=trained, capfd=capfd)
    assert code == 0, output
    events = EventAccumulator(str(trained / "thinned" / "tensorboard"))
    events.Reload()
    case = json.loads((trained / "thinned" / "split.json").read_text())["val"][0]
    assert events.Tags()["images"] == [f"val/case {case} slice 4: CT, truth, prediction, error"]


def test_same_command_makes_the_same_weights_and_metrics(trained: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The first run was another process."""
    arguments = small_run(trained / "scans", "again", "trainer.max_epochs=3")
    code, output = call("train", *arguments, folder=trained, capfd=capfd)
    assert code == 0, output
    assert equal(weights(trained / "run"), weights(trained / "again"))
    assert (trained / "run" / "metrics.json").read_text() == (trained / "again" / "metrics.json").read_text()


@pytest.mark.slow
def test_another_seed_makes_other_weights(trained: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, output = call("train", *small_run(trained / "scans", "other", "seed=1"), folder=trained, capfd=capfd)
    assert code == 0, output
    assert not equal(weights(trained / "run"), weights(trained / "other"))


@pytest.mark.slow
def test_killed_and_resumed_run_ends_with_the_same_weights(trained: Path) -> None:
    """SIGKILL in mid-epoch, dropout and every augmentation on; then resume, all with a loading process."""
    arguments = ("data.slices_per_epoch=400", "trainer.max_epochs=3", "data.num_workers=1", "augment=all")
    arguments += ("scheduler.warmup_steps=0",)
    code, output = run("train", *small_run(trained / "scans", "whole", *arguments), folder=trained)
    assert code == 0, output
    process = start("train", *small_run(trained / "scans", "killed", *arguments), folder=trained)
    last = trained / "killed" / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 120
    while not last.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    time.sleep(0.3)  # into the next epoch
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    reached = torch.load(last, weights_only=True)
    assert 0 < reached["global_step"] < 300
    assert not (trained / "killed" / "metrics.json").exists()

    code, output = run("train", "resume=killed", folder=trained)
    assert code == 0, output
    assert equal(weights(trained / "whole"), weights(trained / "killed"))
    assert equal(weights(trained / "whole", "best"), weights(trained / "killed", "best"))
    assert (trained / "whole" / "metrics.json").read_text() == (trained / "killed" / "metrics.json").read_text()
    assert not list((trained / "killed" / "checkpoints").glob("*-v*"))


def test_resuming_a_complete_run_leaves_it_alone(trained: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in (trained / "run").rglob("*.ckpt")}
    code, output = call("train", "resume=run", folder=trained, capfd=capfd)
    assert code == 0, output
    assert "complete" in output
    assert {path: path.stat().st_mtime_ns for path in (trained / "run").rglob("*.ckpt")} == before
    assert not (trained / "outputs").exists(), "it stays in its folder"


@pytest.mark.slow
def test_resume_takes_a_longer_budget_and_the_config_of_the_run(
    trained: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call("train", *small_run(trained / "scans", "short"), folder=trained, capfd=capfd)
    assert code == 0, output
    config = (trained / "short" / ".hydra" / "config.yaml").read_text()
    code, output = call("train", "resume=short", "trainer.max_epochs=4", folder=trained, capfd=capfd)
    assert code == 0, output
    assert json.loads((trained / "short" / "metrics.json").read_text())["steps"] == 16
    assert (trained / "short" / ".hydra" / "config.yaml").read_text() == config
    elsewhere = trained / "elsewhere"
    elsewhere.mkdir()
    code, output = call("train", "resume=../short", folder=elsewhere, capfd=capfd)
    assert code == 0, output
    assert "complete" in output, "the longer budget is remembered, and the place where relative paths began"
    assert not list(elsewhere.iterdir())


def test_a_folder_refuses_another_config(trained: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = (trained / "run" / ".hydra" / "config.yaml").read_text()
    arguments = small_run(trained / "scans", "run", "trainer.max_epochs=3", "loss=focal")
    code, output = call("train", *arguments, folder=trained, capfd=capfd)
    assert code == 2, output
    assert "another config" in output
    assert (trained / "run" / ".hydra" / "config.yaml").read_text() == config


def test_a_run_killed_while_testing_only_tests(trained: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(trained / "run", trained / "moved")  # moved as well: it finds its checkpoints
    (trained / "moved" / "metrics.json").unlink()
    before = (trained / "moved" / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    code, output = call("train", "resume=moved", folder=trained, capfd=capfd)
    assert code == 0, output
    assert (trained / "moved" / "checkpoints" / "last.ckpt").stat().st_mtime_ns == before
    assert (trained / "moved" / "metrics.json").read_text() == (trained / "run" / "metrics.json").read_text()


@pytest.mark.slow
def test_a_moved_run_remembers_its_best_score(trained: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(trained / "run", trained / "further")
    code, output = call("train", "resume=further", "trainer.max_epochs=4", folder=trained, capfd=capfd)
    assert code == 0, output
    kept = torch.load(trained / "further" / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"]
    state = next(value for name, value in kept.items() if "val/mean/dice_per_case" in name and "best" in str(value))
    first = torch.load(trained / "run" / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"]
    before = next(value for name, value in first.items() if "val/mean/dice_per_case" in name and "best" in str(value))
    assert state["best_model_score"] >= before["best_model_score"]
    assert str(trained / "further") in state["best_model_path"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("resume=run", "loss=focal"), "loss=focal"),
        (("resume=run", "trainer.max_epochs=1"), "may only grow"),
        (("resume=run", "trainer.max_minutes=1"), "epochs, steps or minutes"),
        (("resume=nowhere",), "not a run folder"),
    ],
)
def test_resume_refuses_what_would_change_the_run(
    trained: Path, arguments: tuple[str, ...], told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call("train", *arguments, folder=trained, capfd=capfd)
    assert code == 2, output
    assert told in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_minutes_fix_the_number_of_steps_and_keep_it(trained: Path, capfd: pytest.CaptureFixture[str]) -> None:
    minutes = ("trainer.max_minutes=0.04", "data.slices_per_epoch=40", "data.batch_size=4")
    code, output = call("train", *small_run(trained / "scans", "timed", *minutes), folder=trained, capfd=capfd)
    assert code == 0, output
    assert "for 0.04 minutes" in output
    chosen = json.loads((trained / "timed" / "chosen.json").read_text())
    metrics = json.loads((trained / "timed" / "metrics.json").read_text())
    assert metrics["steps"] == chosen["steps"]
    assert metrics["epochs"] == math.ceil(chosen["steps"] / 10)
    fit_s = json.loads((trained / "timed" / "timing.json").read_text())["fit_s"]
    assert 0.3 * 2.4 < fit_s < 9 * 2.4, "a busy machine may take longer, the steps are fixed"


@pytest.mark.parametrize("every", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_minutes_that_hold_no_epoch_train_and_validate_a_part_of_one(
    trained: Path, every: int, capfd: pytest.CaptureFixture[str]
) -> None:
    name = f"too-short-{every}"
    short = ("trainer.max_minutes=0.001", f"trainer.check_val_every_n_epoch={every}", "data.slices_per_epoch=1000")
    code, output = call("train", *small_run(trained / "scans", name, *short), folder=trained, capfd=capfd)
    assert code == 0, output
    metrics = json.loads((trained / name / "metrics.json").read_text())
    assert metrics["epochs"] == 1
    assert 1 <= metrics["steps"] < 20
    assert (trained / name / "checkpoints" / "best.ckpt").is_file()


@pytest.mark.slow
def test_steps_are_counted_in_groups_of_accumulated_batches(trained: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An epoch of ten batches has four steps, the last of one batch; the run ends within its second epoch."""
    options = ("data.slices_per_epoch=40", "data.batch_size=4", "trainer.accumulate_grad_batches=3")
    arguments = small_run(trained / "scans", "accumulated", *options, "trainer.max_steps=6")
    code, output = call("train", *arguments, folder=trained, capfd=capfd)
    assert code == 0, output
    metrics = json.loads((trained / "accumulated" / "metrics.json").read_text())
    assert (metrics["steps"], metrics["epochs"]) == (6, 2)
    code, output = call("train", "resume=accumulated", "trainer.max_steps=5", folder=trained, capfd=capfd)
    assert (code, "may only grow" in output) == (2, True)
    code, output = call("train", "resume=accumulated", "trainer.max_steps=11", folder=trained, capfd=capfd)
    assert code == 0, output
    metrics = json.loads((trained / "accumulated" / "metrics.json").read_text())
    assert (metrics["steps"], metrics["epochs"]) == (11, 4)


def test_fast_dev_run_writes_a_whole_run_folder(trained: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = small_run(trained / "scans", "fast", "debug=fast_dev_run", "trainer.profiler=simple")
    code, output = call("train", *arguments, folder=trained, capfd=capfd)
    assert code == 0, output
    assert json.loads((trained / "fast" / "metrics.json").read_text())["steps"] == 1
    split = json.loads((trained / "fast" / "split.json").read_text())
    assert (len(split["val"]), len(split["test"])) == (1, 1)
    assert "optimizer_step" in (trained / "fast" / "fit-profile.txt").read_text()


@pytest.mark.slow
def test_average_of_weights_is_what_is_scored_and_tested(trained: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ("callbacks=[early_stopping,ema]", "callbacks.ema.decay=0.9", "logger=many")
    code, output = call("train", *small_run(trained / "scans", "averaged", *options), folder=trained, capfd=capfd)
    assert code == 0, output
    best = torch.load(trained / "averaged" / "checkpoints" / "best.ckpt", weights_only=True)
    assert any(not torch.equal(best["state_dict"][n], best["current_model_state"][n]) for n in best["state_dict"])
    scores = [each.get("best_model_score") for each in best["callbacks"].values()]
    [score] = [each for each in scores if each is not None]
    metrics = json.loads((trained / "averaged" / "metrics.json").read_text())
    assert metrics["val/mean/dice_per_case"] == pytest.approx(score.item(), abs=1e-6)
    assert (trained / "averaged" / "csv" / "metrics.csv").is_file()


@pytest.mark.slow
def test_accumulated_and_averaged_run_that_is_resumed_ends_with_the_same_weights(
    trained: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ("data.slices_per_epoch=40", "scheduler=constant", "trainer.accumulate_grad_batches=3")
    options += ("callbacks=ema", "callbacks.ema.decay=0.9")
    for name, epochs in (("at-once", 4), ("in-parts", 2)):
        arguments = small_run(trained / "scans", name, *options, f"trainer.max_epochs={epochs}")
        assert call("train", *arguments, folder=trained, capfd=capfd)[0] == 0
    assert call("train", "resume=in-parts", "trainer.max_epochs=4", folder=trained, capfd=capfd)[0] == 0
    assert equal(weights(trained / "at-once"), weights(trained / "in-parts"))


@pytest.mark.slow
def test_more_minutes_continue_behind_a_short_last_epoch(trained: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Fixed by hand to 2.5 epochs, which a resumed run keeps; with twice the minutes there are twice the steps."""
    timed = (
        "trainer.max_minutes=0.001",
        "data.slices_per_epoch=40",
        "data.batch_size=4",
        "trainer.check_val_every_n_epoch=2",
    )
    assert call("train", *small_run(trained / "scans", "longer", *timed), folder=trained, capfd=capfd)[0] == 0
    path = trained / "longer" / "chosen.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"steps": 25, "fitted": False}))

    def resumed(*more: str) -> tuple[int, int]:
        code, output = call("train", "resume=longer", *more, folder=trained, capfd=capfd)
        assert code == 0, output
        last = torch.load(trained / "longer" / "checkpoints" / "last.ckpt", weights_only=True)
        return last["global_step"], last["epoch"] + 1

    first = json.loads((trained / "longer" / "metrics.json").read_text())["steps"]
    left = 25 - first
    assert resumed() == (25, 1 + math.ceil(left / 10))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"fitted": False}))
    assert resumed() == (25, 1 + math.ceil(left / 10)), "it was trained, and only not yet said to be"
    assert resumed("trainer.max_minutes=0.002") == (50, 1 + math.ceil(left / 10) + 3)


@pytest.mark.slow
def test_debug_overfits_one_batch(trained: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = [f"data.root={trained / 'scans'}", "data=lits", "data.size=32", "data.workers=0", "debug=overfit"]
    small = ["model.base_channels=4", "model.depth=2", "trainer.threads=1", "hydra.run.dir=debug"]
    code, output = call("train", *arguments, *small, folder=trained, capfd=capfd)
    assert code == 0, output
    events = EventAccumulator(str(trained / "debug" / "tensorboard"))
    events.Reload()
    losses = [event.value for event in events.Scalars("train/loss")]
    assert len(losses) == 200
    assert losses[-1] < 0.4 * losses[0]
    assert OmegaConf.load(trained / "debug" / ".hydra" / "config.yaml").data.overfit


@pytest.mark.slow
def test_25d_context_trains(trained: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = small_run(trained / "scans", "context", "data.context=2", "trainer.max_epochs=1")
    code, output = call("train", *arguments, folder=trained, capfd=capfd)
    assert code == 0, output
    assert weights(trained / "context")["network.encoder.0.conv1.weight"].shape[1] == 5


@pytest.mark.parametrize(
    "options",
    [
        ("data.split={train:[20,21],val:[22],test:[]}", "logger=none"),
        pytest.param(
            ("data.size=[32,48]", "data.standardise=false", "augment=none", "loss=focal", "loss.balanced=false"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("optimizer=sgd", "scheduler=polynomial", *STOPPING, "trainer.max_epochs=6", "data.folds=3"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            (
                "data.spacing_mm=null",
                "scheduler=constant",
                "trainer.precision=32-true",
                "trainer.gradient_clip_val=null",
            ),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("data.spacing_mm=2.2", "loss=dice", "model.norm=instance", "trainer.check_val_every_n_epoch=2"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_options_work_together(trained: Path, options: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    folder = trained / f"options-{hash(options)}"
    arguments = small_run(trained / "scans", str(folder), *options)
    code, output = call("train", *arguments, folder=trained, capfd=capfd)
    assert code == 0, output
    metrics = json.loads((folder / "metrics.json").read_text())
    assert ("test/liver/dice_per_case" in metrics) == ("test:[]" not in options[0])
    assert (folder / "tensorboard").exists() == ("logger=none" not in options)
    assert "val/mean/dice_per_case" in read_curves(RunFolder(folder)), "whatever the logger"


def test_cases_without_liver_or_without_tumour_are_accepted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for number in range(20, 25):
        write_scan(tmp_path / "scans", number)
    for number, highest in ((20, 0), (21, 1), (24, 0)):
        path = tmp_path / "scans" / f"segmentation-{number}.nii.gz"
        image = nib.load(path)
        nib.save(nib.Nifti1Image(np.minimum(np.asarray(image.dataobj), highest), image.affine), path)
    split = "data.split={train:[20,21,22],val:[23],test:[24]}"
    code, output = call("train", *small_run(tmp_path / "scans", "run", split), folder=tmp_path, capfd=capfd)
    assert code == 0, output
    rows = list(csv.DictReader((tmp_path / "run" / "cases.csv").open()))
    assert [row["true_voxels"] for row in rows] == ["0", "0"]
    assert all(float(row["dice"]) == (row["predicted_voxels"] == "0") for row in rows), "empty and left empty is 1"


@pytest.mark.slow
def test_a_batch_of_one_pixel_is_refused_by_its_option(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tiny = ("model.norm=batch", "model.depth=4", "data.size=16", "data.batch_size=1")
    code, output = call("train", *small_run(scans, "run", *tiny), folder=tmp_path, capfd=capfd)
    assert code == 2
    assert "data.batch_size=1: expected at least 2 here" in output.splitlines()[-1]
