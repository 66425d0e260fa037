"""Methods in plain words: of a run and of a study."""

from dataclasses import replace

import pytest

from lightning_liver.report.methods import methods_text, study_text
from lightning_liver.runs.contents import Contents, read_contents


@pytest.fixture
def contents(whole_run) -> Contents:
    return read_contents(whole_run)


def test_paragraph_says_what_the_files_say(contents: Contents) -> None:
    text = methods_text(contents)
    for words in (
        "31 scans of 31 patients from the LiTS data set",
        "3 scans of 3 patients for training, 2 scans of 2 patients for validation",
        "1 scan could not be read and was left out",
        "resampled to 1.5 mm a pixel in plane and clipped to -160 to 240 HU",
        "unet_small (Ronneberger et al. 2015, arXiv:1505.04597) with depth 4",
        "arXiv:1708.02002",
        "gamma 3.5",
        "for 8 epochs (160 steps)",
        "0.5 for liver and 0.5 for tumour",
        "mode corrected",
        "PyTorch 2.13.0",
    ):
        assert words in text, words
    assert "${" not in text
    assert "None" not in text


def test_a_study_names_what_differs_and_its_repeats(contents: Contents) -> None:
    runs = [
        replace(contents, settings=dict(contents.settings) | {"loss.gamma": gamma, "seed": seed})
        for gamma in (1.0, 2.0)
        for seed in (0, 1)
    ]
    last = study_text(runs).splitlines()[-1]
    assert last.startswith("4 runs were compared, which differed in loss.gamma (1.0, 2.0), with seeds 0, 1.")


def test_repeats_alone_are_no_comparison(contents: Contents) -> None:
    runs = [replace(contents, settings=dict(contents.settings) | {"seed": seed}) for seed in (0, 1)]
    assert "The run was repeated 2 times, with seeds 0, 1." in study_text(runs)
