import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from experiments.speed.scoring.bench import phantom_pair
from experiments.speed.scoring.masks import LPS, PLAIN, RAS, SPACING_MM, write_set
from lightning_liver.errors import LiverError, LiverWarning
from lightning_liver.evaluation import score
from lightning_liver.evaluation.pairs import CasePair
from lightning_liver.evaluation.score import check_shapes, read_pair, score_pairs
from lightning_liver.metrics.case_score import score_case
from lightning_liver.volume import from_canonical
from tests.apps.commands import ROOT


def save(path: Path, labels: np.ndarray, affine: np.ndarray, stored_by: np.ndarray | None = None) -> Path:
    voxels = from_canonical(labels, affine if stored_by is None else stored_by).transpose(2, 1, 0)
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path


def pair(folder: Path, case: str = "1", affine: np.ndarray = LPS) -> CasePair:
    truth = save(folder / f"segmentation-{case}.nii", PLAIN.truth, affine)
    return CasePair(case, truth, save(folder / f"{case}-segmentation.nii.gz", PLAIN.prediction, affine))


@pytest.mark.parametrize("affine", [LPS, RAS])
def test_masks_are_scored_as_their_arrays_are(tmp_path: Path, affine: np.ndarray) -> None:
    (scored,) = score_pairs([pair(tmp_path, affine=affine)], mode="official", tolerance_mm=1.0, workers=0)
    expected = score_case(
        PLAIN.truth, PLAIN.prediction, spacing_mm=SPACING_MM, mode="official", tolerance_mm=1.0, affine=affine
    )
    assert scored.score == expected
    assert (scored.error, scored.warnings) == (None, ())


@pytest.mark.parametrize("axes", ["RAS", "PLS"])
def test_a_prediction_saved_turned_is_scored_on_the_grid_of_its_truth(tmp_path: Path, axes: str) -> None:
    made = pair(tmp_path)
    image = nib.load(made.truth)
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(tuple(axes)))
    nib.save(image.as_reoriented(turn), made.prediction)
    check_shapes([made])
    with pytest.warns(LiverWarning, match="own header"):
        truth, prediction, _ = read_pair(made)
    assert truth.any()
    np.testing.assert_array_equal(prediction, truth)


def test_scores_and_order_do_not_depend_on_processes(tmp_path: Path) -> None:
    pairs = [pair(tmp_path, case) for case in ("3", "1", "2")]
    alone, together = (score_pairs(pairs, mode="corrected", tolerance_mm=1.0, workers=workers) for workers in (0, 2))
    assert [scored.pair.case for scored in together] == ["3", "1", "2"]
    assert alone == together


def test_a_truth_with_an_uninformative_header_takes_the_geometry_of_the_prediction(tmp_path: Path) -> None:
    """LiTS_053's mask has unit spacing (nnUNet #2751)."""
    truth = save(tmp_path / "segmentation-53.nii", PLAIN.truth, np.eye(4), stored_by=RAS)
    silent = CasePair("53", truth, save(tmp_path / "53-segmentation.nii", PLAIN.prediction, RAS))
    (scored,) = score_pairs([silent], mode="corrected", tolerance_mm=1.0, workers=0)
    assert any("gives no spacing or orientation" in message for message in scored.warnings)
    assert scored.score == score_case(
        PLAIN.truth, PLAIN.prediction, spacing_mm=SPACING_MM, mode="corrected", tolerance_mm=1.0, affine=RAS
    )


def test_unequal_shapes_of_all_pairs_are_reported_before_scoring(tmp_path: Path) -> None:
    pairs = [pair(tmp_path, case) for case in ("1", "2", "3")]
    for bad in pairs[1:]:
        save(bad.prediction, PLAIN.prediction[:-1], LPS)
    with pytest.raises(LiverError) as caught:
        check_shapes(pairs)
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"{pairs[1].prediction}: 28 x 24 x 11 voxels (i, j, k), but its truth {pairs[1].truth}")
    assert str(pairs[2].prediction) in second
    with pytest.raises(LiverError, match="28 x 24 x 12"):
        read_pair(pairs[1])


def test_invalid_labels_are_an_outcome_that_names_the_file(tmp_path: Path) -> None:
    bad, good = pair(tmp_path, "1"), pair(tmp_path, "2")
    save(bad.prediction, np.where(PLAIN.prediction > 0, 255, 0).astype(np.uint8), LPS)
    first, second = score_pairs([bad, good], mode="official", tolerance_mm=1.0, workers=0)
    assert first.score is None
    assert str(first.error).startswith(f"{bad.prediction}: labels are 0 background, 1 liver, 2 tumour")
    assert second.score is not None


def test_default_processes_save_time_and_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [pair(tmp_path, str(n)) for n in range(6)]
    voxels = PLAIN.truth.size
    monkeypatch.setattr(score, "cores", lambda: 4)
    monkeypatch.setattr(score, "available_bytes", lambda: 10**12)
    assert score._count_workers(pairs) == 0  # done before a process would have started
    monkeypatch.setattr(score, "_WORTH_A_WORKER", voxels)
    assert score._count_workers(pairs) == 4
    a_worker = score._BYTES_OF_A_WORKER + score._BYTES_PER_VOXEL * voxels
    monkeypatch.setattr(score, "available_bytes", lambda: int(2.5 * a_worker))
    assert score._count_workers(pairs) == 2
    monkeypatch.setattr(score, "available_bytes", lambda: None)
    assert score._count_workers(pairs) == 0


EVALUATING = """
import sys, time
from pathlib import Path
from lightning_liver.evaluation.score import score_pairs
from lightning_liver.evaluation.pairs import match_files
(scored,) = score_pairs(match_files(Path("ref"), Path("res")).pairs, mode=sys.argv[1], tolerance_mm=2.0, workers=0)
assert scored.score is not None, scored.error
print(time.process_time(), next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read from Linux's /proc")
@pytest.mark.parametrize("mode", ["official", "corrected"])
def test_512x512x500_takes_less_than_10_s_and_3_gb_of_one_core(tmp_path: Path, mode: str) -> None:
    """CPU seconds from the start of Python, reading included; waiting on a busy machine does not count."""
    write_set(tmp_path, (phantom_pair(1, matrix=512, slices=500),))
    done = subprocess.run(
        [sys.executable, "-c", EVALUATING, mode],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, kilobytes = map(float, done.stdout.split())
    print(f"{mode}: {seconds:.1f} s and {kilobytes / 1e6:.2f} GB")
    assert seconds < 10
    assert kilobytes * 1024 < 3e9
