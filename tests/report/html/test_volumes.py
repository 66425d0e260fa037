"""Agreement of volumes after Bland and Altman."""

import numpy as np
import pytest

from lightning_liver.report.html.volumes import agreement, volumes_section
from lightning_liver.runs.contents import read_contents


def line(true: float, predicted: float) -> dict[str, str]:
    return {"structure": "liver", "true_ml": str(true), "predicted_ml": str(predicted)}


def test_limits_are_196_standard_deviations_around_the_mean_difference() -> None:
    found = agreement([line(100, 110), line(200, 190), line(300, 330)], "liver")
    assert found is not None
    differences = np.array([10, -10, 30])
    spread = 1.96 * differences.std(ddof=1)
    assert (found.bias, found.low, found.high) == pytest.approx((10, 10 - spread, 10 + spread))


def test_two_cases_have_no_limits() -> None:
    assert agreement([line(1, 2), line(2, 3), {"structure": "liver"}], "liver") is None


def test_section_says_the_limits_of_both_structures(whole_run) -> None:
    section = volumes_section(read_contents(whole_run))
    text = section.blocks[0].text
    assert "Liver: predicted minus true volume is" in text
    assert "Tumour: predicted minus true volume is" in text
