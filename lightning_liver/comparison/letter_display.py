"""Compact letter display: configurations that share a letter are not told apart."""

from collections.abc import Iterable, Mapping, Sequence
from string import ascii_lowercase

import networkx as nx

from lightning_liver.comparison.statistics import Comparison


def letter_display(names: Sequence[str], pairs: Iterable[Comparison]) -> Mapping[str, str]:
    """Return letters for each configuration; two share a letter exactly if no test tells them apart.

    Args:
        names: best first; a is the letter of the best.
        pairs: all pairs, tested; a pair without a test is not told apart.

    Source: Piepho 2004, doi:10.1198/1061860043515. A letter is a maximal set without a pair that is told apart.
    """
    order = {name: place for place, name in enumerate(names)}
    apart = nx.Graph((pair.first, pair.second) for pair in pairs if pair.are_told_apart)
    apart.add_nodes_from(names)
    alike = nx.complement(apart)
    groups = sorted(sorted(order[name] for name in group) for group in nx.find_cliques(alike))
    return {name: "".join(_letter(n) for n, group in enumerate(groups) if order[name] in group) for name in names}


def _letter(n: int) -> str:
    """Return a to z, then a2 to z2 and so on."""
    turn, place = divmod(n, len(ascii_lowercase))
    return ascii_lowercase[place] + (str(turn + 1) if turn else "")
