"""audit.html: what must be fixed in a data set, what is worth a look, what is fine, and what its scans are like."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lightning_liver.audit.finding import Finding
from lightning_liver.audit.fingerprint import CaseFingerprint
from lightning_liver.audit.result import Audit, Check, DataSet
from lightning_liver.audit.unlike_scans import MEASURES, Measure, Outlier, outliers
from lightning_liver.errors import LiverError
from lightning_liver.files import write_whole
from lightning_liver.report.embedding import embed_pixels
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
from lightning_liver.report.html.theme import FAINT, INK, LIVER, SMALL, TUMOUR, make_axes, svg_chart
from lightning_liver.report.numbers import counted, number_text

REPORT = "audit.html"

_SIDE = 1000  # pixels of the longer side of a picture
_UNFOLDED = 8  # findings of a kind that are shown without asking
_PICTURES_OF_A_KIND = 6  # before other kinds have had theirs
_WIDE = 1.4  # width by height, from which on a picture has a line of its own
_MOST_NAMED = 6  # scans or outliers in one cell
_LOG = 20.0  # largest by smallest value, from which on an axis is logarithmic
_STRIP_INCHES = 2.7
_BINS = 36  # of a strip of dots
_CAVEAT = (
    "An audit points at places; it decides nothing. Pairs and phases are estimated, masks are judged by rules that "
    "also flag rare anatomy. For research, not for clinical use."
)
_VIEW = (
    "Radiological view: front up, the patient's right on the left. Of two scans the first is above, the second below, "
    "at the same levels."
)
_SEVERITIES = (("fix", "Must be fixed"), ("look", "Worth a look"))

Pictures = Mapping[int, Picture]  # by id of the finding


def write_audit_report(folder: Path, audit: Audit, *, most_pictures: int) -> Path:
    """Write audit.html into a folder and return it; pictures are within the page.

    Raises:
        LiverError: it cannot be written.
    """
    path = folder / REPORT
    pictures = _draw(audit, most_pictures)
    sections = [_findings_section(audit, severity, title, pictures) for severity, title in _SEVERITIES]
    sections += [_fine_section(audit), _fingerprint_section(audit), _scans_section(audit)]
    try:
        page = render(
            "audit.html",
            name=audit.data.name,
            title=_verdict(audit),
            headlines=_headlines(audit),
            caveat=_CAVEAT,
            next_steps=audit.next_steps,
            facts=audit.facts,
            sections=sections,
        )
        write_whole(path, page)
    except OSError as error:
        raise LiverError(f"{path}: cannot be written ({error.strerror or error}); check folder and space") from error
    return path


def _count(audit: Audit, severity: str) -> int:
    return sum(len(check.of(severity)) for check in audit.checks)


def _verdict(audit: Audit) -> str:
    fix, look = _count(audit, "fix"), _count(audit, "look")
    scans = counted(len(audit.data.scans), "scan")
    must = f"{counted(fix, 'thing')} must be fixed" if fix else "Nothing must be fixed"
    may = f"{look} {'is' if look == 1 else 'are'} worth a look" if look else "nothing stands out"
    return f"{must}, {may} in {scans}"


def _headlines(audit: Audit) -> list[tuple[str, str, str, str]]:
    """Return colour, title, number and sentence of each part."""
    found = []
    for (severity, title), colour in zip(_SEVERITIES, ("tumour", "liver"), strict=True):
        counts = [f"{check.noun} {len(of)}" for check in audit.checks if (of := check.of(severity))]
        listed = ", ".join(counts)
        found.append(
            (
                colour,
                title,
                str(_count(audit, severity)),
                f"{listed[:1].upper()}{listed[1:]}." if listed else "Nothing.",
            )
        )
    done = [check for check in audit.checks if check.skipped is None]
    fine = sum(not check.findings for check in done)
    found.append(("", "Fine", f"{fine} of {len(done)}", "Checks that found nothing; see below what each one saw."))
    return found


def _draw(audit: Audit, most: int) -> Pictures:
    """Draw findings with a picture: what must be fixed first, some of each kind, then the rest in turn."""
    drawable = [
        (severity != "fix", place // _PICTURES_OF_A_KIND, finding)
        for severity, _ in _SEVERITIES
        for check in audit.checks
        for place, finding in enumerate(each for each in check.of(severity) if each.draw)
    ]
    drawable.sort(key=lambda each: (each[1], each[0]))
    return {id(finding): picture for *_, finding in drawable[:most] if (picture := _picture(finding))}


def _picture(finding: Finding) -> Picture | None:
    if finding.draw is None:
        return None
    alt = f"{_who(finding)}: {finding.text}"
    made = embed_pixels(np.ascontiguousarray(finding.draw()), alt, side=_SIDE)
    return Picture(made.uri, alt, _who(finding), made.width, made.height)


def _who(finding: Finding) -> str:
    """Return the cases of a finding with its slice, which counts from 1 as in viewers."""
    names = finding.cases
    if len(names) > _MOST_NAMED:
        return f"{len(names)} scans"
    slice_text = "" if finding.z is None else f", slice {finding.z + 1}"
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{listed}{slice_text}"


def _findings_section(audit: Audit, severity: str, title: str, pictures: Pictures) -> Section:
    blocks: list[Block] = []
    for check in audit.checks:
        if found := check.of(severity):
            blocks += _check_blocks(check, found, pictures)
    if not blocks:
        return Section(severity, title, [missing("Nothing." if severity == "fix" else "Nothing stands out.")])
    undrawn = sum(bool(each.draw) and id(each) not in pictures for check in audit.checks for each in check.of(severity))
    if undrawn:
        blocks.append(
            note(f"{counted(undrawn, 'further finding')} of this part without a picture here: pictures=N draws more.")
        )
    if any(id(each) in pictures for check in audit.checks for each in check.of(severity)):
        blocks.append(note(_VIEW))
    return Section(severity, title, blocks)


def _check_blocks(check: Check, found: Sequence[Finding], pictures: Pictures) -> list[Block]:
    blocks: list[Block] = [Row([], f"{check.title}: {len(found)}")]
    blocks += [Text(check.meaning)] if check.meaning else []
    blocks += _listed(check, found, pictures, check.title)
    return blocks


def _listed(check: Check, found: Sequence[Finding], pictures: Pictures, caption: str) -> list[Block]:
    first, rest = found[:_UNFOLDED], found[_UNFOLDED:]
    blocks: list[Block] = [_table(first, caption), *_pictures(first, pictures)]
    if rest:
        name = f"{len(rest)} more"
        blocks.append(Folded(name, [_table(rest, f"{caption}, {name}"), *_pictures(rest, pictures)]))
    return blocks


def _table(found: Sequence[Finding], caption: str) -> Table:
    sliced = any(finding.z is not None for finding in found)
    columns = [Column("Scan", numeric=False), *[Column("Slice")] * sliced, Column("What was seen", numeric=False)]
    columns.append(Column("Score"))
    rows = [
        [
            Cell(_cases_text(finding), key=_cases_text(finding)),
            *[Cell("" if finding.z is None else str(finding.z + 1), key=finding.z)] * sliced,
            Cell(finding.text),
            Cell(f"{finding.score:.3g}", key=finding.score),
        ]
        for finding in found
    ]
    return Table(caption, columns, rows, sortable=len(rows) > 1)


def _cases_text(finding: Finding) -> str:
    names = finding.cases
    return ", ".join(names) if len(names) <= _MOST_NAMED else f"{len(names)} scans"


def _pictures(found: Sequence[Finding], pictures: Pictures) -> list[Block]:
    drawn = [pictures[id(finding)] for finding in found if id(finding) in pictures]
    wide = [each for each in drawn if each.width > _WIDE * each.height]
    narrow = [each for each in drawn if each not in wide]
    return [*wide, *([Row(narrow, role="pictures")] if narrow else [])]


def _fine_section(audit: Audit) -> Section:
    fine = [check for check in audit.checks if not check.findings and check.skipped is None]
    skipped = [check for check in audit.checks if check.skipped is not None]
    blocks: list[Block] = [Text(text) for text in audit.notes]
    columns = [Column("Check", numeric=False), Column("Seen", numeric=False)]
    if fine:
        rows = [[Cell(check.title), Cell(check.seen)] for check in fine]
        blocks.append(Table("Checks that found nothing, and on what they were done", columns, rows))
    if skipped:
        rows = [[Cell(check.title), Cell(check.skipped or "")] for check in skipped]
        columns = [Column("Check", numeric=False), Column("Not done, since", numeric=False)]
        blocks.append(Table("Checks that were not done", columns, rows))
    return Section("fine", "Fine", blocks or [missing("Every check found something.")])


def _fingerprint_section(audit: Audit) -> Section:
    sets = [audit.data, *([audit.other] if audit.other else [])]
    found = {measure.name: outliers(audit.data.scans, measure) for measure in MEASURES}
    shown = [measure for measure in MEASURES if any(_values(each, measure) for each in sets)]
    blocks: list[Block] = [_summary(sets, shown, found)]
    blocks.append(
        note(
            "Median, and lowest to highest. Named is what lies 3.5 robust standard deviations from the median and far "
            "enough to matter. Noise: deviation within the liver after a high pass, on the grid of the prepared scans. "
            "Aorta: the brightest even round structure at the left front of the spine; the phase follows from it and "
            "the liver, and is empty where it cannot be told."
        )
    )
    charts = [_strip(sets, measure, found[measure.name]) for measure in shown if _varies(sets, measure)]
    if charts:
        blocks += [Row(charts, "Distributions"), note(_legend(sets))]
    return Section("fingerprint", "What the scans are like", blocks)


def _legend(sets: Sequence[DataSet]) -> str:
    if len(sets) == 1:
        return "A dot is a scan; unusual ones are named."
    return f"A dot is a scan: blue {sets[0].name}, orange {sets[1].name}. Unusual ones of {sets[0].name} are named."


def _values(of: DataSet, measure: Measure) -> list[float]:
    return [float(value) for scan in of.scans if (value := getattr(scan, measure.name)) is not None]


def _varies(sets: Sequence[DataSet], measure: Measure) -> bool:
    values = [value for each in sets for value in _values(each, measure)]
    return len(values) > 2 and max(values) > min(values)


def _summary(sets: Sequence[DataSet], shown: Sequence[Measure], found: Mapping[str, Sequence[Outlier]]) -> Table:
    columns = [
        Column("Measure", numeric=False),
        *(Column(each.name) for each in sets),
        Column("Unusual", numeric=False),
    ]
    rows = [
        [
            Cell(measure.title, measure.unit),
            *(_spread(_values(each, measure), measure.decimals) for each in sets),
            Cell(_named(found[measure.name])),
        ]
        for measure in shown
    ]
    rows.append([Cell("Contrast phase", "estimated"), *(Cell(_phases(each.scans)) for each in sets), Cell("")])
    return Table("Scans in numbers", columns, rows)


def _spread(values: Sequence[float], decimals: int) -> Cell:
    if not values:
        return Cell("-")
    low, middle, high = min(values), float(np.median(values)), max(values)
    span = "" if low == high else f"{low:.{decimals}f} to {high:.{decimals}f}"
    return Cell(f"{middle:.{decimals}f}", span)


def _named(found: Sequence[Outlier]) -> str:
    listed = [f"{each.case} ({each.value:.{each.measure.decimals}f})" for each in found[:_MOST_NAMED]]
    more = len(found) - _MOST_NAMED
    return ", ".join(listed) + (f" and {more} more" if more > 0 else "")


def _phases(scans: Sequence[CaseFingerprint]) -> str:
    counts = Counter(scan.phase or "not told" for scan in scans)
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


def _strip(sets: Sequence[DataSet], measure: Measure, found: Sequence[Outlier]) -> Chart:
    """Return a strip of dots for each data set, stacked where they coincide."""
    figure, axes = make_axes(0.55 + 0.5 * len(sets), width=_STRIP_INCHES)
    values = [_values(each, measure) for each in sets]
    every = np.concatenate([np.array(each) for each in values])
    logarithmic = bool(every.min() > 0 and every.max() / every.min() > _LOG)
    edges = (
        np.geomspace(every.min(), every.max(), _BINS) if logarithmic else np.linspace(every.min(), every.max(), _BINS)
    )
    for level, (mine, colour) in enumerate(zip(values, (LIVER, TUMOUR), strict=False)):
        x, y = _stacked(mine, edges)
        axes.scatter(x, y - level, s=13, color=colour, alpha=0.75, lw=0, clip_on=False)
    for place, outlier in enumerate(found[:_MOST_NAMED]):
        axes.annotate(
            outlier.case,
            (outlier.value, 0),
            xytext=(0, 9 + 8 * (place % 2)),
            textcoords="offset points",
            ha="center",
            fontsize=SMALL,
            color=INK,
        )
    if logarithmic:
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.set(
        yticks=[],
        ylim=(-len(sets) + 0.65, 0.95),
        xlabel=f"{measure.title}, {measure.unit}" if measure.unit else measure.title,
    )
    axes.spines["left"].set_visible(False)
    axes.xaxis.label.set(color=FAINT, size=SMALL)
    alt = "; ".join(_sentence(each, measure) for each in sets)
    return svg_chart(
        figure, f"strip-{measure.name.replace('_', '-')}", alt=f"{measure.title}. {alt}", caption=measure.title
    )


def _stacked(values: Sequence[float], edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return places of dots: those of one bin are stacked, from 0 to at most 0.7."""
    x = np.sort(np.array(values))
    bins = np.searchsorted(edges, x)
    first = np.searchsorted(bins, bins)
    height = np.arange(len(x)) - first
    step = min(0.12, 0.7 / max(int(height.max(initial=0)), 1))
    return x, height * step


def _sentence(of: DataSet, measure: Measure) -> str:
    values = _values(of, measure)
    if not values:
        return f"{of.name}: not known"
    low, middle, high = (
        f"{each:.{measure.decimals}f}" for each in (min(values), float(np.median(values)), max(values))
    )
    return f"{of.name}: median {middle} {measure.unit}, {low} to {high}"


def _scans_section(audit: Audit) -> Section:
    blocks: list[Block] = []
    for each in [audit.data, *([audit.other] if audit.other else [])]:
        blocks.append(Folded(f"{each.name}: {counted(len(each.scans), 'scan')}", [_scans(each)]))
    return Section("scans", "Every scan", [*blocks, note("Also in fingerprint.csv.")])


def _scans(of: DataSet) -> Table:
    columns = [Column("Scan", numeric=False), *(Column(each.title, each.unit) for each in MEASURES)]
    columns.append(Column("Phase", numeric=False))
    rows = [
        [
            Cell(scan.case, key=scan.case),
            *(_number(getattr(scan, each.name), each.decimals) for each in MEASURES),
            Cell(scan.phase or "-", key=scan.phase or ""),
        ]
        for scan in of.scans
    ]
    return Table(f"Scans of {of.name}", columns, rows, sortable=True)


def _number(value: float | None, decimals: int) -> Cell:
    return Cell(number_text(value, decimals), key=value)
