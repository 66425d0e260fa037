"""Behaviour on a GPU; all tests are skipped without one."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from lightning_liver.build import build, prepared
from lightning_liver.config import compose, folder
from lightning_liver.data.datamodule import SliceDataModule
from lightning_liver.data.splits import Split
from lightning_liver.inference.label_maps import multi_hot
from lightning_liver.losses.distance import signed_distance
from lightning_liver.training.task import SegmentationTask
from tests.apps.commands import call, run, small_run
from tests.conftest import write_scan

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")

LOSSES = sorted(path.stem for path in (folder() / "loss").glob("*.yaml"))
ON_GPU = ("trainer=base", "trainer.accelerator=gpu")
Train = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("gpu")
    for number in range(20, 25):
        write_scan(root / "scans", number)
    for number in range(30, 32):
        write_scan(root / "unlabelled", number, spacing_mm=2.0)
        (root / "unlabelled" / f"segmentation-{number}.nii.gz").unlink()
    return root


@pytest.fixture
def train(place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Train:
    monkeypatch.setenv("LIVER_CACHE", str(place / "cache"))
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", torch.backends.cudnn.deterministic)

    def run(name: str, *options: str) -> tuple[int, str]:
        arguments = [o for o in small_run(place / "scans", name) if o not in ("trainer=cpu", "trainer.threads=1")]
        return call("train", *arguments, *ON_GPU, "trainer.max_epochs=2", *options, folder=place, capfd=capfd)

    return run


def metrics(run: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((run / "metrics.json").read_text())
    return found


@pytest.mark.parametrize("precision", ["auto", "32-true", "16-mixed", "bf16-mixed"])
def test_every_precision_trains_and_the_cpu_scores_its_weights_equally(
    place: Path, train: Train, capfd: pytest.CaptureFixture[str], precision: str
) -> None:
    name = f"precision-{precision}"
    code, output = train(name, f"trainer.precision={precision}", "trainer.max_epochs=4", "data.num_workers=1")
    assert code == 0, output
    assert "Training on cuda" in output
    arguments = [f"run={name}", "trainer=cpu", "trainer.precision=32-true", f"hydra.run.dir=evaluate-{name}"]
    code, output = call("evaluate", *arguments, folder=place, capfd=capfd)
    assert code == 0, output
    gpu, cpu = (
        [float(row["dice"]) for row in csv.DictReader((place / where / "cases.csv").open())]
        for where in (name, f"evaluate-{name}")
    )
    assert gpu == pytest.approx(cpu, abs=0.02)


def test_trainer_gpu_compiles_its_steps(place: Path) -> None:
    """Run in a process of its own: torch cannot compile the checks of annotations of this one."""
    small = [option for option in small_run(place / "scans", "recipe") if not option.startswith("trainer")]
    code, output = run(
        "train", *small, "trainer=gpu", "trainer.max_epochs=1", "trainer.enable_progress_bar=false", folder=place
    )
    assert code == 0, output
    assert "channels last, compiled" in output


def test_resumed_run_ends_with_the_same_weights(place: Path, train: Train) -> None:
    for name, epochs in (("whole", (3,)), ("halved", (1, 3))):
        for end in epochs:
            code, output = train(name, f"trainer.max_epochs={end}", "scheduler=constant", "trainer.deterministic=true")
            assert code == 0, output
    whole, halved = (
        torch.load(place / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("whole", "halved")
    )
    assert all(torch.equal(whole[key], halved[key]) for key in whole)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, torch.float32])
def test_every_loss_is_finite_at_full_size(loss: str, precision: torch.dtype) -> None:
    if loss == "deep_supervision":
        pytest.skip("takes a list of logits; tested on the processor")
    function = build(compose("train", [f"loss={loss}"]).loss)
    torch.manual_seed(0)
    labels = torch.zeros(2, 512, 512, dtype=torch.uint8, device="cuda")
    labels[:, 100:400, 100:400], labels[:, 200:220, 200:220] = 1, 2
    logits = (20 * torch.randn(2, 2, 512, 512, device="cuda")).to(precision).requires_grad_()
    target = multi_hot(labels)
    value = function(logits.float(), target)
    value.backward()
    assert value.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    alone = function(logits.detach().double().cpu(), target.double().cpu())
    assert value.item() == pytest.approx(alone.item(), rel=2e-3, abs=2e-4)


def test_distance_maps_return_to_the_device() -> None:
    target = torch.zeros(1, 2, 32, 32, device="cuda")
    target[:, :, 8:20, 8:20] = 1
    assert torch.allclose(signed_distance(target).cpu(), signed_distance(target.cpu()))


@pytest.mark.parametrize("options", [("augment=mixup",), ("test_losses=all",), ("inference.flips=true",)])
def test_options_work_on_the_gpu(train: Train, options: tuple[str, ...]) -> None:
    code, output = train("option-" + options[0].replace("=", "-").replace(".", "-"), *options)
    assert code == 0, output


@pytest.mark.parametrize("strategy", ["conservation", "conservation_weights", "gradual", "multitask", "self_taught"])
def test_strategies_work_on_the_gpu(place: Path, train: Train, strategy: str) -> None:
    if not (place / "source").exists():
        assert train("source")[0] == 0
    source = () if strategy == "self_taught" else ("finetune.source=source", "finetune.source_data=source")
    code, output = train(f"strategy-{strategy}", f"finetune={strategy}", *source)
    assert code == 0, output


@pytest.mark.parametrize("strategy", ["domain_adversarial", "pseudo_label"])
def test_strategies_with_a_target_work_on_the_gpu(place: Path, train: Train, strategy: str) -> None:
    if not (place / "source").exists():
        assert train("source")[0] == 0
    code, output = train(
        f"strategy-{strategy}", f"finetune={strategy}", "finetune.source=source", "finetune.target_root=unlabelled"
    )
    assert code == 0, output


def test_batches_are_pinned(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVER_CACHE", str(place / "cache"))
    cfg = compose("train", ["data=lits", f"data.root={place / 'scans'}", "data.size=32", "data.workers=0"])
    store = prepared(cfg.data)
    train, val, *test = store.labelled()
    split = Split((train,), (val,), tuple(test))
    data = SliceDataModule(store, split, build(cfg.augment), build(cfg.data.slices), seed=0)
    assert next(iter(data.train_dataloader()))["image"].is_pinned()


def test_weights_are_channels_last(place: Path, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    step = SegmentationTask.training_step

    def watched(self: SegmentationTask, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        weights = [p for p in self.network.parameters() if p.ndim == 4 and min(p.shape) > 1]
        seen.extend(p.is_contiguous(memory_format=torch.channels_last) for p in weights)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(SegmentationTask, "training_step", watched)
    assert train("side-by-side")[0] == 0
    assert seen
    assert all(seen)


def test_predictions_equal_those_of_the_cpu(
    place: Path, train: Train, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if not (place / "source").exists():
        assert train("source")[0] == 0
    masks = []
    for accelerator in ("gpu", "cpu"):
        arguments = [f"run={place / 'source'}", f"input={place / 'scans'}", f"output={tmp_path / accelerator}"]
        device = f"trainer.accelerator={accelerator}"
        code, output = call("predict", *arguments, device, "trainer.precision=32-true", folder=tmp_path, capfd=capfd)
        assert code == 0, output
        masks.append([np.asarray(nib.load(p).dataobj) for p in sorted((tmp_path / accelerator).glob("*.nii.gz"))])
    assert len(masks[0]) == 5
    assert np.mean([np.mean(a != b) for a, b in zip(*masks, strict=True)]) < 1e-3
