"""report.html in a browser: light, dark and on a phone, without console messages."""

import shutil
from pathlib import Path

import pytest

from lightning_liver.report.html.report import write_report
from tests.browser import Page

OPEN_ALL = "document.querySelectorAll('details').forEach((each) => (each.open = true))"
TABLE = "document.querySelector('table[data-sortable]')"


@pytest.fixture(scope="module")
def address(whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = shutil.copytree(whole_run, tmp_path_factory.mktemp("browsed") / "focal")
    return write_report(Path(folder)).as_uri()


def test_console_messages_of_a_page_are_recorded(page: Page, tmp_path: Path) -> None:
    scripts = "<script src='nowhere.js'></script><script>console.log('hm'); nothing()</script>"
    (tmp_path / "bad.html").write_text(scripts)
    page.open((tmp_path / "bad.html").as_uri())
    page.wait("document.readyState === 'complete'")
    messages = " ".join(page.said)
    for words in ("hm", "nothing is not defined", "nowhere.js"):
        assert words in messages, messages


def test_report_fits_light_dark_and_phone_screens(page: Page, address: str) -> None:
    grounds = {}
    for width, dark in ((1200, False), (1200, True), (390, True)):
        page.open(address, width=width, height=844, dark=dark)
        assert page.value("document.documentElement.scrollWidth") == width
        page.value(OPEN_ALL)
        assert page.value("document.documentElement.scrollWidth") == width, "unfolded blocks fit the width"
        grounds[dark] = page.value("getComputedStyle(document.body).backgroundColor")
        loaded = "[...document.images].every((each) => each.complete && each.naturalWidth > 0)"
        assert page.value(loaded)
        assert page.value("document.querySelectorAll('svg text').length") > 40
    assert grounds == {False: "rgb(255, 255, 255)", True: "rgb(20, 23, 27)"}
    ink = page.value("getComputedStyle(document.querySelector('svg text')).fill")
    assert ink != "rgb(0, 0, 0)", "drawings have the colours of the page"
    assert page.said == []
    assert [each for each in page.requested if not each.startswith("data:")] == [address] * 3


def test_tables_are_sorted_by_their_heads(page: Page, address: str) -> None:
    page.open(address)
    page.value(OPEN_ALL)
    heads = f"[...{TABLE}.tHead.rows[0].cells]"
    column = f"[...{TABLE}.tBodies[0].rows].map((row) => row.cells[%d].innerText)"
    dice = page.value(f"{heads}.findIndex((each) => each.innerText.startsWith('Dice'))")
    for direction, factor in (("ascending", 1), ("descending", -1)):
        page.value(f"{heads}[{dice}].querySelector('button').click()")
        values = [factor * float(text) for text in page.value(column % dice)]
        assert values == sorted(values)
        assert page.value(f"{heads}[{dice}].getAttribute('aria-sort')") == direction
    page.value(f"{heads}[0].querySelector('button').click()")
    cases = [int(text) for text in page.value(column % 0)]
    assert cases == sorted(cases), "numbers, not letters"


def test_print_has_the_light_colours(page: Page, address: str) -> None:
    page.open(address, dark=True)
    page.call("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert page.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.value("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert len(page.call("Page.printToPDF", printBackground=True)["data"]) > 50_000
