"""Small pairs of masks for all special cases of scoring, made of boxes, so that figures can be counted by hand."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from jaxtyping import UInt8

from lightning_liver.volume import from_canonical

Labels = UInt8[np.ndarray, "z y x"]
Box = tuple[int, int, int, int, int, int]  # from and to along z, y and x

SHAPE = (12, 24, 28)
SPACING_MM = (2.5, 0.75, 0.75)  # exact in a header's float32
LPS, RAS = np.diag((-0.75, -0.75, 2.5, 1.0)), np.diag((0.75, 0.75, 2.5, 1.0))
LIVER = (1, 11, 2, 20, 2, 26)


class Pair(NamedTuple):
    """Truth and prediction in canonical orientation, and the affine of their files."""

    truth: Labels
    prediction: Labels
    affine: np.ndarray = LPS


def labels(*, liver: Box | None, tumours: tuple[Box, ...] = ()) -> Labels:
    """Return a box of liver with boxes of tumour."""
    made = np.zeros(SHAPE, np.uint8)
    for label, boxes in ((1, (liver,) if liver else ()), (2, tumours)):
        for z0, z1, y0, y1, x0, x1 in boxes:
            made[z0:z1, y0:y1, x0:x1] = label
    return made


def scattered(seed: int, affine: np.ndarray) -> Pair:
    """Return many lesions that each touch several of the other mask, so that matches depend on their order."""
    rng = random.Random(seed)

    def boxes(count: int) -> Iterator[Box]:
        for _ in range(count):
            z, y, x = rng.randrange(1, 9), rng.randrange(2, 17), rng.randrange(2, 22)
            yield z, z + rng.randint(1, 2), y, y + rng.randint(1, 3), x, x + rng.randint(1, 4)

    truth, prediction = (labels(liver=LIVER, tumours=tuple(boxes(30))) for _ in range(2))
    return Pair(truth, prediction, affine)


PLAIN = Pair(
    labels(liver=LIVER, tumours=((3, 7, 5, 10, 5, 10), (3, 6, 14, 18, 15, 20), (8, 9, 16, 17, 4, 5))),
    labels(liver=(1, 10, 3, 21, 2, 25), tumours=((3, 7, 6, 11, 5, 10), (5, 8, 15, 19, 17, 22), (8, 10, 5, 7, 18, 20))),
)
SPLIT = Pair(
    labels(liver=LIVER, tumours=((2, 9, 6, 14, 6, 20),)),
    labels(liver=(2, 11, 2, 20, 3, 26), tumours=((2, 9, 6, 14, 6, 12), (2, 9, 6, 14, 13, 20))),
)
BRIDGE = Pair(
    labels(liver=LIVER, tumours=((3, 5, 5, 7, 5, 7), (3, 5, 5, 7, 11, 13), (3, 5, 5, 7, 17, 19))),
    labels(liver=LIVER, tumours=((3, 5, 4, 8, 5, 19),)),
)
TUMOUR_ONLY = Pair(PLAIN.truth, labels(liver=None, tumours=((3, 7, 5, 10, 5, 10),)))
NOTHING_FOUND = Pair(PLAIN.truth, labels(liver=LIVER, tumours=((9, 10, 3, 6, 20, 24),)))
HEALTHY = Pair(labels(liver=LIVER), labels(liver=(1, 11, 2, 19, 2, 26), tumours=((9, 10, 3, 6, 20, 24),)))

SETS = {
    "plain": (PLAIN, SPLIT),
    "bridge": (BRIDGE,),
    "bridge and plain": (BRIDGE, PLAIN),
    "scattered": (scattered(1, LPS), scattered(2, LPS), scattered(3, RAS)),
    "a liver of tumour": (TUMOUR_ONLY, PLAIN),
    "nothing found": (NOTHING_FOUND,),
    "healthy": (HEALTHY, PLAIN),
}


def write_set(folder: Path, pairs: tuple[Pair, ...]) -> None:
    """Write `ref` and `res` as the official scorer reads them: segmentation-N.nii, in the orientation of each pair."""
    for kind, position in (("ref", 0), ("res", 1)):
        (folder / kind).mkdir(parents=True)
        for n, pair in enumerate(pairs):
            stored = from_canonical(pair[position], pair.affine).transpose(2, 1, 0)
            nib.save(nib.Nifti1Image(stored, pair.affine), folder / kind / f"segmentation-{n}.nii")
