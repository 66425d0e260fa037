"""Colours of the page have enough contrast: light, dark and in print."""

import re
from importlib.resources import files

import pytest

CSS = (files("lightning_liver.report.html") / "templates" / "report.css").read_text()
TEXTS = ("ink", "faint", "link", "liver", "tumour")
DRAWN = ("liver", "tumour", "human", "faint")


def themes() -> dict[str, dict[str, str]]:
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    light, dark, printed = (dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block)) for block in blocks)
    return {"light": light, "dark": dark, "printed": printed}


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2.2."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_of_black_and_white_is_21() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("theme", ["light", "dark", "printed"])
def test_text_has_enough_contrast(theme: str) -> None:
    colours = themes()[theme]
    for ground in ("paper", "wash"):
        for name in TEXTS:
            assert contrast(colours[name], colours[ground]) >= 4.5, (theme, name, ground)


@pytest.mark.parametrize("theme", ["light", "dark", "printed"])
def test_lines_have_enough_contrast(theme: str) -> None:
    colours = themes()[theme]
    for name in DRAWN:
        assert contrast(colours[name], colours["paper"]) >= 3, (theme, name)
