"""Oracles of boundary and structural losses: distances by trying all pixels, windows and erosions by loops."""

import math
from collections.abc import Iterator

import numpy as np

from tests.losses.oracles import Array, entropy, of_classes, one_dice, probability


def signed(mask: Array) -> Array:
    """Return the distance of each pixel of one slice to the nearest of the other side; 1 where there is none."""
    places = list(np.ndindex(*mask.shape))
    distance = np.ones(mask.shape)
    for place in places:
        others = [math.dist(place, other) for other in places if mask[other] != mask[place]]
        distance[place] = min(others, default=1.0) * (-1 if mask[place] else 1)
    return distance


def around(image: Array, place: tuple[int, int], steps: list[tuple[int, int]]) -> Iterator[float]:
    for row, column in steps:
        y, x = place[0] + row, place[1] + column
        if 0 <= y < image.shape[0] and 0 <= x < image.shape[1]:
            yield image[y, x]


CROSS = [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)]
SQUARE = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)]


def each(image: Array, change: object) -> Array:
    changed = np.empty(image.shape)
    for place in np.ndindex(*image.shape):
        changed[place] = change(place)  # type: ignore[operator]
    return changed


def erode(image: Array) -> Array:
    return each(image, lambda place: min(around(image, place, CROSS)))


def dilate(image: Array) -> Array:
    return each(image, lambda place: max(around(image, place, SQUARE)))


def costs(logits: Array, target: Array) -> Array:
    p = probability(logits)
    return np.array([entropy(a, b) for a, b in zip(p.ravel(), target.ravel(), strict=True)]).reshape(p.shape)


@of_classes
def distance_bce(logits: Array, target: Array) -> float:
    weights = np.ones(target.shape)
    for slice_weights, truth in zip(weights, target, strict=True):
        distance = np.abs(signed(truth))
        for side in (0, 1):
            here = truth == side
            if here.any() and not here.all():
                farthest = distance[here].max()
                nearness = (farthest - distance[here]) / (farthest - 1) if farthest > 1 else 1.0
                slice_weights[here] += nearness
    return float(np.mean(weights * costs(logits, target)))


@of_classes
def boundary(logits: Array, target: Array) -> float:
    maps = np.stack([signed(truth) for truth in target])
    return float(np.mean(maps * probability(logits)) - np.mean(maps * target))


@of_classes
def hausdorff(logits: Array, target: Array, *, alpha: float) -> float:
    p = probability(logits)
    prices = [np.abs(signed(y)) ** alpha + np.abs(signed(q > 0.5)) ** alpha for y, q in zip(target, p, strict=True)]
    return float(np.mean((target - p) ** 2 * np.stack(prices)))


@of_classes
def shape_aware(logits: Array, target: Array) -> float:
    weights = np.ones(target.shape)
    for slice_weights, truth, logit in zip(weights, target, logits, strict=True):
        predicted = (logit > 0).astype(float)
        apart = contours_apart(predicted, truth)
        slice_weights[predicted != truth] += apart
    return float(np.mean(weights * costs(logits, target)))


def contours_apart(predicted: Array, truth: Array) -> float:
    contour = np.argwhere(predicted - erode(predicted))
    if not len(contour) or truth.min() == truth.max():
        return 1.0
    distance = signed(truth)
    apart = [distance[tuple(place)] for place in contour]
    return float(np.mean([d if d > 0 else -d - 1 for d in apart]))


@of_classes
def structural_similarity(
    logits: Array, target: Array, *, bce_weight: float, window: int, sigma: float, beta: float, weights_of: Array
) -> float:
    errors = np.stack(
        [
            np.abs(standardised(y, window, sigma) - standardised(q, window, sigma))
            for y, q in zip(target, probability(weights_of), strict=True)
        ]
    )
    counted = errors > beta * errors.max()
    hard = np.sum((errors * costs(logits, target))[counted]) / max(np.sum(counted), 1)
    return bce_weight * float(np.mean(costs(logits, target))) + (1 - bce_weight) * hard


def standardised(image: Array, window: int, sigma: float) -> Array:
    half = window // 2
    steps = [(row, column) for row in range(-half, half + 1) for column in range(-half, half + 1)]
    weights = np.array([math.exp(-(row**2 + column**2) / (2 * sigma**2)) for row, column in steps])
    weights /= weights.sum()
    wide = np.pad(image, half, mode="edge")

    def value(place: tuple[int, int]) -> float:
        patch = np.array([wide[place[0] + half + row, place[1] + half + column] for row, column in steps])
        mean = np.sum(weights * patch)
        deviation = math.sqrt(np.sum(weights * (patch - mean) ** 2))
        return (image[place] - mean + 0.01) / (deviation + 0.01)

    return each(image, value)


@of_classes
def cldice(logits: Array, target: Array, *, alpha: float, iterations: int, smooth: float) -> float:
    p = probability(logits)
    lines_p, lines_y = (np.stack([skeleton(image, iterations) for image in images]) for images in (p, target))
    precision = (np.sum(lines_p * target) + smooth) / (np.sum(lines_p) + smooth)
    sensitivity = (np.sum(lines_y * p) + smooth) / (np.sum(lines_y) + smooth)
    broken = 1 - 2 * precision * sensitivity / (precision + sensitivity)
    return (1 - alpha) * one_dice(logits, target, smooth) + alpha * broken


def skeleton(image: Array, iterations: int) -> Array:
    """Compute algorithm 1 of the paper."""
    found = np.maximum(image - dilate(erode(image)), 0)
    for _ in range(iterations):
        image = erode(image)
        found = found + (1 - found) * np.maximum(image - dilate(erode(image)), 0)
    return found
