import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import pytest

from experiments.speed.command import README
from experiments.speed.dice import bare, bench, clock, figure, results
from experiments.speed.dice.contenders import CONTENDERS, NNUNET_MIRRORED, job_of, rows_of, run_contender
from experiments.speed.dice.job import TRAINING, Job, Progress, masks, missing, weights
from experiments.speed.flops import gigaflops
from lightning_liver.comparison.readme import check_marks
from lightning_liver.errors import LiverError
from lightning_liver.tables import Row
from tests.conftest import write_scan

ENDS = {"ours": 10.0, "bare": 10.0, "monai": 20.0, "nnunet": 60.0, NNUNET_MIRRORED: 60.0}


def row(contender: str, held: str, dice: float, *, minutes: float | None = None, structure: str = "liver") -> Row:
    end = ENDS[contender]
    shared = {"steps": 9, "seconds": 600.0, "preparation_s": 3.0, "budget": end, "seed": 0, "threads": 2}
    words = {"precision": "bf16", "machine": "a machine", "versions": "torch: 2"}
    whose = {"contender": contender, "held": held, "minutes": minutes or end, "structure": structure}
    return {**whose, "dice": dice, "cases": f"2:{dice}", **shared, **words}


def both(contender: str, dice: float) -> list[Row]:
    return [row(contender, held, dice, structure=name) for held in results.HELD for name in ("liver", "tumour")]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Return a job on five small scans of four patients; number 24 is held out."""
    scans = tmp_path / "scans"
    for number in range(20, 25):
        write_scan(scans, number, shape=(12, 48, 48))
    patients = tmp_path / "patients.csv"
    patients.write_text("case,patient\n20,A\n21,A\n22,C\n23,D\n24,B\n")
    return job_of(scans, patients, "B", minutes=0.001, seed=0, folder=tmp_path / "job")


def test_weights_are_saved_at_minutes_and_at_the_end() -> None:
    seconds, saved = [0.0], []

    def save(mark: float) -> None:
        saved.append(mark)
        seconds[0] += 7  # not counted as training

    running = clock.Clock(2.5, save, now=lambda: seconds[0])
    seconds[0] = 1000
    running.start()
    while running.is_running:
        seconds[0] += 25
        running.tick()
    assert (saved, running.steps, running.seconds, running.progress) == ([1, 2], 6, 150, 1)
    running.finish()
    assert running.reached == {1: (3, 75), 2: (5, 125), 2.5: (6, 150)}


def test_last_mark_is_the_end_of_training() -> None:
    seconds = [0.0]
    running = clock.Clock(2, lambda mark: None, now=lambda: seconds[0])
    for seconds[0] in (70, 110):
        running.tick()
    running.finish()
    assert running.reached == {1: (1, 70), 2: (2, 110)}
    assert clock.marks(60) == clock.MARKS
    assert clock.marks(0.5) == (0.5,)


def test_patient_is_held_out_with_all_scans(job: Job) -> None:
    assert [scan.case for scan in job.held] == ["24"]
    assert [scan.case for scan in job.train] == ["20", "21", "22", "23"]
    job.write()
    assert Job.read(job.folder) == job
    with pytest.raises(LiverError, match="belongs to a job with other scans or options; delete it"):
        run_contender("bare", replace(job, overrides=("data.size=96",)), Path("nowhere"))
    with pytest.raises(LiverError, match="--held X: expected one of the labelled patients A, B, C, D"):
        job_of(Path(job.root), Path(job.patients), "X", minutes=1, seed=0, folder=job.folder)


def test_ours_is_trained_with_the_defaults(job: Job) -> None:
    ours = pytest.importorskip("experiments.speed.dice.ours")
    overrides = ours.arguments(job)
    assert "data.split={train:[A,D],val:[C],test:[B]}" in overrides
    assert [text for text in overrides if not text.startswith("data.")] == [
        "data=lits",
        "model=unet_small",
        "trainer.max_minutes=0.001",
        "seed=0",
    ]


def test_bare_loop_trains_predicts_and_is_scored(job: Job) -> None:
    job.write()
    progress = Progress(job)
    bare.train(job, progress)
    progress.write({"torch": "2"})
    [(mark, target)] = missing(job)
    target.mkdir()
    bare.predict(job, weights(job, mark), target)
    assert nib.load(target / "segmentation-24.nii.gz").shape == (48, 48, 12)
    assert [*missing(job)] == []
    rows = rows_of("bare", job)
    assert [made["structure"] for made in rows] == ["liver", "tumour"]
    assert all(made["minutes"] == 0.001 and 0 <= float(made["dice"] or 0) <= 1 for made in rows)
    assert str(rows[0]["cases"]).startswith("24:")
    assert target == masks(job, "0.001")
    assert json.loads((job.folder / TRAINING).read_text())["reached"]["0.001"]["steps"] == rows[0]["steps"]


def test_monai_has_the_flops_of_unet_small() -> None:
    pytest.importorskip("monai")
    from experiments.speed.dice import monai_unet

    assert gigaflops(monai_unet.network(), 256) == pytest.approx(gigaflops(bare.unet_small(), 256), rel=0.07)


def test_rows_are_appended_once_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    assert results.read(path) == []
    results.append(path, both("nnunet", 0.5))
    results.append(path, [row("ours", "B", 0.7), row("ours", "B", 0.2, minutes=1.0)])
    results.append(path, [row("ours", "B", 0.9)])
    rows = results.read(path)
    assert next((made["contender"], made["minutes"], made["dice"]) for made in rows) == ("ours", 10, 0.9)
    assert len(rows) == 5
    assert results.is_done(rows, "ours", "B", 0)
    assert not results.is_done(rows, "ours", "B", 1)
    assert not results.is_done(rows, "ours", "D", 0)


def test_every_rival_is_judged_or_reported_as_not_run() -> None:
    rows = [*both("ours", 0.8), *both("nnunet", 0.9), *both("monai", 0.8), row("bare", "B", 0.1)]
    assert [line.rpartition(": ")[2] for line in results.verdict(rows)] == [
        *["FAIL"] * 2,
        *["not run yet"] * 2,
        *["pass"] * 2,
        *["not run yet"] * 2,
    ]
    assert results.verdict(rows)[0] == "liver: ours at 10 min >= nnunet at 60 min: 0.800 and 0.900: FAIL"


def test_table_has_a_column_per_minute_and_averages_seeds() -> None:
    rows = [row("ours", "B", 0.8), {**row("ours", "B", 0.6), "seed": 1}, row("ours", "B", 0.5, minutes=1.0)]
    [shown] = [made for made in results.table(rows) if made["Dice"] == "liver"]
    assert (shown["1 min"], shown["2 min"], shown["10 min"]) == (0.5, None, pytest.approx(0.7))
    assert [made["seed"] for made in results.costs(rows)] == [0, 1]
    assert "2 min" in bench.tables(rows)
    assert "not run yet" in bench.tables([])


def test_curve_is_the_mean_over_patients() -> None:
    rows = [row("ours", "B", 0.8), row("ours", "D", 0.6), row("ours", "B", 0.4, minutes=1.0)]
    assert figure.curve(rows, "ours", "liver", ["B", "D"]) == [(10, pytest.approx(0.7))]
    assert figure.curve(rows, "ours", "liver", ["B"]) == [(1, 0.4), (10, 0.8)]
    assert len(figure.draw([*rows, *both("nnunet", 0.5)], "liver").axes[0].lines) == 6


def test_drawn_means_are_over_the_patients_of_all_contenders() -> None:
    rows = [row("ours", "B", 0.8), row("ours", "D", 0.0), row("bare", "B", 0.7)]
    drawn = figure.draw(rows, "liver").axes[0].lines
    thick = [line.get_ydata()[0] for line in drawn if line.get_linewidth() > 1]
    assert thick == [pytest.approx(0.8), pytest.approx(0.7)]
    apart = figure.draw([row("ours", "D", 0.0), row("bare", "B", 0.7)], "liver").axes[0].lines
    assert all(line.get_linewidth() < 1 for line in apart)


def test_contenders_exist_and_the_readme_has_marks() -> None:
    folder = Path(figure.__file__).parent
    assert all((folder / f"{contender.module}.py").is_file() for contender in CONTENDERS.values())
    check_marks(README, "dice")
