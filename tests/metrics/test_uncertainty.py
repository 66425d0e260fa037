import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lightning_liver.errors import LiverError
from lightning_liver.metrics.uncertainty import aurc, auroc, best_aurc, empty, update

levels = st.sampled_from([0.0, 0.01, 0.1, 0.25, 0.5, 1.0])  # each in a bin of its own
voxels = st.lists(st.tuples(levels, st.booleans()), min_size=1, max_size=40)


def table(values: list[tuple[float, bool]]) -> torch.Tensor:
    made = empty()
    update(made, torch.tensor([value for value, _ in values]), torch.tensor([wrong for _, wrong in values]))
    return made


@settings(max_examples=30)
@given(values=voxels)
def test_auroc_is_the_probability_that_a_mistake_is_the_more_uncertain(values: list[tuple[float, bool]]) -> None:
    wrong, right = ([value for value, is_wrong in values if is_wrong == kind] for kind in (True, False))
    assume(wrong and right)
    wins = [(w > r) + (w == r) / 2 for w in wrong for r in right]
    assert auroc(table(values)) == pytest.approx(np.mean(wins))


@settings(max_examples=30)
@given(values=voxels)
def test_aurc_is_the_mean_risk_over_coverage(values: list[tuple[float, bool]]) -> None:
    """Sum over ten thousand coverages, each bin's mistakes spread evenly over it."""
    fine = 10000
    ordered = sorted({value for value, _ in values})
    risks = []
    for level in ordered:
        mine = [wrong for value, wrong in values if value == level]
        risks += [np.mean(mine)] * (fine * len(mine))
    risk = np.cumsum(risks) / np.arange(1, len(risks) + 1)
    assert aurc(table(values)) == pytest.approx(risk.mean(), abs=1e-3)


def test_a_perfect_uncertainty_is_the_best_and_a_constant_one_has_the_fraction_of_mistakes() -> None:
    perfect = table([(1.0, True)] * 20 + [(0.1, False)] * 80)
    constant = table([(0.3, True)] * 20 + [(0.3, False)] * 80)
    assert (auroc(perfect), auroc(constant)) == (1, 0.5)
    assert aurc(perfect) == pytest.approx(best_aurc(perfect))
    assert aurc(constant) == pytest.approx(0.2)


@settings(max_examples=30)
@given(values=voxels)
def test_nothing_is_better_than_the_best(values: list[tuple[float, bool]]) -> None:
    made = table(values)
    assert float(aurc(made) or 0) >= float(best_aurc(made) or 0) - 1e-12


@settings(max_examples=30)
@given(values=voxels, cut=st.integers(0, 40))
def test_tables_of_parts_add_up(values: list[tuple[float, bool]], cut: int) -> None:
    parts = [table(part) for part in (values[:cut], values[cut:]) if part]
    assert torch.equal(sum(parts), table(values))


def test_bins_are_finer_than_a_hundredth() -> None:
    rng = np.random.default_rng(0)
    values = 10 ** rng.uniform(-8, 0, 20000)
    wrong = rng.random(20000) < values**0.2
    order = np.argsort(values)
    ranks = np.empty(20000)
    ranks[order] = np.arange(20000)
    exact = (ranks[wrong].mean() - (wrong.sum() - 1) / 2) / (~wrong).sum()
    assert auroc(table(list(zip(values, wrong.tolist(), strict=True)))) == pytest.approx(exact, abs=1e-3)


def test_curves_without_right_or_wrong_voxels_are_undefined() -> None:
    assert auroc(table([(0.1, False)])) is None
    assert auroc(table([(0.1, True)])) is None
    assert aurc(empty()) is None
    assert best_aurc(empty()) is None


@pytest.mark.parametrize("value", [-0.1, float("nan")])
def test_negative_and_nan_uncertainties_are_refused(value: float) -> None:
    with pytest.raises(LiverError, match="expected uncertainties of 0 or more"):
        update(empty(), torch.tensor([value]), torch.tensor([True]))
