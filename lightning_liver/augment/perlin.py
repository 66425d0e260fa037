"""Perlin noise: smooth, natural-looking patterns over several octaves."""

from typing import Annotated, Any

import numpy as np
from jaxtyping import Float32
from pydantic import Field
from threadpoolctl import ThreadpoolController

from lightning_liver.augment.policy import policy_of
from lightning_liver.augment.transforms import HuTransform, Image
from lightning_liver.types.options import Fraction, NonNegative, Positive

_THREADS = ThreadpoolController()
FINEST_PIXELS = 2.0  # Perlin noise is zero at the lattice's nodes: with a node at every pixel it vanishes

Octaves = Annotated[int, Field(ge=1, le=16)]


class PerlinNoise(HuTransform):
    """Perlin noise: hu + a n, n in octaves with a largest absolute value of one and a uniform in [0, amplitude_hu].

    Octaves whose cells are narrower than two pixels are skipped. Neighbouring slices, which are further channels, get
    the same pattern.

    Args:
        amplitude_hu: largest deviation from the scan.
        octaves: lattices that are summed, each half as wide as the one before.
        period_mm: width of a cell of the first lattice.
        persistence: weight of an octave relative to the one before.

    Source: Perlin 1985, doi:10.1145/325165.325247, with the fade of Perlin 2002, doi:10.1145/566654.566636. Bae et al.
    2018, doi:10.1038/s41598-018-36047-2, state in their abstract: regions of interest of lung CT with Perlin noise, for
    classifying six textures with a FusionNet; an accuracy of 89.5 % against 82.1 % with conventional augmentation, and
    over whole lungs 49.8 and 55.0 % against 45.7 and 49.9 % for two readers. Amplitude, lattice, noise over the whole
    slice and an amplitude drawn per sample are our choices: their methods section was not available to us.
    """

    amplitude_hu: NonNegative
    octaves: Octaves
    period_mm: Positive
    persistence: Fraction

    def parameters(self, image: Image, spacing_mm: tuple[float, float]) -> dict[str, Any]:
        periods = [self.period_mm / 2**octave for octave in range(self.octaves)]
        weights = [self.persistence**octave for octave in range(self.octaves)]
        fine = FINEST_PIXELS * max(spacing_mm)
        kept = [(period, weight) for period, weight in zip(periods, weights, strict=True) if period >= fine]
        noise = noise_of(image.shape[:2], spacing_mm, kept, self.random_generator)
        largest = float(np.abs(noise).max()) if kept else 1.0
        return {"noise": noise * np.float32(self.uniform(0, self.amplitude_hu) / max(largest, 1e-6))}

    def apply(self, img: Image, noise: np.ndarray, **params: Any) -> Image:
        return img + noise[..., None]


perlin = policy_of(PerlinNoise)


def noise_of(
    shape: tuple[int, int],
    spacing_mm: tuple[float, float],
    octaves: list[tuple[float, float]],
    rng: np.random.Generator,
) -> Float32[np.ndarray, "y x"]:
    """Return the weighted sum of lattices of unit gradients, each shifted by a random part of its cell.

    Noise is linear in its gradients and its weights are a product of a function of y and one of x: for all octaves at
    once it is a product of two matrices.

    Args:
        octaves: width of the cells in mm, and weight.
    """
    if not octaves:
        return np.zeros(shape, np.float32)
    along_y: list[np.ndarray] = []
    along_x: list[np.ndarray] = []
    for period_mm, weight in octaves:
        (fade_y, ramp_y), (fade_x, ramp_x) = (
            _lattice((np.arange(n) * mm / period_mm + rng.random()).astype(np.float32))
            for n, mm in zip(shape, spacing_mm, strict=True)
        )
        angle = rng.uniform(0, 2 * np.pi, (fade_y.shape[1], fade_x.shape[1])).astype(np.float32)
        along_y += [_product(ramp_y, weight * np.sin(angle)), _product(fade_y, weight * np.cos(angle))]
        along_x += [fade_x.T, ramp_x.T]
    return _product(np.hstack(along_y), np.vstack(along_x))


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Multiply matrices on one thread: another number gives other bits, and a loading process has one core."""
    with _THREADS.limit(limits=1, user_api="blas"):
        return left @ right


def _lattice(position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of nodes at positions, (position, node): the fade, and the fade times the distance."""
    nodes = np.arange(int(position[-1]) + 2, dtype=np.float32)
    distance = position[:, None] - nodes
    near = np.clip(np.abs(distance), 0, 1)
    fade = 1 - near**3 * (near * (near * 6 - 15) + 10)
    return fade, fade * distance
