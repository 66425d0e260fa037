import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from PIL import Image

from lightning_liver.report.mistakes import MISTAKES, mistakes
from lightning_liver.report.pictures import (
    DESCRIPTION,
    PictureSlice,
    best_median_worst,
    panel,
    write_pictures,
)

WINDOW_HU = (-160.0, 240.0)
HEIGHT, WIDTH = 40, 60  # unequal, so that a transpose shows


@pytest.fixture
def shown() -> PictureSlice:
    """Return a bright body with a liver to the viewer's left, whose tumour is predicted slightly too low."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    truth = (np.hypot(y - 20, x - 18) < 11).astype(np.uint8)
    prediction = (np.hypot(y - 21, x - 19) < 11).astype(np.uint8)
    truth[np.hypot(y - 18, x - 16) < 4] = 2
    prediction[np.hypot(y - 20, x - 16) < 4] = 2
    hu = np.where(np.hypot((y - 20) / 18, (x - 30) / 28) < 1, 40, -1000) + 60 * (truth == 1)
    dice = {"liver": 0.947, "tumour": None}
    return PictureSlice("volume-3", 57, hu.astype(np.int16), truth, prediction, (0.8, 0.8), dice)


def written(folder: Path, shown: PictureSlice) -> dict[str, Path]:
    return {path.name: path for path in write_pictures(folder, "worst", shown, window_hu=WINDOW_HU)}


def contours(svg: Path) -> set[str]:
    groups = (element.get("id", "") for element in ElementTree.parse(svg).iter())
    return {name for name in groups if re.fullmatch(r"(liver|tumour)-(truth|prediction)", name)}


def texts(svg: Path) -> str:
    return " ".join(element.text or "" for element in ElementTree.parse(svg).iter() if element.tag.endswith("}text"))


def test_six_files_are_written_and_nothing_else(tmp_path: Path, shown: PictureSlice) -> None:
    names = {"worst.png", "worst-ct.png", "worst-overlay.png", "worst-mask.png", "worst-mask.svg", "worst-error.png"}
    assert set(written(tmp_path, shown)) == names
    assert {path.name for path in tmp_path.iterdir()} == names


def test_vector_mask_has_four_named_contours_and_no_raster(tmp_path: Path, shown: PictureSlice) -> None:
    svg = written(tmp_path, shown)["worst-mask.svg"]
    assert contours(svg) == {"liver-truth", "tumour-truth", "liver-prediction", "tumour-prediction"}
    assert not any(element.tag.endswith("}image") for element in ElementTree.parse(svg).iter())


def test_title_names_case_slice_and_dice(tmp_path: Path, shown: PictureSlice) -> None:
    title = texts(written(tmp_path, shown)["worst-mask.svg"])
    assert "volume-3, slice 58; Dice of the case: liver 0.947, tumour -" in title


def test_every_picture_has_a_description(tmp_path: Path, shown: PictureSlice) -> None:
    for name, path in written(tmp_path, shown).items():
        if name.endswith(".png"):
            with Image.open(path) as picture:
                assert picture.info[DESCRIPTION] == "volume-3, slice 58; Dice of the case: liver 0.947, tumour -"


def test_error_picture_is_grey_where_masks_agree(tmp_path: Path, shown: PictureSlice) -> None:
    picture = matplotlib.image.imread(written(tmp_path, shown)["worst-error.png"])[..., :3]
    rows, columns = (np.linspace(0, 1, count, endpoint=False) for count in picture.shape[:2])
    y, x = (rows * HEIGHT).astype(int)[:, None], (columns * WIDTH).astype(int)[None]
    much, little = (shown.prediction > shown.truth)[y, x], (shown.prediction < shown.truth)[y, x]
    below_legend = np.broadcast_to((y > HEIGHT // 3) | (x > WIDTH // 2), much.shape)
    coloured = np.ptp(picture, axis=-1) > 0.2
    assert coloured[much & below_legend].mean() > 0.8
    assert coloured[little & below_legend].mean() > 0.8
    assert coloured[~much & ~little & below_legend].mean() < 0.02
    red, blue = picture[..., 0], picture[..., 2]
    of_tumour = np.isin(mistakes(shown.truth, shown.prediction), (3, 4))[y, x]
    assert (red > blue)[of_tumour & below_legend].mean() > 0.9  # yellow and red
    assert (blue > red)[(much | little) & ~of_tumour & below_legend].mean() > 0.9


def test_scale_bar_is_drawn_only_if_the_spacing_is_known(tmp_path: Path, shown: PictureSlice) -> None:
    assert "10 mm" in texts(written(tmp_path, shown)["worst-mask.svg"])
    assert " mm" not in texts(written(tmp_path, replace(shown, spacing_mm=None))["worst-mask.svg"])


@pytest.mark.parametrize(("spacing_mm", "ratio"), [((0.8, 0.8), 40 / 60), ((1.6, 0.8), 80 / 60), (None, 40 / 60)])
def test_picture_has_the_proportions_of_the_patient(
    tmp_path: Path, shown: PictureSlice, spacing_mm: tuple[float, float] | None, ratio: float
) -> None:
    picture = matplotlib.image.imread(written(tmp_path, replace(shown, spacing_mm=spacing_mm))["worst-ct.png"])
    assert picture.shape[0] / picture.shape[1] == pytest.approx(ratio, rel=0.01)


def test_first_row_is_on_top_and_first_column_on_the_left(tmp_path: Path, shown: PictureSlice) -> None:
    hu = np.full((HEIGHT, WIDTH), -1000, np.int16)
    hu[: HEIGHT // 4, : WIDTH // 4] = 1000
    picture = matplotlib.image.imread(written(tmp_path, replace(shown, hu=hu))["worst-ct.png"])[..., :3].mean(-1)
    height, width = picture.shape
    assert picture[height // 16, width // 16] > 0.9
    assert picture[-height // 8, width // 8] < 0.1
    assert picture[height // 8, -width // 8] < 0.1


def test_window_maps_its_ends_to_black_and_white(tmp_path: Path, shown: PictureSlice) -> None:
    for hu, grey in ((-160, 0.0), (40, 0.5), (240, 1.0), (3000, 1.0), (-3024, 0.0)):
        flat = replace(shown, hu=np.full((HEIGHT, WIDTH), hu, np.int16))
        picture = matplotlib.image.imread(written(tmp_path, flat)["worst-ct.png"])
        assert picture[100, 200, :3] == pytest.approx(grey, abs=0.01)


def test_empty_masks_and_masks_at_the_border_are_drawn(tmp_path: Path, shown: PictureSlice) -> None:
    nothing, everything = np.zeros((HEIGHT, WIDTH), np.uint8), np.full((HEIGHT, WIDTH), 2, np.uint8)
    svg = written(tmp_path, replace(shown, truth=nothing, prediction=everything))["worst-mask.svg"]
    assert contours(svg) == {"liver-prediction", "tumour-prediction"}
    svg = written(tmp_path, replace(shown, truth=nothing, prediction=nothing))["worst-mask.svg"]
    assert contours(svg) == set()


def test_equal_input_gives_equal_files(tmp_path: Path, shown: PictureSlice) -> None:
    first = {name: path.read_bytes() for name, path in written(tmp_path, shown).items()}
    assert first == {name: path.read_bytes() for name, path in written(tmp_path, shown).items()}


def test_panel_is_ct_truth_prediction_and_error_side_by_side(shown: PictureSlice) -> None:
    ct = np.linspace(0, 1, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)
    drawn = panel(ct, shown.truth, shown.prediction)
    assert drawn.shape == (HEIGHT, 4 * WIDTH, 3)
    assert drawn.dtype == np.uint8
    grey, truth, prediction, error = np.split(drawn, 4, axis=1)
    np.testing.assert_array_equal(grey, np.repeat(np.round(ct * 255)[..., None], 3, axis=-1))
    for part, labels in ((truth, shown.truth), (prediction, shown.prediction)):
        np.testing.assert_array_equal((part != grey).any(-1), labels > 0)
    coloured = np.ptp(error.astype(int), axis=-1) > 0
    np.testing.assert_array_equal(coloured, shown.truth != shown.prediction)


def test_panel_distinguishes_liver_and_tumour_false_positives_and_false_negatives() -> None:
    ct, truth, prediction = np.zeros((1, 4)), np.array([[0, 1, 1, 2]], np.uint8), np.array([[1, 0, 2, 1]], np.uint8)
    error = panel(ct, truth, prediction)[:, 12:]
    expected = [np.round(0.85 * 255 * np.array(to_rgb(kind.colour))) for kind in MISTAKES]
    np.testing.assert_allclose(error[0], expected, atol=1)


def test_panel_clips_a_ct_beyond_its_window() -> None:
    nothing = np.zeros((1, 2), np.uint8)
    assert panel(np.array([[-3.0, 7.0]]), nothing, nothing)[0, :2, 0].tolist() == [0, 255]


@pytest.mark.parametrize(
    ("scores", "chosen"),
    [
        ({}, {}),
        ({"a": None, "b": float("nan")}, {}),
        ({"a": 0.5, "b": None}, {"best": "a"}),
        ({"a": 0.5, "b": 0.7}, {"best": "b", "worst": "a"}),
        ({"a": 0.5, "b": 0.7, "c": 0.6}, {"best": "b", "median": "c", "worst": "a"}),
        ({"d": 0.4, "a": 0.5, "b": 0.7, "c": 0.6}, {"best": "b", "median": "a", "worst": "d"}),
        ({"c": 1.0, "a": 1.0, "b": 1.0}, {"best": "c", "median": "b", "worst": "a"}),
    ],
)
def test_best_median_and_worst_case_are_chosen(scores: dict[str, float | None], chosen: dict[str, str]) -> None:
    assert best_median_worst(scores) == chosen


@given(st.dictionaries(st.text(max_size=3), st.none() | st.floats(0, 1) | st.just(float("nan"))))
def test_chosen_cases_differ_and_bound_the_others(scores: dict[str, float | None]) -> None:
    chosen = best_median_worst(scores)
    assert len(set(chosen.values())) == len(chosen)
    known = [score for score in scores.values() if score is not None and score == score]
    assert len(chosen) == min(3, len(known))
    if known:
        assert scores[chosen["best"]] == max(known)
        assert scores[chosen.get("worst", chosen["best"])] == min(known)
