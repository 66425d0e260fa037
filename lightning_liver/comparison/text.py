"""A study as text: means, pairs, ranking, and in plain words what the data can and cannot tell."""

from collections.abc import Iterable, Sequence

from lightning_liver.comparison.heatmap import sweep_text
from lightning_liver.comparison.letters import letters
from lightning_liver.comparison.runs import COMPLETE
from lightning_liver.comparison.statistics import (
    Comparison,
    Scores,
    patients_needed,
    rank_shares,
    seed_spread,
    smallest_p,
)
from lightning_liver.comparison.study import Section, Study
from lightning_liver.metrics.case.dice import DICE_PER_CASE
from lightning_liver.metrics.intervals import ALPHA, mean_interval
from lightning_liver.report.references import NOT_COMPARABLE, REASON, Reference, place, references
from lightning_liver.tables import Row, text_table

PAIRS = "pairs.csv"

_MOST_NAMED = 10  # pairs that are named one by one in the verdict
_MOST_SHOWN = 45  # pairs that are shown in a table: those of ten configurations


def study_text(study: Study) -> str:
    """Each section, then what a reader must know before the numbers are believed."""
    parts = [_section(section, study) for section in study.sections]
    return "\n\n".join([*parts, *_remarks(study)])


def _section(section: Section, study: Study) -> str:
    table, pairs, tests, baseline = section.table, section.pairs, study.tests, study.baseline
    where = f"{section.stratum}: " if section.stratum else ""
    dice = f"{section.structure.capitalize()} {DICE_PER_CASE}"
    title = f"{where}{dice}, mean over patients (scans and seeds of a patient averaged first)"
    parts = [title]
    if table:
        parts += [text_table(_mean_rows(section)), reference_text(section.structure, table)]
    if section.grid:
        parts.append(sweep_text(section.grid, table, section.structure, section.every, study.tests_of_all_pairs))
    if pairs:
        family = f"against {baseline}" if baseline else "all pairs"
        shown = text_table([_pair_row(pair) for pair in pairs]) if not _are_many(section) else _in_letters(section)
        parts.append(
            f"Paired differences, {family}; p of Wilcoxon's signed-rank test after Holm's correction over {tests} "
            f"test{'s' * (tests > 1)}\n\n{shown}"
        )
        if shares := rank_shares(table):
            ranking = text_table([_rank_row(name, share) for name, share in shares.items()])
            parts.append(f"Ranking: share of bootstrap resamples of the patients with each rank, %\n\n{ranking}")
    verdict = f"Verdict on {section.structure}" + (f" where {section.stratum}" if section.stratum else "")
    parts.append("\n".join([f"{verdict}:", *_verdict(section, tests, baseline)]))
    return "\n\n".join(parts)


def pair_rows(study: Study) -> list[Row]:
    """Every tested pair of the sections whose pairs are too many to show; for a CSV."""
    return [
        {"structure": section.structure, "stratum": section.stratum, **_pair_row(pair), "p": pair.p}
        for section in study.sections
        if _are_many(section)
        for pair in section.pairs
    ]


def _are_many(section: Section) -> bool:
    return len(section.pairs) > _MOST_SHOWN


def _in_letters(section: Section) -> str:
    """Pairs that are too many for a table: letters instead, a line a configuration."""
    means = {name: sum(patients.values()) / len(patients) for name, patients in section.table.items()}
    names = sorted(means, key=lambda name: -means[name])
    shared = letters(names, section.pairs)
    table = text_table([{"configuration": name, "mean": means[name], "letters": shared[name]} for name in names])
    return (
        f"{table}\n\nConfigurations that share a letter cannot be told apart. All {len(section.pairs)} pairs are in "
        f"{PAIRS}, which --write and --figures write."
    )


def _mean_rows(section: Section) -> list[Row]:
    lines: list[Row] = []
    for name, patients in section.table.items():
        mean, low, high = mean_interval(list(patients.values()))
        seeds, spread = seed_spread(section.rows, section.structure, name)
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


def _verdict(section: Section, tests: int, baseline: str | None) -> list[str]:
    pairs = section.pairs
    if not pairs:
        return [f"- {_nothing(section.table, baseline)}: there is nothing to compare."]
    hopeless = [pair for pair in pairs if pair.p_best > ALPHA]
    apart = [pair for pair in pairs if pair.is_told_apart]
    alike = [pair for pair in pairs if not pair.is_told_apart and pair not in hopeless]
    lines = [_hopeless(hopeless, len(pairs), tests)] if hopeless else []
    if len(apart) <= _MOST_NAMED:
        lines += [_told_apart(pair) for pair in apart]
    else:
        lines.append(f"- The data tell apart {len(apart)} of {len(pairs)} pairs, see the table.")
    if len(alike) <= _MOST_NAMED:
        lines += [f"- The data cannot tell {pair.first} from {pair.second}: {_figures(pair)}." for pair in alike]
    else:
        lines.append(f"- The data cannot tell apart {len(alike)} of {len(pairs)} pairs, see the table.")
    if alike:
        lines.append("- Not told apart is not equal: the interval of a difference says how large it may yet be.")
    return lines


def _nothing(table: Scores, baseline: str | None) -> str:
    if not table:
        return "No run has this Dice here"
    if len(table) == 1:
        return "One configuration alone"
    return "No patient in common" if baseline is None or baseline in table else f"No run of {baseline} here"


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


def _remarks(study: Study) -> list[str]:
    """What a reader must know before the numbers are believed."""
    remarks = []
    incomplete = sum(run.status != COMPLETE for run in study.runs)
    if incomplete:
        remarks.append(
            f"{incomplete} of {len(study.runs)} runs are not complete and not counted: liver-compare --status"
        )
    if _differ((row.stratum, row.configuration, row.patient) for row in study.rows):
        remarks.append("Not all configurations met the same patients: compare the pairs, not the means.")
    if _differ((row.stratum, row.configuration, row.seed) for row in study.rows):
        remarks.append("Not all configurations have the same seeds: those with fewer are noisier.")
    if study.tests:
        remarks.append("Intervals are each of its own pair; only p is corrected for the number of tests.")
    if study.tests and len({section.stratum for section in study.sections}) > 1:
        remarks.append("The correction is over all sections, and runs are compared only within their own.")
    if study.tests and len({section.structure for section in study.sections}) > 1:
        remarks.append("The correction is over both structures. Which one counts is to be said before looking.")
    return ["\n".join(f"Note: {remark}" for remark in remarks)] if remarks else []


def _differ(seen: Iterable[tuple[str, str, object]]) -> bool:
    """Whether configurations of one stratum have not met the same."""
    met: dict[str, dict[str, set[object]]] = {}
    for stratum, configuration, what in seen:
        met.setdefault(stratum, {}).setdefault(configuration, set()).add(what)
    return any(len(set(map(frozenset, each.values()))) > 1 for each in met.values())


def reference_text(structure: str, table: Scores) -> str:
    """The published figures, and where the best configuration's interval lies among them; nothing if there are none."""
    known = references(structure)
    if not known or not table:
        return ""
    rows: list[Row] = [
        {
            "published": each.label,
            "Dice": str(each.dice),
            "with ours": NOT_COMPARABLE,
            "measured on": each.of,
            "source": each.source,
        }
        for each in known
    ]
    title = f"Published {structure} Dice, to orient oneself by"
    return f"{title}\n\n{text_table(rows)}\n\n{good_enough(table, known)}"


def good_enough(table: Scores, known: Sequence[Reference]) -> str:
    """Whether the best configuration's interval lies below the published figures, holds them or lies above."""
    intervals = {name: mean_interval(list(patients.values())) for name, patients in table.items()}
    best = max(intervals, key=lambda name: intervals[name].mean or 0)
    mean, low, high = intervals[best]
    who = f"{best}, the best of {len(table)} configurations," if len(table) > 1 else best
    if low is None or high is None:
        places = [f"{who} has {mean or 0:.3f}."]
    else:
        places = [f"{who} has {mean:.3f} (95 % {low:.3f} to {high:.3f}), and this interval", *_places(low, high, known)]
    lines = [f"Is it good enough? {place(low, high, known).value}", *places, f"These are {NOT_COMPARABLE}: {REASON}."]
    if len(table) > 1:
        lines.append("The best was picked by the very scores shown here, which flatters it a little.")
    return "\n".join(lines)


def _places(low: float, high: float, known: Sequence[Reference]) -> list[str]:
    places = {
        "lies below": [each for each in known if high < each.dice],
        "holds": [each for each in known if low <= each.dice <= high],
        "lies above": [each for each in known if low > each.dice],
    }
    named = {place: "; ".join(f"{each.label} {each.dice}" for each in found) for place, found in places.items()}
    return [f"- {place} {names}" for place, names in named.items() if names]
