"""Parts of a figure, found by gid, text or axis."""

from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from lightning_liver.report.drawing import write_png

MOST_BYTES = 200_000


def parts(figure: Figure, gid: str) -> list[Artist]:
    return figure.findobj(lambda artist: artist.get_gid() == gid)


def texts(figure: Figure) -> list[str]:
    """Return the texts in order of creation, without empty ones."""
    found = [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]
    return [text for text in found if text]


def labels(figure: Figure, axis: str) -> list[str]:
    return [label.get_text() for label in getattr(figure.axes[0], f"get_{axis}ticklabels")()]


def cut(figure: Figure) -> list[str]:
    """Return the sides of the picture where something is cut off."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    box, (width, height) = figure.get_tightbbox(canvas.get_renderer()), figure.get_size_inches()
    out = {"left": box.x0 < 0, "right": box.x1 > width, "bottom": box.y0 < 0, "top": box.y1 > height}
    return [side for side, is_out in out.items() if is_out]


def size_and_corner(figure: Figure, folder: Path) -> tuple[int, tuple[int, ...]]:
    """Return the size of the file in bytes and the colour of its corner."""
    write_png(figure, folder / "figure.png")
    with Image.open(folder / "figure.png") as picture:
        corner = picture.convert("RGBA").getpixel((0, 0))
    return (folder / "figure.png").stat().st_size, corner
