"""Slow reference implementations of surface distances, components and matching."""

from itertools import product

import numpy as np

Place = tuple[int, int, int]

FACES = [step for step in product((-1, 0, 1), repeat=3) if sum(map(abs, step)) == 1]
EDGES = [step for step in product((-1, 0, 1), repeat=3) if 1 <= sum(map(abs, step)) <= 2]


def places(mask: np.ndarray) -> set[Place]:
    return {tuple(map(int, place)) for place in np.argwhere(mask)}


def beside(place: Place, step: Place) -> Place:
    return place[0] + step[0], place[1] + step[1], place[2] + step[2]


def surface(mask: np.ndarray, steps: list[Place], *, goes_on: bool) -> list[Place]:
    """Return voxels with a neighbour outside the mask."""
    mine = places(mask)
    held = [set(range(n)) for n in mask.shape]

    def outside(place: Place) -> bool:
        is_held = all(n in axis for n, axis in zip(place, held, strict=True))
        return place not in mine and (is_held or not goes_on)

    return sorted(place for place in mine if any(outside(beside(place, step)) for step in steps))


def distances(start: list[Place], target: list[Place], spacing_mm: tuple[float, ...]) -> list[float]:
    return [min(np.hypot.reduce((np.array(a) - b) * spacing_mm) for b in np.array(target)) for a in start]


def parts(mask: np.ndarray) -> list[set[Place]]:
    """Find components by flood filling, in the order of their first voxels in the array."""
    left, found = places(mask), []
    for seed in sorted(left):
        if seed not in left:
            continue
        part, front = {seed}, [seed]
        while front:
            near = {beside(front[-1], step) for step in FACES} & left - part
            front = [*front[:-1], *near]
            part |= near
        left -= part
        found.append(part)
    return found


def longest_mm(part: set[Place], spacing_mm: tuple[float, float, float]) -> float:
    """Return the longest distance between two corners of pixels of one slice."""
    corners = [
        (z, (y + dy) * spacing_mm[1], (x + dx) * spacing_mm[2]) for z, y, x in part for dy in (0, 1) for dx in (0, 1)
    ]
    return max(np.hypot(a[1] - b[1], a[2] - b[2]) for a in corners for b in corners if a[0] == b[0])


def counted(predicted: list[set[Place]], reference: list[set[Place]], threshold: float) -> tuple[int, int, int]:
    """Count true positive, false positive, false negative by sets of voxels, as the corrected mode defines them."""
    owner = {
        g: max(range(len(predicted)), key=lambda p: len(predicted[p] & reference[g]))
        for g in range(len(reference))
        if predicted
    }
    owner = {g: p for g, p in owner.items() if predicted[p] & reference[g]}
    merged = [[g for g, owned in owner.items() if owned == p] for p in sorted(set(owner.values()))]
    merged.sort()
    unions = [set().union(*(reference[g] for g in group)) for group in merged]
    matches: dict[int, list[int]] = {}
    for p, part in enumerate(predicted):
        shared = [len(part & union) for union in unions]
        if any(shared):
            matches.setdefault(shared.index(max(shared)), []).append(p)
    tp, hits = 0, 0
    for n, members in matches.items():
        both = set().union(*(predicted[p] for p in members))
        if len(both & unions[n]) / len(both | unions[n]) > threshold:
            tp, hits = tp + len(merged[n]), hits + len(members)
    return tp, len(predicted) - hits, len(reference) - tp
