import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lightning_liver.augment.perlin import noise_of
from tests.augment.marked import marked, nobody, policy


def perlin_by_definition(shape, spacing_mm, octaves, rng) -> np.ndarray:
    """Compute Perlin 2002 pixel by pixel in float64, with draws in the order of noise_of."""
    total = np.zeros(shape)
    for period, weight in octaves:
        place_y, place_x = (
            (np.arange(n) * mm / period + rng.random()).astype(np.float32).astype(float)
            for n, mm in zip(shape, spacing_mm, strict=True)
        )
        nodes = int(place_y[-1]) + 2, int(place_x[-1]) + 2
        angle = rng.uniform(0, 2 * np.pi, nodes)
        for i, y in enumerate(place_y):
            for j, x in enumerate(place_x):
                y0, x0 = int(y), int(x)
                dots = [
                    [np.sin(angle[n, m]) * (y - n) + np.cos(angle[n, m]) * (x - m) for m in (x0, x0 + 1)]
                    for n in (y0, y0 + 1)
                ]
                v, u = (6 * t**5 - 15 * t**4 + 10 * t**3 for t in (y - y0, x - x0))
                total[i, j] += weight * np.interp(v, [0, 1], [np.interp(u, [0, 1], row) for row in dots])
    return total


@pytest.mark.parametrize("octaves", [[(12.0, 1.0)], [(20.0, 1.0), (10.0, 0.5), (5.0, 0.25)], [(1000.0, 2.0)]])
@pytest.mark.parametrize("seed", [0, 1])
def test_products_of_matrices_are_perlin_noise(octaves: list[tuple[float, float]], seed: int) -> None:
    arguments = (30, 41), (1.5, 1.0), octaves
    ours = noise_of(*arguments, np.random.default_rng(seed))
    theirs = perlin_by_definition(*arguments, np.random.default_rng(seed))
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


def drawn(seed: int, **options: float) -> np.ndarray:
    image = marked((256, 256), spacing_mm=(1.5, 1.5))
    return (policy("perlin", **options)(image, seed, nobody).hu - image.hu)[..., 0]


def test_amplitude_is_the_largest_deviation_in_hu() -> None:
    peaks = [np.abs(drawn(seed, amplitude_hu=40)).max() for seed in range(60)]
    assert max(peaks) <= 40.001
    assert max(peaks) > 36
    assert np.mean(peaks) == pytest.approx(20, rel=0.2)


def test_more_octaves_are_rougher_and_longer_periods_smoother() -> None:
    def roughness(**options: float) -> float:
        return float(
            np.mean([np.std(np.diff(noise)) / np.std(noise) for noise in (drawn(s, **options) for s in range(8))])
        )

    assert roughness(octaves=1) < roughness(octaves=2) < roughness(octaves=5)
    assert roughness(period_mm=200) < roughness(period_mm=100) < roughness(period_mm=40)


def test_octaves_finer_than_two_pixels_are_skipped() -> None:
    np.testing.assert_array_equal(drawn(3, octaves=6, period_mm=90), drawn(3, octaves=5, period_mm=90))  # 90/32 < 3 mm
    assert not np.array_equal(drawn(3, octaves=5, period_mm=90), drawn(3, octaves=4, period_mm=90))
    assert np.count_nonzero(drawn(3, octaves=2, period_mm=2)) == 0


def test_neighbouring_slices_get_one_pattern() -> None:
    image = marked(channels=3)
    noise = policy("perlin")(image, 1, nobody).hu - image.hu
    np.testing.assert_allclose(noise[..., 0], noise[..., 2], atol=1e-4)


@pytest.mark.slow
def test_the_number_of_threads_changes_no_byte() -> None:
    """BLAS, which multiplies the matrices, uses all cores unless limited."""
    script = (
        "import hashlib, numpy as np\n"
        "from lightning_liver.augment.perlin import noise_of\n"
        "noise = noise_of((512, 512), (0.8, 0.8), [(100.0, 1.0), (50.0, 0.7), (25.0, 0.5)], np.random.default_rng(0))\n"
        "print(hashlib.sha256(noise.tobytes()).hexdigest())"
    )
    root = Path(__file__).parents[2]
    hashes = {
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)},
            cwd=root,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for threads in (1, 2)
    }
    assert len(hashes) == 1
