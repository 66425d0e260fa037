"""Options of hydra/sweeper=optuna and hydra/sweeper=fair, checked before anything runs."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

from optuna.samplers import BaseSampler
from pydantic import AfterValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from lightning_liver.build import build
from lightning_liver.errors import LiverError, explain
from lightning_liver.sweep.study import Direction
from lightning_liver.types.options import Count, Seed


def _is_dice(metric: str) -> str:
    if not (metric.startswith("val/") and "dice" in metric):
        raise ValueError(
            "expected a Dice of validation cases, which no loss is favoured by; give val/mean/dice_per_case"
        )
    return metric


@dataclass(frozen=True, config=ConfigDict(extra="forbid"), kw_only=True)
class TrialOptions:
    """Options of trials; conf/hydra/sweeper/optuna.yaml explains them."""

    metric: Annotated[str, Field(pattern="^val/")]  # selection by test scores would bias them
    seed: Seed
    pruner: Any


@dataclass(frozen=True, config=ConfigDict(extra="forbid"), kw_only=True)
class SearchOptions(TrialOptions):
    """Options of a search; conf/hydra/sweeper/optuna.yaml explains them."""

    n_trials: Count
    n_jobs: Count
    direction: Direction
    sampler: Any


@dataclass(frozen=True, config=ConfigDict(extra="forbid"), kw_only=True)
class FairOptions(TrialOptions):
    """Options of a fair comparison; conf/hydra/sweeper/fair.yaml explains them."""

    trials: Count
    metric: Annotated[str, AfterValidator(_is_dice)]
    params: dict[str, Any] | None


_Options = TypeVar("_Options", bound=TrialOptions)


def check_options(kind: type[_Options], given: Mapping[str, Any]) -> _Options:
    """Check the options of a sweeper.

    Raises:
        LiverError: one of them is wrong or unknown.
    """
    try:
        return kind(**given)
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


def check_pruner(options: TrialOptions) -> None:
    """Build the pruner once before the trials build it.

    Raises:
        LiverError: it cannot be built.
    """
    if options.pruner is not None:
        build(options.pruner)
