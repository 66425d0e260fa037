"""Slices that show their own masks, and the policies of conf/augment as built for a user."""

import inspect
from functools import cache
from typing import Any

import numpy as np
from albumentations import DualTransform

from lightning_liver.augment.mixing import CopyPaste
from lightning_liver.augment.policy import Policy
from lightning_liver.augment.transforms import HuTransform
from lightning_liver.build import build
from lightning_liver.config import compose, folder
from lightning_liver.volume import Slice

POLICIES = sorted(path.stem for path in (folder() / "augment").glob("*.yaml"))
MARKS_HU = np.array([-160, 40, 240], np.float32)  # of background, liver and tumour


@cache
def policy(name: str, **options: Any) -> Policy:
    overrides = [f"augment.{option}={value}" for option, value in options.items()]
    made: Policy = build(compose("train", [f"augment={name}", *overrides]).augment)
    return made


def moves(name: str) -> bool:
    """Return True if a policy moves anatomy; besides these, only copy_paste changes labels."""
    return any(isinstance(each, DualTransform) and not isinstance(each, CopyPaste) for each in policy(name).transforms)


def noisy(name: str) -> bool:
    """Return True if a policy draws normal values, which are independent in each channel."""
    ours = [each for each in policy(name).transforms if isinstance(each, HuTransform)]
    return any("self.normal(" in inspect.getsource(type(each).parameters) for each in ours)


def marked(
    shape: tuple[int, int] = (128, 128), *, spacing_mm: tuple[float, float] = (3.0, 3.0), channels: int = 1
) -> Slice:
    """Return a liver with a tumour off the centre, each of one HU."""
    y, x = np.mgrid[: shape[0], : shape[1]] / np.array(shape)[:, None, None]
    labels = (np.abs(y - 0.42) < 0.2).astype(np.uint8) * (np.abs(x - 0.4) < 0.22)
    labels[(y - 0.5) ** 2 + (x - 0.47) ** 2 < 0.006] = 2
    return Slice(np.repeat(MARKS_HU[labels][..., None], channels, axis=-1), labels.astype(np.uint8), spacing_mm)


def shown(hu: np.ndarray) -> np.ndarray:
    """Return the labels that the first channel of a marked picture shows."""
    return np.digitize(hu[..., 0], [-60, 140])


def itself(image: Slice) -> Any:
    """Return a donor of this slice."""
    return lambda rng: image


def nobody(rng: np.random.Generator) -> None:
    """Give no donor, as training without tumours."""
