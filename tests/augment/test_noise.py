"""Noise compared with its formulas and with independent generators."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage, optimize, stats

from lightning_liver.augment.noise import CorrelatedNoise, GaussianNoise, SaltAndPepper, Speckle, ray_noise
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


def abdomen(side: int, mm: float) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """HU of an ellipse of tissue with bowel gas and bone in air, and the masks of some regions."""
    y, x = (np.mgrid[:side, :side] - (side - 1) / 2) * mm
    inside = (x / 150) ** 2 + (y / 110) ** 2
    gas, bone = ((x - 60) / 25) ** 2 + ((y + 40) / 25) ** 2, (x / 18) ** 2 + ((y - 75) / 18) ** 2
    hu = np.where(bone < 1, 400, np.where(gas < 1, -1000, np.where(inside < 1, 40, -1000)))
    regions = {
        "centre": x**2 + y**2 < 25**2,
        "rim": (inside > 0.8) & (inside < 1) & (hu == 40),
        "gas": gas < 0.6,
        "bone": bone < 0.6,
        "air beside": (np.abs(x) > 158) & (np.abs(x) < 180) & (np.abs(y) < 40),
        "air before": (y < -118) & (y > -150) & (np.abs(x) < 50),
    }
    return hu.astype(np.float32), regions


def backprojected(sinogram: np.ndarray, angles: np.ndarray) -> np.ndarray:
    side = sinogram.shape[1]
    smeared = [
        ndimage.rotate(np.tile(row, (side, 1)), -angle, reshape=False, order=1)
        for row, angle in zip(sinogram, angles, strict=True)
    ]
    return np.mean(smeared, axis=0) * np.pi


@pytest.mark.slow
def test_poisson_has_the_noise_of_filtered_backprojection_of_counted_photons() -> None:
    """Simulate it: Radon transform, Poisson counts, ramp filter with a Hann window, backprojection, 40 times."""
    side, mm, water = 104, 4.0, 0.0192
    hu, regions = abdomen(side, mm)
    attenuation, angles = (hu / 1000 + 1) * water, np.arange(0, 180, 1.5)
    integrals = np.stack([ndimage.rotate(attenuation, a, reshape=False, order=1).sum(axis=0) * mm for a in angles])
    frequency = np.fft.fftfreq(4 * side, mm)
    window = np.abs(frequency) * (1 + np.cos(2 * np.pi * frequency * mm)) / 2
    rng, reconstructions = np.random.default_rng(0), []
    for _ in range(40):
        measured = -np.log(rng.poisson(1e6 * np.exp(-integrals)) / 1e6)
        filtered = np.fft.ifft(np.fft.fft(measured, 4 * side, axis=1) * window, axis=1).real[:, :side]
        reconstructions.append(backprojected(filtered, angles) / water * 1000 - 1000)
    assert np.mean(reconstructions, axis=0)[regions["centre"]].mean() == pytest.approx(40, abs=20)
    simulated = np.std(reconstructions, axis=0, ddof=1)
    ours, body = ray_noise(hu, (mm, mm)), hu > -500
    for region, where in regions.items():
        expected = np.sqrt(np.mean(simulated[where] ** 2) / np.mean(simulated[body] ** 2))
        assert np.sqrt(np.mean(ours[where] ** 2)) == pytest.approx(expected, rel=0.06), region
    assert 0.6 < np.sqrt(np.mean(ours[regions["gas"]] ** 2)) < 0.9


def test_ray_noise_of_a_water_cylinder_has_its_closed_form() -> None:
    """Inside, at its edge and in the air around it: the chord at distance t of the middle is 2 sqrt(R^2 - t^2)."""
    side, mm, radius = 160, 2.5, 130.0
    y, x = (np.mgrid[:side, :side] - (side - 1) / 2) * mm
    distance = np.hypot(y, x)
    ours = ray_noise(np.where(distance < radius, 0, -1000).astype(np.float32), (mm, mm))
    angles = np.linspace(0, np.pi, 2000, endpoint=False)

    def variance(r: float) -> float:
        chord = 2 * np.sqrt(np.maximum(radius**2 - (r * np.sin(angles)) ** 2, 0))
        return float(np.mean(np.exp(0.0192 * chord)))

    radii = np.linspace(0, radius, 400)
    body = np.average([variance(r) for r in radii], weights=radii)
    for r in (0, 50, 100, 125, 140, 160):
        ring = np.abs(distance - r) < 3
        assert np.sqrt(np.mean(ours[ring] ** 2)) == pytest.approx(np.sqrt(variance(r) / body), rel=0.05), r


def test_ray_noise_is_round_in_millimetres_and_does_not_depend_on_the_pixels() -> None:
    hu, _ = abdomen(104, 4.0)
    fine = ray_noise(np.repeat(hu, 2, axis=0), (2.0, 4.0))
    coarse = ray_noise(hu, (4.0, 4.0))
    np.testing.assert_allclose(fine.reshape(104, 2, 104).mean(axis=1), coarse, rtol=0.1)


def test_poisson_noise_is_scaled_to_the_body_and_independent_in_neighbouring_pixels() -> None:
    hu, regions = abdomen(208, 2.0)
    image = Slice(hu[..., None], np.zeros(hu.shape, np.uint8), (2.0, 2.0))
    noises = [(policy("poisson", std_hu=20)(image, seed, nobody).hu - image.hu)[..., 0] for seed in range(60)]
    deviations = [np.std(noise[hu > -500]) for noise in noises]
    assert max(deviations) == pytest.approx(20, rel=0.1)
    assert np.std(noises[0][regions["air beside"]]) > 0.6 * deviations[0]
    assert abs(np.corrcoef(noises[0][1:].ravel(), noises[0][:-1].ravel())[0, 1]) < 0.02


def test_ray_noise_of_a_slice_of_air_is_alike_everywhere() -> None:
    np.testing.assert_allclose(ray_noise(np.full((30, 20), -1024, np.float32), (2.0, 2.0)), 1, rtol=1e-4)


def test_speckle_grows_with_attenuation_from_none_in_air() -> None:
    assert np.std(added("speckle", -1000, 1)) == 0
    assert np.std(added("speckle", 1000, 1)) == pytest.approx(2 * np.std(added("speckle", 0, 1)), rel=1e-3)


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


def radial(power: np.ndarray, spacing_mm: float, edges: np.ndarray) -> np.ndarray:
    """Mean power between frequencies, in 1 / mm, scaled to a mean of 1."""
    axis = np.fft.fftfreq(len(power), spacing_mm)
    frequency = np.hypot(*np.meshgrid(axis, axis))
    profile = [power[(frequency >= low) & (frequency < high)].mean() for low, high in pairwise(edges)]
    return np.array(profile) / np.mean(profile)


@pytest.mark.parametrize("spacing_mm", [1.0, 2.0, 3.0])
def test_ct_noise_has_the_spectrum_of_resampled_filtered_backprojection(spacing_mm: float) -> None:
    """Simulate it at 0.25 mm: white noise by the root of f exp(-a f^2), then the mean over each pixel's area."""
    count, fine_mm, size, grain_mm = 40, 0.25, 64, 2.5
    step = round(spacing_mm / fine_mm)
    axis = np.fft.fftfreq(size * step, fine_mm)
    frequency = np.hypot(*np.meshgrid(axis, axis))
    a = optimize.brentq(lambda a: half_width_mm(frequency * np.exp(-a * frequency**2), fine_mm) - grain_mm, 10, 100)
    rng, ours, simulated = np.random.default_rng(0), np.zeros((size, size)), np.zeros((size, size))
    transfer = np.sqrt(frequency * np.exp(-a * frequency**2))
    noise = CorrelatedNoise(std_hu=30, grain_mm=grain_mm, probability=1)
    noise.set_random_seed(1)
    for _ in range(count):
        fine = np.fft.ifft2(np.fft.fft2(rng.standard_normal(axis.shape * 2)) * transfer).real
        pixels = fine.reshape(size, step, size, step).mean(axis=(1, 3))
        simulated += np.abs(np.fft.fft2(pixels / pixels.std())) ** 2
        drawn = noise.parameters(flat(0, size).hu, (spacing_mm, spacing_mm))["noise"][..., 0]
        ours += np.abs(np.fft.fft2(drawn / drawn.std())) ** 2
    edges = np.linspace(0.02, 0.5, 9) / spacing_mm  # up to the pixels' own frequency
    np.testing.assert_allclose(radial(ours, spacing_mm, edges), radial(simulated, spacing_mm, edges), rtol=0.12)


def half_width_mm(power: np.ndarray, spacing_mm: float) -> float:
    """Full width of the autocorrelation at half its height."""
    line = np.fft.ifft2(power).real[0, : len(power) // 8]
    below = int(np.argmax(line < line[0] / 2))
    part = (line[below - 1] - line[0] / 2) / (line[below - 1] - line[below])
    return float(2 * spacing_mm * (below - 1 + part))


def test_ct_noise_is_not_white_at_2_mm_and_has_no_slow_changes() -> None:
    profile = radial(noise_power_of(seeds=40), 2.0, np.array([0.005, 0.03, 0.08, 0.13, 0.18, 0.24]))
    assert profile[0] < 0.35 * max(profile)
    assert profile[-1] < 0.6 * max(profile)
    assert int(np.argmax(profile)) == 2, "near 0.3 / grain_mm = 0.12 / mm"


def noise_power_of(seeds: int) -> np.ndarray:
    noise, power = CorrelatedNoise(std_hu=30, grain_mm=2.5, probability=1), np.zeros((128, 128))
    noise.set_random_seed(2)
    for _ in range(seeds):
        drawn = noise.parameters(flat(0, 128).hu, (2.0, 2.0))["noise"][..., 0]
        power += np.abs(np.fft.fft2(drawn / drawn.std())) ** 2
    return power


def test_ct_noise_of_an_odd_width_keeps_its_shape() -> None:
    noise = CorrelatedNoise(std_hu=30, grain_mm=2.5, probability=1)
    assert noise.parameters(np.zeros((33, 47, 3), np.float32), (2.0, 1.0))["noise"].shape == (33, 47, 3)


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
