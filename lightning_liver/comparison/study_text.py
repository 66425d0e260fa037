"""A study as text: means, pairs, ranking, and a verdict in plain words."""

from collections.abc import Iterable, Mapping, Sequence

from lightning_liver.comparison.crossed import VarianceComponents, components, tables_of
from lightning_liver.comparison.heatmap import grid_text
from lightning_liver.comparison.letter_display import letter_display
from lightning_liver.comparison.reading import reading_text
from lightning_liver.comparison.runs import COMPLETE, SEARCHED
from lightning_liver.comparison.statistics import (
    Comparison,
    Scores,
    patients_needed,
    rank_frequencies,
    smallest_p,
)
from lightning_liver.comparison.study import Study, StudySection
from lightning_liver.metrics.case.dice import DICE_PER_CASE
from lightning_liver.metrics.intervals import ALPHA, Mean
from lightning_liver.report.numbers import counted, p_text, range_text
from lightning_liver.report.references import NOT_COMPARABLE, REASON, Reference, position, references
from lightning_liver.tables import Row, text_table

PAIRS = "pairs.csv"

_MOST_NAMED = 10  # pairs that the verdict names one by one
_MOST_SHOWN = 45  # pairs in a table: those of ten configurations


def study_text(study: Study) -> str:
    """Return the text of each section, then the notes on the whole study."""
    parts = [_section(section, study) for section in study.sections]
    return "\n\n".join([*parts, *_remarks(study)])


def _section(section: StudySection, study: Study) -> str:
    table, pairs, tests, baseline = section.table, section.pairs, study.tests, study.baseline
    where = f"{section.stratum}: " if section.stratum else ""
    dice = f"{section.structure.capitalize()} {DICE_PER_CASE}"
    title = f"{where}{dice}, mean over patients (scans of a patient averaged first)"
    parts = [title]
    if table:
        beside = reading_text(section.rows, section.structure, _lesions(study))
        parts += filter(
            None, [text_table(_mean_rows(section)), beside, reference_text(section.structure, section.means)]
        )
    if section.grid:
        parts.append(
            grid_text(section.grid, section.means, section.structure, section.all_pairs, study.tests_of_all_pairs)
        )
    if pairs:
        family = f"against {baseline}" if baseline else "all pairs"
        shown = (
            _letter_table(section) if has_letters(section, study) else text_table([_pair_row(pair) for pair in pairs])
        )
        parts.append(
            f"Paired differences, {family}; p of {_test_of(pairs)} after Holm's correction over "
            f"{counted(tests, 'test')}\n\n{shown}"
        )
        if frequencies := rank_frequencies(section.seeds):
            ranking = text_table([_rank_row(name, each) for name, each in frequencies.items()])
            parts.append(f"Ranking: share of bootstrap resamples of patients and seeds with each rank, %\n\n{ranking}")
    verdict = f"Verdict on {section.structure}" + (f" where {section.stratum}" if section.stratum else "")
    parts.append("\n".join([f"{verdict}:", *_verdict(section, tests, baseline)]))
    return "\n\n".join(parts)


def _lesions(study: Study) -> dict[str, Mapping[str, float]]:
    return {name: run.lesions for run in study.runs for name in (run.name, str(run.folder))}


def pair_rows(study: Study) -> list[Row]:
    """Return the tested pairs of the sections with too many for a table of pairs; for a CSV."""
    return [
        {"structure": section.structure, "stratum": section.stratum, **_pair_row(pair), "p": pair.p}
        for section in study.sections
        if has_letters(section, study)
        for pair in section.pairs
    ]


def has_letters(section: StudySection, study: Study) -> bool:
    """Return True if letters stand in place of a table of all pairs, which would be too long."""
    return study.baseline is None and len(section.pairs) > _MOST_SHOWN


def letters_of(section: StudySection) -> Mapping[str, str]:
    """Return the letters of each configuration, the best mean first; two that share one are not told apart."""
    means = {name: sum(patients.values()) / len(patients) for name, patients in section.table.items()}
    return letter_display(sorted(means, key=lambda name: -means[name]), section.pairs)


def _letter_table(section: StudySection) -> str:
    """Return a line for each configuration with its letters, in place of a table of pairs."""
    means = {name: sum(patients.values()) / len(patients) for name, patients in section.table.items()}
    letters = letters_of(section)
    table = text_table([{"configuration": name, "mean": means[name], "letters": letters[name]} for name in letters])
    return (
        f"{table}\n\nConfigurations that share a letter cannot be told apart. All {len(section.pairs)} pairs are in "
        f"{PAIRS}, which --write and --figures write."
    )


def _mean_rows(section: StudySection) -> list[Row]:
    rows: list[Row] = []
    for name, patients in section.table.items():
        mean, low, high = section.means[name]
        own = section.seeds[name]
        tables = tables_of(own, own)
        split = components(tables[0]) if tables and tables[0].shape[1] > 1 else VarianceComponents(None, None, None)
        spread: Row = {"SD patients": split.patients, "SD seeds": split.seeds, "SD rest": split.rest}
        figures: Row = {"mean": mean, "95 % low": low, "high": high, "seeds": len(own), **spread}
        rows.append({"configuration": name, "patients": len(patients), **figures})
    return sorted(rows, key=lambda row: -float(row["mean"] or 0))


def _pair_row(pair: Comparison) -> Row:
    difference, low, high = pair.difference
    return {
        "first": pair.first,
        "second": pair.second,
        "patients": pair.patients,
        "seeds": pair.seeds,
        "difference": difference,
        "95 % low": low,
        "high": high,
        "rank-biserial": pair.rank_biserial,
        "p": p_text(pair.p),
        "told apart": ("networks" if pair.of_networks else "yes") if pair.is_significant else "no",
    }


def _rank_row(name: str, frequencies: Sequence[float]) -> Row:
    return {"configuration": name} | {str(rank + 1): round(100 * each) for rank, each in enumerate(frequencies)}


def _verdict(section: StudySection, tests: int, baseline: str | None) -> list[str]:
    pairs = section.pairs
    if not pairs:
        return [f"- {_no_pairs(section.table, baseline)}: there is nothing to compare."]
    powerless = [pair for pair in pairs if pair.smallest_p > ALPHA]
    different = [pair for pair in pairs if pair.is_significant]
    undecided = [pair for pair in pairs if not pair.is_significant and pair not in powerless]
    lines = [_powerless(powerless, len(pairs), tests)] if powerless else []
    if networks := [pair for pair in pairs if pair.of_networks]:
        lines.append(_networks(len(networks), len(pairs)))
    if len(different) <= _MOST_NAMED:
        lines += [_difference(pair) for pair in different]
    else:
        what = "pairs of networks" if all(pair.of_networks for pair in different) else "pairs"
        lines.append(f"- The data tell apart {len(different)} of {len(pairs)} {what}, see the table.")
    if len(undecided) <= _MOST_NAMED:
        lines += [f"- The data cannot tell {pair.first} from {pair.second}: {_figures(pair)}." for pair in undecided]
    else:
        lines.append(f"- The data cannot tell apart {len(undecided)} of {len(pairs)} pairs, see the table.")
    if undecided:
        lines.append("- Not told apart is not equal: the interval of a difference says how large it may yet be.")
    return lines


def _no_pairs(table: Scores, baseline: str | None) -> str:
    if not table:
        return "No run has this Dice here"
    if len(table) == 1:
        return "One configuration alone"
    return "No patient in common" if baseline is None or baseline in table else f"No run of {baseline} here"


def _networks(count: int, of: int) -> str:
    which = "each pair" if count == of else f"{count} of {of} pairs"
    return (
        f"- In {which} a configuration has a single seed: these networks are compared over patients, and nothing is "
        "said about the configurations, which another seed may put in another order. Repeat them with seed=0,1,2."
    )


def _test_of(pairs: Sequence[Comparison]) -> str:
    tests = {
        True: "Wilcoxon's signed-rank test over patients, where a configuration has one seed,",
        False: "a test over patients and seeds (comparison/README.md)",
    }
    return " or ".join(tests[kind] for kind in sorted({pair.of_networks for pair in pairs}))


def _powerless(pairs: Sequence[Comparison], count: int, tests: int) -> str:
    which = "no test can" if len(pairs) == count else f"{len(pairs)} of {count} tests cannot"
    patients = min(pair.patients for pair in pairs)
    if not any(pair.of_networks for pair in pairs):
        return (
            f"- With {counted(patients, 'patient')} {which} tell how much others would differ: it takes three or more."
        )
    corrected = max(pair.smallest_p for pair in pairs)
    return (
        f"- With {counted(patients, 'patient')} {which} reach {ALPHA} whatever happens: the smallest possible p is "
        f"{smallest_p(patients):.3g}, {corrected:.3g} after Holm's correction. With {counted(tests, 'test')} it takes "
        f"{patients_needed(tests)} patients, or several seeds. So the data cannot tell these networks apart."
    )


def _difference(pair: Comparison) -> str:
    direction = pair.rank_biserial if pair.of_networks else pair.difference.mean or 0
    better, worse = (pair.first, pair.second) if direction > 0 else (pair.second, pair.first)
    mean = (pair.difference.mean or 0) * direction
    odd = ", though a few patients turn the mean the other way" if mean < 0 else ""
    if pair.of_networks:
        return f"- The network of {better} scores higher than that of {worse}{odd}: {_figures(pair)}."
    return f"- {better} scores higher than {worse}{odd}: {_figures(pair)}."


def _figures(pair: Comparison) -> str:
    mean, low, high = pair.difference
    ends = range_text(low, high, sign="+")
    difference = f"{pair.first} minus {pair.second} {mean:+.3f}{f' ({ends})' if ends else ''}"
    return f"{difference}, {counted(pair.patients, 'patient')}, p {p_text(pair.p, '= ')}"


def _remarks(study: Study) -> list[str]:
    """Return the notes that a reader needs to judge the numbers."""
    remarks = []
    searched = sum(run.status in SEARCHED for run in study.runs)
    incomplete = sum(run.status != COMPLETE for run in study.runs) - searched
    if searched:
        remarks.append(f"{counted(searched, 'trial')} of a search not tested, and not compared: liver-compare --status")
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
    """Return True if the configurations of a stratum have different sets of the third item."""
    sets: dict[str, dict[str, set[object]]] = {}
    for stratum, configuration, item in seen:
        sets.setdefault(stratum, {}).setdefault(configuration, set()).add(item)
    return any(len(set(map(frozenset, each.values()))) > 1 for each in sets.values())


def reference_text(structure: str, means: Mapping[str, Mean]) -> str:
    """Return the published results and how the best configuration compares; nothing if there are none."""
    known = references(structure)
    if not known or not means:
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
    return f"{title}\n\n{text_table(rows)}\n\n{good_enough(means, known)}"


def good_enough(means: Mapping[str, Mean], known: Sequence[Reference]) -> str:
    """Return how the best configuration's interval compares with the published results, in words."""
    best = max(means, key=lambda name: means[name].mean or 0)
    mean, low, high = means[best]
    name = f"{best}, the best of {len(means)} configurations," if len(means) > 1 else best
    if low is None or high is None:
        positions = [f"{name} has {mean or 0:.3f}."]
    else:
        positions = [
            f"{name} has {mean:.3f} (95 % {range_text(low, high)}), and this interval",
            *_positions(low, high, known),
        ]
    lines = [
        f"Is it good enough? {position(low, high, known).value}",
        *positions,
        f"These are {NOT_COMPARABLE}: {REASON}.",
    ]
    if len(means) > 1:
        lines.append("The best was picked by the very scores shown here, which flatters it a little.")
    return "\n".join(lines)


def _positions(low: float, high: float, known: Sequence[Reference]) -> list[str]:
    positions = {
        "lies below": [each for each in known if high < each.dice],
        "holds": [each for each in known if low <= each.dice <= high],
        "lies above": [each for each in known if low > each.dice],
    }
    named = {where: "; ".join(f"{each.label} {each.dice}" for each in found) for where, found in positions.items()}
    return [f"- {where} {names}" for where, names in named.items() if names]
