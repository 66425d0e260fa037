"""Screening designs: many options at two levels each in about as many configurations as there are options.

Every two options of a design meet in all four combinations equally often, so that the effect of each can be told from
those of the others, as if the others had been averaged away. Effects that options only have together are not told.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool
from omegaconf import OmegaConf

from lightning_liver.config import typed
from lightning_liver.errors import LiverError

_PRIMES = (3, 7, 11, 19, 23, 31)  # that leave 3 when divided by 4: one configuration more than the prime

Overrides = list[str]


def plackett_burman(options: int) -> Bool[np.ndarray, "configuration option"]:
    """Whether each configuration has the second level of each of so many options; the last has the first of all.

    It is the smallest design that quadratic residues make; there are some with four configurations fewer.

    Raises:
        LiverError: more options than the largest design has.

    Source: Plackett & Burman 1946, doi:10.1093/biomet/33.4.305; made from quadratic residues as in Paley 1933,
    doi:10.1002/sapm1933121311.
    """
    prime = next((prime for prime in _PRIMES if prime >= options), None)
    if prime is None:
        raise LiverError(f"a design takes at most {_PRIMES[-1]} options, and here are {options}. Leave some out.")
    squares = {n * n % prime for n in range(prime)}
    first = [n in squares for n in range(prime)]
    rows = [[first[(column - row) % prime] for column in range(prime)] for row in range(prime)]
    return np.array([*rows, [False] * prime])[:, :options]


def configurations(factors: Mapping[str, Any]) -> list[Overrides]:
    """The overrides of each configuration.

    Args:
        factors: for each option its two levels.

    Raises:
        LiverError: no options, or one without two levels.
    """
    if not factors:
        raise LiverError("hydra/sweeper=design needs options: hydra.sweeper.factors={OPTION:[LEVEL,LEVEL],...}")
    levels = {option: _typed(option, given) for option, given in factors.items()}
    return [
        [f"{option}={both[second]}" for (option, both), second in zip(levels.items(), row, strict=True)]
        for row in plackett_burman(len(levels)).astype(int).tolist()
    ]


def jobs(factors: Mapping[str, Any], repeats: Sequence[Overrides]) -> Iterator[Overrides]:
    """The design once for each of the other overrides, so that a sweep cut short has whole designs.

    Raises:
        LiverError: see configurations; or an option is among the other overrides, too.
    """
    designed = configurations(factors)
    for others in repeats:
        if twice := sorted(set(factors) & {override.partition("=")[0] for override in others}):
            raise LiverError(f"{', '.join(twice)}: an option of the design cannot be set beside it")
        yield from ([*each, *others] for each in designed)


def _typed(option: str, given: Any) -> list[str]:
    """The levels as Hydra's command line has them; text, also that of a list, as it is."""
    levels = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    plain = OmegaConf.to_object(OmegaConf.create(levels))
    assert isinstance(plain, list)
    texts = [level if isinstance(level, str) else typed(level) for level in plain]
    if len(set(texts)) != 2 or len(texts) != 2:
        raise LiverError(f"hydra.sweeper.factors: {option} has the levels {', '.join(texts)}; a design takes two each")
    return texts
