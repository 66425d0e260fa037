"""Pictures as data of a page."""

import base64
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

DESCRIPTION = "Description"  # key of a PNG's text about its content

_QUALITY = 82


class Embedded(NamedTuple):
    """A picture as a data URI, with the description of its file."""

    uri: str
    description: str
    width: int
    height: int


def embed(path: Path, *, side: int) -> Embedded:
    """Return a picture as WebP, at most `side` pixels wide and high."""
    with Image.open(path) as picture:
        description = str(picture.info.get(DESCRIPTION, ""))
        shown = picture.convert("RGB")
    return _embedded(shown, description, side)


def embed_pixels(pixels: UInt8[np.ndarray, "y x rgb"], description: str, *, side: int) -> Embedded:
    """Return pixels as WebP, at most `side` pixels wide and high."""
    return _embedded(Image.fromarray(pixels), description, side)


def _embedded(shown: Image.Image, description: str, side: int) -> Embedded:
    shown.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = BytesIO()
    shown.save(file, "webp", quality=_QUALITY, method=4)
    uri = f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
    return Embedded(uri, description, *shown.size)
