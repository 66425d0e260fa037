"""liver-predict: masks land on the right voxels of the right files."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from pydicom import Dataset

from lightning_liver.errors import LiverError
from tests.apps.commands import call, called, run, small_run
from tests.conftest import write_scan
from tests.imageio.dicom_files import ORIGIN_MM, PIXEL_MM, SHAPE, STEP_MM, write_series

CPU = ("trainer=cpu", "trainer.threads=1", "trainer.precision=32-true")
TRUST = "trust=[tests.inference.marked]"  # a network of these tests
LIVER_HU, TUMOUR_HU = 60.0, 130.0
Predict = Callable[..., str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scans, a trained run, and a run whose network is known."""
    root = tmp_path_factory.mktemp("predict")
    for number in range(20, 25):
        write_scan(root / "scans", number)
    assert called("train", *small_run(root / "scans", "trained", "model.dropout=0.3"), folder=root) == 0
    for name, liver in (("marked", LIVER_HU), ("shy", LIVER_HU + 40)):
        mark(root / "trained", root / name, liver)
    return root


def mark(trained: Path, target: Path, liver_hu: float) -> None:
    """A run whose network thresholds HU, on the scan's own grid."""
    shutil.copytree(trained, target)
    config = OmegaConf.load(target / ".hydra" / "config.yaml")
    values = {name: (hu + 160) / 400 for name, hu in (("liver", liver_hu), ("tumour", TUMOUR_HU))}
    config.model = {"_target_": "tests.inference.marked.Brighter", "dropout": 0.3, **values}
    config.data.spacing_mm = None
    config.inference.postprocess.largest_liver = False  # scans here are of scattered voxels
    OmegaConf.save(config, target / ".hydra" / "config.yaml")
    path = target / "checkpoints" / "best.ckpt"
    kept = torch.load(path, weights_only=True)
    kept["state_dict"] = {"network.values": torch.tensor(list(values.values())).reshape(1, 2, 1, 1)}
    kept["SliceDataModule"] |= {"window_hu": [-160, 240], "mean": 0.0, "std": 1.0}
    torch.save(kept, path)


@pytest.fixture
def predict(place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Predict:
    def command(*arguments: str, expected: int = 0, name: str = "marked") -> str:
        given = arguments if any(a.startswith("run=") for a in arguments) else (f"run={place / name}", *arguments)
        code, output = call("predict", *CPU, TRUST, f"output={tmp_path / 'out'}", *given, folder=tmp_path, capfd=capfd)
        assert code == expected, output
        assert "Traceback" not in output
        return output

    return command


def scan(shape: tuple[int, int, int] = (9, 12, 7)) -> np.ndarray:
    """HU that are far from both values, with some of all three kinds."""
    kinds = np.random.default_rng(0).integers(0, 3, shape)
    return np.array([-50, 100, 200])[kinds].astype(np.int16)


def expected(hu: np.ndarray) -> np.ndarray:
    return (hu > LIVER_HU).astype(np.uint8) + (hu > TUMOUR_HU)


def summary(folder: Path) -> dict[str, dict[str, str]]:
    return {row["case"]: row for row in csv.DictReader((folder / "summary.csv").open())}


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SAL"])
def test_masks_lie_on_the_scans_own_voxels(tmp_path: Path, predict: Predict, codes: str) -> None:
    hu = scan()
    base = nib.Nifti1Image(hu, np.diag([4.5, 2.4, 2.0, 1]))
    turned = base.as_reoriented(
        nib.orientations.ornt_transform(nib.io_orientation(base.affine), nib.orientations.axcodes2ornt(tuple(codes)))
    )
    nib.save(turned, tmp_path / "volume-7.nii.gz")
    predict(f"input={tmp_path / 'volume-7.nii.gz'}")
    mask = nib.load(tmp_path / "out" / "segmentation-7.nii.gz")
    assert np.allclose(mask.affine, turned.affine)
    assert np.array_equal(np.asarray(mask.dataobj), expected(np.asarray(turned.dataobj)))


def test_all_scans_of_a_folder_are_predicted_and_its_masks_skipped(tmp_path: Path, predict: Predict) -> None:
    hu, voxel_ml = scan(), 4.5 * 2.4 * 2.0 / 1000
    for name in ("volume-3", "patient_b", "segmentation-3", "patient_c-segmentation"):
        nib.save(nib.Nifti1Image(hu, np.diag([4.5, 2.4, 2.0, 1])), tmp_path / f"{name}.nii.gz")
    predict(f"input={tmp_path}")
    written = sorted(path.name for path in (tmp_path / "out").glob("[!.]*"))
    tables = ["lesions.csv", "report.html"]
    assert written == sorted([*tables, "patient_b-segmentation.nii.gz", "segmentation-3.nii.gz", "summary.csv"])
    row = summary(tmp_path / "out")["volume-3"]
    assert float(row["liver_ml"]) == pytest.approx((hu > LIVER_HU).sum() * voxel_ml)
    assert float(row["burden_percent"]) == pytest.approx(100 * (hu > TUMOUR_HU).sum() / (hu > LIVER_HU).sum())
    assert row["status"] == "predicted"
    assert row["path"] == str(tmp_path / "volume-3.nii.gz")
    assert row["model"].endswith("marked")


def test_a_dicom_series_gets_a_mask_on_its_grid(tmp_path: Path, predict: Predict) -> None:
    hu = scan(SHAPE)  # k, j, i
    write_series(tmp_path / "in" / "thorax", (hu + 1024).astype(np.uint16))
    predict(f"input={tmp_path / 'in'}", "options.coarse_mm=null")
    mask = nib.load(tmp_path / "out" / "thorax-segmentation.nii.gz")
    assert np.array_equal(np.asarray(mask.dataobj).T, expected(hu))
    x, y, z = ORIGIN_MM
    assert np.allclose(mask.affine @ (3, 0, 2, 1), (-x - 3 * PIXEL_MM[1], -y, z + 2 * STEP_MM, 1))


def test_the_mask_stays_where_no_dicom_segmentation_can_be_made(tmp_path: Path, predict: Predict) -> None:
    """The table has the scan and the reason, and the command ends as after any piece that is missing."""
    write_series(tmp_path / "in" / "thorax", (scan(SHAPE) + 1024).astype(np.uint16))
    arguments = (f"input={tmp_path / 'in'}", "options.coarse_mm=null", "options.dicom_seg=true")
    output = predict(*arguments, "dicom_seg._target_=tests.apps.test_predict.fail", expected=1)
    assert "1 of 1 scans have a mask" in output
    assert "no segmentation of this" in output
    assert (tmp_path / "out" / "thorax-segmentation.nii.gz").exists()
    row = summary(tmp_path / "out")["thorax"]
    assert row["status"] == "predicted"
    assert "no DICOM segmentation: no segmentation of this" in row["remarks"]


def fail(*_: object) -> None:
    raise LiverError("no segmentation of this")


@pytest.mark.slow
def test_predicted_masks_have_the_scores_of_the_run(
    place: Path, tmp_path: Path, predict: Predict, capfd: pytest.CaptureFixture[str]
) -> None:
    predict(f"input={place / 'scans'}", name="trained")
    arguments = [
        f"truth={place / 'scans'}",
        f"predictions={tmp_path / 'out'}",
        "mode=corrected",
        "hydra.run.dir=scored",
    ]
    code, output = call("evaluate", *arguments, folder=tmp_path, capfd=capfd)
    assert code == 0, output
    scored = {(r["case"], r["structure"]): r for r in csv.DictReader((tmp_path / "scored" / "cases.csv").open())}
    tested = list(csv.DictReader((place / "trained" / "cases.csv").open()))
    assert tested
    for row in tested:
        again = scored[row["case"], row["structure"]]
        for figure in ("true_voxels", "predicted_voxels"):
            # training tested in the precision of its own choice
            assert float(again[figure]) == pytest.approx(float(row[figure]), rel=0.02, abs=3)


def test_a_bad_scan_is_named_and_the_others_are_predicted(tmp_path: Path, predict: Predict) -> None:
    for name in ("volume-1", "volume-2"):
        nib.save(nib.Nifti1Image(scan(), np.eye(4)), tmp_path / f"{name}.nii.gz")
    (tmp_path / "volume-0.nii.gz").write_bytes(b"no scan")
    output = predict(f"input={tmp_path}", expected=1)
    assert "1 of 3 scans could not be predicted" in output
    assert "volume-0" in output.splitlines()[-1]
    rows = summary(tmp_path / "out")
    assert {case: row["status"] for case, row in rows.items()} == {
        "volume-0": "failed", "volume-1": "predicted", "volume-2": "predicted"
    }  # fmt: skip
    assert "not a NIfTI file" in rows["volume-0"]["remarks"]
    assert "2 scans predicted, 1 failed" in (tmp_path / "out" / "report.html").read_text()
    predict(f"input={tmp_path / 'volume-0.nii.gz'}", expected=2)


def test_scans_with_a_mask_are_skipped_with_continue(tmp_path: Path, predict: Predict) -> None:
    for name in ("volume-1", "volume-2"):
        nib.save(nib.Nifti1Image(scan(), np.eye(4)), tmp_path / f"{name}.nii.gz")
    predict(f"input={tmp_path}")
    before = (tmp_path / "out" / "summary.csv").read_text()
    kept = tmp_path / "out" / "segmentation-1.nii.gz"
    kept.write_bytes(b"as it was")
    (tmp_path / "out" / "segmentation-2.nii.gz").unlink()
    output = predict(f"input={tmp_path}", "continue=true")
    assert "volume-1: has a mask, skipped" in output
    assert kept.read_bytes() == b"as it was"
    assert (tmp_path / "out" / "segmentation-2.nii.gz").exists()
    assert sorted((tmp_path / "out" / "summary.csv").read_text().split()) == sorted(before.split())


def test_masks_and_maps_have_both_forms_of_a_scan_whose_forms_disagree(tmp_path: Path, predict: Predict) -> None:
    image = nib.Nifti1Image(scan(), np.diag([-2.0, -2, 3, 1]))
    image.header.set_sform(np.diag([-2.0, -2, 3, 1]), "mni")
    image.header.set_qform(np.diag([2.0, 2, 3, 1]), "aligned")
    nib.save(image, tmp_path / "a.nii")
    assert "sform and qform give different places" in predict(
        f"input={tmp_path / 'a.nii'}", "options.probabilities=true"
    )
    for name in ("segmentation", "segmentation-liver-probability"):
        header = nib.load(tmp_path / "out" / f"a-{name}.nii.gz").header
        for form in ("sform", "qform"):
            wanted, code = getattr(image.header, f"get_{form}")(coded=True)
            found, found_code = getattr(header, f"get_{form}")(coded=True)
            np.testing.assert_array_equal(found, wanted)
            assert found_code == code


def test_the_mask_of_another_scan_is_neither_overwritten_nor_taken_for_done(tmp_path: Path, predict: Predict) -> None:
    for patient in ("p1", "p2"):
        (tmp_path / patient).mkdir()
        nib.save(nib.Nifti1Image(scan(), np.eye(4)), tmp_path / patient / "ct.nii.gz")
    predict(f"input={tmp_path / 'p1' / 'ct.nii.gz'}")
    for more in ((), ("continue=true",)):
        output = predict(f"input={tmp_path / 'p2' / 'ct.nii.gz'}", *more, expected=2)
        assert f"ct-segmentation.nii.gz there is of {tmp_path / 'p1' / 'ct.nii.gz'}, not of" in output
    predict(f"input={tmp_path / 'p1' / 'ct.nii.gz'}")
    output = predict(f"input={tmp_path}")
    assert {"p1-ct", "p2-ct"} <= summary(tmp_path / "out").keys()


def test_rows_of_an_earlier_version_stay_with_their_burden_in_percent(tmp_path: Path, predict: Predict) -> None:
    nib.save(nib.Nifti1Image(scan(), np.eye(4)), tmp_path / "volume-1.nii.gz")
    (tmp_path / "out").mkdir()
    header = "case,liver_ml,tumour_ml,tumour_count,largest_diameter_mm,burden"
    (tmp_path / "out" / "summary.csv").write_text(f"{header}\nvolume-9,1500,30,2,21,0.02\n")
    predict(f"input={tmp_path / 'volume-1.nii.gz'}")
    row = summary(tmp_path / "out")["volume-9"]
    assert (row["status"], row["liver_ml"], float(row["burden_percent"])) == ("predicted", "1500", 2.0)
    assert "burden" not in row
    assert ">volume-9<" in (tmp_path / "out" / "report.html").read_text()


def test_lesions_are_listed_with_their_places_in_the_file(tmp_path: Path, predict: Predict) -> None:
    """Two tumours in a file that is stored from the head to the feet, to the front, to the right."""
    hu = np.full((20, 16, 10), 100, np.int16)  # i, j, k
    hu[3:7, 5:8, 2:5], hu[12, 10, 8] = 200, 200
    affine = np.array([[2.0, 0, 0, -10], [0, 3, 0, 20], [0, 0, -5, 100], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(hu, affine), tmp_path / "a.nii")
    predict(f"input={tmp_path / 'a.nii'}")
    large, small = csv.DictReader((tmp_path / "out" / "lesions.csv").open())
    assert (large["case"], large["lesion"], small["lesion"]) == ("a", "1", "2")
    places = [[float(row[name]) for name in ("x_ras_mm", "y_ras_mm", "z_ras_mm")] for row in (large, small)]
    assert np.allclose(places, [(-10 + 2 * 4.5, 20 + 3 * 6, 100 - 5 * 3), (-10 + 2 * 12, 20 + 3 * 10, 100 - 5 * 8)])
    assert int(small["slice_index"]) == 8
    assert int(large["slice_index"]) in (2, 3, 4)
    assert float(large["volume_ml"]) == pytest.approx(4 * 3 * 3 * 30 / 1000)
    assert float(large["diameter_mm"]) == pytest.approx(np.hypot(4 * 2, 3 * 3))


def test_patient_date_and_series_of_dicom_are_in_the_summary(tmp_path: Path, predict: Predict) -> None:
    def edit(k: int, header: Dataset) -> None:
        header.PatientID, header.StudyDate, header.SeriesDescription = "P-17", "20240229", "portal"

    write_series(tmp_path / "in" / "abdomen", (scan(SHAPE) + 1024).astype(np.uint16), edit=edit)
    predict(f"input={tmp_path / 'in'}")
    row = summary(tmp_path / "out")["abdomen"]
    assert (row["patient_id"], row["date"], row["series"]) == ("P-17", "2024-02-29", "portal")
    assert row["series_uid"].startswith("1.2.826")


def test_a_preview_shows_contours_of_what_is_in_the_mask(tmp_path: Path, predict: Predict) -> None:
    hu = np.full((60, 50, 12), -50, np.int16)
    hu[10:40, 10:40, 2:10] = 100
    hu[20:28, 20:28, 6:8] = 200
    nib.save(nib.Nifti1Image(hu, np.diag([4, 4, 8, 1.0])), tmp_path / "a.nii")
    predict(f"input={tmp_path / 'a.nii'}", "preview=true")
    with Image.open(tmp_path / "out" / "a-preview.png") as picture:
        assert picture.info["Description"].startswith("a: liver 922 ml; 1 tumour, ")
        colours = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(int)
    for colour in ((0x56, 0xB4, 0xE9), (0xE6, 0x9F, 0x00)):
        assert (abs(colours - colour).max(axis=1) < 12).sum() > 100
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/webp") == 1
    plain = predict(f"input={tmp_path / 'a.nii'}", "report=false")
    assert "Report" not in plain


def test_impossible_values_and_volumes_are_told(tmp_path: Path, predict: Predict) -> None:
    ramp = np.indices((24, 24, 24))[0]
    told = {
        "all": (np.full((6, 6, 6), 3071), 1, "every voxel has the value 3071"),
        "picture": (ramp * 10, 1, "as those of a picture of 8 bits"),
        "offset": (ramp * 100, 1, "whose offset of -1024 is missing"),
        "large": (ramp * 30 - 200, 9, "6299 ml of liver are hardly possible"),
        "small": (ramp * 30 - 200, 1, "9 ml of liver are less than a whole one"),
        "usual": (ramp * 30 - 200, 5, ""),
    }
    for name, (hu, edge_mm, _) in told.items():
        nib.save(nib.Nifti1Image(hu.astype(np.int16), np.diag([edge_mm] * 3 + [1.0])), tmp_path / f"{name}.nii")
    impossible = {
        "labels": (ramp % 3, 1, "the values go from 0 to 2, as those of a label map"),
        "bits": ((ramp % 2) * 255, 1, "the values go from 0 to 255, as those of a label map"),
    }
    for name, (hu, edge_mm, _) in impossible.items():
        nib.save(nib.Nifti1Image(hu.astype(np.int16), np.diag([edge_mm] * 3 + [1.0])), tmp_path / f"{name}.nii")
    output = predict(f"input={tmp_path}", expected=1)
    rows = summary(tmp_path / "out")
    assert rows["usual"]["remarks"] == ""
    for name in impossible:
        assert rows[name]["status"] == "failed"
        assert not (tmp_path / "out" / f"{name}-segmentation.nii.gz").exists()
    told |= impossible
    for name, (_, _, words) in told.items():
        assert words in output
        assert words in rows[name]["remarks"]


def test_a_scan_without_a_liver_is_written_and_warned_of(tmp_path: Path, predict: Predict) -> None:
    nib.save(nib.Nifti1Image(np.full((6, 6, 6), -100, np.int16), np.eye(4)), tmp_path / "knee.nii.gz")
    assert "knee: no liver was found" in predict(f"input={tmp_path / 'knee.nii.gz'}")
    assert summary(tmp_path / "out")["knee"]["burden_percent"] == ""


def test_several_runs_give_the_mean_of_their_probabilities(place: Path, tmp_path: Path, predict: Predict) -> None:
    hu = np.linspace(-100, 200, 16 * 16 * 4).reshape(16, 16, 4).astype(np.int16)
    nib.save(nib.Nifti1Image(hu, np.eye(4)), tmp_path / "a.nii")
    maps = ("options.probabilities=true", "options.uncertainty=variance")
    predict(f"run=[{place / 'marked'},{place / 'shy'}]", f"input={tmp_path / 'a.nii'}", *maps)
    both = [1 / (1 + np.exp(-10 * (hu - liver) / 400)) for liver in (LIVER_HU, LIVER_HU + 40)]
    probability = nib.load(tmp_path / "out" / "a-segmentation-liver-probability.nii.gz").get_fdata()
    assert np.allclose(probability, np.mean(both, axis=0), atol=0.005)
    mask = np.asarray(nib.load(tmp_path / "out" / "a-segmentation.nii.gz").dataobj)
    clear = np.abs(np.mean(both, axis=0) - 0.5) > 1e-3
    assert np.array_equal((mask > 0)[clear], (np.mean(both, axis=0) > 0.5)[clear])
    variance = nib.load(tmp_path / "out" / "a-segmentation-variance.nii.gz").get_fdata()
    assert np.allclose(variance, np.var(both, axis=0), atol=0.002)


def test_slices_near_coarse_findings_are_predicted(tmp_path: Path, predict: Predict) -> None:
    """Slices of 2 mm: every tenth first. What shows on two between them alone is found by looking at all."""
    hu = np.full((9, 12, 41), -50, np.int16)
    hu[2:6, 3:6, 1:9] = hu[2:6, 3:6, 22:37] = 100
    nib.save(nib.Nifti1Image(hu, np.diag([4.5, 2.4, 2.0, 1])), tmp_path / "volume-7.nii.gz")
    for arguments, first in (((), 22), (("options.coarse_mm=null",), 1), (("options.probabilities=true",), 1)):
        predict(f"input={tmp_path / 'volume-7.nii.gz'}", *arguments)
        labels = np.asarray(nib.load(tmp_path / "out" / "segmentation-7.nii.gz").dataobj)
        assert np.array_equal(labels[:, :, first:], expected(hu)[:, :, first:]), arguments
        assert not labels[:, :, :first].any(), arguments


def test_options_change_the_labels(tmp_path: Path, predict: Predict) -> None:
    hu = np.full((12, 12, 4), -100, np.int16)
    hu[1:8, 1:8], hu[10:, 10:] = 100, 100
    nib.save(nib.Nifti1Image(hu, np.diag([2, 2, 1, 1])), tmp_path / "a.nii")
    options = (
        "inference.postprocess.largest_liver=true",
        "inference.flips=true",
        "options.tile=16",
        "options.batch_size=3",
    )
    predict(f"input={tmp_path / 'a.nii'}", *options)
    mask = np.asarray(nib.load(tmp_path / "out" / "a-segmentation.nii.gz").dataobj)
    assert mask[1:8, 1:8].all()
    assert mask.sum() == 7 * 7 * 4
    predict(f"input={tmp_path / 'a.nii'}", "inference.thresholds=[0.9,0.95]")
    assert not np.asarray(nib.load(tmp_path / "out" / "a-segmentation.nii.gz").dataobj).any()


def test_dropout_passes_make_an_uncertainty_map(tmp_path: Path, predict: Predict) -> None:
    nib.save(nib.Nifti1Image(scan(), np.eye(4)), tmp_path / "a.nii")
    predict(f"input={tmp_path / 'a.nii'}", "options.uncertainty=mutual_information", "options.passes=4")
    assert nib.load(tmp_path / "out" / "a-segmentation-mutual_information.nii.gz").get_fdata().max() > 0
    mask = np.asarray(nib.load(tmp_path / "out" / "a-segmentation.nii.gz").dataobj)
    assert np.array_equal(mask, expected(scan()))  # labels are made without dropout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("input=nowhere",), "no such file or folder"),
        (("input=.",), "found neither"),
        (("run=nowhere", "input=a.nii"), "run=nowhere: no such folder; give a run folder"),
        (("run=.", "input=a.nii"), "run=.: not a run folder"),
        (("run=null", "input=."), "run=null: expected a run folder; give run=..."),
        (("input=null",), "input=null: expected a NIfTI file, a DICOM series, or a folder of them; give input=..."),
        (("input=.", "output=null"), "output=null: expected a folder for the masks; give output=..."),
        (("input=a.nii", "options.tile=8"), "options.tile=8: expected a value greater than or equal to 16"),
        (("input=a.nii", "options.uncertainty=doubt"), "options.uncertainty='doubt': expected 'entropy',"),
        (("input=a.nii", "options.batch_size=0"), "batch_size"),
        (("input=a.nii", "options.coarse_mm=0"), "coarse_mm"),
        (("input=a.nii", "options.coarse_mm=inf"), "coarse_mm"),
        (("input=a.nii", "options.passes=2"), "name one of"),
        (("input=a.nii", "options.uncertainty=variance"), "several views"),
        (("input=a.nii", "inference.thresholds=[0.5]"), "two probabilities"),
        (("input=a.nii", "inference.postprocess.min_tumour_mm3=-1"), "min_tumour_mm3"),
        (("input=a.nii", "trainer.precision=64-true"), "64-true: expected one of"),
    ],
)
def test_bad_input_is_refused_with_a_message(
    tmp_path: Path, predict: Predict, arguments: tuple[str, ...], message: str
) -> None:
    if "input=a.nii" in arguments:
        nib.save(nib.Nifti1Image(scan(), np.eye(4)), tmp_path / "a.nii")
    assert message in predict(*arguments, expected=2)


def test_liver_predict_runs_as_a_command(place: Path, tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(scan(), np.eye(4)), tmp_path / "volume-1.nii.gz")
    code, output = run(
        "predict", f"run={place / 'trained'}", "input=volume-1.nii.gz", "output=out", *CPU, folder=tmp_path
    )
    assert code == 0, output
    assert "1 scan in out" in output
    assert (tmp_path / "out" / "segmentation-1.nii.gz").exists()
