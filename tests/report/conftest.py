"""One browser for all pages that are looked at."""

from collections.abc import Iterator

import pytest

from tests.browser import Page, chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Page]:
    with chromium() as page:
        yield page


@pytest.fixture
def page(browser: Page) -> Page:
    """A new tab."""
    browser.renew()
    return browser
