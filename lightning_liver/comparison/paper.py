"""Tables of a study for a paper, as LaTeX or Markdown, and its forest plot at the width of a journal's column."""

import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from lightning_liver.comparison.study import Study, StudySection
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
_ESCAPED = {sign: f"\\{sign}" for sign in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
}


def paper_tables(study: Study, form: str) -> str:
    """Return the means and, with two configurations or more, the paired differences of each structure.

    Args:
        form: LATEX, with the rules of the package booktabs, or MARKDOWN.
    """
    tables = [table for section in study.sections if section.table for table in _tables(section, study, form)]
    head = ["% \\usepackage{booktabs}"] if form == LATEX else []
    return "\n\n".join([*head, *tables])


def write_paper_figures(folder: Path, study: Study) -> list[Path]:
    """Write a forest plot of each section as PDF and SVG, whose texts stay texts; return the files.

    Equal studies make equal files.
    """
    written = []
    for section in study.sections:
        if not section.table:
            continue
        name = "-".join(filter(None, ["column", section.structure, _file_name(section.stratum)]))
        for ending, metadata in (("pdf", {"CreationDate": None}), ("svg", {"Date": None})):
            file = BytesIO()
            settings: Any = {"svg.hashsalt": name, "svg.fonttype": "none", "pdf.fonttype": 42}
            with matplotlib.rc_context(settings):
                column_figure(section).savefig(file, format=ending, metadata=metadata)
            written.append(folder / f"{name}.{ending}")
            write_whole(written[-1], file.getvalue())
    return written


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
    where = f", {section.stratum}" if section.stratum else ""
    dice = f"{section.structure} {DICE_PER_CASE}{where}"
    patients = max(len(own) for own in section.table.values())
    means = _format(
        f"Mean {dice} over {counted(patients, 'patient')}, with its 95 % interval.",
        f"{section.structure}-means",
        ("Configuration", "Patients", "Seeds", "Mean", "95 % interval"),
        [
            (
                name,
                str(len(section.table[name])),
                str(len(section.seeds[name])),
                number_text(section.means[name].mean),
                range_text(section.means[name].low, section.means[name].high) or MISSING,
            )
            for name in _ordered(section)
        ],
        form,
    )
    if not section.pairs:
        return [means]
    of_networks = any(pair.of_networks for pair in section.pairs)
    alone = " With one seed the networks are compared, not the configurations." if of_networks else ""
    pairs = _format(
        f"Paired differences of {dice}; p after Holm's correction over {counted(study.tests, 'test')}.{alone}",
        f"{section.structure}-pairs",
        ("First", "Second", "Patients", "Difference", "95 % interval", "p"),
        [
            (
                pair.first,
                pair.second,
                str(pair.patients),
                _signed(pair.difference.mean),
                range_text(pair.difference.low, pair.difference.high, sign="+") or MISSING,
                p_text(pair.p),
            )
            for pair in section.pairs
        ],
        form,
    )
    return [means, pairs]


def _ordered(section: StudySection) -> list[str]:
    """Return the configurations, the best mean first."""
    return sorted(section.table, key=lambda name: -(section.means[name].mean or 0))


def _signed(value: float | None) -> str:
    return MISSING if value is None else f"{value:+.3f}"


def _format(caption: str, label: str, head: Sequence[str], rows: Sequence[Sequence[str]], form: str) -> str:
    if form == MARKDOWN:
        aligned = ["---" if n == 0 or head[n] == "Second" else "---:" for n in range(len(head))]
        lines = [head, aligned, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
        return "\n".join([f"**{caption}**", "", *(f"| {' | '.join(line)} |" for line in lines)])
    columns = "".join("l" if n == 0 or name == "Second" else "r" for n, name in enumerate(head))
    body = [" & ".join(map(_escape, row)) + r" \\" for row in rows]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_escape(caption)}}}",
            rf"\label{{tab:{label}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            " & ".join(map(_escape, head)) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _escape(text: str) -> str:
    """Return a text as LaTeX prints it, with a minus in front of negative numbers."""
    return re.sub(r"(?<!\w)-(?=\d)", "$-$", "".join(_ESCAPED.get(sign, sign) for sign in text))


def _file_name(text: str) -> str:
    return "-".join("".join(sign if sign.isalnum() or sign == "." else " " for sign in text).split())
