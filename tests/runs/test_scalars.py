from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from lightning_liver.runs.scalars import Point, epochs_of, read_scalars, while_training


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
