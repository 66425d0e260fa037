import sys
from argparse import Namespace
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from experiments.speed import command
from experiments.speed.growth import bench as growth
from experiments.speed.phantoms import full_size, write_scan
from experiments.speed.predict import bench as predict
from experiments.speed.prepare import bench as prepare
from experiments.speed.process import Usage, measure
from experiments.speed.rounds import round_robin, time_rows
from experiments.speed.slices import bench as slices
from experiments.speed.start import bench as start
from lightning_liver.errors import LiverError
from lightning_liver.imageio.nifti import read_labels, read_volume
from lightning_liver.runs.trained import read_run


def words(lines: list[str]) -> list[str]:
    return [line.split()[-1] for line in lines]


def test_synthetic_scan_has_the_requested_size(tmp_path: Path) -> None:
    volume, labels = write_scan(tmp_path, 0, slices=40, matrix=32)
    hu = read_volume(volume)
    assert hu.hu.shape == (40, 32, 32)
    assert set(np.unique(read_labels(labels, hu))) == {0, 1, 2}
    assert len({plane.tobytes() for plane in hu.hu}) == 40
    written = volume.stat().st_mtime_ns
    assert write_scan(tmp_path, 0, slices=40, matrix=32)[0].stat().st_mtime_ns == written


def test_synthetic_scan_shows_the_requested_fraction_of_liver() -> None:
    whole = full_size(0, slices=40, matrix=32)[1:]
    labels, affine = full_size(0, slices=90, matrix=32, liver=1 / 3)[1:]
    shown = labels.any(axis=(1, 2))
    assert len(labels) == 90
    assert shown.sum() == pytest.approx(30, abs=1)
    assert not shown[0]
    assert not shown[-1]
    heights = [each.any(axis=(1, 2)).sum() * grid[2, 2] for each, grid in (whole, (labels, affine))]
    assert heights[0] == pytest.approx(heights[1], rel=0.1), "of the liver, in millimetres"


def test_peak_memory_includes_all_processes_of_a_command() -> None:
    work = "import time; data = bytearray(80_000_000); time.sleep(0.5)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}], check=True)"
    usage = measure([sys.executable, "-c", parent])
    assert usage.peak_bytes > 80_000_000
    assert usage.seconds > 0.5
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        measure([sys.executable, "-c", "1 / 0"])


def test_start_is_judged_with_its_step_and_also_printed_without() -> None:
    taken = {start.IMPORTS: [2.0, 4.0], start.STEP: [3.0, 6.0], start.AGAIN: [1.0, 2.0]}
    assert start.verdict(taken) == [
        "first step done over imports: 1.50 (1.50-1.50), target <= 1.5: pass",
        "without the arithmetic of the step: 1.00 (1.00-1.00)",
    ]
    assert [row["s"] for row in time_rows(taken, "program", "s")] == [3, 4.5, 1.5]


def test_predictions_are_judged_by_ratios_of_the_same_round() -> None:
    taken = {
        predict.OURS: [Usage(1.0, 10), Usage(2.0, 10)],
        predict.ALL: [Usage(3.0, 10), Usage(6.0, 10)],
        predict.NNUNET: [Usage(4.0, 20), Usage(8.0, 20)],
        predict.MONAI: [Usage(2.0, 20), Usage(4.0, 20)],
    }
    assert words(predict.verdict(taken)) == ["pass", "pass", "FAIL", "pass", *["FAIL", "pass"] * 2]
    gflop = dict.fromkeys(taken, 6.0)
    assert [row["s"] for row in predict.rows(taken, gflop)] == [1.5, 4.5, 6, 3]


@pytest.mark.slow
def test_trained_run_returns_the_gigaflops_of_a_slice(tmp_path: Path) -> None:
    phantoms = [f"data.root={tmp_path / 'phantoms'}", "data.matrix=32", "data.cases=5"]
    short = ["trainer.max_minutes=0.01", "data.size=32", "data.num_workers=0", "model.base_channels=2"]
    run = tmp_path / "run"
    assert 0.01 < predict.trained_run(run, 12.0, *phantoms, *short) < 1
    assert read_run(run).multiple == 32
    assert torch.load(run / predict.FOR_MONAI, weights_only=True)["spacing_mm"] == 12


def test_masks_without_liver_are_no_fair_comparison(tmp_path: Path) -> None:
    """The masks have 20 slices of pixels of half a square centimetre; of MONAI's parts only the largest counts."""

    def write(folder: str, first: int, last: int) -> None:
        labels = np.zeros((4, 4, 20), np.uint8)
        labels[0, 0, ::2], labels[1, 1:3, first:last] = 1, 2
        labels[3, 1:3, 17:19] = folder == "monai" and first < last
        labels[0, 0, first:last] = 0
        (tmp_path / folder).mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(labels, np.diag([5.0, 10.0, 1.0, 1.0])), tmp_path / folder / "mask.nii.gz")

    for folder in ("ours", "all", "monai"):
        write(folder, 5, 15)
    assert predict.liver_found(tmp_path) == (
        "Slices with 1 cm2 of liver: 50% by liver-predict, 50% by liver-predict, all slices, 50% by MONAI, SliceInferer"
    )
    write("monai", 5, 9)
    assert "20% by MONAI, SliceInferer. Not a fair comparison" in predict.liver_found(tmp_path)
    for folder in ("ours", "all", "monai"):
        write(folder, 5, 5)
    assert "0% by liver-predict, 0% by" in predict.liver_found(tmp_path)
    assert "Not a fair comparison" in predict.liver_found(tmp_path)


def test_preparing_is_timed_beside_decompressing_and_writing(tmp_path: Path) -> None:
    pairs = [write_scan(tmp_path / "scans", 0, slices=20, matrix=32)]
    assert prepare.inside(pairs, tmp_path / "store") > 0
    assert prepare.least(pairs, tmp_path / "store") > 0
    taken = {prepare.OURS: [1.0], prepare.NNUNET: [4.0], prepare.INSIDE: [1.0], prepare.LEAST: [0.7]}
    assert words(prepare.verdict(taken)) == ["FAIL", "pass"]
    assert [row["s a case"] for row in prepare.rows(taken, 2)] == [0.5, 2, 0.5, 0.35]


def test_store_and_map_give_the_same_slices(tmp_path: Path) -> None:
    write_scan(tmp_path / "scans", 0, slices=20, matrix=32)
    store = slices.store_of(tmp_path / "scans", tmp_path / "store")
    names = list(store.cases)
    reads = slices.readers(store, names, slices.raw_maps(store, names, tmp_path / "raw"))
    for seed in range(8):
        assert np.array_equal(*(np.asarray(read(seed)) for read in reads.values()))
    table, lines = slices.compare(store, names, tmp_path / "again", Namespace(rounds=2, calls=3))
    assert [row["reading from"] for row in table] == [slices.STORE, slices.MAP]
    assert len(lines) == 2


def test_growth_is_judged_against_the_middle_row() -> None:
    def sized(cases: int, seconds: float, peak: int) -> growth.Size:
        return growth.Size(cases, 10 * cases, seconds * cases, seconds * cases, Usage(1.0, peak), Usage(1.0, 2 * peak))

    even = growth.rows([sized(10, 1.05, 100), sized(40, 1.0, 100), sized(160, 0.95, 104)], slices=4)
    assert words(growth.verdict(even)) == ["pass"] * 4
    uneven = growth.rows([sized(10, 1.2, 90), sized(40, 1.0, 100), sized(160, 1.0, 100)], slices=4)
    assert words(growth.verdict(uneven)) == ["FAIL"] * 4


def test_table_in_the_readme_stands_below_the_command_that_repeats_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parser = command.parser_of("x", "What it measures.")
    command.add_counts(parser, rounds=(3, "rounds"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--nnunet", type=Path, default=Path("python"))
    parser.add_argument("--recipe")
    parser.add_argument("--overrides", nargs="+", default=[])
    readme = tmp_path / "README.md"
    monkeypatch.setattr(command, "README", readme)
    for given, line in (
        ([], "make bench WHAT=x"),
        (["--rounds", "3", "--nnunet", "/somebody/python"], "make bench WHAT=x"),
        (["--rounds", "2", "--data", "/somebody/scans"], "make bench WHAT=x DATA=FOLDER OPTIONS='--rounds 2'"),
        (["--data", __file__, "--recipe", "gpu"], "make bench WHAT=x DATA=FILE RECIPE=gpu"),
        (["--overrides", "loss=focal", "seed=1"], "make bench WHAT=x OPTIONS='--overrides loss=focal seed=1'"),
    ):
        readme.write_text("<!-- x -->\n\n<!-- /x -->\n")
        command.publish("a table", parser, parser.parse_args(given))
        assert "a table" not in readme.read_text(), "without --write"
        command.publish("a table", parser, parser.parse_args([*given, "--write"]))
        assert readme.read_text() == f"<!-- x -->\n\n    {line}\n\n```text\na table\n```\n\n<!-- /x -->\n"


def test_missing_interpreter_is_answered_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(LiverError, match=r"--nnunet .*: expected a Python interpreter; `make bench WHAT=\.\.\.` makes"):
        command.interpreter("nnunet", tmp_path / "python")


def test_every_round_begins_with_another_contender() -> None:
    done: list[str] = []

    def work(name: str) -> int:
        done.append(name)
        return len(done)

    assert round_robin({name: partial(work, name) for name in "abc"}, 2) == {"a": [1, 6], "b": [2, 4], "c": [3, 5]}
    assert done == list("abcbca")
