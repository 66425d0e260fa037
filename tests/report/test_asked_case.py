"""Pictures of cases that were asked for, read back as pixels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from lightning_liver.inference.predict_volume import SCALE
from lightning_liver.report.asked_case import KIND_NAMES, write_asked_case
from lightning_liver.report.embedding import DESCRIPTION
from lightning_liver.report.pictures import LIVER

SHAPE = (5, 40, 60)  # unequal, so that a transpose shows
YELLOW = "#FCFFA4"  # of the largest uncertainty


@pytest.fixture
def given() -> dict[str, Any]:
    """Return a body with a liver on the patient's right; the network is least certain in slice 3, on the left."""
    y, x = np.mgrid[:40, :60]
    body = np.hypot((y - 20) / 15, (x - 30) / 25) < 1
    hu = np.broadcast_to(np.where(body, 20, -1000).astype(np.int16), SHAPE).copy()
    answer = np.zeros(SHAPE, np.uint8)
    answer[1:4] = np.hypot(y - 20, x - 18) < 6
    answer[2] |= np.hypot(y - 20, x - 20) < 8
    uncertainty = np.zeros(SHAPE, np.uint8)
    uncertainty[3, 18:23, 40:45] = 51
    return {"hu": hu, "uncertainty": uncertainty, "proposal": np.roll(answer, 3, axis=1), "answer": answer}


def drawn(folder: Path, given: dict[str, Any], **options: Any) -> tuple[int, np.ndarray]:
    """Return the slice and the picture, (height, 900, 3) in [0, 1]."""
    usual = {"title": "case $7$", "window_hu": (-160, 240), "kind": "variance", "spacing_mm": (5.0, 1.0, 1.0)}
    z = write_asked_case(folder / "case.png", **given, **usual | options)
    with Image.open(folder / "case.png") as picture:
        assert picture.info[DESCRIPTION] == "case $7$"
        return z, np.asarray(picture.convert("RGB")) / 255


def places(picture: np.ndarray, colour: str) -> np.ndarray:
    """Return the columns, as fractions of the width, of the pixels of a colour in the panels."""
    near = np.abs(picture[60:-40] - to_rgb(colour)).max(axis=-1) < 0.1
    return np.flatnonzero(near.any(axis=0)) / picture.shape[1]


def test_contours_are_on_the_left_and_the_map_on_the_right(tmp_path: Path, given: dict[str, Any]) -> None:
    z, picture = drawn(tmp_path, given)
    assert z == 3, "the least certain slice"
    assert picture.shape[1] == 900
    liver, uncertain = places(picture, LIVER), places(picture, YELLOW)
    assert len(liver)
    assert liver.max() < 0.44
    assert len(uncertain)
    assert 0.6 < uncertain.min() < uncertain.max() < 0.93, "in the left half of the patient, and in the colour bar"


def test_a_slice_may_be_named(tmp_path: Path, given: dict[str, Any]) -> None:
    z, picture = drawn(tmp_path, given, z=0)
    assert z == 0
    assert not len(places(picture, LIVER)), "there is no liver"


def test_without_a_network_the_contours_stand_beside_the_scan(tmp_path: Path, given: dict[str, Any]) -> None:
    z, picture = drawn(tmp_path, given | {"uncertainty": None, "proposal": None}, kind=None)
    assert z == 2, "the slice with most liver"
    assert places(picture, LIVER).min() > 0.5
    assert not len(places(picture, YELLOW))


def test_before_the_correction_the_proposal_is_drawn_alone(tmp_path: Path, given: dict[str, Any]) -> None:
    z, picture = drawn(tmp_path, given | {"answer": None})
    assert z == 3
    assert not len(places(picture, LIVER))
    white = places(picture[:, :390], "#FFFFFF")
    assert len(white) > 20, "the dashes"


def test_no_map_no_masks_and_no_body_are_drawn(tmp_path: Path, given: dict[str, Any]) -> None:
    nothing = {"hu": np.full(SHAPE, -1000, np.int16), "uncertainty": None, "proposal": None, "answer": None}
    assert drawn(tmp_path, nothing, kind=None)[0] == 2
    certain = given | {"uncertainty": np.zeros(SHAPE, np.uint8)}
    assert drawn(tmp_path, certain)[0] == 2, "a map of zeros chooses no slice"


@pytest.mark.parametrize(("spacing_mm", "ratio"), [((5.0, 1.0, 1.0), 0.6), ((5.0, 0.5, 1.0), 0.3)])
def test_body_fills_its_panel_in_its_proportions(
    tmp_path: Path, given: dict[str, Any], spacing_mm: tuple[float, float, float], ratio: float
) -> None:
    _, picture = drawn(tmp_path, given | {"uncertainty": None}, kind=None, spacing_mm=spacing_mm)
    body = picture[60:-40, :440].mean(axis=-1) > 0.3
    across, down = body.sum(axis=1).max(), body[:, 230].sum()  # below no text
    assert down / across == pytest.approx(ratio, rel=0.08)
    assert across > 300


def test_every_uncertainty_has_a_name() -> None:
    assert KIND_NAMES.keys() == SCALE.keys()
