"""Strategies of active learning: which candidates of a pool are asked for next.

Each function takes the pool, the number of candidates and a generator, which breaks ties, and returns a Query. Options
are keyword-only. `passes` are passes with dropout (Gal & Ghahramani 2016, arXiv:1506.02142), `members` the networks
trained in each round; the loop checks both before it trains.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import Field

from lightning_liver.active.pool import Features, Pool, Scores
from lightning_liver.inference.uncertainty import Kind
from lightning_liver.types.options import Count

Several = Annotated[int, Field(ge=2)]
Members = Literal["runs", "checkpoints"]


class Query(NamedTuple):
    """Positions of the chosen candidates, the first most wanted, and a score of each candidate; None without scores."""

    chosen: list[int]
    scores: Scores | None


def random(pool: Pool, count: int, rng: np.random.Generator) -> Query:
    """Choose at random: the baseline."""
    return Query(rng.permutation(len(pool.candidates))[:count].tolist(), None)


def entropy(pool: Pool, count: int, rng: np.random.Generator) -> Query:
    """Choose the highest mean entropy of the predicted probability.

    Source: Lewis & Gale 1994, arXiv:cmp-lg/9407020; Settles 2009, "Active Learning Literature Survey", section 3.1.
    """
    return _highest(pool.uncertainty("entropy"), count, rng)


def margin(pool: Pool, count: int, rng: np.random.Generator) -> Query:
    """Choose where the probabilities of the two answers are closest: the highest mean of 1 - |2p - 1|.

    Source: Scheffer et al. 2001, doi:10.1007/3-540-44816-0_31.
    """
    return _highest(pool.uncertainty("margin"), count, rng)


def variance(pool: Pool, count: int, rng: np.random.Generator, *, passes: Several) -> Query:
    """Choose the highest mean variance of the probability over passes with dropout.

    Source: Gal et al. 2017, arXiv:1703.02910; the strategy of MONAI's tutorial liver_tumor_al.
    """
    return _highest(pool.uncertainty("variance", passes=passes), count, rng)


def bald(pool: Pool, count: int, rng: np.random.Generator, *, passes: Several) -> Query:
    """Choose the highest mean mutual information of prediction and weights, over passes with dropout.

    Source: Houlsby et al. 2011, arXiv:1112.5745; Gal et al. 2017, arXiv:1703.02910.
    """
    return _highest(pool.uncertainty("mutual_information", passes=passes), count, rng)


def disagreement(pool: Pool, count: int, rng: np.random.Generator, *, members: Several, of: Members) -> Query:
    """Choose the highest mean mutual information over an ensemble: several runs, or the last checkpoints of one.

    The loop trains or keeps the members; the pool measures all of them.

    Source: Beluch et al. 2018, doi:10.1109/CVPR.2018.00976; of checkpoints: Huang et al. 2017, arXiv:1704.00109.
    """
    return _highest(pool.uncertainty("mutual_information"), count, rng)


def core_set(pool: Pool, count: int, rng: np.random.Generator, *, part: str) -> Query:
    """Choose the candidates that, with what is labelled, cover the features best: k-centre greedy.

    Each in turn is the one farthest from all that are labelled or chosen. The score is that distance before the first.

    Args:
        part: pattern of the part of the network whose outputs are the features.

    Source: Sener & Savarese 2018, arXiv:1708.00489.
    """
    features, labelled = pool.features(part)
    order = rng.permutation(len(features))
    nearest = _distances(features, labelled).min(axis=1) if len(labelled) else np.full(len(features), np.inf)
    scores = nearest.copy()
    chosen: list[int] = []
    for _ in range(min(count, len(features))):
        free = [i for i in order if i not in chosen]
        chosen.append(int(free[int(np.argmax(nearest[free]))]))
        nearest = np.minimum(nearest, _distances(features, features[chosen[-1:]])[:, 0])
    return Query(chosen, scores)


def suggestive(
    pool: Pool, count: int, rng: np.random.Generator, *, passes: Several, part: str, considered: Count
) -> Query:
    """Choose, among the most uncertain candidates, those that together represent the pool best.

    Greedily the one is taken that raises most the sum, over the pool, of the cosine similarity to the most similar
    candidate taken. The score is the uncertainty: the mean variance over passes with dropout.

    Args:
        considered: the most uncertain candidates, as a multiple of the number that is asked for.
        part: pattern of the part of the network whose outputs are the features.

    Source: Yang et al. 2017, arXiv:1706.04737, which takes the variance of an ensemble.
    """
    uncertainty = pool.uncertainty("variance", passes=passes)
    likely = _highest(uncertainty, considered * count, rng).chosen
    features, _ = pool.features(part)
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), np.finfo(float).tiny)
    similarity = unit @ unit[likely].T  # (pool, likely)
    covered = np.full(len(features), -1.0)
    chosen: list[int] = []
    for _ in range(min(count, len(likely))):
        gains = np.maximum(similarity, covered[:, None]).sum(axis=0)
        gains[chosen] = -np.inf
        chosen.append(int(np.argmax(gains)))  # of equal ones the more uncertain
        covered = np.maximum(covered, similarity[:, chosen[-1]])
    return Query([likely[i] for i in chosen], uncertainty)


SHOWN: Mapping[Callable[..., Query], Kind] = {  # the map that shows why a case is asked for; of the others, entropy
    margin: "margin",
    variance: "variance",
    bald: "mutual_information",
    disagreement: "mutual_information",
    suggestive: "variance",
}


def _highest(scores: Scores, count: int, rng: np.random.Generator) -> Query:
    """Choose the highest scores; equal ones in random order."""
    order = rng.permutation(len(scores))
    return Query(order[np.argsort(-scores[order], kind="stable")][:count].tolist(), scores)


def _distances(points: Features, others: Float[np.ndarray, "other channel"]) -> Float[np.ndarray, "candidate other"]:
    return np.linalg.norm(points[:, None] - others[None], axis=2)
