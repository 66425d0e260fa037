"""An augmentation that a user adds: a class in a module of theirs, and a yaml in a config folder of theirs."""

import sys
from pathlib import Path

import numpy as np
import pytest

from lightning_liver.build import build
from lightning_liver.config import compose
from lightning_liver.errors import LiverError
from tests.augment.marked import marked, nobody

CLASS = '''
import numpy as np

from lightning_liver.augment.policy import policy_of
from lightning_liver.augment.transforms import HuTransform
from lightning_liver.types.options import Positive


class Brightness(HuTransform):
    """Every HU plus one number.

    Args:
        largest_hu: every sample draws its own, uniformly up to this.
    """

    largest_hu: Positive

    def parameters(self, image, spacing_mm):
        return {"shift": np.float32(self.uniform(0, self.largest_hu))}

    def apply(self, img, shift, **params):
        return img + shift


brightness = policy_of(Brightness)
'''
YAML = """
# Every HU plus one number.
_target_: own_transforms.brightness
largest_hu: 30
probability: 1.0
"""


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Override that adds a config folder with one policy, whose class is on the path."""
    (tmp_path / "own_transforms.py").write_text(CLASS)
    (tmp_path / "conf" / "augment").mkdir(parents=True)
    (tmp_path / "conf" / "augment" / "brightness.yaml").write_text(YAML)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_transforms", raising=False)
    return f"hydra.searchpath=[file://{tmp_path / 'conf'}]"


def test_own_policy_changes_slices_by_the_seed(search: str) -> None:
    policy, image = build(compose("train", [search, "augment=brightness"]).augment), marked()
    shifts = [policy(image, seed, nobody).hu - image.hu for seed in range(20)]
    assert all(np.ptp(shift) < 1e-3 for shift in shifts)
    assert 0 < min(shift.mean() for shift in shifts) < max(shift.mean() for shift in shifts) < 30
    np.testing.assert_array_equal(policy(image, 3, nobody).hu - image.hu, shifts[3])


def test_own_policy_joins_others(search: str) -> None:
    added = ["augment=all", "+augment@augment.brightness=brightness"]
    policy = build(compose("train", [search, *added]).augment)
    assert type(policy.transforms[-1]).__name__ == "Brightness"


def test_options_of_an_own_policy_are_checked(search: str) -> None:
    with pytest.raises(LiverError, match=r"augment\.largest_hu=-1: expected a value greater than 0"):
        build(compose("train", [search, "augment=brightness", "augment.largest_hu=-1"]).augment)
    with pytest.raises(LiverError, match=r"augment\.largest_h=1: expected no option of this name"):
        build(compose("train", [search, "augment=brightness", "+augment.largest_h=1"]).augment)
