"""Adding a metric takes one file in metrics/case/."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lightning_liver.evaluation.tables import score_tables
from lightning_liver.metrics import case
from lightning_liver.metrics.aggregate import case_rows, data_set_figures
from lightning_liver.metrics.case_metric import case_metrics
from lightning_liver.metrics.case_score import CaseScore, score_case
from lightning_liver.report.html.results import results_section
from lightning_liver.runs.contents import read_contents
from lightning_liver.tables import write_csv

SENSITIVITY = '''
"""Sensitivity of a case, a metric of the user's."""

from lightning_liver.metrics.case_metric import CaseMetric, MaskPair


def sensitivity(masks: MaskPair) -> float | None:
    """Return common / true; None without a true voxel."""
    return masks.voxels.common / masks.voxels.true if masks.voxels.true else None


METRIC = CaseMetric(sensitivity, "Sensitivity", "higher", worst=0.25)
'''


@pytest.fixture
def _sensitivity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "own_metric.py").write_text(SENSITIVITY)
    monkeypatch.setattr(case, "__path__", [*case.__path__, str(tmp_path / "metrics")])
    case_metrics.cache_clear()
    yield
    case_metrics.cache_clear()


def score(found: int, mode: str = "corrected") -> CaseScore:
    """Score a tumour of four voxels, of which some were found."""
    truth, prediction = (np.ones((1, 3, 6), np.uint8) for _ in range(2))
    truth[0, 1, 1:5] = 2
    prediction[0, 1, 1 : 1 + found] = 2
    return score_case(truth, prediction, spacing_mm=(1.0, 1.0, 1.0), mode=mode, tolerance_mm=1.0)


@pytest.mark.usefixtures("_sensitivity")
def test_new_metric_is_in_cases_csv_and_in_the_aggregated_figures() -> None:
    scores = [score(4), score(1)]
    rows = [row for one in scores for row in case_rows("1", "A", one)]
    assert [row["own_metric"] for row in rows] == [1, 1, 1, 0.25]
    names = list(rows[0])
    assert names.index("surface_dice") < names.index("own_metric")
    figures = data_set_figures(scores, "test")
    assert [figures[f"test/{name}/own_metric"] for name in ("liver", "tumour", "lesion")] == [1, 0.625, 1]


@pytest.mark.usefixtures("_sensitivity")
def test_new_metric_has_its_worst_value_where_the_official_scorer_detects_no_lesion() -> None:
    assert data_set_figures([score(1, "official")], "test")["test/lesion/own_metric"] == 0.25
    assert data_set_figures([score(1, "corrected")], "test")["test/lesion/own_metric"] is None


@pytest.mark.usefixtures("_sensitivity")
def test_new_metric_is_in_the_tables_of_liver_evaluate_and_in_the_report(tmp_path: Path) -> None:
    scores = [score(4), score(1)]
    tables = score_tables(scores, ["A", "B"], data_set_figures(scores, "test"), 1.0)
    assert "Sensitivity    0.625" in tables
    write_csv(tmp_path / "cases.csv", [row for n, one in enumerate(scores) for row in case_rows(str(n), str(n), one)])
    means = results_section(read_contents(tmp_path)).blocks[1]
    assert [cell.text for cell in means.rows[-1]] == ["Sensitivity", "1.000", "0.625"]
    assert means.rows[-1][0].note == "higher is better"


@pytest.mark.usefixtures("_sensitivity")
def test_order_of_columns_is_declared_and_new_ones_come_last() -> None:
    names = list(case_metrics())
    built_in = ["dice", "jaccard", "voe", "rvd", "assd_mm", "rmsd_mm", "mssd_mm", "hd95_mm", "surface_dice"]
    assert names[: len(built_in)] == built_in
    assert "own_metric" in names[len(built_in) :]


def test_every_metric_but_the_volume_difference_has_bounds_that_hold_its_worst_value() -> None:
    for name, metric in case_metrics().items():
        low, high = metric.bounds
        assert name == "rvd" or low == 0, "an interval of it would reach below 0"
        assert metric.worst is None or low <= metric.worst <= high
        assert (high == 1) == (metric.unit != "mm" and name != "rvd")
