"""Cases section: pictures of the best, median and worst case, embedded in the page."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lightning_liver.report.embedding import embed
from lightning_liver.report.html.blocks import Block, Folded, Picture, Row, Section, Text, missing, note
from lightning_liver.report.numbers import number_text
from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.contents import Contents, Line, number
from lightning_liver.types import STRUCTURES

ROLES = ("best", "median", "worst")
_VIEWS = {
    "overlay": "CT with contours of truth (solid) and prediction (dashed)",
    "error": "errors of liver (blue) and tumour (yellow, red)",
}
_CT = {"ct": "CT alone"}
_SIDE = 640  # pixels of the longer side


def cases_section(contents: Contents) -> Section:
    """Make the section: a row of pictures for each case that the run drew."""
    title = "Best, median and worst case"
    drawn = drawn_cases(RunFolder(contents.folder).pictures)
    if not drawn:
        return Section("cases", title, [missing("This run has no pictures of test cases.")])
    folder = RunFolder(contents.folder).pictures
    intro = (
        "By the mean Dice of liver and tumour. Best and median show the slice with most tumour, else with most liver; "
        "the worst shows the slice in which most pixels are wrong."
    )
    blocks: list[Block] = [Text(intro)]
    for role, case in drawn.items():
        heading = f"{role.capitalize()}, case {case}: {_scores(contents.cases, case)}".removesuffix(": ")
        blocks.append(Row(_pictures(folder, role, case, _VIEWS), heading, role="pictures"))
    plain = [picture for role, case in drawn.items() for picture in _pictures(folder, role, case, _CT)]
    blocks.append(Folded("The same slices without contours", [Row(plain, role="pictures")]))
    blocks.append(note("Radiological view: front up, the patient's right on the left. Blue: liver. Orange: tumour."))
    return Section("cases", title, blocks)


def drawn_cases(folder: Path) -> dict[str, str]:
    """Return the drawn case of each role."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*-case-*-overlay.png")):
        match = re.fullmatch(rf"({'|'.join(ROLES)})-case-(.+)-overlay", path.stem)
        if match:
            found[match[1]] = match[2]
    return {role: found[role] for role in ROLES if role in found}


def embed_picture(path: Path, *, alt: str, caption: str = "") -> Picture:
    """Embed a picture; `alt` ends with the file's own description."""
    made = embed(path, side=_SIDE)
    return Picture(made.uri, f"{alt}. {made.description}".strip(), caption, made.width, made.height)


def _pictures(folder: Path, role: str, case: str, views: Mapping[str, str]) -> list[Picture]:
    paths = {view: folder / f"{role}-case-{case}-{view}.png" for view in views}
    return [
        embed_picture(path, alt=f"{role} case {case}: {views[view]}", caption=views[view])
        for view, path in paths.items()
        if path.exists()  # earlier versions drew no errors
    ]


def _scores(cases: Sequence[Line], case: str) -> str:
    dice: Mapping[str, float | None] = {
        line["structure"]: number(line["dice"]) for line in cases if line["case"] == case
    }
    return ", ".join(f"{s} Dice {number_text(dice[s])}" for s in STRUCTURES if s in dice)
