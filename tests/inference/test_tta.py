import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lightning_liver.inference.tta import FLIPS, flipped_views


@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_views_are_mirrored_back_to_the_bit(batch: int, height: int, width: int, seed: int) -> None:
    """A network that sees one pixel at a time gives the same logits in every view, and so does their mean."""
    images = torch.randn(batch, 2, height, width, generator=torch.Generator().manual_seed(seed))
    for axes in FLIPS:
        assert torch.equal(flipped_views(torch.tanh, images, flips=[axes]).mean(dim=0), torch.tanh(images))
    assert torch.equal(flipped_views(torch.tanh, images, flips=FLIPS).mean(dim=0), torch.tanh(images))


def test_views_are_the_four_mirror_images() -> None:
    seen: list[Tensor] = []

    def network(images: Tensor) -> Tensor:
        seen.append(images)
        return images

    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    flipped_views(network, image, flips=FLIPS).mean(dim=0)
    expected = [image, image.flip(-1), image.flip(-2), image.flip(-2).flip(-1)]
    assert all(torch.equal(view, flipped) for view, flipped in zip(seen, expected, strict=True))


def test_the_mean_of_all_views_commutes_with_mirroring() -> None:
    """For any network: a mirrored slice gives the mirrored mean."""
    network = torch.nn.Conv2d(1, 2, 3, padding=1)
    with torch.no_grad():
        images = torch.randn(2, 1, 8, 10)
        straight = flipped_views(network, images, flips=FLIPS).mean(dim=0)
        for axes in FLIPS[1:]:
            mirrored = flipped_views(network, images.flip(axes), flips=FLIPS).mean(dim=0)
            torch.testing.assert_close(mirrored.flip(axes), straight)
            assert not torch.allclose(network(images.flip(axes)).flip(axes), network(images))


def test_half_precision_is_averaged_in_float32() -> None:
    images = torch.full((1, 2, 4, 4), 60000.0, dtype=torch.float16)  # the sum of four would overflow
    assert torch.equal(flipped_views(lambda view: view, images, flips=FLIPS).mean(dim=0), images.float())
