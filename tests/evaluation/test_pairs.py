from pathlib import Path

import pytest

from lightning_liver.errors import LiverError
from lightning_liver.evaluation.pairs import case_of, match_files


def folder(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("segmentation-17.nii", "17"),
        ("segmentation-017.nii.gz", "17"),
        ("test-segmentation-17.nii", "17"),
        ("volume-17-segmentation.nii.gz", "17"),
        ("Segmentation-17.NII", "17"),
        ("liver_17.nii.gz", "liver_17"),
        ("liver_17-segmentation.nii.gz", "liver_17"),
        ("patient.b-segmentation.nii", "patient.b"),
        ("segmentation-patient.b.nii", "patient.b"),
    ],
)
def test_case_is_read_from_the_file_name(name: str, case: str) -> None:
    assert case_of(Path(name)) == case


def test_masks_are_paired_in_any_folder_and_sorted_by_number(tmp_path: Path) -> None:
    truth = folder(tmp_path / "t", "pt1/segmentation-10.nii", "pt2/segmentation-9.nii", "pt1/volume-10.nii")
    predictions = folder(tmp_path / "p", "test-segmentation-9.nii.gz", "a/volume-10-segmentation.nii.gz")
    matched = match_files(truth, predictions)
    assert [(pair.case, pair.truth.name, pair.prediction.name) for pair in matched.pairs] == [
        ("9", "segmentation-9.nii", "test-segmentation-9.nii.gz"),
        ("10", "segmentation-10.nii", "volume-10-segmentation.nii.gz"),
    ]


def test_other_names_are_masks_if_no_file_is_named_a_segmentation(tmp_path: Path) -> None:
    truth = folder(tmp_path / "t", "liver_1.nii.gz", "volume-3.nii")
    assert [pair.case for pair in match_files(truth, folder(tmp_path / "p", "liver_1.nii")).pairs] == ["liver_1"]
    named = folder(tmp_path / "q", "liver_1.nii", "liver_1-segmentation.nii")
    assert match_files(truth, named).pairs[0].prediction.name == "liver_1-segmentation.nii"


def test_files_without_a_partner_are_listed(tmp_path: Path) -> None:
    truth = folder(tmp_path / "t", *(f"segmentation-{n}.nii" for n in (1, 2, 11)))
    matched = match_files(truth, folder(tmp_path / "p", "segmentation-1.nii", "segmentation-5.nii"))
    assert [path.name for path in matched.without_prediction] == ["segmentation-2.nii", "segmentation-11.nii"]
    assert [path.name for path in matched.without_truth] == ["segmentation-5.nii"]


def test_two_files_are_a_pair_with_any_names(tmp_path: Path) -> None:
    folder(tmp_path, "a.nii", "b.nii")
    assert match_files(tmp_path / "a.nii", tmp_path / "b.nii").pairs[0].case == "a"


def test_folders_without_pairs_are_refused_with_what_was_found(tmp_path: Path) -> None:
    truth = folder(tmp_path / "t", "segmentation-1.nii")
    with pytest.raises(
        LiverError, match=r"predictions=.*nowhere: no such folder; give a folder with masks named segmentation-N"
    ):
        match_files(truth, tmp_path / "nowhere")
    with pytest.raises(LiverError, match=r"predictions=.*: no masks below it"):
        match_files(truth, folder(tmp_path / "scans", "volume-1.nii"))
    with pytest.raises(LiverError, match=r"no case is both in truth=.* \(1\) and in predictions=.* \(2, 7\)"):
        match_files(truth, folder(tmp_path / "p", "segmentation-7.nii", "segmentation-2.nii"))
    with pytest.raises(LiverError, match=r"segmentation-1.nii and .*segmentation-1.nii.gz are both masks of case 1"):
        match_files(truth, folder(tmp_path / "twice", "segmentation-1.nii", "segmentation-1.nii.gz"))
