"""Policies made of others."""

from itertools import chain
from typing import Any

from pydantic import validate_call

from lightning_liver.augment.geometric import Affine
from lightning_liver.augment.noise import GaussianNoise
from lightning_liver.augment.policy import Amount, Degrees, Policy, Share
from lightning_liver.errors import LiverError


@validate_call
def basic(*, rotation_degrees: Degrees, scale: Share, shift_mm: Amount, noise_hu: Amount) -> Policy:
    """Rotation, scale and shift, then Gaussian noise. No flip: the liver is on one side.

    Args:
        rotation_degrees, scale, shift_mm: see lightning_liver.augment.geometric.Affine.
        noise_hu: largest standard deviation of the noise.
    """
    affine = Affine(rotation_degrees=rotation_degrees, scale=scale, shift_mm=shift_mm, p=1)
    return Policy([affine, GaussianNoise(std_hu=noise_hu, p=1)])


def sequence(**policies: Any) -> Policy:
    """One policy after the other, in the order of their names' appearance; None leaves one out.

    Raises:
        LiverError: one of them is none, or two mix batches.
    """
    given = {name: policy for name, policy in policies.items() if policy is not None}
    if strange := [f"augment.{name}={it!r}" for name, it in given.items() if not isinstance(it, Policy)]:
        raise LiverError(f"{strange[0]} is no policy: give it the _target_ and the options of one, or null")
    mixing = {name: policy.mixup for name, policy in given.items() if policy.mixup is not None}
    if len(mixing) > 1:
        raise LiverError(f"augment: {' and '.join(mixing)} both mix batches: one can")
    return Policy(
        list(chain.from_iterable(policy.transforms for policy in given.values())),
        mixup=next(iter(mixing.values()), None),
    )
