"""Policies composed of others."""

from itertools import chain
from typing import Any

from pydantic import validate_call

from lightning_liver.augment.geometric import Affine
from lightning_liver.augment.noise import GaussianNoise
from lightning_liver.augment.policy import Degrees, Policy
from lightning_liver.errors import LiverError
from lightning_liver.types.options import BelowOne, NonNegative


@validate_call
def basic(*, rotation_degrees: Degrees, scale: BelowOne, shift_mm: NonNegative, noise_hu: NonNegative) -> Policy:
    """Rotate, scale and shift, then add Gaussian noise. No flip: the liver is on one side.

    Args:
        rotation_degrees, scale, shift_mm: see lightning_liver.augment.geometric.Affine.
        noise_hu: largest standard deviation of the noise.
    """
    affine = Affine(rotation_degrees=rotation_degrees, scale=scale, shift_mm=shift_mm, probability=1)
    return Policy([affine, GaussianNoise(std_hu=noise_hu, probability=1)])


def sequence(**policies: Any) -> Policy:
    """Apply one policy after the other, in the order of the yaml; None skips one.

    Raises:
        LiverError: one of them is not a policy, or two blend batches.
    """
    given = {name: policy for name, policy in policies.items() if policy is not None}
    if strange := [f"augment.{name}={it!r}" for name, it in given.items() if not isinstance(it, Policy)]:
        raise LiverError(f"{strange[0]}: expected a policy; give the _target_ and the options of one, or null")
    mixing = {name: policy.mixup for name, policy in given.items() if policy.mixup is not None}
    if len(mixing) > 1:
        raise LiverError(
            f"augment: expected one policy that blends batches, got {' and '.join(mixing)}; set one to null"
        )
    return Policy(
        list(chain.from_iterable(policy.transforms for policy in given.values())),
        mixup=next(iter(mixing.values()), None),
    )
