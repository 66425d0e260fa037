"""audit.html: its three parts, its pictures, and two data sets beside each other, in a browser too."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lightning_liver.audit.finding import Finding
from lightning_liver.audit.result import Audit, Check, DataSet, checks_of
from lightning_liver.report.html.audit import write_audit_report
from tests.audit.test_fingerprint import PLAIN
from tests.browser import Page


def drawn(width: int = 60, height: int = 40) -> np.ndarray:
    return np.full((height, width, 3), 90, np.uint8)


def finding(kind: str, severity: str, *cases: str, score: float = 1.0, z: int | None = None) -> Finding:
    text = f"a sentence on {' and '.join(cases)} <with signs>"
    return Finding(kind, severity, cases, text, score, z, drawn)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def audit() -> Audit:
    """An audit with findings of each severity, a check that found nothing, and one that was not done."""
    scans = [replace(PLAIN, case=str(n), liver_hu=100.0 + n, slice_mm=5.0 if n == 9 else 1.0) for n in range(10)]
    other = [replace(PLAIN, case=str(n), liver_hu=60.0 + n, phase="native") for n in range(7)]
    found = [finding("same_scan", "fix", "1", "2"), finding("unreadable", "fix", "99")]
    found += [finding("holes", "look", str(n), score=n, z=n) for n in range(12)]
    checks = checks_of(("unreadable", "same_scan", "holes", "overlap"), found, "10 scans")
    checks.append(Check("leak", "", skipped="there are fewer patients than folds"))
    return Audit(
        DataSet("mine", scans), DataSet("theirs", other), checks, {"Scans": "10"}, next_steps=["Look at them."]
    )


@pytest.fixture(scope="module")
def path(audit: Audit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_audit_report(tmp_path_factory.mktemp("page"), audit, most_pictures=5)


def part(page: str, name: str) -> str:
    return page[page.index(f'<section id="{name}"') :].partition("</section>")[0]


def test_page_has_what_must_be_fixed_what_is_worth_a_look_and_what_is_fine(path: Path) -> None:
    page = path.read_text()
    assert "2 things must be fixed, 12 are worth a look in 10 scans" in page
    assert "The same scan twice: 1" in part(page, "fix")
    assert "&lt;with signs&gt;" in part(page, "fix")
    look = part(page, "look")
    assert "Holes in livers: 12" in look
    assert "4 more" in look, "the first eight are shown without asking"
    assert look.index("a sentence on 11 ") < look.index("a sentence on 0 "), "the worst first"
    fine = part(page, "fine")
    assert re.search(r"Overlapping parts of one scan</th>\s*<td>10 scans", fine)
    assert "there are fewer patients than folds" in fine
    assert "1 of 4" in page, "a check that was not done is not fine"


def test_page_has_no_more_pictures_than_asked_for_and_says_so(path: Path) -> None:
    page = path.read_text()
    assert page.count("<img") == 5
    assert part(page, "fix").count("<img") == 2, "what must be fixed comes first"
    assert "9 further findings of this part without a picture here" in page


def test_two_data_sets_have_a_column_and_a_strip_each(path: Path) -> None:
    fingerprint = part(path.read_text(), "fingerprint")
    assert "mine: median 104 HU, 100 to 109; theirs: median 63 HU, 60 to 66" in fingerprint
    assert "native 7" in fingerprint
    assert "9 (5.00)" in fingerprint, "the scan of other slices is named"


def test_an_audit_that_found_nothing_says_so(tmp_path: Path, audit: Audit) -> None:
    calm = replace(audit, other=None, checks=[Check("unreadable", "10 scans")], next_steps=())
    page = write_audit_report(tmp_path, calm, most_pictures=5).read_text()
    assert "Nothing must be fixed, nothing stands out in 10 scans" in page
    assert "Next" not in page


def test_page_fits_light_dark_and_phone_screens(page: Page, path: Path) -> None:
    for width, dark in ((1200, False), (1200, True), (390, True)):
        page.open(path.as_uri(), width=width, height=844, dark=dark)
        page.value("document.querySelectorAll('details').forEach((each) => (each.open = true))")
        assert page.value("document.documentElement.scrollWidth") == width
        assert page.value("[...document.images].every((each) => each.complete && each.naturalWidth > 0)")
    assert page.said == []
    assert [each for each in page.requested if not each.startswith("data:")] == [path.as_uri()] * 3
