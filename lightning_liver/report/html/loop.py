"""report.html of a loop of active learning: learning curve, what was asked for and why, and the effort, as one page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from lightning_liver.errors import LiverError
from lightning_liver.files import write_whole
from lightning_liver.metrics.correction_effort import CorrectionEffort
from lightning_liver.report.embedding import embed
from lightning_liver.report.html.blocks import (
    Block,
    Cell,
    Chart,
    Column,
    Folded,
    Picture,
    Row,
    Section,
    Table,
    Text,
    missing,
    note,
)
from lightning_liver.report.html.rendering import render
from lightning_liver.report.html.theme import COLOURS, INK, RULE, SMALL, make_axes, svg_chart
from lightning_liver.report.numbers import counted, number_text, significant_text
from lightning_liver.run_folder import NAMES
from lightning_liver.types import STRUCTURES

_SIDE = 900  # pixels of the longer side of a picture
_MOST_PICTURES = 60  # of the page, evenly over the rounds: about 4 MB
_CAVEAT = (
    "One loop: which cases were asked for, and each training, have chance in them, so a difference between two rounds "
    "may be chance, too. For research, not for clinical use."
)


@dataclass(frozen=True)
class AskedCase:
    """A case, or one slice of it, that was asked for.

    Args:
        z: the slice, from 0; None is the whole case.
        score: by which it was chosen; None where the strategy has none.
        slices_shown: slices to look at.
        effort: of the correction, or of drawing all where there was no proposal; None before the correction.
        dice: of the proposal by structure; None where there was no proposal, or the structure is in neither.
        minutes: between proposal and correction; None where unknown.
        picture: a file; None where there is none.
    """

    case: str
    z: int | None
    score: float | None
    slices_shown: int | None
    effort: CorrectionEffort | None
    dice: Mapping[str, float | None]
    minutes: float | None = None
    picture: Path | None = None


@dataclass(frozen=True)
class LoopRound:
    """A round: what was asked for before its training, and what is known after it.

    Args:
        reason: sentence on how its cases were chosen.
        score_name: name and unit of their scores.
        asked: the most wanted first.
        cases, slices, effort: labelled, looked at and spent until then.
        dice: mean Dice of the test cases by structure, None where undefined; None before the training.
    """

    number: int
    reason: str
    score_name: tuple[str, str]
    asked: Sequence[AskedCase]
    cases: int
    slices: int
    effort: CorrectionEffort
    dice: Mapping[str, float | None] | None

    @property
    def drawn_from_nothing(self) -> bool:
        """Return True if the round had no proposals, which only the first can lack."""
        return self.number == 1 and all(value is None for asked in self.asked for value in asked.dice.values())

    @property
    def unit(self) -> str:
        return "case" if all(asked.z is None for asked in self.asked) else "slice"


def write_loop_page(
    folder: Path, rounds: Sequence[LoopRound], *, title: str, strategy: str, next_step: str | None = None
) -> Path:
    """Write report.html into the folder of a loop.

    Args:
        title: name of the loop.
        strategy: its name.
        next_step: what the reader can do now.

    Raises:
        LiverError: it cannot be written, or a picture is damaged.
    """
    path = folder / NAMES.report
    try:
        page = render(
            "loop.html",
            name=title,
            title=_verdict(rounds),
            headlines=_headlines(rounds),
            caveat=_CAVEAT,
            next_step=next_step,
            facts=_facts(rounds, strategy),
            sections=[_curve_section(rounds), _rounds_section(rounds), _asked_section(rounds), _effort_section(rounds)],
        )
        write_whole(path, page)
    except OSError as error:
        raise LiverError(f"{path}: cannot be written ({error.strerror or error}); check folder and space") from error
    return path


def _trained(rounds: Sequence[LoopRound]) -> list[LoopRound]:
    return [each for each in rounds if each.dice is not None]


def _known(rounds: Sequence[LoopRound], structure: str) -> list[tuple[LoopRound, float]]:
    """Return the rounds with a test Dice of a structure."""
    return [(each, value) for each in rounds if each.dice and (value := each.dice.get(structure)) is not None]


def _size(of: LoopRound) -> str:
    return f"{counted(of.cases, 'case')} and {counted(of.slices, 'slice')}"


def _verdict(rounds: Sequence[LoopRound]) -> str:
    """Return what the loop gave, as one sentence."""
    if not rounds:
        return "Nothing was asked for yet"
    trained = _trained(rounds)
    if not trained:
        return f"No round was trained yet; {_size(rounds[-1])} are labelled"
    last = trained[-1]
    dices = [f"{structure} {value:.3f}" for structure in STRUCTURES for _, value in _known([last], structure)]
    gave = f"test Dice {', '.join(dices)}" if dices else "no test Dice"
    return f"{counted(len(trained), 'round')} with {_size(last)}: {gave}"


def _headlines(rounds: Sequence[LoopRound]) -> list[tuple[str, str, str]]:
    """Return structure, Dice of the last round, and a sentence on the first one."""
    found = []
    for structure in STRUCTURES:
        if known := _known(rounds, structure):
            (first, before), (last, now) = known[0], known[-1]
            after = f"After round {last.number}, with {_size(last)}"
            then = f"; it was {before:.3f} after round {first.number}, with {_size(first)}." if len(known) > 1 else "."
            found.append((structure, f"{now:.3f}", after + then))
    return found


def _facts(rounds: Sequence[LoopRound], strategy: str) -> dict[str, str]:
    known = {"Strategy": strategy, "Rounds trained": str(len(_trained(rounds)))}
    if rounds:
        last = rounds[-1]
        known |= {"Labelled": _size(last), "Contour drawn": _length(last.effort.contour_mm)}
        waiting = sum(asked.effort is None for each in rounds for asked in each.asked)
        known |= {"Waiting for a correction": str(waiting)} if waiting else {}
    return known


def _length(mm: float) -> str:
    """Return a length in m, or in cm if it is shorter than 1 m."""
    return f"{mm / 1000:.1f} m" if mm >= 1000 else f"{mm / 10:.1f} cm"


def _curve_section(rounds: Sequence[LoopRound]) -> Section:
    name, title = "curve", "Learning curve"
    if not _trained(rounds):
        return Section(name, title, [missing("No round was trained yet.")])
    absent = [structure for structure in STRUCTURES if not _known(rounds, structure)]
    if len(absent) == len(STRUCTURES):
        return Section(name, title, [missing("No round has a test Dice: the loop has no test cases with labels.")])
    efforts: dict[str, list[float]] = {
        "labelled slices": [each.slices for each in rounds],
        "contour drawn, m": [each.effort.contour_mm / 1000 for each in rounds],
    }
    charts = [_curve(rounds, name, places) for name, places in efforts.items()]
    blocks: list[Block] = [Row(charts), note("A point is a round: the mean Dice of the test cases after its training.")]
    blocks += [missing(f"No test Dice of the {structure}: no test case has one.") for structure in absent]
    return Section(name, title, blocks)


def _curve(rounds: Sequence[LoopRound], label: str, places: Sequence[float]) -> Chart:
    figure, axes = make_axes(2.6)
    ends = []
    for structure in STRUCTURES:
        if known := _known(rounds, structure):
            x = [place for each, place in zip(rounds, places, strict=True) if _known([each], structure)]
            y = [value for _, value in known]
            axes.plot(x, y, "o-", color=COLOURS[structure], lw=1.4, ms=4, label=structure, clip_on=False)
            ends.append(f"{structure} from {y[0]:.3f} to {y[-1]:.3f}")
    axes.set(xlabel=label, ylabel="mean test Dice", ylim=(0, 1))
    axes.set_xlim(left=0)
    axes.grid(color=RULE, lw=0.4)
    axes.legend(frameon=False, fontsize=SMALL, labelcolor=INK, loc="best")
    alt = f"Test Dice against {label}: {', '.join(ends)}"
    what = label.partition(",")[0]
    return svg_chart(figure, f"dice-{what.replace(' ', '-')}", alt=alt, caption=f"Dice against {what}")


def _rounds_section(rounds: Sequence[LoopRound]) -> Section:
    if not rounds:
        return Section("rounds", "Rounds", [missing("Nothing was asked for yet.")])
    columns = [Column("Round"), Column("Cases"), Column("Slices"), Column("Slices changed")]
    columns += [
        Column("Voxels changed"),
        Column("Contour", "m"),
        *(Column(f"Dice {structure}") for structure in STRUCTURES),
    ]
    rows = [
        [
            *(_count(n) for n in (each.number, each.cases, each.slices, each.effort.slices, each.effort.voxels)),
            _number(each.effort.contour_mm / 1000, 1),
            *(_test_dice(each, structure) for structure in STRUCTURES),
        ]
        for each in rounds
    ]
    table = Table("Each round: what its training had, the effort until then, and the test Dice after it", columns, rows)
    more = "Effort: slices and voxels that the correction changed, and the contour to draw that the proposal lacked."
    return Section("rounds", "Rounds", [table, note(more)])


def _asked_section(rounds: Sequence[LoopRound]) -> Section:
    """Make the section, the last round first and unfolded."""
    most = max(1, _MOST_PICTURES // max(len(rounds), 1))
    blocks: list[Block] = []
    for place, each in enumerate(reversed(rounds)):
        name = f"Round {each.number}: {counted(len(each.asked), each.unit)}"
        inside = _asked_blocks(each, most)
        blocks += [Row([], name), *inside] if place == 0 else [Folded(name, inside)]
    drawn = any(asked.picture for each in rounds for asked in each.asked)
    if drawn:
        blocks.append(note("Radiological view: front up, the patient's right on the left."))
    return Section("asked", "What was asked for, and why", blocks or [missing("Nothing was asked for yet.")])


def _asked_blocks(of: LoopRound, most: int) -> list[Block]:
    drawn = [asked for asked in of.asked if asked.picture and asked.picture.is_file()]
    blocks: list[Block] = [Text(of.reason), _asked_table(of)]
    blocks += [_picture(of, asked) for asked in drawn[:most]]
    if not drawn:
        blocks.append(missing("There are no pictures of this round."))
    elif len(drawn) > most:
        blocks.append(note(f"The first {most} of {len(drawn)} pictures; the others are in the loop's folder."))
    return blocks


def _asked_table(of: LoopRound) -> Table:
    by_slice, timed = of.unit == "slice", any(asked.minutes is not None for asked in of.asked)
    scored = any(asked.score is not None for asked in of.asked)
    columns = [Column("Case", numeric=False), *[Column("Slice")] * by_slice, *[Column(*of.score_name)] * scored]
    columns += [Column(f"Dice {structure}", "of the proposal") for structure in STRUCTURES]
    columns += [*[Column("Slices changed")] * (not by_slice), Column("Voxels changed"), _contour_column(of.unit)]
    columns += [Column("Time", "min")] * timed
    rows = [
        [
            Cell(asked.case, key=asked.case),
            *[Cell("all" if asked.z is None else str(asked.z + 1), key=asked.z)] * by_slice,
            *[Cell(significant_text(asked.score), key=asked.score)] * scored,
            *(_number(asked.dice.get(structure), 3) for structure in STRUCTURES),
            *_effort_cells(asked, of.unit),
            *[_number(asked.minutes, 0)] * timed,
        ]
        for asked in of.asked
    ]
    caption = f"Round {of.number}, the most wanted first" if scored else f"Round {of.number}"
    return Table(caption, columns, rows, sortable=len(rows) > 1)


def _effort_cells(asked: AskedCase, unit: str) -> list[Cell]:
    """Return the slices changed unless the unit is a slice, the voxels and the contour."""
    if asked.effort is None:
        return [Cell("waiting"), *[Cell("-")] * (1 + (unit == "case"))]
    slices, voxels, contour_mm = asked.effort
    changed = [Cell(f"{slices} of {asked.slices_shown}", key=slices)] if unit == "case" else []
    return [*changed, _count(voxels), _contour(contour_mm, unit)]


def _contour_column(unit: str) -> Column:
    return Column("Contour", "m" if unit == "case" else "cm")


def _contour(mm: float, unit: str) -> Cell:
    """Return a cell of _contour_column."""
    return _number(mm / 1000, 2) if unit == "case" else _number(mm / 10, 1)


def _picture(of: LoopRound, asked: AskedCase) -> Picture:
    assert asked.picture
    try:
        made = embed(asked.picture, side=_SIDE)
    except OSError as error:
        raise LiverError(f"{asked.picture}: not a picture, it may be damaged; delete it") from error
    score, unit = of.score_name
    parts = [f"Case {asked.case}", "" if asked.z is None else f"slice {asked.z + 1}"]
    parts += ["" if asked.score is None else f"{score.lower()} {significant_text(asked.score)} {unit}".rstrip()]
    caption = ", ".join(filter(None, parts))
    alt = f"Round {of.number}, {made.description or caption}: contours beside the map of uncertainty"
    return Picture(made.uri, alt, caption, made.width, made.height)


def _effort_section(rounds: Sequence[LoopRound]) -> Section:
    name, title = "effort", "Effort by round"
    found = [(each, [asked for asked in each.asked if asked.effort is not None]) for each in rounds]
    found = [(each, answered) for each, answered in found if answered]
    if not found:
        return Section(name, title, [missing("Nothing was corrected yet.")])
    unit = found[0][0].unit
    timed = any(asked.minutes is not None for _, answered in found for asked in answered)
    columns = [
        Column("Round", numeric=False),
        Column(f"{unit.capitalize()}s"),
        *[Column("Slices changed")] * (unit == "case"),
    ]
    columns += [Column("Voxels changed"), _contour_column(unit)]
    columns += [Column(f"Dice {structure}", "of the proposal") for structure in STRUCTURES]
    columns += [Column("Median time", "min")] * timed
    rows = [
        [*_effort_row(each, answered, unit), *[_number(_median_minutes(answered), 0)] * timed]
        for each, answered in found
    ]
    blocks: list[Block] = [Text(_effort_sentence(found, unit)), Table(f"Means per {unit} of each round", columns, rows)]
    blocks.append(
        note(
            "Other cases are corrected in each round, some of them harder. What drawing them from nothing would have "
            "cost is not known, so no saving is stated."
        )
    )
    return Section(name, title, blocks)


def _effort_row(of: LoopRound, answered: Sequence[AskedCase], unit: str) -> list[Cell]:
    efforts = [asked.effort for asked in answered if asked.effort]
    slices = [_number(fmean(effort.slices for effort in efforts), 1)] if unit == "case" else []
    return [
        Cell(str(of.number), "drawn from nothing" if of.drawn_from_nothing else "", of.number),
        Cell(str(len(answered)), key=len(answered)),
        *slices,
        _count(round(fmean(effort.voxels for effort in efforts))),
        _contour(fmean(effort.contour_mm for effort in efforts), unit),
        *(_number(_mean_dice(answered, structure), 3) for structure in STRUCTURES),
    ]


def _effort_sentence(found: Sequence[tuple[LoopRound, Sequence[AskedCase]]], unit: str) -> str:
    """Return the contour per case or slice of the first and the last correction."""
    corrected = [(each, answered) for each, answered in found if not each.drawn_from_nothing]
    if not corrected:
        return f"Nothing was proposed yet: the {unit}s of the first round were drawn from nothing."
    ends = [corrected[0], corrected[-1]] if len(corrected) > 1 else corrected
    texts = []
    for each, answered in ends:
        mean_mm = fmean(asked.effort.contour_mm for asked in answered if asked.effort)
        texts.append(f"{_length(mean_mm)} of contour per {unit} in round {each.number}")
    return f"Correcting the proposals took {' and '.join(texts)}."


def _mean_dice(answered: Sequence[AskedCase], structure: str) -> float | None:
    known = [value for asked in answered if (value := asked.dice.get(structure)) is not None]
    return fmean(known) if known else None


def _median_minutes(answered: Sequence[AskedCase]) -> float | None:
    known = [asked.minutes for asked in answered if asked.minutes is not None]
    return median(known) if known else None


def _test_dice(of: LoopRound, structure: str) -> Cell:
    return Cell("not trained yet") if of.dice is None else _number(of.dice.get(structure), 3)


def _count(value: int) -> Cell:
    return Cell(f"{value:,}".replace(",", "\u202f"), key=value)


def _number(value: float | None, decimals: int) -> Cell:
    return Cell(number_text(value, decimals), key=value)
