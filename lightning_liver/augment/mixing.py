"""Policies that bring other slices in: tumours of any training slice, or a blend of two slices of a batch."""

from typing import Any

import albumentations
import cv2
import numpy as np
import torch
from pydantic import validate_call
from torch import Tensor

from lightning_liver.augment.policy import Amount, Donor, Policy, Probability, Size
from lightning_liver.augment.transforms import Image, Labels
from lightning_liver.volume import Slice

LIVER, TUMOUR = 1, 2
_PLACES = 16  # tried for a tumour before it is given up
_RIM_PIXELS = 6  # of the tumour's surroundings that tell how bright its liver is


@validate_call
def copy_paste(*, edge_mm: Amount, probability: Probability) -> Policy:
    """A tumour of another training slice into healthy liver, see CopyPaste.

    Args:
        edge_mm: width over which its edge fades into the liver.
    """
    return Policy([CopyPaste(edge_mm=edge_mm, p=probability)])


@validate_call
def mixup(*, alpha: Size, probability: Probability) -> Policy:
    """Blends of two slices of a batch, see Mixup.

    Args:
        alpha: of the Beta distribution; the larger, the more even the blend.
        probability: of a batch.
    """
    return Policy([], mixup=Mixup(alpha=alpha, probability=probability))


class Mixup:
    """Each slice of a batch blended with the next one: share * slice + (1 - share) * next.

    One share a batch, from Beta(alpha, alpha), so that any loss can be blended the same way:
    share * loss(logits, labels) + (1 - share) * loss(logits, next labels), which is what Zhang et al. 2018,
    arXiv:1710.09412, do for one-hot targets. The batch depends on (seed, epoch, position of its first slice).
    """

    def __init__(self, *, alpha: float, probability: float) -> None:
        self.alpha, self.probability = alpha, probability

    def __call__(self, samples: list[dict[str, Tensor]], rng: np.random.Generator) -> list[dict[str, Tensor]]:
        """Samples with image blended, partner_labels and share; as they are where none are blended."""
        share = rng.beta(self.alpha, self.alpha)
        if len(samples) < 2 or rng.random() >= self.probability:
            return samples
        partners = [*samples[1:], samples[0]]
        return [
            {
                **sample,
                "image": share * sample["image"] + (1 - share) * partner["image"],
                "partner_labels": partner["labels"],
                "share": torch.tensor(share, dtype=torch.float32),
            }
            for sample, partner in zip(samples, partners, strict=True)
        ]


class CopyPaste(albumentations.DualTransform):  # type: ignore[misc]
    """Pastes one connected tumour of a training slice, as a rule another one, where it fits into liver without tumour.

    Its HU move by the difference between the two livers next to it, its pixels take the slice's spacing, and it fades
    in over edge_mm inside its edge. A slice without liver large enough stays as it is, and so does one whose donor
    shows no liver beside its tumour, or one of a training without tumours.

    Source: Ghiasi et al. 2021, arXiv:2012.07177, for objects in photographs; that a tumour has to lie in liver and be
    as bright beside it as it was is our choice.
    """

    def __init__(self, *, edge_mm: float, p: float) -> None:
        super().__init__(p=p)
        self.edge_mm = edge_mm

    @property
    def targets_as_params(self) -> list[str]:
        return ["image", "mask", "spacing_mm", "donor"]

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Where the tumour lands, how much of each pixel it takes, its HU and its pixels; None where there is none."""
        donor: Donor = data["donor"]
        given = donor(self.random_generator)
        tumour = None if given is None else _tumour(given, data["spacing_mm"], self.random_generator)
        if given is None or tumour is None:
            return {"pasted": None}
        hu, inside, liver_hu = tumour
        place = _place(data["mask"], inside, self.random_generator)
        if place is None or liver_hu is None:
            return {"pasted": None}
        image, mask = data["image"][place], data["mask"][place]
        around = image[(mask == LIVER) & ~inside]
        move = np.float32(around.mean() - liver_hu) if len(around) else np.float32(0)
        cover = fade(inside, self.edge_mm / float(np.mean(data["spacing_mm"])))
        return {"pasted": (place, cover[..., None], hu + move, inside)}

    def apply(self, img: Image, pasted: Any, **params: Any) -> Image:
        if pasted is None:
            return img
        place, cover, hu, _ = pasted
        changed = img.copy()
        changed[place] += cover * (hu - changed[place])
        return changed

    def apply_to_mask(self, mask: Labels, pasted: Any, **params: Any) -> Labels:
        if pasted is None:
            return mask
        place, _, _, inside = pasted
        changed = mask.copy()
        changed[place][inside] = TUMOUR
        return changed


def fade(inside: np.ndarray, edge_pixels: float) -> np.ndarray:
    """How much of each pixel a pasted object takes: all of it from edge_pixels inside its edge on, none beside it.

    The innermost pixel is taken whole, however small the object is: what is labelled has to be seen.
    """
    padded = np.pad(inside.astype(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    return np.minimum(depth / min(max(edge_pixels, 1.0), float(depth.max())), 1).astype(np.float32)


def _tumour(
    given: Slice, spacing_mm: tuple[float, float], rng: np.random.Generator
) -> tuple[Image, np.ndarray, float | None] | None:
    """One tumour with a rim, on a grid of `spacing_mm`: HU, where it is, and the HU of the liver in the rim."""
    count, components, stats, _ = cv2.connectedComponentsWithStats((given.labels == TUMOUR).astype(np.uint8))
    if count < 2:
        return None
    chosen = int(rng.integers(1, count))
    x, y, width, height = stats[chosen, :4]
    box = np.s_[max(y - _RIM_PIXELS, 0) : y + height + _RIM_PIXELS, max(x - _RIM_PIXELS, 0) : x + width + _RIM_PIXELS]
    hu, labels, inside = given.hu[box], given.labels[box], components[box] == chosen
    liver = hu[labels == LIVER]
    zoom = [own / wanted for own, wanted in zip(given.spacing_mm, spacing_mm, strict=True)]
    if any(abs(z - 1) > 0.01 for z in zoom):
        size = [max(round(n * z), 1) for n, z in zip(inside.shape, zoom, strict=True)][::-1]
        channels = hu.shape[2]
        hu = np.stack([cv2.resize(np.ascontiguousarray(hu[..., c]), size) for c in range(channels)], axis=-1)
        inside = cv2.resize(inside.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    if not inside.any():
        return None
    return hu, inside, float(liver.mean()) if len(liver) else None


def _place(labels: Labels, inside: np.ndarray, rng: np.random.Generator) -> tuple[slice, slice] | None:
    """Where a tumour lies in liver with all of its pixels, of places drawn at random; None where none was found."""
    height, width = inside.shape
    if height > labels.shape[0] or width > labels.shape[1]:
        return None
    ys, xs = np.nonzero(labels == LIVER)
    if len(ys) < np.count_nonzero(inside):
        return None
    middle_y, middle_x = (int(np.median(pixels)) for pixels in np.nonzero(inside))
    for pick in rng.integers(len(ys), size=_PLACES):
        y, x = int(ys[pick]) - middle_y, int(xs[pick]) - middle_x
        if 0 <= y <= labels.shape[0] - height and 0 <= x <= labels.shape[1] - width:
            place = (slice(y, y + height), slice(x, x + width))
            if (labels[place][inside] == LIVER).all():
                return place
    return None
