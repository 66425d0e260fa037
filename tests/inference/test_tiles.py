import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lightning_liver.inference.label_maps import whole_slice_logits
from lightning_liver.inference.tiles import tiled_logits

torch.manual_seed(0)
NETWORK = nn.Conv2d(1, 2, kernel_size=1).eval().requires_grad_(False)


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(4, 24), st.floats(0, 0.9))
def test_tiles_equal_the_whole_slice(height: int, width: int, tile: int, overlap: float) -> None:
    """For a network that sees one pixel at a time, where all tiles agree."""
    images = torch.randn(2, 1, height, width)
    whole = whole_slice_logits(NETWORK, images, multiple=4)
    assert torch.allclose(tiled_logits(NETWORK, images, tile=tile, overlap=overlap, multiple=4), whole, atol=1e-5)


def test_no_input_is_larger_than_a_tile() -> None:
    seen = []

    def network(images: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(images.shape[-2:]))
        return images.repeat(1, 2, 1, 1)

    tiled_logits(network, torch.zeros(1, 1, 100, 70), tile=32, overlap=0.25, multiple=16)
    assert max(max(size) for size in seen) == 32
    assert len(seen) == 4 * 3


@pytest.mark.parametrize("overlap", [0.25, 0.5])
def test_tiles_fade_into_each_other(overlap: float) -> None:
    """A network that returns the number of each tile makes no step at a seam."""
    number = iter(range(100))

    def network(images: torch.Tensor) -> torch.Tensor:
        return torch.full_like(images, next(number)).repeat(1, 2, 1, 1)

    row = tiled_logits(network, torch.zeros(1, 1, 8, 64), tile=16, overlap=overlap, multiple=1)[0, 0, 4]
    assert row.diff().min() >= -1e-5
    assert row.diff().max() < 0.6
