import numpy as np
import pytest
import torch

from lightning_liver.augment.compound import sequence
from lightning_liver.augment.mixing import Mixup, fade, mixup
from lightning_liver.augment.policy import none
from lightning_liver.errors import LiverError
from lightning_liver.volume import Slice
from tests.augment.marked import itself, marked, nobody, policy


def healthy() -> Slice:
    labels = np.zeros((96, 96), np.uint8)
    labels[20:70, 10:60] = 1
    hu = np.where(labels == 1, 100.0, -100.0).astype(np.float32)
    return Slice(hu[..., None], labels, (3.0, 3.0))


def donor(tumour_hu: float = 20.0, liver_hu: float = 60.0, spacing_mm: float = 3.0) -> Slice:
    """Return one round tumour, 8 pixels across, in liver."""
    y, x = np.mgrid[:60, :60]
    labels = np.ones((60, 60), np.uint8)
    labels[(y - 30) ** 2 + (x - 25) ** 2 < 17] = 2
    return Slice(np.where(labels == 2, tumour_hu, liver_hu).astype(np.float32)[..., None], labels, (spacing_mm,) * 2)


def pasted(seed: int, given: Slice, **options: float) -> Slice:
    return policy("copy_paste", **({"probability": 1.0} | options))(healthy(), seed, itself(given))


def test_pasted_tumour_keeps_its_form_and_lies_in_liver() -> None:
    places = set()
    for seed in range(20):
        changed = pasted(seed, donor())
        tumour = changed.labels == 2
        assert tumour.sum() == (donor().labels == 2).sum()
        assert (healthy().labels[tumour] == 1).all()
        np.testing.assert_array_equal(changed.labels[~tumour], healthy().labels[~tumour])
        np.testing.assert_array_equal(changed.hu[~tumour], healthy().hu[~tumour])
        places.add(tuple(np.argwhere(tumour)[0]))
    assert len(places) > 10


def test_pasted_tumour_keeps_its_contrast_to_the_liver() -> None:
    changed = pasted(1, donor(tumour_hu=20, liver_hu=60), edge_mm=0)
    np.testing.assert_allclose(changed.hu[changed.labels == 2], 100 - 40, atol=0.01)


@pytest.mark.parametrize("edge_pixels", [0.0, 1.3, 5.0])
@pytest.mark.parametrize("side", [1, 2, 3, 9])
def test_labelled_pixels_are_visible(side: int, edge_pixels: float) -> None:
    inside = np.zeros((side + 4, side + 4), bool)
    inside[2:-2, 2:-2] = True
    cover = fade(inside, edge_pixels)
    assert cover.max() == 1
    assert cover[inside].mean() > 0.4
    assert not cover[~inside].any()


def test_edge_of_a_pasted_tumour_fades() -> None:
    sharp, soft = (pasted(1, donor(), edge_mm=edge).hu for edge in (0, 12))
    assert sharp.mean() < soft.mean() < healthy().hu.mean(), "the tumour is darker, and less so at its edge"
    assert len(np.unique(soft)) > len(np.unique(sharp))


def test_pasted_tumour_keeps_its_millimetres() -> None:
    area_mm2 = [
        np.mean([np.count_nonzero(pasted(s, donor(spacing_mm=mm)).labels == 2) for s in range(5)]) * 9
        for mm in (1.5, 3.0)
    ]
    assert area_mm2[0] * 4 == pytest.approx(area_mm2[1], rel=0.25)


def test_nothing_is_pasted_where_the_liver_is_too_small() -> None:
    labels = np.zeros((96, 96), np.uint8)
    labels[40:44, 40:44] = 1
    image = Slice(np.zeros((96, 96, 1), np.float32), labels, (3.0, 3.0))
    for seed in range(10):
        np.testing.assert_array_equal(
            policy("copy_paste", probability=1.0)(image, seed, itself(donor())).labels, labels
        )


def test_nothing_is_pasted_without_a_donor() -> None:
    changed = policy("copy_paste", probability=1.0)(healthy(), 1, nobody)
    np.testing.assert_array_equal(changed.hu, healthy().hu)


def test_tumours_are_not_pasted_onto_tumours() -> None:
    image = marked()
    for seed in range(20):
        changed = policy("copy_paste", probability=1.0)(image, seed, itself(donor()))
        new = (changed.labels == 2) & (image.labels != 2)
        assert (image.labels[new] == 1).all()
        assert new.sum() in (0, (donor().labels == 2).sum())


def samples(count: int) -> list[dict[str, torch.Tensor]]:
    return [
        {"image": torch.full((1, 4, 4), float(n)), "labels": torch.full((4, 4), n, dtype=torch.uint8)}
        for n in range(count)
    ]


def test_mixup_blends_each_slice_with_the_next() -> None:
    mixed = Mixup(alpha=0.4, probability=1)(samples(4), np.random.default_rng(0))
    share = float(mixed[0]["share"])
    assert 0 < share < 1
    for n, sample in enumerate(mixed):
        torch.testing.assert_close(sample["image"], torch.full((1, 4, 4), share * n + (1 - share) * ((n + 1) % 4)))
        assert sample["partner_labels"].unique().tolist() == [(n + 1) % 4]
        assert sample["labels"].unique().tolist() == [n]
        assert float(sample["share"]) == share


def test_shares_follow_the_beta_distribution() -> None:
    shares = [
        float(Mixup(alpha=2, probability=1)(samples(2), np.random.default_rng(s))[0]["share"]) for s in range(2000)
    ]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.02)
    assert np.var(shares) == pytest.approx(1 / 20, rel=0.1)  # 1 / (4 (2 alpha + 1))


def test_mixup_blends_with_its_probability_and_never_a_slice_alone() -> None:
    blend = Mixup(alpha=1, probability=0.25)
    mixed = sum("share" in blend(samples(2), np.random.default_rng(s))[0] for s in range(1000))
    assert mixed == pytest.approx(250, abs=50)
    assert "share" not in Mixup(alpha=1, probability=1)(samples(1), np.random.default_rng(0))[0]


def test_two_policies_cannot_both_blend_batches() -> None:
    with pytest.raises(LiverError, match="got one and two"):
        sequence(one=mixup(alpha=1, probability=1), two=mixup(alpha=2, probability=1))
    assert sequence(one=mixup(alpha=1, probability=1), two=None, three=none()).mixup is not None
