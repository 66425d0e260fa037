"""Two spines are aligned, whatever their shift, size and direction."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from lightning_liver.audit.alignment import align, moved, sliding
from lightning_liver.audit.candidates import NEIGHBOURS, candidates, codes, likeness
from lightning_liver.audit.spine import GRID_MM, PATCH, Spine


def random_spine(seed: int, levels: int = 40) -> Spine:
    """Smooth noise instead of bone."""
    field = gaussian_filter(np.random.default_rng(seed).standard_normal((levels, *PATCH)), (1.5, 2, 2))
    return spine_of((field / field.std() * 30).astype(np.float32))


def spine_of(patches: np.ndarray) -> Spine:
    return Spine(np.clip(np.rint(patches), -127, 127).astype(np.int8), np.zeros((len(patches), 2)))


def test_sliding_gives_the_correlation_at_every_shift() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((20, 3)).astype(np.float32), rng.standard_normal((2, 15, 3)).astype(np.float32)
    scores, levels, shifts = sliding(first, second)
    assert shifts.tolist() == list(range(-3, 9))  # 12 common levels at least
    for shift, count, score in zip(shifts, levels, scores[1], strict=True):
        pairs = [(first[i], second[1, i - shift]) for i in range(20) if 0 <= i - shift < 15]
        a, b = (np.concatenate(part) for part in zip(*pairs, strict=True))
        assert count == len(pairs)
        assert score == pytest.approx(a @ b / np.sqrt((a @ a) * (b @ b) + 1), rel=1e-4)


@pytest.mark.parametrize("mirrored", [False, True])
def test_alignment_finds_shift_size_and_mirror(mirrored: bool) -> None:
    whole = random_spine(1)
    part = spine_of(moved(whole.patches[8:30].astype(np.float32), 1 / 1.1, mirrored=mirrored))
    found = align(whole, part)
    assert found.score > 0.95
    assert found.mirrored == mirrored
    assert found.shift == pytest.approx(8, abs=0.2)
    assert np.exp(found.zoom) == pytest.approx(1.1, abs=0.02)
    assert found.levels == 22


def test_spines_of_two_patients_do_not_agree() -> None:
    assert align(random_spine(1), random_spine(2)).score < 0.4


def test_code_is_that_of_the_mirror_image() -> None:
    spine = random_spine(3)
    mirror = spine_of(spine.patches[:, :, ::-1].astype(np.float32))
    plain, other = (codes(s, [1.0], (0.0,)) for s in (spine, mirror))
    np.testing.assert_allclose(plain, other, atol=1e-3)
    assert likeness(plain, other) > likeness(plain, codes(random_spine(4), [1.0], (0.0,)))


def test_each_case_has_its_twin_and_few_others_as_candidates() -> None:
    spines = {str(n): random_spine(n // 2) for n in range(16)}
    found = candidates(spines)
    assert {(str(n), str(n + 1)) for n in range(0, 16, 2)} <= found
    assert len(found) <= NEIGHBOURS * len(spines)
    across = candidates({"a": spines["0"]}, {"x": spines["2"], "y": spines["1"]})
    assert across == {("a", "x"), ("a", "y")}  # the first is of the first store


def test_levels_of_the_second_follow_shift_and_stretch() -> None:
    found = align(random_spine(5), random_spine(5))
    assert found.level(np.array([10.0]))[0] * GRID_MM == pytest.approx(30, abs=0.5)
