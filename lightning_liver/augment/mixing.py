"""Mixing with other slices: tumours of any training slice, or a blend of two slices of a batch."""

from typing import Any

import albumentations
import cv2
import numpy as np
import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch import Tensor

from lightning_liver.augment.policy import Donor, Policy, policy_of
from lightning_liver.augment.transforms import Image, Labels, Options
from lightning_liver.types.options import Fraction, NonNegative, Positive
from lightning_liver.volume import Slice

LIVER, TUMOUR = 1, 2
_PLACES = 16  # tried for a tumour before none is pasted
_RIM_PIXELS = 6  # of the tumour's surroundings, whose liver gives the brightness


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Mixup:
    """Blend of each slice of a batch with the next one: share * slice + (1 - share) * next.

    One share a batch, from Beta(alpha, alpha), so that any loss can be blended the same way:
    share * loss(logits, labels) + (1 - share) * loss(logits, next labels), which is what Zhang et al. 2018,
    arXiv:1710.09412, do for one-hot targets. The batch depends on (seed, epoch, position of its first slice).

    Args:
        alpha: of the Beta distribution; the larger, the more even the blend.
        probability: of a batch to be blended.
    """

    alpha: Positive
    probability: Fraction

    def __call__(self, samples: list[dict[str, Tensor]], rng: np.random.Generator) -> list[dict[str, Tensor]]:
        """Return samples with a blended image, partner_labels and share, or the samples as they are."""
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


class CopyPaste(Options, albumentations.DualTransform):  # type: ignore[misc]
    """One connected tumour of a training slice, usually another one, pasted into liver without tumour.

    Its HU are shifted by the difference between the two livers around it, its pixels take the slice's spacing, and it
    fades in over edge_mm inside its edge. A slice stays as it is if its liver is too small, if its donor shows no liver
    beside the tumour, or if the training slices have no tumour.

    Args:
        edge_mm: width over which the tumour's edge fades into the liver.

    Source: Ghiasi et al. 2021, arXiv:2012.07177, for objects in photographs; the place in liver and the unchanged
    contrast to it are our choice.
    """

    edge_mm: NonNegative

    @property
    def targets_as_params(self) -> list[str]:
        return ["image", "mask", "spacing_mm", "donor"]

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the tumour's place, its fraction of each pixel, its HU and its pixels; None where nothing is pasted."""
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


copy_paste = policy_of(CopyPaste)


def mixup(**options: Any) -> Policy:
    """Blend slices of a batch, with the options of Mixup."""
    return Policy([], mixup=Mixup(**options))


def fade(inside: np.ndarray, edge_pixels: float) -> np.ndarray:
    """Return the fraction of each pixel that a pasted object takes: 1 from edge_pixels inside its edge on, 0 outside.

    The innermost pixel is always 1, however small the object is: labelled pixels have to be visible.
    """
    padded = np.pad(inside.astype(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    return np.minimum(depth / min(max(edge_pixels, 1.0), float(depth.max())), 1).astype(np.float32)


def _tumour(
    given: Slice, spacing_mm: tuple[float, float], rng: np.random.Generator
) -> tuple[Image, np.ndarray, float | None] | None:
    """Return one tumour with a rim, on a grid of `spacing_mm`: HU, mask, and the mean HU of the liver in the rim."""
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
    """Return a random place where all of a tumour's pixels lie in liver; None if none was found."""
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
