"""Slices of a target without masks, drawn in the proportions of labelled ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lightning_liver.data.sampling import Companion, Pools
from lightning_liver.data.store import CaseRecord, Store
from lightning_liver.training.target_slices import at_liver_height

EMPTY = CaseRecord(
    name="0",
    patient="0",
    volume="",
    labels=None,
    shape=(10, 4, 4),
    spacing_mm=(5.0, 1.0, 1.0),
    native_shape=(10, 4, 4),
    native_spacing_mm=(5.0, 1.0, 1.0),
    affine=[],
    liver_pixels=[],
    tumour_pixels=[],
    has_tumour=False,
    hu_counts=[],
    fingerprint={},
)


def record(name: str, depth: int, liver: range | None = None) -> CaseRecord:
    pixels = [] if liver is None else [int(z in liver) for z in range(depth)]
    return replace(EMPTY, name=name, shape=(depth, 4, 4), liver_pixels=pixels, labels=None if liver is None else "mask")


def test_without_a_network_slices_count_by_their_relative_height() -> None:
    """Liver in the upper half of a scan of 10 slices; the target's slices are thinner."""
    found = at_liver_height([record("a", 10, range(5, 10))], [record("t", 40)])
    assert list(found) == ["t"]
    assert (found["t"].min(), found["t"].max()) == (23, 36)  # heights 0.57 to 0.93, without 5 % of slices at both ends
    assert at_liver_height([record("a", 10, range(0))], [record("t", 40)]) == {}


@pytest.mark.parametrize("weights", [{"tumour": 0.34, "liver": 0.33, "any": 0.33}, {"tumour": 0, "liver": 1, "any": 3}])
def test_a_companion_is_drawn_by_the_weights_of_training(weights: dict[str, float]) -> None:
    shown = {"t": np.arange(20, 30)}  # a tenth of the slices
    pools = Pools({"tumour": shown, "liver": shown, "any": {"t": np.arange(100)}})
    companion = Companion(Store(Path(), {}), pools, weights)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    drawn = np.array([companion.draw(rng)[1] for _ in range(4000)])
    shares = {kind: weight / sum(weights.values()) for kind, weight in weights.items()}
    expected = shares["tumour"] + shares["liver"] + shares["any"] / 10
    assert np.isin(drawn, shown["t"]).mean() == pytest.approx(expected, abs=0.03)


def test_a_companion_without_slices_of_a_kind_draws_the_others() -> None:
    pools = Pools({"tumour": {}, "liver": {}, "any": {"t": np.arange(3)}})
    companion = Companion(Store(Path(), {}), pools, {"tumour": 1.0, "liver": 1.0, "any": 1.0})
    assert {companion.draw(np.random.default_rng(n))[1] for n in range(30)} == {0, 1, 2}
