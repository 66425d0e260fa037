"""One browser for all tests of pages, and one whole run for tests that only read it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Page, chromium
from tests.report.html.whole_run import write_whole_run


@pytest.fixture(scope="session")
def browser() -> Iterator[Page]:
    with chromium() as page:
        yield page


@pytest.fixture
def page(browser: Page) -> Page:
    """Return a new tab."""
    browser.renew()
    return browser


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that tests only read."""
    return write_whole_run(tmp_path_factory.mktemp("runs") / "focal")
