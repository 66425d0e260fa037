import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from experiments.speed.scoring.masks import SETS, Pair
from lightning_liver.metrics import lesion_matching
from lightning_liver.metrics.components import Affine, components
from lightning_liver.metrics.lesion_matching import Overlaps, overlaps
from tests.metrics import oracles

LPS = np.diag((-1.0, -1.0, 1.0, 1.0))
SHAPE = (2, 5, 8)
masks = hnp.arrays(bool, SHAPE)
thresholds = st.sampled_from([0.0, 0.3, 0.5])
relaxed = settings(max_examples=50)

# True positive, false positive, false negative above 0 and above 0.5, from detect_lesions of
# veugene/lits-challenge-scoring, branch clinical_eval (02ddb0a). None: its program fails.
FORK = {
    "plain": [((2, 1, 1), (1, 2, 2)), ((1, 0, 0), (1, 0, 0))],
    "bridge": [((3, 0, 0), None)],
    "scattered": [((5, 16, 15), (0, 22, 20)), ((6, 15, 13), (0, 21, 19)), ((8, 10, 9), None)],
    "a liver of tumour": [((1, 0, 2), (1, 0, 2)), ((2, 1, 1), (1, 2, 2))],
    "nothing found": [((0, 1, 3), (0, 1, 3))],
}


def shared(truth: np.ndarray, prediction: np.ndarray, affine: Affine = LPS) -> Overlaps:
    return overlaps(components(prediction, affine), components(truth, affine), truth.shape)


def counts(pair: Pair, match: lesion_matching.Match, threshold: float) -> tuple[int, int, int]:
    found = match(shared(pair.truth == 2, pair.prediction == 2, pair.affine), threshold)
    return found.tp, found.fp, found.fn


def has_ties(lesions: Overlaps) -> bool:
    rows = [row[row > 0] for row in (*lesions.shared.toarray(), *lesions.shared.toarray().T)]
    return any(len(set(row.tolist())) < len(row) for row in rows)


def test_corrected_counts_are_those_of_the_fork() -> None:
    for name, expected in FORK.items():
        for pair, (above_0, above_50) in zip(SETS[name], expected, strict=True):
            assert counts(pair, lesion_matching.corrected, 0.0) == above_0, name
            assert above_50 in (None, counts(pair, lesion_matching.corrected, 0.5)), name


def test_one_prediction_over_three_lesions_finds_three_or_none_and_never_minus_two() -> None:
    bridge = SETS["bridge"][0]
    assert counts(bridge, lesion_matching.official, 0.5) == (-2, 3, 5)
    assert counts(bridge, lesion_matching.corrected, 0.5) == (0, 1, 3)
    assert counts(bridge, lesion_matching.corrected, 0.0) == (3, 0, 0)


@relaxed
@given(truth=masks, prediction=masks, threshold=thresholds)
def test_corrected_counts_are_those_of_sets_of_voxels(
    truth: np.ndarray, prediction: np.ndarray, threshold: float
) -> None:
    lesions = shared(truth, prediction)
    assume(not has_ties(lesions))
    found = lesion_matching.corrected(lesions, threshold)
    expected = oracles.counted(oracles.parts(prediction), oracles.parts(truth), threshold)
    assert (found.tp, found.fp, found.fn) == expected


@relaxed
@given(truth=masks, prediction=masks, threshold=thresholds)
def test_corrected_counts_every_lesion_once(truth: np.ndarray, prediction: np.ndarray, threshold: float) -> None:
    lesions = shared(truth, prediction)
    found = lesion_matching.corrected(lesions, threshold)
    hits = sum(len(pair.predicted) for pair in found.detected)
    assert found.tp + found.fn == len(lesions.reference)
    assert found.fp + hits == len(lesions.predicted)
    assert min(found.tp, found.fp, found.fn) >= 0


@relaxed
@given(truth=masks, prediction=masks, threshold=thresholds, axes=st.sets(st.integers(0, 2)))
def test_corrected_counts_do_not_change_with_flips_and_padding(
    truth: np.ndarray, prediction: np.ndarray, threshold: float, axes: set[int]
) -> None:
    """Without ties, which the order decides."""
    assume(not has_ties(shared(truth, prediction)))
    moved = [np.pad(np.flip(mask, tuple(axes)), 1) for mask in (truth, prediction)]
    before, after = (lesion_matching.corrected(shared(*pair), threshold)[:3] for pair in ((truth, prediction), moved))
    assert before == after


@relaxed
@given(truth=masks, prediction=masks)
def test_a_lesion_belongs_to_one_pair_and_overlaps_are_between_0_and_1(
    truth: np.ndarray, prediction: np.ndarray
) -> None:
    pairs = lesion_matching.corrected(shared(truth, prediction), 0.0).pairs
    for numbers in ([n for pair in pairs for n in pair.predicted], [n for pair in pairs for n in pair.reference]):
        assert len(numbers) == len(set(numbers))
    assert all(0 < pair.overlap <= 1 for pair in pairs)


@relaxed
@given(mask=masks)
def test_a_perfect_prediction_finds_all(mask: np.ndarray) -> None:
    lesions = shared(mask, mask)
    for match in (lesion_matching.official, lesion_matching.corrected):
        assert match(lesions, 0.5)[:3] == (len(lesions.reference), 0, 0)


@given(truth=masks, prediction=masks)
def test_shared_voxels_add_up_to_the_common_mask(truth: np.ndarray, prediction: np.ndarray) -> None:
    lesions = shared(truth, prediction)
    assert lesions.shared.sum() == np.count_nonzero(truth & prediction)
    assert lesions.reference.sum() == np.count_nonzero(truth)
