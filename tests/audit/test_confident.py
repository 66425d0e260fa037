"""Confident learning against the formulas of the paper, written out for each voxel."""

import numpy as np
from numpy.random import default_rng

from lightning_liver.audit.confident import Confidence, class_probabilities, confident_classes


def draw(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Bytes of liver and tumour (cls, z, y, x), and labels."""
    rng = default_rng(seed)
    return rng.integers(0, 256, (2, 3, 4, 5), dtype=np.uint8), rng.integers(0, 3, (3, 4, 5), dtype=np.uint8)


def of_voxel(liver: int, tumour: int) -> list[float]:
    at_least = max(liver, tumour) / 255
    return [1 - at_least, at_least - tumour / 255, tumour / 255]


def test_thresholds_and_classes_are_those_of_the_paper() -> None:
    probabilities, labels = draw()
    voxels = [
        (of_voxel(int(liver), int(tumour)), int(label))
        for liver, tumour, label in zip(probabilities[0].flat, probabilities[1].flat, labels.flat, strict=True)
    ]
    own = [[p[n] for p, label in voxels if label == n] for n in range(3)]
    thresholds = [sum(values) / len(values) for values in own]
    expected = []
    for p, _ in voxels:
        reached = [n for n in range(3) if p[n] >= thresholds[n]]
        expected.append(max(reached, key=lambda n: p[n]) if reached else -1)
    found = Confidence.of(probabilities, labels).thresholds()
    np.testing.assert_allclose(found, thresholds, rtol=1e-5)
    sure = confident_classes(class_probabilities(probabilities), found)
    assert sure.ravel().tolist() == expected
    assert set(expected) == {0, 1, 2}


def test_confidence_adds_up_over_cases() -> None:
    (one, first), (two, second) = draw(1), draw(2)
    both = Confidence.of(np.concatenate((one, two), axis=1), np.concatenate((first, second)))
    added = Confidence.of(one, first) + Confidence.of(two, second)
    np.testing.assert_allclose(added.thresholds(), both.thresholds(), rtol=1e-6)


def test_no_voxel_is_confidently_of_a_class_that_no_label_has() -> None:
    probabilities, labels = draw()
    thresholds = Confidence.of(probabilities, labels.clip(0, 1)).thresholds()
    assert np.isinf(thresholds[2])
    assert 2 not in confident_classes(class_probabilities(probabilities), thresholds)


def test_a_network_that_is_always_sure_of_a_class_reaches_its_threshold() -> None:
    probabilities = np.full((2, 1, 1, 4), 200, np.uint8)
    probabilities[1] = 0
    labels = np.ones((1, 1, 4), np.uint8)
    thresholds = Confidence.of(probabilities, labels).thresholds()
    assert (confident_classes(class_probabilities(probabilities), thresholds) == 1).all()
    assert (confident_classes(class_probabilities(probabilities - 1), thresholds) == -1).all()
