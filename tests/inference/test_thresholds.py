import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_liver.inference import thresholds
from lightning_liver.inference.label_maps import label_maps, multi_hot
from lightning_liver.metrics import overlap

EDGES = [k / thresholds.BINS for k in (1, 13, 64, 100, 127)]


def slices(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, labels and cases of slices: four of two cases, the second without tumour."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (4, 6, 5), generator=generator, dtype=torch.uint8)
    labels[2:].clamp_(max=1)
    logits = 2 * torch.randn(4, 2, 6, 5, generator=generator) + 2 * multi_hot(labels) - 1
    return logits, labels, torch.tensor([0, 0, 1, 1])


def table_of(seed: int) -> torch.Tensor:
    logits, labels, cases = slices(seed)
    table = thresholds.empty(2)
    thresholds.update(table, cases[:1], logits[:1], labels[:1])
    thresholds.update(table, cases[1:], logits[1:], labels[1:])
    return table


@settings(max_examples=25)
@given(st.integers(0, 1000), st.sampled_from(EDGES), st.sampled_from(EDGES))
def test_dice_at_an_edge_equals_that_of_the_label_maps(seed: int, liver: float, tumour: float) -> None:
    logits, labels, cases = slices(seed)
    table, predicted = table_of(seed), label_maps(logits, (liver, tumour))
    counted = overlap.empty(2)
    overlap.update(counted, cases, predicted, labels)
    expected = overlap.dice(counted)
    at = [round(edge * thresholds.BINS) - 1 for edge in (liver, tumour)]
    assert torch.equal(thresholds.liver_dice(table, tumour)[:, at[0]], expected[:, 0])
    assert torch.equal(thresholds.tumour_dice(table)[:, at[1]], expected[:, 1])
    means = thresholds.mean_dice(table, (liver, tumour))
    assert list(means.values()) == pytest.approx(expected.mean(dim=0).tolist())


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_no_other_threshold_is_better(seed: int) -> None:
    table = table_of(seed)
    liver, tumour = thresholds.best(table)
    reached = thresholds.mean_dice(table, (liver, tumour))
    assert reached["tumour"] >= float(thresholds.tumour_dice(table).mean(dim=0).max()) - 1e-9
    assert reached["liver"] >= float(thresholds.liver_dice(table, tumour).mean(dim=0).max()) - 1e-9


def test_the_middle_of_equally_good_thresholds_is_chosen() -> None:
    logits = torch.logit(torch.tensor([0.25, 0.75])).reshape(1, 1, 1, 2).repeat(1, 2, 1, 1)
    table = thresholds.empty(1)
    thresholds.update(table, torch.tensor([0]), logits, torch.tensor([[[0, 2]]], dtype=torch.uint8))
    assert thresholds.best(table)[1] == pytest.approx(0.5, abs=0.01)


def test_thresholds_are_one_half_without_cases_or_evidence() -> None:
    assert thresholds.best(thresholds.empty(0)) == thresholds.HALF
    assert thresholds.best(thresholds.empty(3)) == thresholds.HALF


def test_one_half_labels_as_the_sign_of_the_logit_does() -> None:
    logits = torch.randn(2, 2, 9, 9)
    logits[0, 0, 0] = 0
    liver, tumour = logits[:, 0] > 0, logits[:, 1] > 0
    assert torch.equal(label_maps(logits), torch.where(tumour, 2, liver.to(torch.uint8)).to(torch.uint8))
