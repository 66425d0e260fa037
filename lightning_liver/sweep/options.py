"""Options of hydra/sweeper=optuna, checked before anything runs."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from optuna.samplers import BaseSampler
from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from lightning_liver.build import build
from lightning_liver.errors import LiverError, explain
from lightning_liver.sweep.study import Direction
from lightning_liver.types.options import Count, Seed


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class SearchOptions:
    """Options of a search; conf/hydra/sweeper/optuna.yaml explains them."""

    n_trials: Count
    n_jobs: Count
    metric: Annotated[str, Field(pattern="^val/")]  # selection by test scores would bias them
    direction: Direction
    seed: Seed
    sampler: Any
    pruner: Any


def check_options(given: Mapping[str, Any]) -> SearchOptions:
    """Check the options.

    Raises:
        LiverError: one of them is wrong or unknown.
    """
    try:
        return SearchOptions(**given)
    except (ValidationError, TypeError) as error:
        told = explain(error, "hydra.sweeper") if isinstance(error, ValidationError) else f"hydra.sweeper: {error}"
        raise LiverError(told) from error


def sampler_of(options: SearchOptions) -> Callable[[int], BaseSampler]:
    """Return a function that builds a sampler from a seed.

    Raises:
        LiverError: it cannot be built.
    """
    sampler = build(options.sampler)
    try:
        sampler(seed=options.seed)
    except (TypeError, ValueError) as error:
        raise LiverError(
            f"hydra.sweeper.sampler: {error}; give a sampler that takes a seed, with _partial_: true"
        ) from error
    return lambda seed: sampler(seed=seed)


def check_pruner(options: SearchOptions) -> None:
    """Build the pruner once before the trials build it.

    Raises:
        LiverError: it cannot be built.
    """
    if options.pruner is not None:
        build(options.pruner)
