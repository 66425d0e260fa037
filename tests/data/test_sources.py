import errno
import json
import os
from pathlib import Path

import pytest

from lightning_liver.data.sources import Case, lits, msd, read_patients
from lightning_liver.data.splits import by_fold
from lightning_liver.errors import LiverError, LiverWarning

MSD_LABELS = {"0": "background", "1": "liver", "2": "cancer"}


def lay(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def write_csv(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def lay_msd(root: Path, *, labels=MSD_LABELS, training=((3, 3), (20, 20))) -> Path:
    pairs = [{"image": f"./imagesTr/liver_{i}.nii.gz", "label": f"./labelsTr/liver_{k}.nii.gz"} for i, k in training]
    lay(root, "imagesTr/liver_3.nii.gz", "imagesTr/liver_20.nii.gz", "imagesTs/liver_132.nii.gz")
    lay(root, "labelsTr/liver_20.nii.gz", "labelsTr/liver_3.nii.gz", "imagesTr/._liver_3.nii.gz")
    (root / "dataset.json").write_text(json.dumps({"labels": labels, "training": pairs}))
    return root


def names(cases: list[Case]) -> list[str]:
    return [case.name for case in cases]


def test_kaggle_folders_are_paired_by_number(tmp_path):
    lay(tmp_path, "volume_pt1/volume-2.nii", "volume_pt1/volume-13.nii", "volume_pt8/volume-110.nii")
    lay(tmp_path, *(f"segmentations/segmentation-{n}.nii" for n in (2, 13, 110)))
    cases = lits(tmp_path, patients=None)
    assert cases[1] == Case(
        "13", "13", tmp_path / "volume_pt1/volume-13.nii", tmp_path / "segmentations/segmentation-13.nii"
    )
    assert names(cases) == ["2", "13", "110"]


def test_codalab_batches_and_both_suffixes_are_found(tmp_path):
    lay(tmp_path, "Training Batch 1/volume-4.nii", "Training Batch 1/segmentation-4.nii.gz")
    lay(tmp_path, "Batch2/media/nas/CT/volume-28.nii.gz", "Batch2/media/nas/CT/segmentation-28.nii.gz")
    assert names(lits(str(tmp_path), patients=None)) == ["4", "28"]


def test_a_folder_called_like_a_scan_is_searched_like_any_other(tmp_path):
    lay(tmp_path, "volume-4.nii/volume-4.nii", "segmentation-4.nii/segmentation-4.nii")
    assert lits(tmp_path, patients=None)[0].volume == tmp_path / "volume-4.nii/volume-4.nii"


def test_leading_zeros_are_ignored(tmp_path):
    lay(tmp_path, "volume-007.nii", "segmentation-7.nii")
    assert names(lits(tmp_path, patients=None)) == ["7"]


def test_volume_without_mask_is_kept(tmp_path):
    lay(tmp_path, "volume-3.nii", "segmentation-3.nii", "volume-12.nii")
    assert [case.labels is None for case in lits(tmp_path, patients=None)] == [False, True]


def test_mask_without_volume_is_a_warning_that_names_it(tmp_path):
    lay(tmp_path, "volume-3.nii", *(f"segmentation-{n}.nii" for n in (3, 20, 21, 22, 40)))
    with pytest.warns(LiverWarning, match="without a volume.*: 20-22, 40$"):
        assert names(lits(tmp_path, patients=None)) == ["3"]


def test_official_test_scans_are_skipped_with_a_warning(tmp_path):
    lay(tmp_path, "volume-3.nii", "segmentation-3.nii", "test/test-volume-3.nii")
    with pytest.warns(LiverWarning, match="test-volume"):
        assert names(lits(tmp_path, patients=None)) == ["3"]


def test_hidden_files_and_folders_are_ignored(tmp_path):
    lay(tmp_path, "volume-3.nii", "._volume-3.nii", "._segmentation-3.nii", "segmentation-3.nii")
    lay(tmp_path, ".Trash/volume-3.nii", ".cache/volume-4.nii")
    assert names(lits(tmp_path, patients=None)) == ["3"]


def test_linked_folders_are_followed_without_cycles(tmp_path):
    elsewhere = lay(tmp_path / "elsewhere", "volume-3.nii", "segmentation-3.nii")
    root = tmp_path / "root"
    root.mkdir()
    (root / "part").symlink_to(elsewhere)
    (elsewhere / "up").symlink_to(root)
    assert names(lits(root, patients=None)) == ["3"]


@pytest.mark.parametrize("other", ["volume-3.nii.gz", "b/volume-3.nii", "b/volume-03.nii"])
def test_two_files_of_one_number_are_a_problem_that_names_both(tmp_path, other):
    lay(tmp_path, "volume-3.nii", "segmentation-3.nii", "volume-4.nii", "segmentation-4.nii", other)
    bad, good = lits(tmp_path, patients=None)
    assert f"{tmp_path / other}" in str(bad.problem)
    assert f"{tmp_path / 'volume-3.nii'}" in str(bad.problem)
    assert good.problem is None


def test_two_masks_of_one_number_are_a_problem(tmp_path):
    lay(tmp_path, "volume-3.nii", "a/segmentation-3.nii", "b/segmentation-3.nii")
    assert "have the same number" in str(lits(tmp_path, patients=None)[0].problem)


def test_missing_root_is_refused(tmp_path):
    with pytest.raises(LiverError, match=r"nowhere: there is no such folder.*volume-N\.nii"):
        lits(tmp_path / "nowhere", patients=None)


def test_root_that_is_a_file_is_refused(tmp_path):
    with pytest.raises(LiverError, match="not a folder"):
        lits(lay(tmp_path, "volume-3.nii") / "volume-3.nii", patients=None)


def test_unreadable_root_is_refused(tmp_path, monkeypatch):
    def deny(folder):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))

    monkeypatch.setattr("os.scandir", deny)  # chmod does not stop root
    with pytest.raises(LiverError, match="Permission denied"):
        lits(tmp_path, patients=None)


def test_unreadable_folder_below_root_is_skipped_with_a_warning(tmp_path, monkeypatch):
    lay(tmp_path, "volume-3.nii", "segmentation-3.nii", "lost+found/x")
    scandir = os.scandir

    def deny(folder):
        if Path(folder).name == "lost+found":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return scandir(folder)

    monkeypatch.setattr("os.scandir", deny)
    with pytest.warns(LiverWarning, match=r"lost\+found: folder cannot be read, skipped"):
        assert names(lits(tmp_path, patients=None)) == ["3"]


@pytest.mark.parametrize("found", [["photo.jpg"], ["volume-3.nii", "segmentation-4.nii"], []])
def test_root_without_a_pair_is_refused_with_what_was_found(tmp_path, found):
    with pytest.raises(LiverError, match=f"no volume with its mask among {len(found)} files.*set data.root") as caught:
        lits(lay(tmp_path, *found), patients=None)
    assert all(name in str(caught.value) for name in found)


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(lay(tmp_path, "lits/volume-3.nii", "lits/segmentation-3.nii")))
    write_csv(tmp_path / "p.csv", "case,patient\n3,A\n")
    assert lits("~/lits", patients="~/p.csv")[0].patient == "A"


def test_nothing_is_written_into_root(tmp_path):
    lay(tmp_path, "volume-3.nii", "segmentation-3.nii")
    tmp_path.chmod(0o555)
    before = tmp_path.stat().st_mtime_ns, sorted(tmp_path.rglob("*"))
    lits(tmp_path, patients=None)
    assert before == (tmp_path.stat().st_mtime_ns, sorted(tmp_path.rglob("*")))
    tmp_path.chmod(0o755)


def patients_of(cases: list[Case]) -> dict[str, str]:
    return {case.name: case.patient for case in cases}


def lay_pairs(root: Path, *numbers: int) -> Path:
    return lay(root, *(f"{kind}-{n}.nii" for kind in ("volume", "segmentation") for n in numbers))


def test_known_repeats_of_lits_are_one_patient_each_with_one_warning(tmp_path):
    lay_pairs(tmp_path, 0, 1, 5, 6, 8, 9)
    with pytest.warns(LiverWarning, match="scans 0-1 and 6, 8-9 count as one patient each.*data.patients") as seen:
        cases = lits(tmp_path, patients=None)
    assert len(seen) == 1
    assert patients_of(cases) == {"0": "0-1", "1": "0-1", "5": "5", "6": "6-10", "8": "6-10", "9": "6-10"}
    assert not any(case.patient_known for case in cases)


def test_no_fold_of_lits_splits_a_known_repeat(tmp_path):
    lay_pairs(tmp_path, *range(12))
    with pytest.warns(LiverWarning, match="one patient each"):
        patients = patients_of(lits(tmp_path, patients=None))
    for fold in range(5):
        split = by_fold(patients, fold=fold, folds=5, seed=0, with_tumour=list(patients))
        for repeat in ({"0", "1"}, {"6", "7", "8", "9", "10"}):
            assert sum(bool(repeat & set(part)) for part in split.to_dict().values()) == 1


def test_known_repeats_are_one_patient_in_the_decathlon_too(tmp_path):
    lay_msd(tmp_path, training=((0, 0), (1, 1)))
    lay(tmp_path, *(f"{kind}/liver_{n}.nii.gz" for kind in ("imagesTr", "labelsTr") for n in (0, 1)))
    with pytest.warns(LiverWarning, match="scans 0-1 count as one patient each"):
        assert patients_of(msd(tmp_path, patients=None))["1"] == "0-1"


def test_one_of_each_known_repeat_is_a_patient_of_its_own_without_a_warning(tmp_path):
    assert patients_of(lits(lay_pairs(tmp_path, 0, 6), patients=None)) == {"0": "0", "6": "6"}


def test_masks_beyond_the_numbers_of_lits_are_of_other_patients(tmp_path):
    assert patients_of(lits(lay_pairs(tmp_path, 0, 1, 131), patients=None)) == {"0": "0", "1": "1", "131": "131"}


def test_an_unlisted_scan_of_a_known_repeat_joins_the_listed_one(tmp_path):
    table = write_csv(tmp_path / "p.csv", "case,patient\n0,A\n7,B\n8,C\n")
    with pytest.warns(LiverWarning, match="scans 0-1 and 6-8 count as one patient each"):
        cases = lits(lay_pairs(tmp_path, 0, 1, 6, 7, 8), patients=table)
    assert patients_of(cases) == {"0": "A", "1": "A", "6": "6-10", "7": "B", "8": "C"}
    assert [case.patient_known for case in cases] == [True, False, False, True, True]


def test_patients_are_read_from_the_csv_and_unknown_cases_in_it_are_ignored(tmp_path):
    lay(tmp_path, "volume-0.nii", "segmentation-0.nii", "volume-1.nii", "segmentation-1.nii")
    table = write_csv(tmp_path / "p.csv", "\ufeffcase,patient\r\n0,A\r\n001, A\r\n\r\n77,B\r\n")
    assert [case.patient for case in lits(tmp_path, patients=table)] == ["A", "A"]


def test_case_missing_from_the_csv_is_its_own_patient_with_one_warning(tmp_path):
    lay(tmp_path, *(f"{kind}-{n}.nii" for kind in ("volume", "segmentation") for n in (0, 1, 2, 5)))
    table = write_csv(tmp_path / "p.csv", "case,patient\n0,A\n1,2\n")
    with pytest.warns(LiverWarning, match="unlisted cases count as separate patients: 2, 5") as seen:
        cases = lits(tmp_path, patients=table)
    assert len(seen) == 1
    assert [case.patient for case in cases] == ["A", "2", "case-2", "5"]  # patient 2 is not case 2's


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scan,patient\n0,A\n", "expected the header 'case,patient', found 'scan,patient'"),
        ("case;patient\n0;A\n", "found 'case;patient'"),
        ("", "found ''"),
        ("case,patient\n0,A\n1,B\n00,C\n", "line 4: case 0 is listed twice"),
        ("case,patient\n0\n", "line 2: .* found '0'"),
        ("case,patient\n0,\n", "line 2: .* found '0,'"),
        ("case,patient\n0,A,B\n", "line 2"),
    ],
)
def test_faulty_csv_is_refused(tmp_path, text, message):
    with pytest.raises(LiverError, match=message):
        read_patients(write_csv(tmp_path / "p.csv", text))


def test_missing_csv_is_refused(tmp_path):
    with pytest.raises(LiverError, match=r"p\.csv: cannot be read.*data\.patients"):
        read_patients(tmp_path / "p.csv")


def test_csv_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "p.csv").write_bytes("case,patient\n0,Müller\n".encode("latin-1"))
    with pytest.raises(LiverError, match="UTF-8"):
        read_patients(tmp_path / "p.csv")


@pytest.mark.parametrize("above", [False, True])
def test_decathlon_is_read_from_its_folder_or_the_one_above(tmp_path, above):
    root = lay_msd(tmp_path / "Task03_Liver")
    cases = msd(tmp_path if above else root, patients=None)
    assert cases[0] == Case("3", "3", root / "imagesTr/liver_3.nii.gz", root / "labelsTr/liver_3.nii.gz")
    assert [(case.name, case.labels is None) for case in cases] == [("3", False), ("20", False), ("132", True)]


def test_missing_decathlon_scans_are_a_warning(tmp_path):
    with pytest.warns(LiverWarning, match=r"dataset\.json lists missing scans: 5-6"):
        msd(lay_msd(tmp_path, training=((3, 3), (20, 20), (5, 5), (6, 6))), patients=None)


def test_decathlon_without_dataset_json_is_refused(tmp_path):
    (lay_msd(tmp_path) / "dataset.json").unlink()
    with pytest.raises(LiverError, match=r"dataset\.json: cannot be read.*imagesTr/liver_N"):
        msd(tmp_path, patients=None)


@pytest.mark.parametrize("text", ["{", "[]", '{"labels": {}}', '{"labels": {"0": "background"}, "training": [3]}'])
def test_faulty_dataset_json_is_refused(tmp_path, text):
    (lay_msd(tmp_path) / "dataset.json").write_text(text)
    with pytest.raises(LiverError, match=r"dataset\.json: (damaged|expected)"):
        msd(tmp_path, patients=None)


@pytest.mark.parametrize(
    "labels", [{"0": "background", "1": "cancer", "2": "liver"}, {"0": "background", "1": "liver"}]
)
def test_decathlon_of_other_labels_is_refused(tmp_path, labels):
    with pytest.raises(LiverError, match=r"expected labels .* found"):
        msd(lay_msd(tmp_path, labels=labels), patients=None)


def test_decathlon_that_pairs_unequal_numbers_is_refused(tmp_path):
    with pytest.raises(LiverError, match="image 3 is paired with label 20"):
        msd(lay_msd(tmp_path, training=((3, 20),)), patients=None)


def test_decathlon_number_in_train_and_test_is_a_problem(tmp_path):
    cases = msd(lay(lay_msd(tmp_path), "imagesTs/liver_3.nii.gz"), patients=None)
    assert "have the same number" in str(next(case for case in cases if case.name == "3").problem)
