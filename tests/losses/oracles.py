"""Formulas of the docstrings in float64, one class and one pixel at a time."""

import math
from collections.abc import Callable

import numpy as np

Array = np.ndarray
Oracle = Callable[..., float]

FLOOR = 1e-7


def of_classes(one: Callable[..., float]) -> Oracle:
    """Return the mean over classes of a loss of logits and truth (batch, height, width)."""

    def mean(logits: Array, target: Array, **options: object) -> float:
        costs = []
        for c in range(logits.shape[1]):
            own = {name: value[c] if isinstance(value, list) else value for name, value in options.items()}
            costs.append(one(logits[:, c], target[:, c], **own))
        return math.fsum(costs) / len(costs)

    return mean


def probability(logits: Array) -> Array:
    return 1 / (1 + np.exp(-logits))


def pixels(logits: Array, target: Array, cost: Callable[[float, float], float]) -> float:
    costs = [cost(p, y) for p, y in zip(probability(logits).ravel(), target.ravel(), strict=True)]
    return math.fsum(costs) / len(costs)


def entropy(p: float, y: float) -> float:
    return -math.log(p) if y == 1 else -math.log(1 - p)


def raised(cost: float, exponent: float) -> float:
    return (cost + FLOOR) ** exponent - FLOOR**exponent


@of_classes
def bce(logits: Array, target: Array) -> float:
    return pixels(logits, target, entropy)


@of_classes
def weighted_bce(logits: Array, target: Array, *, positive_weights: float) -> float:
    return pixels(logits, target, lambda p, y: (positive_weights if y else 1) * entropy(p, y))


@of_classes
def balanced_bce(logits: Array, target: Array) -> float:
    negatives = np.sum(target == 0) / target.size
    return pixels(logits, target, lambda p, y: (negatives if y else 1 - negatives) * entropy(p, y))


@of_classes
def focal(logits: Array, target: Array, *, gamma: float, alpha: float, balanced: bool) -> float:
    def cost(p: float, y: float) -> float:
        weight = alpha if y or not balanced else 1 - alpha
        return weight * (1 - (p if y else 1 - p)) ** gamma * entropy(p, y)

    return pixels(logits, target, cost)


def one_dice(logits: Array, target: Array, smooth: float) -> float:
    p = probability(logits)
    return 1 - (2 * np.sum(p * target) + smooth) / (np.sum(target**2) + np.sum(p**2) + smooth)


def one_tversky(p: Array, target: Array, alpha: float, beta: float, smooth: float) -> float:
    right, invented, missed = np.sum(target * p), np.sum((1 - target) * p), np.sum(target * (1 - p))
    return 1 - (right + smooth) / (right + alpha * invented + beta * missed + smooth)


@of_classes
def dice(logits: Array, target: Array, *, smooth: float) -> float:
    return one_dice(logits, target, smooth)


@of_classes
def log_cosh_dice(logits: Array, target: Array, *, smooth: float) -> float:
    return math.log(math.cosh(one_dice(logits, target, smooth)))


@of_classes
def tversky(logits: Array, target: Array, *, alpha: float, beta: float, smooth: float) -> float:
    return one_tversky(probability(logits), target, alpha, beta, smooth)


@of_classes
def focal_tversky(logits: Array, target: Array, *, gamma: float, alpha: float, beta: float, smooth: float) -> float:
    return raised(one_tversky(probability(logits), target, alpha, beta, smooth), 1 / gamma)


@of_classes
def sensitivity_specificity(logits: Array, target: Array, *, ratio: float, smooth: float) -> float:
    errors = (target - probability(logits)) ** 2
    missed = np.sum(errors[target == 1]) / (np.sum(target == 1) + smooth)
    invented = np.sum(errors[target == 0]) / (np.sum(target == 0) + smooth)
    return ratio * missed + (1 - ratio) * invented


@of_classes
def generalised_dice(logits: Array, target: Array) -> float:
    p = probability(logits)
    overlap = total = 0.0
    for truth, guess in ((target, p), (1 - target, 1 - p)):
        weight = 1 / (np.sum(truth) or target.size) ** 2
        overlap += weight * np.sum(truth * guess)
        total += weight * np.sum(truth + guess)
    return 1 - 2 * overlap / total


@of_classes
def lovasz_hinge(logits: Array, target: Array) -> float:
    """Return the Choquet integral of the Jaccard loss over thresholds of the error."""
    errors = np.maximum(0, 1 - (2 * target - 1) * logits)
    cost = below = 0.0
    for level in np.unique(errors[errors > 0]):
        wrong = errors >= level
        cost += (level - below) * np.sum(wrong) / np.sum(wrong | (target == 1))
        below = level
    return cost


def dice_bce(logits: Array, target: Array, *, dice_weight: float, bce_weight: float, smooth: float) -> float:
    return dice_weight * dice(logits, target, smooth=smooth) + bce_weight * bce(logits, target)


def dice_focal(
    logits: Array, target: Array, *, dice_weight: float, focal_weight: float, smooth: float, **options: float
) -> float:
    return dice_weight * dice(logits, target, smooth=smooth) + focal_weight * focal(logits, target, **options)


@of_classes
def combo(logits: Array, target: Array, *, alpha: float, beta: float, smooth: float) -> float:
    crossed = pixels(logits, target, lambda p, y: (beta if y else 1 - beta) * entropy(p, y))
    return alpha * crossed + (1 - alpha) * one_dice(logits, target, smooth)


@of_classes
def exponential_logarithmic(
    logits: Array, target: Array, *, dice_weight: float, bce_weight: float, gamma: float, smooth: float
) -> float:
    overlap = raised(-math.log(1 - one_dice(logits, target, smooth)), gamma)
    rarity = {y: math.sqrt(target.size / max(np.sum(target == y), 1)) for y in (0, 1)}
    crossed = pixels(logits, target, lambda p, y: rarity[int(y)] * raised(entropy(p, y), gamma))
    return dice_weight * overlap + bce_weight * crossed


@of_classes
def asymmetric_unified_focal(
    logits: Array, target: Array, *, weight: float, delta: float, gamma: float, smooth: float
) -> float:
    p = probability(logits)
    crossed = pixels(logits, target, lambda p, y: (delta if y else (1 - delta) * p**gamma) * entropy(p, y))
    foreground = raised(one_tversky(p, target, 1 - delta, delta, smooth), 1 - gamma)
    background = one_tversky(1 - p, 1 - target, 1 - delta, delta, smooth)
    return weight * crossed / 2 + (1 - weight) * (foreground + background) / 2
