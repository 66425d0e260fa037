"""Confident learning: labels that networks doubt which never saw them.

A voxel has a label and the probabilities of background, liver and tumour. The threshold of a class is its mean
probability over the voxels with its label, so that a network that is less sure of tumours needs less to be believed. A
label is doubted where the most probable of the classes that reach their thresholds is another one.

Own code: cleanlab (Apache-2.0 in version 2.9) takes the probabilities of all images, of one size, in one array, which
scans do not fit into, and brings pandas and scikit-learn for a few lines.

Source: Northcutt, Jiang and Chuang 2021, Confident Learning, arXiv:1911.00068, equations 1 and 2.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int8, Int64, UInt8

from lightning_liver.volume import LABELS

CLASSES = len(LABELS)  # background, liver, tumour

Probabilities = UInt8[np.ndarray, "cls z y x"]  # a byte for 0 to 1; liver including tumour, tumour
Labels = UInt8[np.ndarray, "z y x"]


class Confidence(NamedTuple):
    """Sum of the probability of each class over the voxels with its label, and their number; adds up over cases."""

    sums: Float64[np.ndarray, " cls"]
    voxels: Int64[np.ndarray, " cls"]

    @staticmethod
    def of(probabilities: Probabilities, labels: Labels) -> "Confidence":
        classes = class_probabilities(probabilities)
        chosen = [classes[n][labels == n] for n in range(CLASSES)]
        return Confidence(np.array([one.sum() for one in chosen], float), np.array([one.size for one in chosen]))

    def __add__(self, other: object) -> "Confidence":
        assert isinstance(other, Confidence)
        return Confidence(self.sums + other.sums, self.voxels + other.voxels)

    def thresholds(self) -> Float64[np.ndarray, " cls"]:
        """Return the mean of each class; of one without a voxel infinity, which nothing reaches."""
        return np.where(self.voxels > 0, self.sums / np.maximum(self.voxels, 1), np.inf)


def class_probabilities(probabilities: Probabilities) -> np.ndarray:
    """Return the probabilities of background, liver without tumour, and tumour, which add up to 1: (cls, z, y, x).

    The network's two are of liver including tumour and of tumour; where it says tumour alone, it means both.
    """
    liver, tumour = probabilities.astype(np.float32) / 255
    liver = np.maximum(liver, tumour)
    return np.stack((1 - liver, liver - tumour, tumour))


def confident_classes(classes: np.ndarray, thresholds: Float64[np.ndarray, " cls"]) -> Int8[np.ndarray, "z y x"]:
    """Return the class that is confidently present: of those that reach their thresholds the most probable; -1 if none.

    Args:
        classes: of class_probabilities.
    """
    limits = thresholds.reshape(-1, 1, 1, 1).astype(np.float32) - np.float32(1e-4)  # a mean of equal bytes is reached
    reached = np.where(classes >= limits, classes, -1)
    return np.where(reached.max(axis=0) >= 0, reached.argmax(axis=0), -1).astype(np.int8)
