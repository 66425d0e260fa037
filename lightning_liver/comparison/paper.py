"""Tables of a study for a paper, as LaTeX or Markdown, and its figures as PDF and SVG."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from lightning_liver.comparison.study import Study, StudySection
from lightning_liver.comparison.study_text import has_letters, letters_of
from lightning_liver.files import write_whole
from lightning_liver.metrics.case.dice import DICE_PER_CASE
from lightning_liver.report.drawing import BLUE, FAINT, INK, RULE, break_name
from lightning_liver.report.numbers import counted, number_text, p_text, range_text
from lightning_liver.tables import MISSING

LATEX, MARKDOWN = "latex", "markdown"

_COLUMN_INCHES = 3.35  # 85 mm, a column of most journals
_NAME_CHARACTERS = 24
_POINTS = 7.5
_ROW_INCHES, _EDGES_INCHES = 0.24, 0.5
_NAMES = {1: (0.55, 46), 2: (0.235, 20)}  # columns of names: the part of LaTeX's line for each, the signs that it holds
_PAGE_LINES = 45  # of a table on a page
_ESCAPED = {sign: f"\\{sign}" for sign in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "[": "{[}",  # which after the end of a row would be its distance to the next one
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
}


@dataclass(frozen=True)
class _Table:
    """A table of a paper; the first `names` of its columns, which have a head each, are names of configurations."""

    caption: str
    label: str
    columns: Mapping[str, Sequence[str]]
    names: int

    @property
    def rows(self) -> list[tuple[str, ...]]:
        return list(zip(*self.columns.values(), strict=True))


def paper_tables(study: Study, form: str) -> str:
    """Return the means and, with two configurations or more, the paired differences of each structure.

    Of more pairs than a table shows the means have letters instead.

    Args:
        form: LATEX, a long table where one page does not hold it, or MARKDOWN.
    """
    tables = [table for section in study.sections if section.table for table in _tables(section, study, form)]
    head = ["% \\usepackage{array,booktabs,longtable}"] if form == LATEX else []
    return "\n\n".join([*head, *tables])


def write_paper_figures(folder: Path, study: Study, drawn: Mapping[str, Figure]) -> list[Path]:
    """Write the figures of a study as PDF and SVG, whose texts stay texts; return the files.

    Of each section there is a forest plot of a column's width. Equal studies make equal files.

    Args:
        drawn: figures by the name of their PNG. All but forest plots are written without title and caption, which they
            lose here: a paper has them in its own caption.
    """
    figures = {_column_name(section): column_figure(section) for section in study.sections if section.table}
    for name, figure in drawn.items():
        if not name.startswith("forest-"):
            for text in figure.texts:
                text.set_visible(False)
            figures[name.removesuffix(".png")] = figure
    written = []
    for name, figure in figures.items():
        box = None if name.startswith("column-") else "tight"
        for ending, metadata in (("pdf", {"CreationDate": None}), ("svg", {"Date": None})):
            file = BytesIO()
            settings: Any = {"svg.hashsalt": name, "svg.fonttype": "none", "pdf.fonttype": 42}
            with matplotlib.rc_context(settings):
                figure.savefig(file, format=ending, metadata=metadata, bbox_inches=box)
            written.append(folder / f"{name}.{ending}")
            write_whole(written[-1], file.getvalue())
    return written


def _column_name(section: StudySection) -> str:
    return "-".join(filter(None, ["column", section.structure, _file_name(section.stratum)]))


def column_figure(section: StudySection) -> Figure:
    """Draw the mean of each configuration with its interval, without a title: a paper has it in its caption."""
    names = _ordered(section)
    labels = [break_name(name, _NAME_CHARACTERS) for name in names]
    lines = sum(label.count("\n") + 1 for label in labels)
    height = _EDGES_INCHES + _ROW_INCHES * max(len(names), 0.6 * lines)
    figure = Figure(figsize=(_COLUMN_INCHES, height), layout="constrained", facecolor="white")
    axes = figure.subplots()
    for y, name in enumerate(names):
        mean, low, high = section.means[name]
        if low is not None and high is not None:
            axes.hlines(y, low, high, color=BLUE, lw=1.4)
        if mean is not None:
            axes.plot(mean, y, "s", color=BLUE, ms=4)
    axes.set_yticks(range(len(names)), labels=labels, parse_math=False, fontsize=_POINTS, color=INK)
    axes.set(ylim=(len(names) - 0.4, -0.6))
    axes.set_xlabel(f"{section.structure} {DICE_PER_CASE}", fontsize=_POINTS, color=INK)
    axes.tick_params(axis="x", labelsize=_POINTS, colors=FAINT)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=RULE, lw=0.4)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def _tables(section: StudySection, study: Study, form: str) -> list[str]:
    dice = f"{section.structure} {DICE_PER_CASE}{f' where {section.stratum}' if section.stratum else ''}"
    label = "-".join(filter(None, [section.structure, _file_name(section.stratum)]))
    option = _only_option(list(section.table))
    tables = [_means_table(section, study, dice, label, option)]
    if section.pairs and not has_letters(section, study):
        tables.append(_pairs_table(section, study, dice, label, option))
    return [_format(table, form) for table in tables]


def _means_table(section: StudySection, study: Study, dice: str, label: str, option: str | None) -> _Table:
    names = _ordered(section)
    columns: dict[str, Sequence[str]] = {
        option or "Configuration": [_cell(each, option) for each in names],
        "Patients": [str(len(section.table[each])) for each in names],
        "Seeds": [str(len(section.seeds[each])) for each in names],
        "Mean": [number_text(section.means[each].mean) for each in names],
        "95 % interval": [range_text(section.means[each].low, section.means[each].high) or MISSING for each in names],
    }
    over, columns = _said_once(columns, {"Patients": "patient", "Seeds": "seed"})
    caption = f"Mean {dice}{over}, with its 95 % interval."
    if has_letters(section, study):
        letters = letters_of(section)
        columns["Letters"] = [letters[each] for each in names]
        tests = counted(study.tests, "test")
        caption += f" Configurations that share a letter cannot be told apart, after Holm's correction over {tests}."
    return _Table(caption, f"{label}-means", columns, 1)


def _pairs_table(section: StudySection, study: Study, dice: str, label: str, option: str | None) -> _Table:
    pairs = section.pairs
    columns: dict[str, Sequence[str]] = {
        "First": [_cell(pair.first, option) for pair in pairs],
        "Second": [_cell(pair.second, option) for pair in pairs],
        "Patients": [str(pair.patients) for pair in pairs],
        "Difference": [_signed(pair.difference.mean) for pair in pairs],
        "95 % interval": [range_text(pair.difference.low, pair.difference.high, sign="+") or MISSING for pair in pairs],
        "p": [p_text(pair.p) for pair in pairs],
    }
    over, columns = _said_once(columns, {"Patients": "patient"})
    which = f" {option}" if option else ""
    alone = " With one seed the networks are compared, not the configurations."
    caption = (
        f"Paired differences of {dice}{over}, the first{which} minus the second; p after Holm's correction over "
        f"{counted(study.tests, 'test')}.{alone if any(pair.of_networks for pair in pairs) else ''}"
    )
    return _Table(caption, f"{label}-pairs", columns, 2)


def _ordered(section: StudySection) -> list[str]:
    """Return the configurations, the best mean first."""
    return sorted(section.table, key=lambda name: -(section.means[name].mean or 0))


def _signed(value: float | None) -> str:
    return MISSING if value is None else f"{value:+.3f}"


def _only_option(names: Sequence[str]) -> str | None:
    """Return the option in which all configurations differ, if it is one: then its values are names enough."""
    options = {name.partition("=")[0] if name.count("=") == 1 else None for name in names}
    return options.pop() if len(options) == 1 else None


def _cell(name: str, option: str | None) -> str:
    return name.removeprefix(f"{option}=")


def _said_once(columns: Mapping[str, Sequence[str]], nouns: Mapping[str, str]) -> tuple[str, dict[str, Sequence[str]]]:
    """Return what a caption says of the columns of counts that have one value, and the other columns."""
    once = {name: set(columns[name]).pop() for name in nouns if len(set(columns[name])) == 1}
    said = " and ".join(counted(int(count), nouns[name]) for name, count in once.items())
    kept = {name: cells for name, cells in columns.items() if name not in once}
    return f", over {said}" if said else "", kept


def _format(table: _Table, form: str) -> str:
    head = list(table.columns)
    if form == MARKDOWN:
        aligned = ["---" if n < table.names else "---:" for n in range(len(head))]
        lines = [head, aligned, *([cell.replace("|", "\\|") for cell in row] for row in table.rows)]
        return "\n".join([f"**{table.caption}**", "", *(f"| {' | '.join(line)} |" for line in lines)])
    part, characters = _NAMES[table.names]
    longest = max(len(cell) for row in table.rows for cell in row[: table.names])
    width = f">{{\\raggedright\\arraybackslash}}p{{{part}\\linewidth}}"
    columns = (width if longest > characters else "l") * table.names + "r" * (len(head) - table.names)
    height = sum(max(-(-len(cell) // characters) for cell in row[: table.names]) for row in table.rows)
    top = [r"\toprule", " & ".join(map(_escape, head)) + r" \\", r"\midrule"]
    body = [" & ".join(_latex_row(row, table.names)) + r" \\" for row in table.rows]
    caption, label = rf"\caption{{{_escape(table.caption)}}}", rf"\label{{tab:{table.label}}}"
    if height > _PAGE_LINES:
        begin = ["{", r"\footnotesize", rf"\begin{{longtable}}{{{columns}}}", rf"{caption} {label} \\"]
        return "\n".join([*begin, *top, r"\endhead", *body, r"\bottomrule", r"\end{longtable}", "}"])
    begin = [r"\begin{table}", r"\centering", r"\footnotesize", caption, label, rf"\begin{{tabular}}{{{columns}}}"]
    return "\n".join([*begin, *top, *body, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def _latex_row(row: Sequence[str], names: int) -> list[str]:
    """Return the cells; names may be broken after their signs where a space does not do."""
    breakable = [re.sub(r"(=|\\_|(?<=[a-z])\.|,)", r"\1\\penalty500{}", _escape(cell)) for cell in row[:names]]
    return [*breakable, *map(_escape, row[names:])]


def _escape(text: str) -> str:
    """Return a text as LaTeX prints it, with a minus in front of negative numbers and a thin space in 95 %."""
    escaped = "".join(_ESCAPED.get(sign, sign) for sign in text)
    return re.sub(r"(?<!\w)-(?=\d)", "$-$", re.sub(r"(?<=\d) (?=\\%)", r"\\,", escaped))


def _file_name(text: str) -> str:
    return "-".join("".join(sign if sign.isalnum() or sign == "." else " " for sign in text).split())
