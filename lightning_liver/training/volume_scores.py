"""Scores of whole volumes, put together from the slices of Lightning's steps: of test and of validation cases."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import UInt8
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.trainer.states import TrainerFn

from lightning_liver.data.datamodule import SliceDataModule
from lightning_liver.inference.decision import Gain
from lightning_liver.inference.postprocess import PostProcess
from lightning_liver.metrics.case_score import CaseScore, score_case
from lightning_liver.metrics.modes import mode_of
from lightning_liver.metrics.voxel_counts import count_voxels, dice
from lightning_liver.report.cases import ShownSlices, shown_slices
from lightning_liver.types import STRUCTURES
from lightning_liver.types.options import Millimetres, check
from lightning_liver.types.tensors import Batch

Labels = UInt8[np.ndarray, "z y x"]

# tried on validation cases, whatever the config says: each step alone, then all of them
TRIED = PostProcess(fill_holes=True, largest_liver=True, tumour_in_liver=True, min_tumour_mm3=20.0)


class VolumeBuilder:
    """Collects the predicted and true slices of cases, and returns a case as volumes (z, y, x) once it is complete."""

    def __init__(self, depths: Mapping[int, int]) -> None:
        self.depths = dict(depths)
        self._slices: dict[int, dict[int, tuple[np.ndarray, np.ndarray]]] = {}

    def add(self, batch: Batch, predicted: torch.Tensor) -> dict[int, tuple[Labels, Labels]]:
        """Add a batch; return prediction and truth of the cases that it completes, by their position."""
        slices = zip(predicted.cpu().numpy(), batch["labels"].cpu().numpy(), strict=True)
        places = zip(batch["case"].tolist(), batch["z"].tolist(), strict=True)
        for (case, z), pair in zip(places, slices, strict=True):
            self._slices.setdefault(case, {})[z] = pair
        whole = [case for case, of_case in self._slices.items() if len(of_case) == self.depths[case]]
        return {case: self._taken(case) for case in whole}

    def _taken(self, case: int) -> tuple[Labels, Labels]:
        of_case = self._slices.pop(case)
        predicted, truth = (np.stack([of_case[z][n] for z in range(len(of_case))]) for n in range(2))
        return predicted, truth


class VolumeScores(Callback):
    """Scores each test case on the scan's own grid, after post-processing.

    Args:
        mode, tolerance_mm: see metrics.case_score.score_case.

    Attributes:
        scores: score of each case by name.
        shown: slices of each case for its pictures.
    """

    def __init__(self, data: SliceDataModule, post_process: PostProcess, *, mode: str, tolerance_mm: float) -> None:
        self.cases = data.split.test
        self.records = [data.store.cases[name] for name in self.cases]
        self.post_process, self.mode, self.tolerance_mm = post_process, mode, tolerance_mm
        self.scores: dict[str, CaseScore] = {}
        self.shown: dict[str, ShownSlices] = {}
        self._builder = VolumeBuilder({})

    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.scores, self.shown = {}, {}
        self._builder = VolumeBuilder({c: record.native_shape[0] for c, record in enumerate(self.records)})

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        for case, (predicted, truth) in self._builder.add(batch, outputs["labels"]).items():
            record = self.records[case]
            predicted = self.post_process(predicted, record.native_spacing_mm)
            self.scores[self.cases[case]] = score_case(
                truth,
                predicted,
                spacing_mm=record.native_spacing_mm,
                mode=self.mode,
                tolerance_mm=self.tolerance_mm,
                affine=np.array(record.affine),
            )
            self.shown[self.cases[case]] = shown_slices(record, truth, predicted)


class PostprocessGains(Callback):
    """Mean Dice of validation cases with each step of post-processing alone, and with all, in `trainer.validate`.

    It is measured on the store's grid; while training this does nothing.
    """

    def __init__(self, data: SliceDataModule) -> None:
        self.records = [data.store.cases[name] for name in data.split.val]
        self._builder = VolumeBuilder({})
        self._dice: dict[str, list[tuple[float, ...]]] = {}

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._builder = VolumeBuilder({c: record.shape[0] for c, record in enumerate(self.records)})
        self._dice = {}

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        if trainer.state.fn != TrainerFn.VALIDATING:
            return
        for case, (predicted, truth) in self._builder.add(batch, outputs["labels"]).items():
            spacing_mm = self.records[case].spacing_mm
            steps = TRIED.steps()
            tried = {name: step(predicted, spacing_mm) for name, step in steps.items()}
            for name, labels in {**tried, "all of these": TRIED(predicted, spacing_mm)}.items():
                self._dice.setdefault(name, []).append(_dice(truth, labels))

    def rows(self) -> list[Gain]:
        """Return a row for each step."""
        means = {name: np.mean(dices, axis=0) for name, dices in self._dice.items()}
        return [{"what": name, "liver": float(mean[0]), "tumour": float(mean[1])} for name, mean in means.items()]


def check_scoring(*, mode: str, tolerance_mm: Any) -> None:
    """Refuse invalid scoring options before anything is trained.

    Raises:
        LiverError: there is no such mode, or the tolerance is not a distance.
    """
    mode_of(mode)
    check("scores.tolerance_mm", tolerance_mm, Millimetres)


def _dice(truth: Labels, predicted: Labels) -> tuple[float, ...]:
    return tuple(dice(count_voxels(truth > c, predicted > c)) for c in range(len(STRUCTURES)))
