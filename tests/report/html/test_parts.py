"""Numbers of the sections against formulas written out or counts by hand."""

import math
import shlex
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from lightning_liver.metrics.intervals import mean_over_patients
from lightning_liver.report.html.blocks import Table
from lightning_liver.report.html.calibration import Bin, bins_of, ece
from lightning_liver.report.html.curves import thin
from lightning_liver.report.html.decisions import decision_section
from lightning_liver.report.html.lesions import band_name, band_of, lesions_section, proportion
from lightning_liver.report.html.results import interval, results_section
from lightning_liver.report.html.setup import command
from lightning_liver.report.html.theme import LIVER, make_axes, svg_chart
from lightning_liver.runs.contents import read_contents
from lightning_liver.runs.scalars import Point
from tests.report.html.whole_run import CASES, lesion_rows


def texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def test_means_are_over_patients_and_leave_undefined_cells_out(whole_run: Path) -> None:
    contents = read_contents(whole_run)
    lines = [line for line in contents.cases if line["structure"] == "tumour" and line["hd95_mm"]]
    known = mean_over_patients([float(line["hd95_mm"]) for line in lines], [line["patient"] for line in lines])
    assert len(lines) == len(CASES) - 1
    assert interval(contents.cases, "tumour", "hd95_mm") == known


def test_scans_of_one_patient_count_once(run: Path) -> None:
    path = run / "cases.csv"
    path.write_text(
        "case,patient,structure,dice\n1,a,liver,0.2\n2,a,liver,0.4\n3,b,liver,0.9\n"
        "1,a,tumour,0\n2,a,tumour,0\n3,b,tumour,1\n"
    )
    contents = read_contents(run)
    assert interval(contents.cases, "liver", "dice").mean == pytest.approx((0.3 + 0.9) / 2)
    (table,) = [block for block in results_section(contents).blocks if isinstance(block, Table)]
    assert texts(table) == [["Dice", "0.600", "0.500"]]


@given(st.floats(0, 300, allow_nan=False))
def test_every_diameter_has_its_band(diameter_mm: float) -> None:
    edges = (10, 20)
    assert band_of(diameter_mm) == sum(diameter_mm >= edge for edge in edges)


def test_bands_are_named_with_their_unit() -> None:
    assert [band_name(n) for n in range(3)] == ["under 10 mm", "10 to 20 mm", "20 mm or more"]


@given(st.integers(0, 60), st.integers(1, 60))
def test_proportion_has_wilsons_interval(found: int, of: int) -> None:
    found = min(found, of)
    z, p = 1.959963984540054, found / of
    middle = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    counted = proportion([True] * found + [False] * (of - found))
    assert counted is not None
    assert (counted.low, counted.high) == pytest.approx((middle - half, middle + half), abs=1e-9)


def test_proportion_without_flags_is_none() -> None:
    assert proportion([]) is None


def test_recall_is_counted_by_size(whole_run: Path) -> None:
    row = next(block for block in lesions_section(read_contents(whole_run)).blocks if block.kind == "row")
    table = next(block for block in row.blocks if isinstance(block, Table))
    rows = [line for line in lesion_rows() if line["kind"] == "reference"]
    small = [line for line in rows if float(line["diameter_mm"] or 0) < 10]
    found = sum(int(line["detected_0"] or 0) for line in rows)
    assert texts(table)[0][:2] == ["under 10 mm", str(len(small))]
    assert texts(table)[-1][:3] == ["all", str(len(rows)), f"{found} ({100 * found / len(rows):.0f} %)"]


def test_section_without_lesions_says_so(run: Path) -> None:
    path = run / "lesions.csv"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    (block,) = lesions_section(read_contents(run)).blocks
    assert block.text == "No test case has a tumour."


bins = st.builds(Bin, st.integers(1, 10**9), st.floats(0, 1), st.floats(0, 1))


@given(st.lists(bins, min_size=1, max_size=15))
def test_calibration_error_is_the_mean_over_voxels(known: list[Bin]) -> None:
    total, off = 0, 0.0
    for each in known:
        total += each.voxels
        off += each.voxels * abs(each.probability - each.frequency)
    assert ece(known) == pytest.approx(off / total)
    assert ece([each._replace(frequency=each.probability) for each in known]) == 0


def test_bins_without_voxels_are_left_out(whole_run: Path) -> None:
    lines = read_contents(whole_run).calibration
    assert lines is not None
    assert (len(bins_of(lines, "liver")), len(bins_of(lines, "tumour"))) == (10, 9)


def test_gains_are_against_the_first_row(whole_run: Path) -> None:
    (table,) = [block for block in decision_section(read_contents(whole_run)).blocks if isinstance(block, Table)]
    assert [[cell.note for cell in row[1:]] for row in table.rows] == [
        ["", ""],
        ["+0.001", "+0.042"],
        ["+0.014", "+0.042"],
    ]


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=1000))
def test_a_long_curve_is_thinned_and_keeps_its_end(values: list[float]) -> None:
    curve = [Point(n, value) for n, value in enumerate(values)]
    thinned = thin(curve)
    assert len(thinned) <= 400
    assert thinned[-1].step == len(values) - 1
    assert min(values) - 1e-9 <= np.mean([p.value for p in thinned]) <= max(values) + 1e-9
    if len(values) <= 400:
        assert thinned == curve


def test_command_is_quoted_for_a_shell() -> None:
    overrides = ["loss=focal", "data.split={train:[1],val:[2],test:[3]}", "trial={}", "results=a.csv"]
    typed = command(overrides, swept=False)
    assert shlex.split(typed) == ["python", "train.py", *overrides[:2]]
    assert shlex.split(command(["loss=bce"], swept=True))[-1] == "hydra.mode=RUN"
    assert command(["run=a", "data=lits"], "evaluate", swept=False) == "liver-evaluate run=a data=lits"


def test_drawing_has_the_colours_of_the_page_and_unique_ids() -> None:
    def drawn(name: str) -> str:
        figure, axes = make_axes(1.5)
        assert isinstance(figure, Figure)
        axes.plot([0, 1], [0, 1], color=LIVER)
        axes.set_xlabel("a < b")
        return str(svg_chart(figure, name, alt='says "so"').svg)

    first, other = drawn("first"), drawn("other")
    assert "var(--liver)" in first
    assert "#0100" not in first
    assert "a &lt; b" in first
    assert 'aria-label="says &#34;so&#34;"' in first
    assert "<style" not in first
    assert first == drawn("first")
    assert first.replace("first-", "other-").count('id="other-') == other.count('id="other-') > 5
