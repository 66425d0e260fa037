"""The best, median and worst case: their pictures in the run folder, within the page."""

import base64
import re
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image

from lightning_liver.report.html.blocks import Block, Folded, Picture, Row, Section, Text, missing, note
from lightning_liver.report.html.results import formatted
from lightning_liver.report.pictures import DESCRIPTION
from lightning_liver.runs.contents import Contents, Line, number
from lightning_liver.types import STRUCTURES

ROLES = ("best", "median", "worst")
_VIEWS = {
    "overlay": "CT with contours of truth (solid) and prediction (dashed)",
    "error": "errors: yellow where too much was found, purple where too little",
}
_BARE = {"ct": "CT alone"}
_SIDE = 640  # pixels of the longer side
_QUALITY = 82


def cases_section(contents: Contents) -> Section:
    """A row of pictures for each of the cases that the run drew."""
    title = "Best, median and worst case"
    drawn = drawn_cases(contents.folder / "pictures")
    if not drawn:
        return Section("cases", title, [missing("This run drew no cases: it tested none, or its pictures are gone.")])
    folder = contents.folder / "pictures"
    intro = "By the mean Dice of liver and tumour; of each, the slice with most tumour, else with most liver."
    blocks: list[Block] = [Text(intro)]
    for role, case in drawn.items():
        heading = f"{role.capitalize()}, case {case}: {_scores(contents.cases, case)}".removesuffix(": ")
        blocks.append(Row(_pictures(folder, role, case, _VIEWS), heading, role="pictures"))
    bare = [picture for role, case in drawn.items() for picture in _pictures(folder, role, case, _BARE)]
    blocks.append(Folded("The same slices without contours", [Row(bare, role="pictures")]))
    blocks.append(note("Front up, the patient's right on the left side. Blue: liver. Orange: tumour."))
    return Section("cases", title, blocks)


def drawn_cases(folder: Path) -> dict[str, str]:
    """For each role the case that was drawn in it."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*-case-*-overlay.png")):
        match = re.fullmatch(rf"({'|'.join(ROLES)})-case-(.+)-overlay", path.stem)
        if match:
            found[match[1]] = match[2]
    return {role: found[role] for role in ROLES if role in found}


def embed_picture(path: Path, *, alt: str, caption: str = "") -> Picture:
    """A picture as WebP within the page, at most 640 pixels a side; `alt` ends with what the file says of itself."""
    with Image.open(path) as picture:
        told = str(picture.info.get(DESCRIPTION, ""))
        shown = picture.convert("RGB")
    shown.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    file = BytesIO()
    shown.save(file, "webp", quality=_QUALITY, method=4)
    uri = f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
    return Picture(uri, f"{alt}. {told}".strip(), caption, *shown.size)


def _pictures(folder: Path, role: str, case: str, views: Mapping[str, str]) -> list[Picture]:
    paths = {view: folder / f"{role}-case-{case}-{view}.png" for view in views}
    return [
        embed_picture(path, alt=f"{role} case {case}: {views[view]}", caption=views[view])
        for view, path in paths.items()
        if path.exists()  # earlier runs drew no errors
    ]


def _scores(cases: Sequence[Line], case: str) -> str:
    dice: Mapping[str, float | None] = {
        line["structure"]: number(line["dice"]) for line in cases if line["case"] == case
    }
    return ", ".join(f"{s} Dice {formatted(dice[s], 3)}" for s in STRUCTURES if s in dice)
