import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from lightning_liver.augment.mixing import mixup
from lightning_liver.augment.policy import none
from lightning_liver.data import sources
from lightning_liver.data.datamodule import SliceDataModule, SliceOptions
from lightning_liver.data.prepare import prepare
from lightning_liver.data.splits import Split
from lightning_liver.errors import LiverError
from lightning_liver.imageio.nifti import read_labels, read_volume
from lightning_liver.inference.label_maps import label_maps, multi_hot, to_grid, whole_slice_logits
from lightning_liver.inference.tta import FLIPS
from lightning_liver.losses.deep import deep_supervision
from lightning_liver.losses.distance import signed_distance
from lightning_liver.losses.distribution import bce
from lightning_liver.losses.region import dice
from lightning_liver.metrics import overlap
from lightning_liver.training.case_callbacks import LossesOfCases
from lightning_liver.training.schedules import constant
from lightning_liver.training.task import SegmentationTask, StepOutput
from lightning_liver.training.threshold_tuning import ThresholdTuning
from lightning_liver.types.tensors import Batch

OPTIONS = SliceOptions(
    window_hu=(-160, 240),
    standardise=False,
    size=32,
    context=0,
    slices_per_epoch=8,
    sampling={"tumour": 1.0, "liver": 1.0, "any": 1.0},
    batch_size=4,
    eval_batch_size=5,
    num_workers=0,
    val_slices=None,
    overfit=False,
)


class Thresholds(nn.Module):
    """Liver above 70 HU or from 20 to 60, tumour from 20 to 60: right but for the noise."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(100.0))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        hu = images[:, :1] * 400 - 160
        return self.scale * torch.cat((hu > 20, (hu > 20) & (hu < 60)), dim=1).float() - self.scale / 2


@pytest.fixture
def data(scans: Path, tmp_path: Path) -> SliceDataModule:
    cases = sources.lits(scans, patients=None)
    store = prepare(cases, store=tmp_path / "store", spacing_mm=2.0, workers=0, skip_bad=False)
    return SliceDataModule(store, Split(("20", "21"), ("22",), ("23", "24")), none(), OPTIONS, seed=0)


def task(network: nn.Module, **options: Any) -> SegmentationTask:
    return SegmentationTask(
        network,
        partial(dice, smooth=1.0, class_weights=None),
        terms={},
        optimizer=partial(torch.optim.SGD, lr=0.1),
        scheduler=partial(constant, warmup_steps=0),
        multiple=32,
        **options,
    )


def labels_of(module: SegmentationTask, batch: Batch) -> torch.Tensor:
    module.counts = overlap.empty(2)
    with torch.no_grad():
        return module.test_step(batch, 0)["labels"]


def trainer(**options: object) -> pl.Trainer:
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
    }
    return pl.Trainer(accelerator="cpu", **(quiet | options))


def test_test_scores_are_those_of_whole_volumes_on_the_native_grid(data: SliceDataModule, scans: Path) -> None:
    """Against set arithmetic on the label maps of a test step, and the masks as nibabel reads them."""
    module = task(Thresholds())
    scores = trainer().test(module, data, verbose=False)[0]
    expected: dict[str, list[float]] = {"liver": [], "tumour": []}
    common = {"liver": [0.0, 0.0], "tumour": [0.0, 0.0]}
    for name in ("23", "24"):
        scan = read_volume(scans / f"volume-{name}.nii.gz")
        truth = read_labels(scans / f"segmentation-{name}.nii.gz", scan)
        slices = [b for b in data.test_dataloader() if data.split.test[int(b["case"][0])] == name]
        predicted = torch.cat([labels_of(module, batch) for batch in slices]).numpy()
        assert predicted.shape == truth.shape == scan.hu.shape
        for structure, lowest in (("liver", 1), ("tumour", 2)):
            p, t = predicted >= lowest, truth >= lowest
            expected[structure].append(2 * np.sum(p & t) / (np.sum(p) + np.sum(t)))
            common[structure][0] += 2 * np.sum(p & t)
            common[structure][1] += np.sum(p) + np.sum(t)
    for structure, dices in expected.items():
        assert scores[f"test/{structure}/dice_per_case"] == pytest.approx(np.mean(dices), abs=1e-6)
        assert scores[f"test/{structure}/dice_global"] == pytest.approx(np.divide(*common[structure]), abs=1e-6)
    assert expected["liver"][0] > 0.8, "the thresholds do find the liver"


def test_batch_size_of_evaluation_changes_no_score(data: SliceDataModule) -> None:
    first = trainer().validate(task(Thresholds()), data, verbose=False)[0]
    data.options = replace(OPTIONS, eval_batch_size=2)
    second = trainer().validate(task(Thresholds()), data, verbose=False)[0]
    for name in first:
        if "dice" in name:
            assert first[name] == second[name]


def test_loss_gets_float32_under_half_precision(data: SliceDataModule) -> None:
    seen: list[torch.dtype] = []

    def watched(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        seen.append(logits.dtype)
        return dice(logits, target, smooth=1.0, class_weights=None)

    module = task(nn.Conv2d(1, 2, 1))
    module.loss = watched
    trainer(precision="bf16-mixed", max_epochs=1, limit_val_batches=0).fit(module, data)
    assert set(seen) == {torch.float32}


def test_a_blended_batch_costs_the_blend_of_both_losses(data: SliceDataModule) -> None:
    """Against the loss of both label maps, computed apart from the task."""
    data.augment = mixup(alpha=1.0, probability=1.0)
    module = task(nn.Conv2d(1, 2, 1))
    module.log = lambda *_, **__: None  # type: ignore[method-assign,assignment]
    for batch in data.train_dataloader():
        logits, share = module(batch["image"]), float(batch["share"][0])
        assert 0 < share < 1
        assert not torch.equal(batch["labels"], batch["partner_labels"])
        both = [dice(logits, multi_hot(batch[n]), smooth=1.0, class_weights=None) for n in ("labels", "partner_labels")]
        expected = share * both[0] + (1 - share) * both[1]
        torch.testing.assert_close(module.training_step(batch, 0), expected)


def test_flips_are_averaged_where_masks_are_made(data: SliceDataModule) -> None:
    """A network that shifts its answer to one side gives, averaged over mirror images, none to either."""

    class Shifted(Thresholds):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images).roll(3, dims=-1)

    still, shifted, mended = task(Thresholds()), task(Shifted()), task(Shifted(), flips=FLIPS)
    batch = next(iter(data.test_dataloader()))
    right = labels_of(still, batch)
    wrong = [int((labels_of(module, batch) != right).sum()) for module in (shifted, mended)]
    lopsided = [labels_of(module, batch).float().sum(0) for module in (still, shifted, mended)]
    assert 0 < wrong[1] < wrong[0]
    columns = torch.arange(right.shape[-1], dtype=torch.float)
    middle = [float((mask.sum(0) * columns).sum() / mask.sum()) for mask in lopsided]
    assert abs(middle[2] - middle[0]) < abs(middle[1] - middle[0]) / 2


def test_test_losses_are_those_of_each_case_on_the_native_grid(data: SliceDataModule) -> None:
    """Of a mean over pixels, batches weighed by their slices give the mean over the case's voxels."""
    maps: list[torch.Tensor] = []

    def far(logits: torch.Tensor, target: torch.Tensor, distance: torch.Tensor | None = None) -> torch.Tensor:
        assert distance is not None
        maps.append(distance)
        return distance.mean()

    module = task(Thresholds())
    losses = LossesOfCases({"bce": partial(bce, class_weights=None), "far": far})
    scores = trainer(callbacks=[losses]).test(module, data, verbose=False)[0]
    measured = losses.per_case()
    for case in range(2):
        batches = [batch for batch in data.test_dataloader() if int(batch["case"][0]) == case]
        assert len({len(batch["image"]) for batch in batches}) > 1, (
            "batches of unequal size show whether they are weighed"
        )
        voxels = []
        for batch in batches:
            with torch.no_grad():
                logits = to_grid(
                    whole_slice_logits(module, batch["image"], multiple=32), tuple(batch["grid"][0].tolist())
                )
            voxels.append(binary_cross_entropy_with_logits(logits, multi_hot(batch["labels"]), reduction="none"))
        assert measured["bce"][case] == pytest.approx(float(torch.cat(voxels).mean()), rel=1e-5)
    assert scores["test/loss/bce"] == pytest.approx(sum(measured["bce"]) / 2, rel=1e-6)
    torch.testing.assert_close(maps[0], signed_distance(multi_hot(next(iter(data.test_dataloader()))["labels"])))


class TwoLevels(nn.Conv2d):
    """Gives half the resolution too, when it trains."""

    def forward(self, images: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:  # type: ignore[override]
        fine = super().forward(images)
        return [nn.functional.avg_pool2d(fine, 2), fine] if self.training else fine


def test_networks_of_several_resolutions_are_supervised_at_each(data: SliceDataModule) -> None:
    module = task(TwoLevels(1, 2, 1))
    module.loss = partial(deep_supervision, loss=module.loss, decay=0.5)
    trainer(precision="bf16-mixed", max_epochs=1, limit_val_batches=1).fit(module, data)
    batch = next(iter(data.train_dataloader()))
    fine = module.eval()(batch["image"])
    both = module.compute_loss([0 * fine[..., ::2, ::2], fine], batch["labels"])
    assert both != module.compute_loss(fine, batch["labels"])


def test_while_training_a_choice_of_slices_validates_and_after_it_all(data: SliceDataModule) -> None:
    data.options = replace(data.options, val_slices=2)
    module, seen = task(nn.Conv2d(1, 2, 1)), list[int]()
    step = module.validation_step

    def counted(batch: Batch, batch_idx: int) -> StepOutput:
        seen.extend(batch["z"].tolist())
        return step(batch, batch_idx)

    module.validation_step = counted  # type: ignore[method-assign]
    whole = trainer(max_epochs=1, num_sanity_val_steps=0)
    whole.fit(module, data)
    cases = len(data.split.val)
    assert len(seen) == cases * max(2 // cases, 1)
    seen.clear()
    whole.validate(module, data)
    assert len(seen) == sum(data.store.cases[name].shape[0] for name in data.split.val)


def test_extra_terms_are_added_to_the_loss(data: SliceDataModule) -> None:
    module = task(nn.Conv2d(1, 2, 1))
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    batch = next(iter(data.train_dataloader()))
    plain = module.training_step(batch, 0).item()
    module.terms = {"weights": lambda task, batch, logits: task.network.weight.square().sum()}
    extra = module.network.weight.square().sum().item()
    assert module.training_step(batch, 0).item() == pytest.approx(plain + extra)


def test_thresholds_are_tuned_on_validation_cases_and_used_on_test_cases(data: SliceDataModule) -> None:
    """Probabilities of 0.3 inside and 0.2 outside: nothing is found at one half, all of it between the two."""

    class Unsure(Thresholds):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            inside = super().forward(images) > 0
            return torch.where(inside, -0.847, -1.386) + 0 * self.scale

    tuning = ThresholdTuning(None)
    module, whole = task(Unsure(), thresholds=tuning.used), trainer(callbacks=[tuning])
    assert whole.test(module, data, verbose=False)[0]["test/liver/dice_per_case"] == 0
    whole.validate(module, data, verbose=False)
    assert all(0.2 < threshold < 0.3 for threshold in tuning.tuned())
    assert whole.test(module, data, verbose=False)[0]["test/liver/dice_per_case"] > 0.8
    assert ThresholdTuning((0.4, 0.6)).used() == (0.4, 0.6)


def test_thresholds_are_not_tuned_while_training(data: SliceDataModule) -> None:
    tuning = ThresholdTuning(None)
    trainer(max_epochs=1, callbacks=[tuning], num_sanity_val_steps=0).fit(task(nn.Conv2d(1, 2, 1)), data)
    assert tuning.rows() == []


def test_diverging_stops_with_a_cure(data: SliceDataModule) -> None:
    module = task(nn.Conv2d(1, 2, 1))
    module.loss = lambda logits, target: logits.sum() * math.nan
    with pytest.raises(LiverError, match=r"optimizer\.lr"):
        trainer(max_epochs=1, limit_val_batches=0).fit(module, data)


def test_slices_of_odd_sizes_come_back_in_their_size() -> None:
    def network(images: torch.Tensor) -> torch.Tensor:
        assert images.shape[-1] % 32 == images.shape[-2] % 32 == 0
        return torch.cat((images, images), dim=1)

    images = torch.rand(2, 1, 45, 70)
    logits = whole_slice_logits(network, images, multiple=32)
    assert torch.equal(logits, torch.cat((images, images), dim=1))


def test_label_maps_and_multi_hot_are_each_others_inverse() -> None:
    labels = torch.randint(0, 3, (4, 8, 8)).to(torch.uint8)
    assert torch.equal(label_maps(multi_hot(labels) - 0.5), labels)


def test_going_to_a_finer_grid_keeps_the_place() -> None:
    """A ramp over the field of view stays that ramp: half a pixel of shift would show."""
    ramp = torch.arange(16.0).expand(1, 2, 16, 16)
    fine = to_grid(ramp, (32, 32))
    expected = (torch.arange(32) + 0.5) / 2 - 0.5
    torch.testing.assert_close(fine[0, 0, 5, 1:-1], expected[1:-1])


def test_optimizer_gets_only_what_trains(data: SliceDataModule) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 2, 1))
    network[0].requires_grad_(False)
    module = task(network)
    trainer(max_epochs=1, limit_val_batches=0).fit(module, data)
    trained = module.optimizers().param_groups[0]["params"]  # type: ignore[union-attr]
    assert len(trained) == 2
    assert all(p is q for p, q in zip(trained, network[1].parameters(), strict=True))
