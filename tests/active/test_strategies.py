"""Strategies on pools whose answer is known."""

from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lightning_liver.active import strategies
from lightning_liver.active.pool import Candidate
from lightning_liver.config import folder

NAMES = sorted(path.stem for path in (folder() / "strategy").glob("*.yaml"))


class Known:
    """A pool of n candidates with given uncertainties and features."""

    def __init__(self, scores: Any, features: Any = None, labelled: Any = ()) -> None:
        self.candidates = [Candidate(str(n), (str(n),)) for n in range(len(scores))]
        self.scores = np.asarray(scores, float)
        points = np.eye(max(len(scores), 1))[: len(scores)] if features is None else features
        self.points = np.asarray(points, float)
        self.labelled = np.asarray(labelled, float).reshape(-1, self.points.shape[1] if len(self.points) else 1)
        self.asked: list[tuple[str, int]] = []

    def uncertainty(self, kind: str, *, passes: int = 0) -> np.ndarray:
        self.asked.append((kind, passes))
        return self.scores

    def features(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        return self.points, self.labelled


def of_yaml(name: str) -> Callable[..., strategies.Query]:
    options = yaml.safe_load((folder() / "strategy" / f"{name}.yaml").read_text())
    assert options.pop("_target_") == f"lightning_liver.active.strategies.{name}"
    assert options.pop("_partial_") is True
    return partial(getattr(strategies, name), **options)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", NAMES)
@given(
    scores=st.lists(st.floats(0, 1), max_size=12),
    count=st.integers(0, 15),
    seed=st.integers(0, 2**32 - 1),
)
def test_choices_are_distinct_repeatable_and_as_many_as_there_are(
    name: str, scores: list[float], count: int, seed: int
) -> None:
    features = np.random.default_rng(seed).normal(size=(len(scores), 3))
    pools = [Known(scores, features) for _ in range(2)]
    first, again = (of_yaml(name)(pool, count, rng(seed)) for pool in pools)
    assert first.chosen == again.chosen
    assert len(set(first.chosen)) == len(first.chosen) == min(count, len(scores))
    assert set(first.chosen) <= set(range(len(scores)))
    assert first.scores is None or len(first.scores) == len(scores)


@pytest.mark.parametrize(
    ("name", "kind", "passes"),
    [
        ("entropy", "entropy", 0),
        ("margin", "margin", 0),
        ("variance", "variance", 10),
        ("bald", "mutual_information", 10),
        ("disagreement", "mutual_information", 0),
    ],
)
def test_the_most_uncertain_come_first(name: str, kind: str, passes: int) -> None:
    pool = Known([0.1, 0.9, 0.4, 0.8])
    assert of_yaml(name)(pool, 3, rng()).chosen == [1, 3, 2]
    assert pool.asked == [(kind, passes)]


def test_equal_scores_are_taken_in_another_order_by_another_seed() -> None:
    orders = {tuple(of_yaml("entropy")(Known(np.ones(6)), 6, rng(seed)).chosen) for seed in range(20)}
    assert len(orders) > 10


def test_random_takes_each_equally_often() -> None:
    counts = np.zeros(5)
    for seed in range(2000):
        counts[of_yaml("random")(Known(np.ones(5)), 2, rng(seed)).chosen] += 1
    assert np.all(np.abs(counts / 2000 - 0.4) < 0.05)


def test_core_set_takes_what_is_farthest_from_all_labelled_and_chosen() -> None:
    line = [[0.0], [1.0], [5.0], [9.0], [10.0]]
    choice = strategies.core_set(Known(np.ones(5), line, [[0.5]]), 3, rng(), part="encoder.*")
    assert choice.chosen == [4, 2, 3]
    assert choice.scores is not None
    assert choice.scores.tolist() == [0.5, 0.5, 4.5, 8.5, 9.5]


def test_core_set_covers_within_twice_the_best_radius() -> None:
    """The guarantee of the greedy: at most twice the smallest radius, found here by trying every choice."""
    points = rng(3).normal(size=(9, 2))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    best = min(distances[:, list(chosen)].min(axis=1).max() for chosen in combinations(range(9), 3))
    for seed in range(10):
        chosen = strategies.core_set(Known(np.ones(9), points), 3, rng(seed), part="encoder.*").chosen
        assert distances[:, chosen].min(axis=1).max() <= 2 * best + 1e-9


def test_suggestive_takes_one_of_each_group_among_the_uncertain() -> None:
    """Two uncertain twins and an uncertain one that stands for half of the pool: one of the twins is left out."""
    features = [[1, 0], [1, 0], [0, 1], [0, 1], [0, 1]]
    pool = Known([0.9, 0.9, 0.7, 0.1, 0.1], features)
    chosen = strategies.suggestive(pool, 2, rng(), passes=10, part="encoder.*", considered=2).chosen
    assert chosen[0] == 2
    assert chosen[1] in (0, 1)
