"""Damaged labels rank first among those that out-of-fold predictions doubt."""

from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn

from lightning_liver.audit import disagreement
from lightning_liver.audit.disagreement import OutOfFold, cross_validation, disagreements
from lightning_liver.audit.finding import Finding
from lightning_liver.data.slices import Normalization
from lightning_liver.errors import LiverError
from lightning_liver.inference.network import TrainedNetwork
from tests.audit.faults import MemoryStore, Scan, plain_scan


class ByHu(nn.Module):
    """Tells liver and tumour of plain_scan by their HU, as a network would that has learnt them well."""

    def forward(self, images: Float[Tensor, "batch one y x"]) -> Float[Tensor, "batch two y x"]:
        smooth = nn.functional.avg_pool2d(images, 5, 1, 2) * 400 - 160
        lowest = -nn.functional.max_pool2d(-smooth, 7, 1, 3)  # fat beside the liver's edge
        tumour = torch.minimum(85 - smooth, lowest - 52)
        return torch.cat((smooth - 52, tumour), dim=1) / 4


NETWORK = TrainedNetwork(ByHu(), Normalization((-160, 240), 0, 0.0, 1.0), None, 1)


def found(monkeypatch: pytest.MonkeyPatch, scans: dict[str, Scan], tested: tuple[str, ...]) -> list[Finding]:
    monkeypatch.setattr(disagreement, "_judge", lambda store, run, trust: OutOfFold(run, NETWORK, tested, False))
    return disagreements(MemoryStore(scans), [Path("run")], device=torch.device("cpu"))


def damaged() -> dict[str, Scan]:
    """Six scans: a tumour is not labelled in one, painted in one, and one liver is cut in half."""
    scans = {name: plain_scan() for name in ("whole", "also", "again", "erased", "painted", "half")}
    erased, painted, half = (scans[name] for name in ("erased", "painted", "half"))
    erased.labels[erased.labels == 2] = 1
    painted.labels[painted.ball(np.array((16, 33, 48)), 10)] = 2
    half.labels[:, :, :38] = 0
    return scans


def test_damaged_labels_rank_first(monkeypatch: pytest.MonkeyPatch) -> None:
    scans = damaged()
    first = {}
    for finding in found(monkeypatch, scans, tuple(scans)):
        first.setdefault(finding.kind, finding)
    assert {kind: finding.cases[0] for kind, finding in first.items()} == {
        "unlabelled_tumour": "erased",
        "doubted_tumour": "painted",
        "unlabelled_liver": "half",
        "doubted_case": "half",
    }
    assert first["doubted_tumour"].z == 16
    draw = first["unlabelled_tumour"].draw
    assert draw is not None
    assert (draw() == (204, 121, 167)).all(axis=-1).any()  # the contour of what is predicted


def test_cases_that_a_run_did_not_test_are_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    scans = damaged()
    findings = found(monkeypatch, scans, ("whole", "painted", "elsewhere"))
    assert {finding.cases for finding in findings} == {("painted",)}


def test_a_run_whose_test_cases_are_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LiverError, match=r"run=run: expected test cases with a mask in data\.root"):
        found(monkeypatch, {"whole": plain_scan()}, ("elsewhere",))


def test_a_cross_validation_is_its_complete_runs(tmp_path: Path) -> None:
    with pytest.raises(LiverError, match="expected a run folder, or that of a finished cross-validation"):
        cross_validation(tmp_path)
    for name in ("fold0", "fold1", "begun"):
        (tmp_path / name / ".hydra").mkdir(parents=True)
        (tmp_path / name / ".hydra" / "config.yaml").touch()
        if name != "begun":
            (tmp_path / name / "metrics.json").touch()
    assert [run.name for run in cross_validation(tmp_path)] == ["fold0", "fold1"]
    assert cross_validation(tmp_path / "begun") == [tmp_path / "begun"]
