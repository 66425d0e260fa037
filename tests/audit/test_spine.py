"""The spine of a scan is found and straightened."""

import numpy as np
import pytest

from lightning_liver.audit.spine import _track


def body(levels: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """A body with a bending column of bone, and brighter bowel in front of it in half of the levels."""
    z, y, x = np.ogrid[:levels, :80, :100]
    column = np.stack([52 + 4 * np.sin(np.arange(levels) / 12), 48 + np.arange(levels) / 10], 1)
    hu = np.where(((y - 40) / 30) ** 2 + ((x - 50) / 40) ** 2 < 1, 40.0, -160.0) + 0 * z
    hu[np.hypot(y - column[:, 0, None, None], x - column[:, 1, None, None]) < 6] = 260
    hu[: levels // 2, 18:30, 20:80] = 300
    return hu.astype(np.float32), column


@pytest.mark.parametrize("part", [slice(0, 30), slice(8, 22)])
def test_track_follows_the_column_and_not_the_bowel(part: slice) -> None:
    hu, column = body()
    assert np.abs(_track(hu[part]) - column[part]).max() < 2


def test_track_of_one_level() -> None:
    hu, column = body()
    assert np.abs(_track(hu[20:21]) - column[20:21]).max() < 2
