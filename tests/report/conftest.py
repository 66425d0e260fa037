"""One browser for all tests of pages."""

from collections.abc import Iterator

import pytest

from tests.browser import Page, chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Page]:
    with chromium() as page:
        yield page


@pytest.fixture
def page(browser: Page) -> Page:
    """Return a new tab."""
    browser.renew()
    return browser
