"""Scans listed in a CSV."""

from pathlib import Path

import pytest

from lightning_liver.data.sources import Case
from lightning_liver.data.table import cases
from lightning_liver.errors import LiverError, LiverWarning


def lay(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def table(root: Path, text: str) -> Path:
    (root / "cases.csv").write_text(text)
    return root / "cases.csv"


def test_paths_are_relative_to_the_table_and_only_image_is_needed(tmp_path: Path) -> None:
    lay(tmp_path, "ct/a.nii.gz", "ct/b.nii", "masks/a.nii.gz")
    written = table(tmp_path, "Image, mask, patient\nct/a.nii.gz, masks/a.nii.gz, P 1\n\nct/b.nii,,\n")
    assert cases(written) == [
        Case("a", "P 1", tmp_path / "ct/a.nii.gz", tmp_path / "masks/a.nii.gz", patient_known=True),
        Case("b", "b", tmp_path / "ct/b.nii", None),
    ]
    assert [case.name for case in cases(table(tmp_path, "age;image\n60;ct/a.nii.gz\n"))] == ["a"]


def test_equal_file_names_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    lay(tmp_path, "p1/venous phase/ct.nii.gz", "p2/venous phase/ct.nii.gz", "p2/other.nii.gz")
    rows = "p1/venous phase/ct.nii.gz\np2/venous phase/ct.nii.gz\np2/other.nii.gz\n"
    named = [case.name for case in cases(table(tmp_path, f"image\n{rows}"))]
    assert named == ["p1-venous-phase-ct", "p2-venous-phase-ct", "other"]


def test_column_split_names_the_part_and_rows_without_one_are_left_out(tmp_path: Path) -> None:
    lay(tmp_path, *(f"{name}.nii" for name in "abcd"))
    written = table(tmp_path, "image,split\na.nii,train\nb.nii,val\nc.nii,\nd.nii,test\n")
    with pytest.warns(LiverWarning, match="without a split are left out: lines 4$"):
        found = cases(written)
    assert {case.name: case.part for case in found} == {"a": "train", "b": "val", "d": "test"}


def test_missing_file_is_a_problem_of_its_case_alone(tmp_path: Path) -> None:
    lay(tmp_path, "a.nii", "b.nii")
    found = cases(table(tmp_path, "image,mask\na.nii,\nb.nii,gone.nii\n"))
    assert found[0].problem is None
    assert found[1].problem == f"{tmp_path}/cases.csv, line 3: there is no file {tmp_path}/gone.nii; correct its path"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a header with the column image"),
        ("volume,mask\na.nii,\n", "expected a header with the column image, .* found 'volume, mask'"),
        ("image,masks\na.nii,\n", "expected the column mask, found masks"),
        ("image,pateint\na.nii,1\n", "expected the column patient, found pateint"),
        ("image,image\na.nii,a.nii\n", "the column image is there twice"),
        ("image\n", "expected a row for each scan"),
        ("image,mask\na.nii\n", "line 2: expected 2 cells, found 1"),
        ("image,mask\na.nii,\n,b.nii\n", "line 3: expected an image"),
        ("image\na.png\n", "line 2: image=a.png: expected a name that ends in .nii"),
        ("image,mask\na.nii,a.nrrd\n", "line 2: mask=a.nrrd: expected"),
        ("image,split\na.nii,training\n", "line 2: split=training: expected train, val, test or nothing"),
        ("image\na.nii\nb.nii\n./a.nii\n", "line 4: image=./a.nii is that of line 2"),
        ("image,patient,split\na.nii,1,train\nb.nii,1,test\n", "line 3: patient 1 is in test, and in train in line 2"),
    ],
)
def test_wrong_row_is_told_by_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(LiverError, match=message) as wrong:
        cases(table(tmp_path, text))
    assert str(wrong.value).startswith(str(tmp_path / "cases.csv"))


def test_missing_table_and_other_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(LiverError, match=r"cannot be read \(No such file.* data.table"):
        cases(tmp_path / "none.csv")
    (tmp_path / "cases.csv").write_bytes(b"image\n\xff\xfe.nii\n")
    with pytest.raises(LiverError, match="expected a CSV in UTF-8"):
        cases(tmp_path / "cases.csv")
