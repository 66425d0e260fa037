"""Candidates for pairs: the few scans whose spines look most alike in a compact code.

Comparing two codes takes a thousandth of the time of aligning two spines. Each case is aligned with a fixed number of
others, so that the time grows with the number of cases, not of pairs.
"""

import itertools
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32

from lightning_liver.audit.alignment import moved, rows, sliding
from lightning_liver.audit.spine import PATCH, Spine

NEIGHBOURS = 5  # candidates of each case
_EVERY = 2  # levels: 6 mm
_SHRINK = 4  # pixels: 12 mm
_SCALES = np.exp(np.linspace(-0.24, 0.24, 7)).tolist()  # as headers may be wrong
_DOWN = (-2.0, 0.0, 2.0)  # pixels, as the spine is found a little more to the front or back
_LARGEST = 0.99  # correlation, beyond which Fisher's z says nothing

Codes = Float32[np.ndarray, "_ _ d"]


def codes(spine: Spine, scales: list[float], down: tuple[float, ...]) -> Codes:
    """Return the codes of a spine, scaled and moved in plane; its mirror image has the same codes."""
    patches = spine.patches[::_EVERY].astype(np.float32)
    return np.stack([_code(moved(patches, scale, down=d)) for scale, d in itertools.product(scales, down)])


def _code(patches: Float32[np.ndarray, "z y x"]) -> Float32[np.ndarray, "z d"]:
    height, width = (edge // _SHRINK for edge in PATCH)
    whole = rows(patches, _SHRINK).reshape(-1, height, width)
    return ((whole + whole[:, :, ::-1]) / 2)[:, :, : width // 2].reshape(len(whole), -1)


def likeness(variants: Codes, other: Codes) -> float:
    """Return how alike two spines are at their best shift, given the codes of one and the one code of the other.

    This is Fisher's z in standard deviations: a correlation over few levels is more often high by chance.
    """
    scores, levels, _ = sliding(other[0], variants)
    return float((np.arctanh(scores.clip(-_LARGEST, _LARGEST)) * np.sqrt(levels)).max())


def candidates(spines: Mapping[str, Spine], others: Mapping[str, Spine] | None = None) -> set[tuple[str, str]]:
    """Return pairs of names to align: each case with the NEIGHBOURS others that are most like it.

    Args:
        spines: of the cases of a store.
        others: of another store; pairs are then between the two alone, the first of each from `spines`.
    """
    plain = {name: codes(spine, [1.0], (0.0,)) for name, spine in (spines if others is None else others).items()}
    likes: dict[str, dict[str, float]] = {name: {} for name in spines}
    for i, (name, spine) in enumerate(spines.items()):
        variants = codes(spine, _SCALES, _DOWN)
        for other in plain if others is not None else list(plain)[i + 1 :]:
            likes[name][other] = likeness(variants, plain[other])
    ranked: dict[tuple[bool, str], list[tuple[float, str, str]]] = {}
    for name, mine in likes.items():
        for other, like in mine.items():
            for case in ((True, name), (others is None, other)):  # each case of either store has its few
                ranked.setdefault(case, []).append((like, name, other))
    return {(name, other) for mine in ranked.values() for _, name, other in sorted(mine)[-NEIGHBOURS:]}
