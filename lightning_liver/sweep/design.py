"""Screening designs: many options at two levels each in about as many configurations as there are options.

Every two options of a design meet in all four combinations equally often, so that the effect of each can be separated
from those of the others, as if these had been averaged away. Interactions of options are not estimated.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool
from omegaconf import OmegaConf

from lightning_liver.config import typed
from lightning_liver.errors import LiverError

_PRIMES = (3, 7, 11, 19, 23, 31)  # 3 modulo 4; a design has one configuration more than its prime

Overrides = list[str]


def plackett_burman(options: int) -> Bool[np.ndarray, "configuration option"]:
    """Return a design: True where a configuration has an option's second level; the last one has only first levels.

    It is the smallest design made from quadratic residues; others have four configurations fewer.

    Raises:
        LiverError: more options than the largest design has.

    Source: Plackett & Burman 1946, doi:10.1093/biomet/33.4.305; made from quadratic residues as in Paley 1933,
    doi:10.1002/sapm1933121311.
    """
    prime = next((prime for prime in _PRIMES if prime >= options), None)
    if prime is None:
        raise LiverError(
            f"hydra.sweeper.factors: expected at most {_PRIMES[-1]} options, not {options}; leave some out"
        )
    squares = {n * n % prime for n in range(prime)}
    first = [n in squares for n in range(prime)]
    rows = [[first[(column - row) % prime] for column in range(prime)] for row in range(prime)]
    return np.array([*rows, [False] * prime])[:, :options]


def configurations(factors: Mapping[str, Any]) -> list[Overrides]:
    """Return the overrides of each configuration.

    Args:
        factors: the two levels of each option.

    Raises:
        LiverError: no options, or one without two levels.
    """
    if not factors:
        raise LiverError("hydra.sweeper.factors: expected the options of the design; give {OPTION:[LEVEL,LEVEL],...}")
    levels = {option: _typed(option, given) for option, given in factors.items()}
    return [
        [f"{option}={both[second]}" for (option, both), second in zip(levels.items(), row, strict=True)]
        for row in plackett_burman(len(levels)).astype(int).tolist()
    ]


def jobs(factors: Mapping[str, Any], repeats: Sequence[Overrides]) -> Iterator[Overrides]:
    """Yield the design once for each list of other overrides: an interrupted sweep then has whole designs.

    Raises:
        LiverError: see configurations; or an option of the design is among the other overrides.
    """
    designed = configurations(factors)
    for others in repeats:
        if twice := sorted(set(factors) & {override.partition("=")[0] for override in others}):
            raise LiverError(f"{', '.join(twice)}: an option of the design cannot be set beside it; leave it out")
        yield from ([*each, *others] for each in designed)


def _typed(option: str, given: Any) -> list[str]:
    """Return the levels as they are typed for Hydra; text, also that of a list, stays as it is."""
    levels = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    plain = OmegaConf.to_object(OmegaConf.create(levels))
    assert isinstance(plain, list)
    texts = [level if isinstance(level, str) else typed(level) for level in plain]
    if len(set(texts)) != 2 or len(texts) != 2:
        raise LiverError(
            f"hydra.sweeper.factors: {option} has the levels {', '.join(texts)}; expected two different ones"
        )
    return texts
