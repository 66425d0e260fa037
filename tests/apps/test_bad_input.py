"""What users get wrong: exit code 2, a message that names the thing and the cure, no traceback."""

import re
import resource
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lightning_liver.data.store import forget_open_arrays
from tests.apps.commands import call, run, small_run

slow = partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("loss=focl",), ["loss=focl: expected one of", "dice_bce", "did you mean loss=focal?"]),
        (("loss.gama=1",), ["loss.gama: no such option; did you mean loss.gamma, of loss=", "loss=focal"]),
        (("seed", "3"), ["seed: expected OPTION=VALUE"]),
        (("los=focal",), ["los: no such option; did you mean loss?"]),
        (("+trainer.max_epoch=3",), ["trainer.max_epoch: no such option; did you mean trainer.max_epochs?"]),
        slow(("experimnt=losses",), ["did you mean experiment?"]),
        slow(("hydra/sweeper=optna",), ["did you mean hydra/sweeper=optuna?"]),
        (("loss=focal", "loss.gama=1"), ["loss.gama: no such option; did you mean loss.gamma?"]),
        (("batch_size=4",), ["did you mean data.batch_size?"]),
        (("loss=dice", "loss.gamma=1"), ["loss.gamma: no such option of the present choice", "loss=focal,"]),
        (("nothing_like_it=1",), ["nothing_like_it: no such option; --help lists"]),
        (("data.loaders=2",), ["data.loaders", "data.num_workers"]),
        slow(("ckpt_path=last.ckpt",), ["ckpt_path: a run is named by its folder", "resume=RUN"]),
        (("debug=fdr",), ["debug=fdr", "use debug=fast_dev_run"]),
        slow(("data.shares.tumour=1",), ["data.shares.tumour", "data.sampling.tumour"]),
        (("data.window_huu=[0,1]",), ["data.window_huu", "did you mean data.window_hu?"]),
        (("data.window_hu=[200,-100]",), ["data.window_hu=[200, -100]", "below the second"]),
        (("data.batch_size=many",), ["data.batch_size='many'"]),
        (("loss=focal", "loss.gamma=-1"), ["loss.gamma", "-1"]),
        slow(("model.depth=0",), ["model.depth"]),
        (("data.size=50",), ["50", "multiple"]),
        slow(("augment=basic", "augment.scale=3"), ["augment.scale=3"]),
        (("augment=all", "augment.perlin.amplitude_hu=-5"), ["augment.perlin.amplitude_hu=-5", "greater than"]),
        slow(("augment=perlin", "augment.octaves=0.5"), ["augment.octaves=0.5", "integer"]),
        slow(("augment=elastic", "augment.amplitude_mm=40"), ["amplitude_mm=40", "grid_mm=48", "at most a sixth"]),
        (("augment=perlim",), ["augment=perlim", "did you mean augment=perlin?", "poisson"]),
        (("augment=mixup", "data.batch_size=1"), ["data.batch_size=1", "mixup", "at least 2 slices"]),
        slow(("inference.flips=3",), ["inference.flips=3", "true or false"]),
        (("data.train_patients=99",), ["data.train_patients=99", "patients of this fold"]),
        (("trainer.precision=fp16",), ["trainer.precision='fp16'", "bf16-mixed"]),
        slow(("data.fold=9",), ["data.fold=9"]),
        (("data.folds=30",), ["data.folds=30", "at most 5, the number of patients"]),
        (("data.split={train:[20],val:[21],test:[20]}",), ["data.split", "20"]),
        slow(("data.sampling={tumour:0,liver:0,any:0}",), ["data.sampling"]),
        (("data.root=/nowhere/at/all",), ["/nowhere/at/all", "data.root"]),
        (("scheduler.final=7",), ["scheduler.final=7"]),
        slow(("optimizer.lr=-1",), ["optimizer", "-1"]),
        (("optimizer.lr=abc",), ["optimizer"]),
        (("seed=-1",), ["seed=-1"]),
        slow(("inference.multiple=0",), ["inference.multiple=0"]),
        (("inference.postprocess=true",), ["inference.postprocess=True", "largest_liver=true"]),
        slow(("inference.postprocess.min_tumour_mm3=-5",), ["inference.postprocess.min_tumour_mm3=-5", "greater"]),
        (("inference.thresholds=[0.5,2]",), ["inference.thresholds", "2"]),
        slow(("trainer.max_minutes=inf",), ["trainer.max_minutes"]),
        (("trainer.devices=none",), ["trainer.devices=none"]),
        (
            ("model._target_=nowhere.at.All",),
            ["model._target_=nowhere.at.All", "neither nowhere.py nor"],
        ),
        slow(("hydra.run.dir=a=1",), ["hydra.run.dir=a=1"]),
        (("hydra.job.chdir=true",), ["hydra.job.chdir=true: expected false", "leave it out"]),
    ],
)
def test_wrong_option_is_reported_by_its_name(
    scans: Path, tmp_path: Path, arguments: tuple[str, ...], told: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call("train", *small_run(scans, "run", *arguments), folder=tmp_path, capfd=capfd)
    assert code == 2, output
    for words in told:
        assert words in output
    assert "Traceback" not in output


def test_missing_root_is_asked_for(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, output = call("train", "data=lits", folder=tmp_path, capfd=capfd)
    assert code == 2, output
    wanted = "folder of the scans, or an address such as s3://bucket/lits"
    assert output == f"data.root: expected a value ({wanted}); give data.root=...\n"


@pytest.mark.parametrize("app", ["train", "prepare", "augment_preview"])
def test_missing_root_is_asked_for_by_every_command(
    app: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call(app, "data=msd", folder=tmp_path, capfd=capfd)
    assert code == 2, output
    assert "give data.root=..." in output


def test_mistake_in_a_sweep_is_reported_without_the_command_line(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ("-m", "data=lits", f"data.root={scans}", "trainer.max_epochs=0", "seed=0,1")
    code, output = call("train", *arguments, folder=tmp_path, capfd=capfd)
    assert code == 2, output
    assert output.count("FAILED: trainer.max_epochs=0") == 2
    assert len(re.findall(r"^trainer\.max_epochs=0: ", output, re.MULTILINE)) == 1, "and once at the end"
    assert "Error executing job" not in output


def test_mistyped_option_of_another_command_is_reported(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for app, typed, meant in (("predict", "inptu=x", "input"), ("export", "format=onx", "format=onnx")):
        code, output = call(app, typed, folder=tmp_path, capfd=capfd)
        assert code == 2, output
        assert output.endswith(f"did you mean {meant}?\n")


def test_preparing_does_not_care_for_folds(scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ("data=lits", f"data.root={scans}", "data.folds=30", "data.workers=0")
    code, output = call("prepare", *arguments, folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert "5 cases are ready" in output


def test_verifying_a_store_heals_what_it_can(scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ("data=lits", f"data.root={scans}", "data.workers=0", "data.store=store", "verify=true")
    code, output = call("prepare", *arguments, folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert "All files are as they were written; 0 damaged cases" in output
    for path in (tmp_path / "store").rglob("labels.b2nd"):
        path.write_bytes(path.read_bytes()[:-1])
    forget_open_arrays()
    code, output = call("prepare", *arguments, folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert "5 damaged cases were prepared anew" in output
    assert call("prepare", *arguments[:-1], "verify=maybe", folder=tmp_path, capfd=capfd)[0] == 2


def processor_seconds() -> float:
    """Time of all commands so far: unlike the clock's, it does not depend on what runs beside them."""
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


@pytest.mark.slow
def test_preparing_again_takes_less_than_two_seconds(scans: Path, tmp_path: Path) -> None:
    arguments = ("data=lits", f"data.root={scans}", "data.workers=0")
    assert run("prepare", *arguments, folder=tmp_path)[0] == 0
    begin = processor_seconds()
    assert run("prepare", *arguments, folder=tmp_path)[0] == 0
    assert processor_seconds() - begin < 2


def test_bad_scans_are_all_reported_and_the_rest_prepared(scans: Path, tmp_path: Path) -> None:
    for number in (21, 23):
        (scans / f"volume-{number}.nii.gz").write_bytes(b"")
    arguments = ("data=lits", f"data.root={scans}", "data.workers=0")
    code, output = run("prepare", *arguments, folder=tmp_path)
    assert code == 2, output
    assert "volume-21.nii.gz" in output
    assert "volume-23.nii.gz" in output
    assert "Traceback" not in output
    code, output = run("prepare", *arguments, "data.skip_bad=true", folder=tmp_path)
    assert code == 0, output
    assert "3 cases are ready" in output


@pytest.mark.parametrize("app", ["train", "prepare"])
def test_help_names_the_command_and_its_groups(app: str, tmp_path: Path) -> None:
    begin = processor_seconds()
    code, output = run(app, "--help", folder=tmp_path)
    assert processor_seconds() - begin < 1
    assert code == 0
    assert f"liver-{app} --help data" in output
    assert "phantom" in output
    assert "num_workers" not in output, "the options of a group have their own page"


def test_help_has_the_choices_of_each_group_and_a_line_for_each_option(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call("train", "--help", folder=tmp_path, capfd=capfd)
    assert code == 0
    assert output.count("python train.py ") >= 5
    lines = [line.split() for line in output.splitlines() if line.startswith("  ")]
    assert ["csv,", "lits,", "msd,", "phantom,", "phantom_shifted"] in [line[-5:] for line in lines]
    assert ["seed=0", "of"] in [line[:2] for line in lines]


def test_help_of_a_group_and_of_a_choice_explains_the_options(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _, output = call("train", "--help", "trainer", folder=tmp_path, capfd=capfd)
    assert "Options of every trainer" in output
    assert re.search(r"trainer\.check_val_every_n_epoch=1\s+epochs from one validation to the next", output)
    _, output = call("train", "data=phantom_shifted", "--help", folder=tmp_path, capfd=capfd)
    for name in ("data.slice_mm=7.5", "data.cases=24", "data.store", "data.size=128"):
        assert name in output
    assert "data=lits" not in output
    assert "Options of every trainer" in call("train", "trainer.devices=1", "-h", folder=tmp_path, capfd=capfd)[1]
    assert "Train a network" in call("train", "resume=nowhere", "seed=1", "--help", folder=tmp_path, capfd=capfd)[1]
    for topic, meant in (("dota", "data"), ("trainer=gpuu", "gpu")):
        code, output = call("train", "--help", topic, folder=tmp_path, capfd=capfd)
        assert code == 2
        assert output.endswith(f"did you mean {meant}?\n")


def test_help_of_hydra_and_the_config_are_hydras_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "== Flags ==" in call("train", "--hydra-help", folder=tmp_path, capfd=capfd)[1]
    assert "slices_per_epoch: 2000" in call("train", "--cfg", "job", folder=tmp_path, capfd=capfd)[1]


def test_masks_without_a_voxel_of_liver_are_refused_before_training(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for path in scans.glob("segmentation-*"):
        image = nib.load(path)
        nib.save(nib.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), path)
    code, output = call("train", *small_run(scans, "run"), folder=tmp_path, capfd=capfd)
    assert code == 2, output
    assert "No mask has a voxel of liver" in output
    assert f"data.root={scans}: expected a voxel of liver in the masks of the 3 training cases" in output
    assert "Epoch" not in output
