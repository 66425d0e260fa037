from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.scalars import Point, append_scalars, epochs_of, read_curves, read_scalars, while_training


def test_scalars_are_read_back(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path)) as writer:
        for step in (9, 19, 29):
            writer.add_scalar("train/loss", step / 8, step)
            writer.add_scalar("epoch", step // 15, step)
    curves = read_scalars(tmp_path)
    assert curves["train/loss"] == [Point(9, 1.125), Point(19, 2.375), Point(29, 3.625)]
    assert epochs_of(curves) == {9: 1, 19: 2, 29: 2}


def test_a_resumed_run_has_one_curve(tmp_path: Path) -> None:
    for part in ((1, 2), (3, 4)):
        with SummaryWriter(str(tmp_path), filename_suffix=f".{part[0]}") as writer:
            for step in part:
                writer.add_scalar("val/loss", float(step), step)
    assert [point.step for point in read_scalars(tmp_path)["val/loss"]] == [1, 2, 3, 4]


def test_a_folder_without_events_has_no_scalars(tmp_path: Path) -> None:
    assert read_scalars(tmp_path / "none") == {}
    assert read_scalars(tmp_path) == {}


def test_points_after_training_are_left_out() -> None:
    curve = [Point(19, 0.1), Point(39, 0.2), Point(40, 0.3), Point(0, 0.4)]
    assert while_training(curve, 40) == curve[:2]
    assert while_training(curve, None) == curve[:3]


def test_recorded_scalars_are_read_back_and_the_last_of_a_step_counts(tmp_path: Path) -> None:
    files = RunFolder(tmp_path)
    for step, value in ((1, 0.1), (3, 0.3), (2, 0.25), (3, 0.35)):  # interrupted after step 3, resumed at step 2
        append_scalars(files.scalars, {"val/loss": value, "epoch": step // 2}, step)
    assert read_curves(files)["val/loss"] == [Point(1, 0.1), Point(2, 0.25), Point(3, 0.35)]
    with files.scalars.open("a") as file:
        file.write("4,val/lo")  # killed while it wrote
    assert read_curves(files)["val/loss"][-1] == Point(3, 0.35)


def test_run_of_an_earlier_version_has_the_curves_of_its_event_files(tmp_path: Path) -> None:
    files = RunFolder(tmp_path)
    with SummaryWriter(str(files.tensorboard)) as writer:
        for step in (1, 2, 3):
            writer.add_scalar("val/loss", step / 4, step)
    whole = [Point(1, 0.25), Point(2, 0.5), Point(3, 0.75)]
    assert read_curves(files)["val/loss"] == whole
    append_scalars(files.scalars, {"val/loss": 0.75, "val/new": 1.0}, 3)  # resumed, with the record
    assert read_curves(files) == {"val/loss": whole, "val/new": [Point(3, 1.0)]}
