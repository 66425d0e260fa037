"""liver-export, of run folders that were never trained: random weights are as hard to copy."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from omegaconf import OmegaConf
from torch import Tensor, nn

from lightning_liver.build import build, prepared
from lightning_liver.config import compose
from lightning_liver.data.slices import WholeSlices
from lightning_liver.formats import onnx, torch_export
from lightning_liver.inference.decision import write_decision
from lightning_liver.inference.label_maps import to_grid, whole_slice_logits
from lightning_liver.inference.thresholds import HALF
from lightning_liver.runs.trained import read_run
from lightning_liver.volume import from_canonical
from tests.apps.commands import ROOT, call
from tests.conftest import write_scan
from tests.optional import needs

SCRIPT = ROOT / "experiments" / "export" / "predict_onnx.py"
SEGMENT = ROOT / "lightning_liver" / "formats" / "standalone" / "segment.py"
NORMALIZATION = {"window_hu": [-160.0, 240.0], "context": 1, "mean": 0.3, "std": 0.25}
TRUST = f"trust=[{__name__}]"
RAW = "inference.postprocess.largest_liver=false"  # of a tie that joins two parts, both would differ
SMALL = ("model.base_channels=4", "model.depth=2", "data.context=1")


class Levels(nn.Module):
    """Logits at two resolutions, coarse to fine, when it trains or when it is `stubborn`."""

    def __init__(self, *, stubborn: bool) -> None:
        super().__init__()
        self.stubborn, self.layer = stubborn, nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        fine = self.layer(images)
        return [nn.functional.avg_pool2d(fine, 2), fine] if self.training or self.stubborn else fine


class Undecided(nn.Module):
    """What it computes depends on the width, or the brightness, of slices."""

    def __init__(self, *, on: str) -> None:
        super().__init__()
        self.on, self.layer = on, nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        turned = images.shape[-1] > 2 * 32 if self.on == "width" else bool(images.mean() > 0)
        logits: Tensor = self.layer(images)
        return -logits if turned else logits


def run_folder(folder: Path, *overrides: str, model: dict[str, Any] | None = None) -> Path:
    """A run of the scans in `scans` beside it, as far as its checkpoint."""
    cfg = compose("train", ["data=lits", f"data.root={folder.parent / 'scans'}", "data.workers=0", *SMALL, *overrides])
    cfg.model = model or cfg.model
    torch.manual_seed(0)
    network = build(cfg.model)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_mean"):
            tensor.normal_(std=0.1)
    for part in (".hydra", "checkpoints"):
        (folder / part).mkdir(parents=True)
    OmegaConf.save(cfg, folder / ".hydra" / "config.yaml")
    state = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    normalization = NORMALIZATION | {"context": cfg.data.context}
    torch.save({"state_dict": state, "SliceDataModule": normalization}, folder / "checkpoints" / "best.ckpt")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three scans, of which number 20 is stored from the feet to the head, to the right, to the front."""
    for number in (20, 21, 22):
        write_scan(tmp_path / "scans", number)
    for name in ("volume", "segmentation"):
        path = tmp_path / "scans" / f"{name}-20.nii.gz"
        image = nib.load(path)
        turned = image.as_reoriented(ornt_transform(io_orientation(image.affine), axcodes2ornt("SRA")))
        nib.save(nib.Nifti1Image(np.asarray(turned.dataobj), turned.affine), path)
    return tmp_path


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that is only to be refused."""
    folder = tmp_path_factory.mktemp("refused")
    (folder / "file").touch()
    run_folder(folder / "run")
    return folder


def house(run: Path, case: str) -> tuple[Tensor, np.ndarray]:
    """Logits of a case (z, cls, y, x), and its affine."""
    trained = read_run(run)
    store = prepared(trained.config.data)
    slices = WholeSlices(store, trained.normalization, cases=[case], native=True)
    with torch.inference_mode():
        images = torch.stack([slices[n]["image"] for n in range(len(slices))])
        logits = whole_slice_logits(trained.network, images, multiple=trained.multiple)
        return to_grid(logits, store.cases[case].native_shape[1:]), np.array(store.cases[case].affine)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "tie"),
    [
        (
            ("data.spacing_mm=2.3", RAW),
            0.05,
        ),  # of a resampled slice a mean half-way between two HU is rounded to either
        pytest.param(("data.spacing_mm=null", "data.context=0", RAW), 1e-4, marks=pytest.mark.slow),
    ],
)
def test_the_example_labels_a_scan_as_the_house_does_but_for_ties(
    folder: Path, options: tuple[str, ...], tie: float, capfd: pytest.CaptureFixture[str]
) -> None:
    run = run_folder(folder / "run", *options)
    logits, affine = house(run, "20")
    cuts = [logits[:, 0].quantile(0.4), logits[:, 1].quantile(0.8)]  # random weights know no one half
    chosen = dict(zip(("liver", "tumour"), (float(cut.sigmoid()) for cut in cuts), strict=True))
    write_decision(run, (chosen["liver"], chosen["tumour"]), HALF, [])
    code, output = call("export", "run=run", folder=folder, capfd=capfd)
    assert code == 0, output
    assert "slices of the run's store" in output
    network, scan, mask = run / "network.onnx", folder / "scans" / "volume-20.nii.gz", folder / "mask.nii.gz"
    for file in (SCRIPT, SEGMENT):
        shutil.copy(file, folder)
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([sys.executable, SCRIPT.name, network, scan, mask], check=True, cwd=folder, env=bare)
    made = nib.load(mask)
    assert np.array_equal(made.affine, nib.load(scan).affine)
    liver, tumour = (logits[:, c] > cut for c, cut in enumerate(cuts))
    labels = torch.where(tumour, 2, liver.to(torch.uint8)).numpy()
    differing = np.asarray(made.dataobj) != from_canonical(labels, affine).T
    near = torch.stack([(logits[:, c] - cut).abs() < tie for c, cut in enumerate(cuts)]).any(dim=0).numpy()
    assert not (differing & ~from_canonical(near, affine).T).any()
    assert differing.mean() < 0.002
    assert [int((labels == label).sum()) > 1000 for label in range(3)] == [True] * 3


@pytest.mark.parametrize(
    ("name", "read"), [("onnx", onnx.read), pytest.param("torch_export", torch_export.read, marks=pytest.mark.slow)]
)
def test_a_file_has_the_network_and_all_that_it_needs_to_know(
    folder: Path, name: str, read: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    run = run_folder(folder / "run", "data.spacing_mm=2.5")
    write_decision(run, (0.55, 0.25), HALF, [])
    code, output = call("export", "run=run", f"format={name}", f"output=there/of-{name}", folder=folder, capfd=capfd)
    assert code == 0, output
    assert "largest difference" in output.lower()
    assert "expected a store with a manifest.json" in output, "the scans were never prepared"
    network, document = read(folder / "there" / f"of-{name}")
    assert document == {
        "orientation": "LPS",
        "hu_range": [-1024, 3071],
        "spacing_mm": 2.5,
        **NORMALIZATION,
        "multiple": 32,
        "classes": ["liver", "tumour"],
        "flips": False,
        "thresholds": {"liver": 0.55, "tumour": 0.25},
        "postprocess": {
            "fill_holes": False, "largest_liver": True, "tumour_in_liver": False, "min_tumour_mm3": 0.0
        },
    }  # fmt: skip
    assert "tested with largest_liver, not in the graph" in output
    with torch.inference_mode():
        for size in ((1, 3, 32, 32), (5, 3, 96, 160)):
            images = torch.randn(size)
            torch.testing.assert_close(network(images), read_run(run).network(images), rtol=1e-4, atol=1e-4)
    assert [path.name for path in (folder / "there").iterdir()] == [f"of-{name}"]


def test_a_hub_folder_predicts_as_its_run_and_has_a_card(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = run_folder(folder / "run", "data.spacing_mm=2.5", "inference.thresholds=[0.4,0.6]")
    (run / "metrics.json").write_text('{"test/liver/dice_per_case": 0.91, "epochs": 3}')
    code, output = call("export", "run=run", "format=hub", "licence=cc-by-nc-4.0", folder=folder, capfd=capfd)
    assert code == 0, output
    hub = run / "network-hub"
    assert sorted(path.name for path in hub.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    card = (hub / "README.md").read_text()
    for words in (
        "license: cc-by-nc-4.0",
        "0.910",
        "not for clinical use",
        "largest_liver=true",
        "thresholds of liver 0.4",
    ):
        assert words in card
    assert str(folder) not in card + (hub / "config.json").read_text(), "a path of the machine"
    cpu = ("input=scans/volume-20.nii.gz", "trainer=cpu", "trainer.precision=32-true")
    for source, name in ((run, "own"), (hub, "theirs")):
        code, output = call("predict", f"run={source}", f"output={name}", *cpu, folder=folder, capfd=capfd)
        assert code == 0, output
    own, theirs = (nib.load(folder / name / "segmentation-20.nii.gz").get_fdata() for name in ("own", "theirs"))
    assert np.array_equal(own, theirs)
    assert own.any()
    code, output = call("evaluate", f"run={hub}", *cpu[1:], folder=folder, capfd=capfd)
    assert code == 2
    assert "a folder of liver-export names none; name a data set" in output
    code, output = call("predict", f"run={hub}", "output=no", "statistics=target", *cpu, folder=folder, capfd=capfd)
    assert code == 2
    assert "statistics='target'" in output


def test_a_hub_folder_of_another_kind_of_network_is_not_written(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = run_folder(folder / "run", model={"_target_": f"{__name__}.Levels", "stubborn": False})
    code, output = call("export", "run=run", "format=hub", TRUST, folder=folder, capfd=capfd)
    assert code == 2, output
    assert "expected a model of lightning_liver, torch, MONAI" in output
    assert sorted(path.name for path in run.iterdir()) == [".hydra", "checkpoints"]


@pytest.mark.slow
def test_a_bundle_runs_in_monai_alone_and_labels_as_the_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    needs("monai")
    run_folder(folder / "run", "data.spacing_mm=null", "inference.flips=true")
    bundle = folder / "bundle"
    code, output = call("export", "run=run", "format=bundle", "output=bundle", folder=folder, capfd=capfd)
    assert code == 0, output
    required = ("schema", "version", "monai_version", "pytorch_version", "numpy_version", "required_packages_version")
    required += ("task", "description", "authors", "copyright", "network_data_format")  # of MONAI's schema
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert set(required) <= set(metadata)
    script = (
        "import sys; sys.modules['lightning_liver'] = None; from monai.bundle import run, verify_net_in_out; "
        "config, meta = 'configs/inference.json', 'configs/metadata.json'; "
        "verify_net_in_out(net_id='network_def', config_file=config, meta_file=meta); "
        "run(config_file=config, meta_file=meta, input='../scans/volume-20.nii.gz', output='../masks')"
    )
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([sys.executable, "-c", script], check=True, cwd=bundle, env=bare)
    arguments = ("run=run", "input=scans/volume-20.nii.gz", "output=own", "options.coarse_mm=null", "trainer=cpu")
    code, output = call("predict", *arguments, "trainer.precision=32-true", folder=folder, capfd=capfd)
    assert code == 0, output
    own = nib.load(folder / "own" / "segmentation-20.nii.gz").get_fdata()
    theirs = nib.load(folder / "masks" / "volume-20_seg.nii.gz").get_fdata()
    assert (own != theirs).mean() < 0.001, "but for ties"
    assert own.any()


@pytest.mark.slow
def test_a_file_that_differs_is_not_left_and_what_was_there_stays(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = run_folder(folder / "run")
    (run / "network.onnx").write_text("earlier")
    code, output = call("export", "run=run", "tolerance=1e-12", folder=folder, capfd=capfd)
    assert code == 2, output
    assert "differs from the original by" in output
    assert sorted(path.name for path in run.iterdir()) == [".hydra", "checkpoints", "network.onnx"]
    assert (run / "network.onnx").read_text() == "earlier"


@pytest.mark.parametrize(
    ("option", "kind", "code", "told"),
    [
        ({"stubborn": False}, Levels, 0, "largest difference"),
        ({"stubborn": True}, Levels, 2, "makes a list"),
        ({"on": "brightness"}, Undecided, 2, "must depend neither on the values of pixels"),
        ({"on": "width"}, Undecided, 2, "nor on the size of slices"),
    ],
)
def test_networks_that_cannot_be_exported_are_refused_with_the_reason(
    folder: Path, option: dict[str, Any], kind: type, code: int, told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    run = run_folder(folder / "run", model={"_target_": f"{__name__}.{kind.__name__}", **option})
    seen, output = call("export", "run=run", "format=torch_export", TRUST, folder=folder, capfd=capfd)
    assert seen == code, output
    assert told in output.replace("\n", " ").replace("Largest", "largest")
    assert (run / "network.pt2").exists() == (code == 0)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (("run=null",), ["run=null: expected a run folder; give run=..."]),
        (("run=nowhere",), ["run=nowhere: no such folder; give a run folder"]),
        (("format=tflite",), ["tflite", "onnx", "torch_export"]),
        (("output=run",), ["output=run", "folder"]),
        (("output=file/n.onnx",), ["cannot be written"]),
        (("tolerance=0",), ["tolerance=0"]),
        (("slices=some",), ["slices='some'"]),
        (("seed=-1",), ["seed=-1"]),
        (("licence=mit",), ["licence=mit: expected format=bundle or hub"]),
        (("format=hub", "output=run"), ["output=run: expected a folder that does not exist yet"]),
    ],
)
def test_wrong_options_are_reported_by_their_names(
    ready: Path, wrong: tuple[str, ...], told: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    given = ("run=run", "format=torch_export", *wrong)
    code, output = call("export", *{g.partition("=")[0]: g for g in given}.values(), folder=ready, capfd=capfd)
    assert code == 2, output
    for words in told:
        assert words in output
    assert "Traceback" not in output


@pytest.mark.parametrize("text", ["{", '{"thresholds": {"liver": 0.5}}', '{"thresholds": {"liver": 0.5, "tumour": 1}}'])
def test_a_damaged_decision_is_reported(folder: Path, text: str, capfd: pytest.CaptureFixture[str]) -> None:
    (run_folder(folder / "run") / "decision.json").write_text(text)
    code, output = call("export", "run=run", "format=torch_export", folder=folder, capfd=capfd)
    assert code == 2, output
    assert "decision.json" in output


def test_a_run_without_weights_is_reported(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (run_folder(folder / "run") / "checkpoints" / "best.ckpt").unlink()
    code, output = call("export", "run=run", folder=folder, capfd=capfd)
    assert code == 2, output
    assert "best.ckpt is missing" in output


@pytest.mark.parametrize("package", ["onnxruntime", "onnxscript"])
def test_a_missing_package_is_reported_with_what_installs_it(
    ready: Path, package: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "lightning_liver.formats.onnx")
    monkeypatch.delattr("lightning_liver.formats.onnx")
    code, output = call("export", "run=run", folder=ready, capfd=capfd)
    assert code == 2, output
    assert (
        f"the package {package}, which is not installed: pip install 'onnx>=1.17' 'onnxruntime>=1.20' 'onnxscript>=0.5'"
        in output
    )


planes = st.tuples(*[st.integers(8, 40)] * 2)


@given(planes, planes, st.integers(0, 2**32 - 1))
def test_opencv_interpolates_logits_as_the_house_does(
    native: tuple[int, int], grid: tuple[int, int], seed: int
) -> None:
    """The example has no PyTorch to do it with."""
    logits = np.random.default_rng(seed).normal(size=native).astype(np.float32)
    expected = to_grid(torch.from_numpy(logits)[None, None], grid)[0, 0]
    assert np.allclose(cv2.resize(logits, grid[::-1]), expected, atol=1e-4)
