"""liver-evaluate truth=DIR predictions=DIR."""

import csv
import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from experiments.speed.scoring.masks import LPS, SETS
from lightning_liver.metrics.aggregate import LESION_COLUMNS, data_set_figures
from lightning_liver.metrics.case_score import score_case
from lightning_liver.volume import from_canonical
from tests.apps.commands import call, run
from tests.metrics.printed import PRINTED

TYPED = ("truth=t", "predictions=p", "hydra.run.dir=out", "workers=0")


def write(path: Path, labels: np.ndarray, affine: np.ndarray = LPS) -> None:
    path.parent.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(from_canonical(labels, affine).transpose(2, 1, 0), affine), path)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Truths and predictions of the scattered lesions, one of them in another orientation."""
    for n, pair in enumerate(SETS["scattered"]):
        write(tmp_path / "t" / f"segmentation-{n}.nii", pair.truth, pair.affine)
        write(tmp_path / "p" / f"volume-{n}-segmentation.nii.gz", pair.prediction, pair.affine)
    return tmp_path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_files_get_the_figures_that_the_official_scorer_printed(place: Path) -> None:
    code, output = run("evaluate", *TYPED, "mode=official", folder=place)
    assert code == 0, output
    metrics = json.loads((place / "out" / "metrics.json").read_text())
    printed = PRINTED["scattered"]
    assert {name: f"{metrics[f'test/{name}']:.3f}" for name in printed} == printed
    assert (metrics["mode"], metrics["tolerance_mm"]) == ("official", 2)
    assert output.lower().count("mode official") == 6  # in the title of every table
    assert f"F1                   {metrics['test/lesion/f1_0']:7.3f}" in output


def test_patients_of_no_case_are_refused_and_unlisted_cases_told(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (place / "patients.csv").write_text("case,patient\nvolume-0,A\nvolume-1,A\n")
    code, output = call("evaluate", *TYPED, "patients=patients.csv", folder=place, capfd=capfd)
    assert code == 2, output
    assert "patients=patients.csv: expected cases among 0, 1, 2, found volume-0, volume-1" in output
    assert not (place / "out" / "metrics.json").exists()
    (place / "patients.csv").write_text("case,patient\n0,2\n")
    code, output = call("evaluate", *TYPED, "patients=patients.csv", folder=place, capfd=capfd)
    assert code == 0, output
    assert "unlisted cases count as separate patients: 1, 2" in output
    assert "3 cases of 3 patients" in output


def test_tables_have_a_row_a_case_and_structure_and_a_row_a_lesion(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (place / "patients.csv").write_text("case,patient\n0,A\n1,A\n2,B\n")
    code, output = call("evaluate", *TYPED, "mode=corrected", "patients=patients.csv", folder=place, capfd=capfd)
    assert code == 0, output
    assert "3 cases of 2 patients" in output
    cases = rows(place / "out" / "cases.csv")
    named = [(row["case"], row["patient"], row["structure"]) for row in cases]
    assert named == [(c, p, s) for c, p in (("0", "A"), ("1", "A"), ("2", "B")) for s in ("liver", "tumour")]
    lesions = rows(place / "out" / "lesions.csv")
    metrics = json.loads((place / "out" / "metrics.json").read_text())
    reference = [row for row in lesions if row["kind"] == "reference"]
    assert metrics["test/lesion/recall_0"] == np.mean([int(row["detected_0"]) for row in reference])
    tumours = [float(row["dice"]) for row in cases if row["structure"] == "tumour"]
    assert metrics["test/tumour/dice_per_case"] == pytest.approx(np.mean(tumours))


def test_what_is_of_no_pair_is_reported(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(place / "t" / "segmentation-7.nii", SETS["plain"][0].truth)
    write(place / "p" / "segmentation-8.nii", SETS["plain"][0].truth)
    code, output = call("evaluate", *TYPED, folder=place, capfd=capfd)
    assert code == 2
    assert "1 cases have a truth and no prediction" in output
    assert "segmentation-7.nii" in output
    code, output = call("evaluate", *TYPED, "skip_missing=true", folder=place, capfd=capfd)
    assert code == 0, output
    assert "No truth, not scored: p/segmentation-8.nii" in output
    assert len(rows(place / "out" / "cases.csv")) == 6


def test_a_prediction_of_another_shape_stops_before_anything_is_scored(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(place / "p" / "volume-1-segmentation.nii.gz", SETS["plain"][0].truth[1:])
    code, output = call("evaluate", *TYPED, folder=place, capfd=capfd)
    assert code == 2
    assert "volume-1-segmentation.nii.gz: 28 x 24 x 11 voxels" in output
    assert not (place / "out" / "cases.csv").exists()


def test_labels_of_another_convention_are_reported_and_the_other_cases_are_scored(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(place / "p" / "volume-1-segmentation.nii.gz", 127 * SETS["plain"][0].truth)
    code, output = call("evaluate", *TYPED, folder=place, capfd=capfd)
    assert code == 2
    assert "1 of 3 cases could not be scored" in output
    assert (
        "volume-1-segmentation.nii.gz: labels are 0 background, 1 liver, 2 tumour, but the mask also has 127, 254"
        in output
    )
    assert {row["case"] for row in rows(place / "out" / "cases.csv")} == {"0", "2"}
    assert not (place / "out" / "metrics.json").exists()
    assert "Traceback" not in output


def test_no_lesion_at_all_leaves_a_table_with_its_header(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    healthy = SETS["healthy"][0].truth
    write(tmp_path / "t" / "segmentation-1.nii", healthy)
    write(tmp_path / "p" / "segmentation-1.nii", healthy)
    code, output = call("evaluate", *TYPED, "mode=corrected", folder=tmp_path, capfd=capfd)
    assert code == 0, output
    header = f"{','.join(LESION_COLUMNS)}\n"
    assert (tmp_path / "out" / "lesions.csv").read_text() == header
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    score = score_case(healthy, healthy, spacing_mm=(2.5, 0.75, 0.75), mode="corrected", tolerance_mm=2.0)
    assert {name: metrics[name] for name in metrics if name.startswith("test/")} == data_set_figures([score], "test")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "run=null: expected something to score"),
        (("truth=t",), "truth=DIR predictions=DIR"),
        (("truth=t", "predictions=p", "run=outputs/1"), "leave one out"),
        (("truth=t", "predictions=nowhere"), "predictions=nowhere: no such folder"),
        (("truth=t", "predictions=p", "mode=lits"), "mode='lits': expected one of official, corrected"),
        (("truth=t", "predictions=p", "tolerance_mm=-1"), "tolerance_mm=-1"),
        (("truth=t", "predictions=p", "tolerance_mm=wide"), "tolerance_mm='wide'"),
        (("truth=t", "predictions=p", "workers=-1"), "workers=-1"),
        (("truth=t", "predictions=p", "skip_missing=3"), "skip_missing=3"),
        (("truth=t", "predictions=p", "inference.flips=true"), "inference.flips=true: expected only with run="),
        (("truth=t", "predictions=p", "patients=none.csv"), "none.csv: cannot be read"),
    ],
)
def test_wrong_option_is_reported_by_its_name(
    place: Path, arguments: tuple[str, ...], told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call("evaluate", *arguments, "hydra.run.dir=out", folder=place, capfd=capfd)
    assert code == 2, output
    assert told in output
    assert "Traceback" not in output


def test_masks_of_two_tools_are_paired_and_tested(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for n in range(6):
        truth = np.zeros((6, 20, 20), np.uint8)
        truth[1:5, 3:15, 3:15] = 1
        truth[2:4, 6:10, 6:10] = 2
        write(tmp_path / "t" / f"segmentation-{n}.nii", truth)
        for tool, shift in (("near", 1), ("far", 2 + n % 2)):
            write(tmp_path / tool / f"segmentation-{n}.nii", np.roll(truth, shift, axis=2))
    for tool in ("near", "far"):
        typed = ("truth=t", f"predictions={tool}", f"hydra.run.dir=out/{tool}", "workers=0")
        code, output = call("evaluate", *typed, folder=tmp_path, capfd=capfd)
        assert code == 0, output
        assert "liver-compare" in output
    code, output = call("compare", "out/near", "out/far", "--markdown", folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert re.search(r"far \| near \| -0\.\d+ \| .* \| 0\.031 \|", output), output
    code, output = call("compare", "out/near", "--markdown", "--plan", "0.1", folder=tmp_path, capfd=capfd)
    assert code == 2
    assert "--markdown: expected without --plan" in output
