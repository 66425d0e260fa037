"""Configurations compared, as text: means, pairs, ranking, and in plain words what the data can and cannot tell."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lightning_liver.errors import LiverError
from lightning_liver.files import write_whole
from lightning_liver.report.figures import draw, image_lines, write_figures
from lightning_liver.report.heatmap import sweep, sweep_text
from lightning_liver.report.loss_metric import loss_metric_text, matrix
from lightning_liver.report.measured import measured_values, own_losses
from lightning_liver.report.references import reference_text
from lightning_liver.report.runs import COMPLETE, Run, Score, read_runs, scores, status_rows
from lightning_liver.report.statistics import (
    ALPHA,
    Comparison,
    Scores,
    compare,
    mean_interval,
    patient_scores,
    patients_needed,
    rank_shares,
    seed_spread,
    smallest_p,
)
from lightning_liver.report.tables import Row, text_table, write_cases_csv

BEGIN, END = "<!-- liver-compare -->", "<!-- /liver-compare -->"
STRUCTURES = {"tumour": ("tumour",), "liver": ("liver",), "both": ("tumour", "liver")}

_MOST_NAMED = 10  # pairs that cannot be told apart, named one by one in the verdict


def status(folders: Sequence[str]) -> str:
    """A table of all runs in some folders, what became of each, and the count of each outcome.

    Raises:
        LiverError: no such folder, no run, damaged files.
    """
    rows = status_rows(read_runs(map(Path, folders)))
    states = [str(row["status"]) for row in rows]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
    return f"{text_table(rows)}\n\n{len(rows)} runs: {counts}"


def comparison(
    folders: Sequence[str],
    metric: str,
    baseline: str | None,
    readme: str | None,
    command: str,
    figures: str | None = None,
) -> str:
    """The text of a comparison; with `readme` it is also written there with figures, and a row for each run to
    results.csv.

    Args:
        metric: "tumour", "liver" or "both"; Holm's correction is over all pairs of what is shown.
        baseline: compare with this configuration alone, by its name or the values in it.
        figures: a folder for the figures; `readme` has them beside it too.
        command: what was typed, to stand beside the numbers.

    Raises:
        LiverError: no such folder, no complete run, unknown baseline, no common patients, no place in the README.
    """
    target = _marked(Path(readme)) if readme else None
    runs = read_runs(map(Path, folders))
    rows = scores(runs)
    if not rows:
        raise LiverError(f"{' '.join(folders)}: no complete run with test cases. See liver-compare --status for why.")
    structures = STRUCTURES[metric]
    tables = [_table(rows, structure) for structure in structures]
    against = _named(baseline, tables[0]) if baseline else None
    pairs = compare(tables, against)
    if len(tables[0]) > 1 and not any(pairs):
        raise LiverError(
            "The configurations have no patient in common, so they cannot be compared. Run them with the same "
            f"data.fold or data.split.\n{text_table(status_rows(runs))}"
        )
    tests = sum(map(len, pairs))
    all_pairs = compare(tables) if against and sweep(tables[0]) else pairs  # a grid's best is not the baseline
    parts = [
        _section(rows, structure, table, found, tests, against, every, sum(map(len, all_pairs)))
        for structure, table, found, every in zip(structures, tables, pairs, all_pairs, strict=True)
    ]
    values, unmeasured = measured_values(runs, rows)
    measured, own = matrix(values), own_losses(runs)
    parts.append(loss_metric_text(measured, own, unmeasured))
    text = "\n\n".join(filter(None, [*parts, *_remarks(runs, rows, tests, metric)]))
    wanted = {Path(figures).resolve()} if figures else set()
    wanted |= {target.parent.resolve()} if target else set()
    by_structure = dict(zip(structures, tables, strict=True)), dict(zip(structures, all_pairs, strict=True))
    pictures = draw(rows, *by_structure, measured, own, against) if wanted else {}
    for folder in wanted:
        write_figures(folder, pictures, measured)
    if target:
        _write(target, text, command, image_lines(list(pictures)))
        write_cases_csv(target.with_name("results.csv"), run_rows(rows))
    return text


def run_rows(rows: Sequence[Score]) -> list[Row]:
    """A row for each run: its configuration, how many it was tested on, mean Dice over patients of each structure."""
    lines: list[Row] = []
    for name in dict.fromkeys(row.run for row in rows):
        mine = [row for row in rows if row.run == name]
        first = mine[0]
        means: Row = {f"{structure}_dice": _run_mean(mine, structure) for structure in STRUCTURES["both"]}
        counts: Row = {"patients": len({row.patient for row in mine}), "scans": len({row.case for row in mine})}
        head: Row = {"run": name, "configuration": first.configuration, "seed": first.seed, "fold": first.fold}
        lines.append({**head, **counts, **means})
    return lines


def _run_mean(rows: Sequence[Score], structure: str) -> float | None:
    patients = [value for table in patient_scores(rows, structure).values() for value in table.values()]
    return float(np.mean(patients)) if patients else None


def _table(rows: Sequence[Score], structure: str) -> Scores:
    table = patient_scores(rows, structure)
    if not table:
        raise LiverError(f"No complete run has a Dice for the structure {structure}. Choose another one with --metric.")
    return table


def _named(baseline: str, table: Scores) -> str:
    """The configuration that is meant: by its name, or by its values alone where that is no riddle."""
    values = {name: " ".join(part.rpartition("=")[2] for part in name.split()) for name in table}
    meant = [name for name in table if baseline == name] or [name for name in table if baseline == values[name]]
    if len(meant) != 1:
        names = "\n".join(f"  {name}" for name in table)
        raise LiverError(f'--baseline "{baseline}": no configuration of that name. Choose one of\n{names}')
    return meant[0]


def _section(
    rows: Sequence[Score],
    structure: str,
    table: Scores,
    pairs: Sequence[Comparison],
    tests: int,
    baseline: str | None,
    all_pairs: Sequence[Comparison],
    all_tests: int,
) -> str:
    title = f"{structure.capitalize()} Dice per case, mean over patients (scans and seeds of a patient averaged first)"
    parts = [f"{title}\n\n{text_table(_mean_rows(rows, structure, table))}", reference_text(structure, table)]
    if grid := sweep(table):
        parts.append(sweep_text(grid, table, structure, all_pairs, all_tests))
    if pairs:
        family = f"against {baseline}" if baseline else "all pairs"
        parts.append(
            f"Paired differences, {family}; p of Wilcoxon's signed-rank test after Holm's correction over {tests} "
            f"test{'s' * (tests > 1)}\n\n{text_table([_pair_row(pair) for pair in pairs])}"
        )
        if shares := rank_shares(table):
            ranking = text_table([_rank_row(name, share) for name, share in shares.items()])
            parts.append(f"Ranking: share of bootstrap resamples of the patients with each rank, %\n\n{ranking}")
    parts.append("\n".join([f"Verdict on {structure}:", *_verdict(pairs, tests)]))
    return "\n\n".join(filter(None, parts))


def _mean_rows(rows: Sequence[Score], structure: str, table: Scores) -> list[Row]:
    lines: list[Row] = []
    for name, patients in table.items():
        mean, low, high = mean_interval(list(patients.values()))
        seeds, spread = seed_spread(rows, structure, name)
        figures: Row = {"mean": mean, "95 % low": low, "high": high, "seeds": seeds, "SD over seeds": spread}
        lines.append({"configuration": name, "patients": len(patients), **figures})
    return sorted(lines, key=lambda line: -float(line["mean"] or 0))


def _pair_row(pair: Comparison) -> Row:
    difference, low, high = pair.difference
    return {
        "first": pair.first,
        "second": pair.second,
        "patients": pair.patients,
        "difference": difference,
        "95 % low": low,
        "high": high,
        "rank-biserial": pair.rank_biserial,
        "p": _p(pair.p),
        "told apart": "yes" if pair.is_told_apart else "no",
    }


def _rank_row(name: str, shares: Sequence[float]) -> Row:
    return {"configuration": name} | {str(rank + 1): round(100 * share) for rank, share in enumerate(shares)}


def _verdict(pairs: Sequence[Comparison], tests: int) -> list[str]:
    if not pairs:
        return ["- One configuration alone: there is nothing to compare."]
    hopeless = [pair for pair in pairs if pair.p_best > ALPHA]
    apart = [pair for pair in pairs if pair.is_told_apart]
    alike = [pair for pair in pairs if not pair.is_told_apart and pair not in hopeless]
    lines = [_hopeless(hopeless, len(pairs), tests)] if hopeless else []
    lines += [_told_apart(pair) for pair in apart]
    if len(alike) <= _MOST_NAMED:
        lines += [f"- The data cannot tell {pair.first} from {pair.second}: {_figures(pair)}." for pair in alike]
    else:
        lines.append(f"- The data cannot tell apart the other {len(alike)} of {len(pairs)} pairs, see the table.")
    if alike:
        lines.append("- Not told apart is not equal: the interval of a difference says how large it may yet be.")
    return lines


def _hopeless(pairs: Sequence[Comparison], count: int, tests: int) -> str:
    patients = min(pair.patients for pair in pairs)
    best = max(pair.p_best for pair in pairs)
    what = "no test can" if len(pairs) == count else f"{len(pairs)} of {count} tests cannot"
    return (
        f"- With {patients} patient{'s' * (patients > 1)} {what} reach {ALPHA} whatever happens: the smallest possible "
        f"p is {smallest_p(patients):.3g}, {best:.3g} after Holm's correction. With {tests} test{'s' * (tests > 1)} it "
        f"takes {patients_needed(tests)} patients. So the data cannot tell these configurations apart."
    )


def _told_apart(pair: Comparison) -> str:
    better, worse = (pair.first, pair.second) if pair.rank_biserial > 0 else (pair.second, pair.first)
    mean = (pair.difference.mean or 0) * pair.rank_biserial
    odd = ", though a few patients turn the mean the other way" if mean < 0 else ""
    return f"- {better} scores higher than {worse}{odd}: {_figures(pair)}."


def _figures(pair: Comparison) -> str:
    mean, low, high = pair.difference
    interval = f" ({low:+.3f} to {high:+.3f})" if low is not None and high is not None else ""
    n = pair.patients
    return f"{pair.first} minus {pair.second} {mean:+.3f}{interval}, {n} patient{'s' * (n > 1)}, p {_p(pair.p, '= ')}"


def _p(p: float, equals: str = "") -> str:
    return f"{equals}{p:.3f}" if p >= 0.001 else "< 0.001"


def _remarks(runs: Sequence[Run], rows: Sequence[Score], tests: int, metric: str) -> list[str]:
    """What a reader must know before the numbers are believed."""
    remarks = []
    names = sorted({row.configuration for row in rows})
    incomplete = sum(run.status != COMPLETE for run in runs)
    if incomplete:
        remarks.append(f"{incomplete} of {len(runs)} runs are not complete and not counted: liver-compare --status")
    if len({frozenset(row.patient for row in rows if row.configuration == name) for name in names}) > 1:
        remarks.append("Not all configurations met the same patients: compare the pairs, not the means.")
    if len({frozenset(row.seed for row in rows if row.configuration == name) for name in names}) > 1:
        remarks.append("Not all configurations have the same seeds: those with fewer are noisier.")
    if tests:
        remarks.append("Intervals are each of its own pair; only p is corrected for the number of tests.")
    if tests and metric == "both":
        remarks.append("The correction is over both structures. Which one counts is to be said before looking.")
    return ["\n".join(f"Note: {remark}" for remark in remarks)] if remarks else []


def _marked(readme: Path) -> Path:
    if not readme.is_file():
        raise LiverError(f"--write {readme}: no such file. Make it, with the lines {BEGIN} and {END} in it.")
    text = readme.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise LiverError(f"--write {readme}: it needs the lines {BEGIN} and {END}, once each, in this order.")
    return readme


def _write(readme: Path, text: str, command: str, images: str) -> None:
    part = f"{BEGIN}\n\n    {command}\n\n{images}\n\n```text\n{text}\n```\n\n{END}"
    old = readme.read_text(encoding="utf-8")
    write_whole(readme, re.sub(f"{BEGIN}.*{END}", lambda _: part, old, flags=re.DOTALL))
