import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from lightning_liver.errors import LiverError
from lightning_liver.metrics.overlap import counts, dice, dice_global, dice_per_case, empty, update

SHAPE = (4, 5, 3)
volumes = hnp.arrays(np.uint8, SHAPE, elements=st.integers(0, 2)).map(torch.from_numpy)
relaxed = settings(deadline=None, max_examples=60)


def oracle(prediction: Tensor, truth: Tensor) -> np.ndarray:
    """Count by sets of voxel places, structure by structure."""
    rows = []
    for lowest in (1, 2):
        p, t = (set(map(tuple, np.argwhere(labels.numpy() >= lowest))) for labels in (prediction, truth))
        rows.append((len(p & t), len(p - t), len(t - p)))
    return np.array(rows)


def volume(*labels: int) -> Tensor:
    return torch.tensor(labels, dtype=torch.uint8).view(1, 1, -1)


@relaxed
@given(prediction=volumes, truth=volumes)
def test_counts_are_those_of_sets_of_voxels(prediction: Tensor, truth: Tensor) -> None:
    np.testing.assert_array_equal(counts(prediction, truth), oracle(prediction, truth))


@relaxed
@given(prediction=volumes, truth=volumes)
def test_dice_is_twice_the_common_part_over_the_sum_of_sizes(prediction: Tensor, truth: Tensor) -> None:
    scores = dice(counts(prediction, truth))
    for lowest, score in zip((1, 2), scores.tolist(), strict=True):
        p, t = prediction.numpy() >= lowest, truth.numpy() >= lowest
        size = np.float64(p.sum() + t.sum())
        assert score == (2 * np.float64((p & t).sum()) / size if size else 1.0)


@relaxed
@given(prediction=volumes, truth=volumes)
def test_dice_is_symmetric_and_between_0_and_1(prediction: Tensor, truth: Tensor) -> None:
    scores = dice(counts(prediction, truth))
    assert torch.equal(scores, dice(counts(truth, prediction)))
    assert ((scores >= 0) & (scores <= 1)).all()


@relaxed
@given(prediction=volumes, truth=volumes, order=st.permutations(range(SHAPE[0])))
def test_order_of_slices_flips_and_padding_change_nothing(prediction: Tensor, truth: Tensor, order: list[int]) -> None:
    def turned(labels: Tensor) -> Tensor:
        return torch.nn.functional.pad(labels[order].flip(1, 2), (2, 0, 1, 3))

    assert torch.equal(counts(turned(prediction), turned(truth)), counts(prediction, truth))


@relaxed
@given(
    prediction=volumes, truth=volumes, cases=st.lists(st.integers(0, 2), min_size=4, max_size=4), cut=st.integers(0, 4)
)
def test_batches_that_cut_and_mix_cases_give_the_table_of_whole_cases(
    prediction: Tensor, truth: Tensor, cases: list[int], cut: int
) -> None:
    index, table = torch.tensor(cases), empty(3)
    for part in (slice(0, cut), slice(cut, None)):
        update(table, index[part], prediction[part], truth[part])
    whole = [counts(prediction[index == case], truth[index == case]) for case in range(3)]
    assert torch.equal(table, torch.stack(whole))


@relaxed
@given(prediction=volumes, truth=volumes, owner=st.lists(st.booleans(), min_size=4, max_size=4))
def test_tables_of_two_processes_add_up(prediction: Tensor, truth: Tensor, owner: list[bool]) -> None:
    index, together, parts = torch.tensor([0, 0, 1, 1]), empty(2), [empty(2), empty(2)]
    update(together, index, prediction, truth)
    for mine, table in zip((torch.tensor(owner), ~torch.tensor(owner)), parts, strict=True):
        update(table, index[mine], prediction[mine], truth[mine])
    assert torch.equal(sum(parts), together)


def test_liver_includes_its_tumours() -> None:
    liver, tumour = counts(prediction=volume(1, 2, 1, 0), truth=volume(2, 2, 0, 1)).tolist()
    assert liver == [2, 1, 1]
    assert tumour == [1, 0, 1]


def test_both_empty_is_one_and_one_empty_is_zero() -> None:
    neither, invented, missed = volume(0, 0), volume(0, 2), volume(2, 0)
    assert dice(counts(neither, neither)).tolist() == [1, 1]
    assert dice(counts(invented, neither)).tolist() == [0, 0]
    assert dice(counts(neither, missed)).tolist() == [0, 0]


def test_dice_per_case_is_a_mean_over_cases_and_global_dice_over_voxels() -> None:
    table = torch.tensor([[[98, 1, 1], [0, 0, 0]], [[0, 1, 1], [0, 4, 0]]])
    assert dice_per_case(table).tolist() == [(0.98 * 2 / (0.98 * 2 + 0.02) + 0) / 2, 0.5]
    assert dice_global(table).tolist() == [196 / 200, 0]


def test_mean_of_dice_over_batches_is_not_dice_of_the_case() -> None:
    """The trap of segmentation_models.pytorch #712: a slice without tumour scores 1 or 0 by a single voxel."""
    prediction, truth = (
        torch.cat((volume(2, 2, 2, 0), volume(0, 0, 0, 0))),
        torch.cat((volume(2, 2, 0, 0), volume(0, 0, 0, 0))),
    )
    table, batches = empty(1), []
    for z in range(2):
        update(table, torch.tensor([0]), prediction[z : z + 1], truth[z : z + 1])
        batches.append(dice(counts(prediction[z : z + 1], truth[z : z + 1]))[1])
    assert dice_per_case(table)[1].item() == 0.8
    assert torch.stack(batches).mean().item() == 0.9


def test_counts_do_not_overflow_small_integers() -> None:
    full = torch.full((3, 512, 512), 2, dtype=torch.uint8)
    assert counts(full, full).tolist() == [[3 * 512 * 512, 0, 0]] * 2
    table = torch.tensor([[[2**40, 2**40, 0], [1, 0, 0]]])
    assert dice_global(table).tolist() == [2 / 3, 1]


def test_dice_without_cases_is_nan() -> None:
    assert dice_per_case(empty(0)).isnan().all()
    assert counts(torch.zeros(0, 4, 4, dtype=torch.uint8), torch.zeros(0, 4, 4, dtype=torch.uint8)).sum() == 0


def test_foreign_label_is_refused() -> None:
    with pytest.raises(LiverError, match="prediction has label 5"):
        counts(volume(0, 5), volume(0, 1))
    with pytest.raises(LiverError, match="truth has label 3"):
        counts(volume(0, 1), volume(3, 1))


@pytest.mark.usefixtures("unchecked")
def test_unequal_shapes_are_refused() -> None:
    with pytest.raises(LiverError, match="expected equal shapes, got prediction"):
        counts(torch.zeros(1, 2, 3, dtype=torch.uint8), torch.zeros(1, 3, 2, dtype=torch.uint8))
