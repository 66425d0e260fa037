"""The viewer's page in a browser: drawing, texts and controls."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from lightning_liver.active.workspace_cases import workspace_cases
from lightning_liver.data.store import Store
from lightning_liver.errors import LiverError
from lightning_liver.report.viewer.pages import BUNDLE, ShownCases, routes
from lightning_liver.report.viewer.run_cases import run_cases
from lightning_liver.report.viewer.server import loopback_server
from tests.active.workspaces import DONE, DRAWN, WAITING, write_phantoms
from tests.browser import Page
from tests.report.viewer.conftest import moved, stacked

CASES = ("20", "21", "24")


def predict(store: Store, case: str) -> np.ndarray:
    if case == "24":
        raise LiverError("the mask of case 24 is damaged")
    return moved(store, case)


@pytest.fixture
def bundle() -> None:
    if not (files("lightning_liver.report.viewer") / "page" / BUNDLE).is_file():
        pytest.skip(f"this build has no {BUNDLE}: pip install -e . brings it")


@contextmanager
def serving(shown: ShownCases) -> Iterator[str]:
    with loopback_server(routes(shown), 0) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def address(store: Store, bundle: None) -> Iterator[str]:
    scores = [{"case": "20", "structure": "tumour", "dice": "0.25"}]
    answer, window_hu = partial(predict, store), (-160.0, 240.0)
    with serving(run_cases(store, CASES, answer, run="focal", first="20", window_hu=window_hu, scores=scores)) as there:
        yield there


def colours(page: Page, path: Path) -> np.ndarray:
    """Return the pixels of the canvas with a colour."""
    with Image.open(page.picture(path)) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)[:600, :800]
    return np.ptp(pixels, axis=-1) > 60


def test_viewer_shows_a_case_and_its_controls_work(page: Page, address: str, store: Store, tmp_path: Path) -> None:
    page.open(address, width=1104, height=640)
    page.wait("document.body.dataset.state === 'ready'")
    readout = page.value("document.getElementById('readout').textContent")
    z, row, column = _place(readout)
    labels, hu = stacked(store, "20", "labels"), stacked(store, "20", "hu")
    assert labels[z, row, column] == 2, "the crosshair is in the tumour"
    assert readout.startswith(f"{hu[z, row, column]} HU · truth: tumour · prediction: ")
    assert ("prediction: tumour" in readout) == (moved(store, "20")[z, row, column] == 2)
    assert page.value("document.title") == "case 20, focal"
    assert page.value("document.querySelector('#case option').textContent") == "20, tumour 0.250"

    shown = colours(page, tmp_path / "contours.png").sum()
    page.value("document.getElementById('contours').click()")
    filled = colours(page, tmp_path / "filled.png").sum()
    assert filled > 1.5 * shown > 0
    for layer in ("truth", "prediction"):
        page.value(f"document.getElementById('show-{layer}').click()")
    assert colours(page, tmp_path / "bare.png").sum() < shown / 2

    page.value("[...document.querySelectorAll('#windows button')].at(-1).click()")
    assert page.value("document.getElementById('window').textContent") == "-450 to 1050"
    page.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowUp")
    assert _place(page.value("document.getElementById('readout').textContent"))[0] == z + 1

    page.value("document.getElementById('next').click()")
    page.wait("document.body.dataset.state === 'ready' && document.title.startsWith('case 21')")
    assert page.value("location.hash") == "#21"
    assert page.said == []
    assert all(each.startswith((address, "data:", "blob:")) for each in page.requested)


def test_viewer_on_a_phone_shows_an_error(page: Page, address: str) -> None:
    page.open(f"{address}#24", width=390, height=844)
    page.wait("document.body.dataset.state === 'failed'")
    assert page.value("document.getElementById('notice').textContent") == "the mask of case 24 is damaged"
    assert page.value("document.documentElement.scrollWidth") == 390
    assert "truth: tumour" in page.value("document.getElementById('readout').textContent")


@pytest.mark.slow
def test_viewer_shows_a_case_of_a_workspace_and_says_what_is_absent(page: Page, bundle: None, tmp_path: Path) -> None:
    places = write_phantoms(tmp_path)
    with serving(workspace_cases(places.folder, DONE)) as address:
        page.open(address, width=1104, height=640)
        page.wait("document.body.dataset.state === 'ready'")
        readout = page.value("document.getElementById('readout').textContent")
        assert "proposal: tumour · correction: " in readout
        assert "uncertainty: 0." in readout
        assert page.value("document.getElementById('subtitle').textContent").endswith(
            "patient a, round 1, accepted. Proposal against correction: liver Dice 0.900"
        )
        shown = colours(page, tmp_path / "contours.png").sum()
        page.call("Input.dispatchKeyEvent", type="keyDown", key="d")
        assert colours(page, tmp_path / "changed.png").sum() > shown > 0
        assert page.value("[...document.querySelectorAll('#case option')].map((each) => each.textContent)") == [
            f"{DONE}, accepted",
            f"{WAITING}, proposed",
            f"{DRAWN}, proposed",
        ]
        page.value("document.getElementById('next').click()")
        page.wait(f"document.body.dataset.state === 'ready' && document.title.startsWith('case {WAITING}')")
        assert page.value("document.getElementById('note-correction').textContent").startswith("None yet: save")
        assert page.value("document.getElementById('show-correction').disabled")
        assert not page.value("document.getElementById('show-proposal').disabled")
        assert "correction" not in page.value("document.getElementById('readout').textContent")
        assert page.said == []


def _place(readout: str) -> tuple[int, int, int]:
    """Return z, row and column of the readout, counted from 0."""
    words = readout.replace(",", "").split()
    return tuple(int(words[words.index(name) + 1]) - 1 for name in ("slice", "row", "column"))  # type: ignore[return-value]
