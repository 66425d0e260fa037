"""hydra.sweeper.*: checked before anything runs."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from optuna.samplers import BaseSampler
from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from lightning_liver.build import build
from lightning_liver.errors import LiverError, explain
from lightning_liver.sweep.study import Direction
from lightning_liver.types import Count


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Options:
    """conf/hydra/sweeper/optuna.yaml says what each means."""

    n_trials: Count
    n_jobs: Count
    metric: Annotated[str, Field(pattern="^val/")]  # by test scores one may not choose
    direction: Direction
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    sampler: Any
    pruner: Any


def options_of(given: Mapping[str, Any]) -> Options:
    """The options as they were given.

    Raises:
        LiverError: one of them is wrong, or not known.
    """
    try:
        return Options(**given)
    except (ValidationError, TypeError) as error:
        told = explain(error, "hydra.sweeper") if isinstance(error, ValidationError) else f"hydra.sweeper: {error}"
        raise LiverError(told) from error


def sampler_of(options: Options) -> Callable[[int], BaseSampler]:
    """Makes a sampler from a seed.

    Raises:
        LiverError: it cannot be made.
    """
    made = build(options.sampler)
    try:
        made(seed=options.seed)
    except (TypeError, ValueError) as error:
        raise LiverError(f"hydra.sweeper.sampler: {error}; it needs _partial_: true and must take a seed") from error
    return lambda seed: made(seed=seed)


def check_pruner(options: Options) -> None:
    """It is built again where the trials run.

    Raises:
        LiverError: it cannot be made.
    """
    if options.pruner is not None:
        build(options.pruner)
