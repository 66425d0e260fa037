"""Noise compared with its formulas and with independent generators."""

import numpy as np
import pytest
from scipy import stats

from lightning_liver.augment.noise import WATER_HU, CorrelatedNoise, GaussianNoise, PoissonNoise, SaltAndPepper, Speckle
from lightning_liver.augment.transforms import normal
from lightning_liver.errors import LiverError
from lightning_liver.volume import Slice
from tests.augment.marked import nobody, policy

SIZE = 256


def flat(hu: float, size: int = SIZE, spacing_mm: tuple[float, float] = (1.5, 1.5)) -> Slice:
    return Slice(np.full((size, size, 1), hu, np.float32), np.zeros((size, size), np.uint8), spacing_mm)


def added(name: str, hu: float, seed: int, **options: float) -> np.ndarray:
    image = flat(hu)
    return (policy(name, **options)(image, seed, nobody).hu - image.hu)[..., 0].astype(float)


def test_normal_values_are_independent_and_normal() -> None:
    values = normal((512, 512), np.random.default_rng(3)).ravel()
    assert stats.kstest(values, "norm").pvalue > 0.001
    for lag in (1, 2, 512, 513):
        assert abs(np.corrcoef(values[:-lag], values[lag:])[0, 1]) < 4 / np.sqrt(values.size)
    other = normal((512, 512), np.random.default_rng(4)).ravel()
    assert abs(np.corrcoef(values, other)[0, 1]) < 4 / np.sqrt(values.size)


def test_normal_values_of_neighbouring_seeds_are_independent() -> None:
    many = np.array([normal((20, 20), np.random.default_rng(seed)).ravel() for seed in range(300)])
    off_diagonal = np.corrcoef(many)[~np.eye(len(many), dtype=bool)]
    assert np.std(off_diagonal) == pytest.approx(1 / np.sqrt(400), rel=0.05)
    for place in range(5):  # OpenCV's own first value after seeding is always positive
        assert stats.kstest(many[:, place], "norm").pvalue > 0.001


@pytest.mark.parametrize(("name", "option"), [("gaussian", "std_hu"), ("poisson", "std_hu"), ("ct_noise", "std_hu")])
def test_the_largest_deviation_in_water_is_the_option(name: str, option: str) -> None:
    deviations = [np.std(added(name, 0, seed, **{option: 20})) for seed in range(100)]
    assert max(deviations) < 20.4
    assert max(deviations) == pytest.approx(20, rel=0.1)
    assert np.mean(deviations) == pytest.approx(10, rel=0.2), "uniform up to it"


def test_poisson_has_the_distribution_of_counted_photons() -> None:
    """Compare with numpy's Poisson numbers, N = (1000 / s)^2 counts in water."""
    rng = np.random.default_rng(0)
    for hu, std_hu in ((-500.0, 30.0), (0.0, 30.0), (1000.0, 20.0)):
        noise = PoissonNoise(std_hu=std_hu, probability=1)
        noise.set_random_seed(5)
        image = flat(hu).hu
        drawn = noise.parameters(image, (1.5, 1.5))["noise"]
        scale = std_hu / np.std(drawn)  # scales this sample's strength to the largest
        ours = noise.apply(image, drawn * np.float32(scale))[..., 0] + WATER_HU
        counts = (WATER_HU / std_hu) ** 2
        truth = rng.poisson(counts * (hu / WATER_HU + 1), ours.shape) / counts * WATER_HU
        assert np.std(ours) == pytest.approx(np.std(truth), rel=0.02)
        assert stats.ks_2samp(ours.ravel(), truth.ravel()).statistic < 0.03


def test_poisson_and_speckle_grow_with_attenuation_from_none_in_air() -> None:
    assert np.std(added("poisson", -1000, 1)) == 0
    assert np.std(added("speckle", -1000, 1)) == 0
    assert np.std(added("speckle", 1000, 1)) == pytest.approx(2 * np.std(added("speckle", 0, 1)), rel=1e-3)
    assert np.std(added("poisson", 1000, 1)) == pytest.approx(2**0.5 * np.std(added("poisson", 0, 1)), rel=1e-3)


def test_speckle_multiplies_the_attenuation() -> None:
    speckle = Speckle(std=0.05, probability=1)
    image = np.linspace(-1000, 1000, SIZE**2, dtype=np.float32).reshape(SIZE, SIZE, 1)
    noise = np.full_like(image, 0.1)
    np.testing.assert_allclose(speckle.apply(image, noise), (image + 1000) * 1.1 - 1000, atol=1e-3)


def test_salt_and_pepper_have_the_fraction_of_pixels_and_are_equally_frequent() -> None:
    shares = []
    for seed in range(60):
        changed = policy("salt_and_pepper", share=0.05)(flat(33), seed, nobody).hu
        assert set(np.unique(changed)) <= {-160.0, 33.0, 240.0}
        pepper, salt = (np.count_nonzero(changed == end) for end in (-160, 240))
        assert abs(pepper - salt) <= 1
        shares.append((pepper + salt) / SIZE**2)
    assert max(shares) <= 0.05
    assert np.mean(shares) == pytest.approx(0.025, rel=0.2)
    assert SaltAndPepper(share=0, range_hu=(0, 1), probability=1).parameters(flat(0).hu, (1, 1))["salt"].size == 0


def test_ct_noise_has_grain_and_no_slow_changes() -> None:
    """The power is low at frequency 0 and at the highest, and largest at the grain's."""
    power = np.zeros((SIZE, SIZE))
    for seed in range(30):
        power += np.abs(np.fft.fft2(added("ct_noise", 0, seed, grain_mm=6))) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE, 1.5), np.fft.fftfreq(SIZE, 1.5)))
    profile = [power[(frequency >= f) & (frequency < f + 0.02)].mean() for f in np.arange(0, 0.3, 0.02)]
    assert 0 < int(np.argmax(profile)) < 8
    assert profile[0] < 0.3 * max(profile)
    assert profile[-1] < 0.01 * max(profile)


def test_ct_noise_grains_are_round_in_millimetres() -> None:
    image = flat(0, spacing_mm=(3.0, 1.0))
    noise = policy("ct_noise", grain_mm=9)(image, 3, nobody).hu[..., 0]
    along_y, along_x = (
        np.corrcoef(noise[3:].ravel(), noise[:-3].ravel()),
        np.corrcoef(noise[:, 9:].ravel(), noise[:, :-9].ravel()),
    )
    assert along_y[0, 1] == pytest.approx(along_x[0, 1], abs=0.08)


def test_gaussian_is_independent_in_neighbouring_slices() -> None:
    image = np.zeros((SIZE, SIZE, 3), np.float32)
    noise = GaussianNoise(std_hu=30, probability=1)
    noise.set_random_seed(1)
    drawn = noise.apply(image, **noise.parameters(image, (1, 1)))
    assert abs(np.corrcoef(drawn[..., 0].ravel(), drawn[..., 1].ravel())[0, 1]) < 0.02


def test_correlated_noise_of_strength_0_changes_nothing() -> None:
    noise = CorrelatedNoise(std_hu=0, grain_mm=3, probability=1)
    image = flat(12).hu
    np.testing.assert_array_equal(noise.apply(image, **noise.parameters(image, (1, 1))), image)


def test_pepper_above_salt_is_refused() -> None:
    with pytest.raises(LiverError, match=r"augment\.range_hu=\[240, -160\]: expected a first value below the second"):
        policy("salt_and_pepper", range_hu="[240,-160]")
