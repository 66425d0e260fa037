from pathlib import Path

import numpy as np
import pytest

from lightning_liver.comparison.rank_map import order, rank_map
from tests.comparison.test_loss_metric import OWN, TABLE
from tests.report.figure_parts import MOST_BYTES, cut, labels, parts, size_and_corner, texts


def test_rows_go_by_tumour_dice_and_own_losses_lie_on_the_diagonal() -> None:
    names, metrics = order(TABLE, OWN)
    assert names == ["loss=dice", "loss=focal", "loss=focal loss.gamma=5", "loss=bce"]
    assert metrics == ["tumour Dice", "liver Dice", "1 - dice", "1 - focal", "1 - bce"]


def test_losses_without_a_model_come_last() -> None:
    assert order(TABLE, {"loss=focal": "focal"})[1] == ["tumour Dice", "liver Dice", "1 - focal", "1 - bce", "1 - dice"]


def test_every_cell_has_its_rank_and_own_losses_are_outlined() -> None:
    figure = rank_map(TABLE, OWN)
    assert labels(figure, "y") == order(TABLE, OWN)[0]
    assert labels(figure, "x") == order(TABLE, OWN)[1]
    shown = [text for text in texts(figure) if text.isdigit()]
    assert sorted(shown) == sorted("1234" * 5)
    (image,) = figure.axes[0].get_images()
    assert image.get_array()[:, 0].tolist() == [1, 2, 3, 4]
    assert image.get_array()[:, 4].tolist() == [4, 3, 2, 1]
    boxes = {(round(box.get_x() + 0.45), round(box.get_y() + 0.45)) for box in parts(figure, "own")}
    assert boxes == {(2, 0), (3, 1), (3, 2), (4, 3)}


def test_correlations_are_below_the_columns() -> None:
    figure = rank_map(TABLE, OWN)
    below = [text.get_text() for text in parts(figure, "agreement")]
    assert below[:5] == ["", "0.2", "1.0", "-0.2", "-1.0"]


def test_missing_values_leave_their_cell_empty() -> None:
    table = TABLE | {"1 - bce": {"loss=bce": 0.5}}
    shown = [text for text in texts(rank_map(table, OWN)) if text.isdigit()]
    assert sorted(shown) == sorted("1234" * 4 + "1")


@pytest.mark.parametrize("count", [1, 2, 23])
def test_nothing_is_cut_off_and_the_file_is_small_and_white(tmp_path: Path, count: int) -> None:
    random = np.random.default_rng(0)
    own = {f"loss=a_loss_with_quite_a_name_{n}": f"a_loss_with_quite_a_name_{n}" for n in range(count)}
    metrics = ["tumour Dice", "liver Dice", *(f"1 - {loss}" for loss in own.values())]
    table = {metric: dict(zip(own, random.normal(size=count).tolist(), strict=True)) for metric in metrics}
    figure = rank_map(table, own)
    assert len(parts(figure, "own")) == count
    assert sum(text.isdigit() for text in texts(figure)) == count * (count + 2)
    assert cut(figure) == []
    size, corner = size_and_corner(figure, tmp_path)
    assert size < MOST_BYTES
    assert corner == (255, 255, 255, 255)
