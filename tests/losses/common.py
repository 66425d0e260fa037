"""Losses built from their configs, and small images to try them on."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import get_object
from hypothesis import strategies as st
from omegaconf import OmegaConf
from torch import Tensor

from lightning_liver import build as building
from lightning_liver.config import losses

CONF = Path(__file__).parents[2] / "conf" / "loss"
YAMLS = [CONF / f"{name}.yaml" for name in losses()]

Loss = Callable[..., Tensor]

every_loss = pytest.mark.parametrize("path", YAMLS, ids=[path.stem for path in YAMLS])


@cache
def _config(path: Path) -> dict[str, Any]:
    return dict(OmegaConf.to_container(OmegaConf.load(path)))


def options_of(path: Path) -> dict[str, Any]:
    """Return the options as the config has them."""
    return {name: value for name, value in _config(path).items() if not name.startswith("_")}


def build(path: Path, **options: Any) -> Loss:
    """Build the loss of a config, with other options where given."""
    return building.build(OmegaConf.create({"loss": OmegaConf.merge(OmegaConf.load(path), options)}).loss)


def named(name: str, **options: Any) -> Loss:
    """Build the same by name, unchecked and without Hydra, which takes its time: for tests of many examples."""
    path = CONF / f"{name}.yaml"
    return partial(get_object(_config(path)["_target_"]), **(options_of(path) | options))


def target_like(foreground: str, shape: tuple[int, ...]) -> Tensor:
    target = torch.zeros(shape, dtype=torch.uint8)
    if foreground == "full":
        target += 1
    if foreground == "0.1 %":
        target.view(-1)[::1000] = 1
    return target


def sample(seed: int, shape: tuple[int, ...] = (2, 2, 5, 7)) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(shape, generator=random), (torch.rand(shape, generator=random) < 0.3).float()


logit_maps = st.lists(st.floats(-30, 30, width=32), min_size=24, max_size=24).map(
    lambda v: torch.tensor(v).view(2, 2, 2, 3)
)
multi_hots = st.lists(st.booleans(), min_size=24, max_size=24).map(lambda v: torch.tensor(v).view(2, 2, 2, 3))
probabilities = st.floats(0, 1)
