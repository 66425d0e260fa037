"""A study: runs, the strata within which they are compared, and the scores and tests of each stratum."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from lightning_liver.comparison.heatmap import Grid, two_option_grid
from lightning_liver.comparison.runs import Run, Score, complete_runs, scores, status_rows
from lightning_liver.comparison.statistics import (
    Comparison,
    Scores,
    SeedScores,
    compare,
    configuration_mean,
    over_seeds,
    pairs_of,
    seed_scores,
)
from lightning_liver.config import REPEATS
from lightning_liver.errors import LiverError
from lightning_liver.metrics.intervals import Mean
from lightning_liver.runs.settings import Settings, differing, value_of
from lightning_liver.tables import text_table

_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)")


@dataclass(frozen=True)
class StudySection:
    """One structure in one stratum.

    Args:
        stratum: such as "data.tumour_fraction=0.05"; "" if all runs are compared with each other.
        rows: the scores of the stratum, of all structures.
        table: scores by configuration and patient, averaged over seeds.
        seeds: scores by configuration, seed and patient.
        means: of each configuration, with its interval.
        pairs: the tested pairs, with a baseline only those with it.
        grid: of a sweep of two options.
        all_pairs: tests of all pairs, for the grid.
    """

    structure: str
    stratum: str
    rows: tuple[Score, ...]
    table: Scores
    seeds: SeedScores
    means: Mapping[str, Mean]
    pairs: tuple[Comparison, ...] = ()
    grid: Grid | None = None
    all_pairs: tuple[Comparison, ...] = ()


@dataclass(frozen=True)
class Study:
    """Runs, the scores of the complete ones, and sections whose p values are corrected over all their pairs."""

    runs: tuple[Run, ...]
    rows: tuple[Score, ...]
    sections: tuple[StudySection, ...]
    baseline: str | None

    @property
    def tests(self) -> int:
        return sum(len(section.pairs) for section in self.sections)

    @property
    def tests_of_all_pairs(self) -> int:
        return sum(len(section.all_pairs) for section in self.sections)


def study(
    runs: Sequence[Run], structures: Sequence[str], *, baseline: str | None = None, within: Sequence[str] = ()
) -> Study:
    """Compare runs by stratum and structure.

    Args:
        baseline: compare with this configuration alone, given by its name or the values in it.
        within: options whose values are the strata: only runs that share them are compared.

    Raises:
        LiverError: no complete run, none with a structure, an unknown baseline, an option of `within` in which no runs
            differ, or no common patients.
    """
    _check_strata([run.settings for run in complete_runs(runs)], within)
    rows = scores(runs, within)
    if not rows:
        raise LiverError(
            "no complete run with test cases; see liver-compare --status for the reasons, or name the results.csv that "
            "lists the runs"
        )
    sections = _sections(rows, structures)
    for structure in structures:
        if not any(section.table for section in sections if section.structure == structure):
            raise LiverError(
                f"--metric {structure}: no complete run has a Dice for the structure {structure}; choose another one"
            )
    tables = [section.seeds for section in sections]
    name = _find_configuration(baseline, tables) if baseline else None
    pairs = compare(tables, name)
    if any(pairs_of(table, name) for table in tables) and not any(pairs):
        raise LiverError(
            "the configurations have no patient in common, so they cannot be compared; run them with the same "
            f"data.fold or data.split\n{text_table(status_rows(complete_runs(runs)))}"
        )
    grids = [two_option_grid(table) for table in tables]
    all_pairs = compare(tables) if name and any(grids) else pairs
    tested = tuple(
        replace(section, pairs=tuple(own), grid=grid, all_pairs=tuple(every))
        for section, own, grid, every in zip(sections, pairs, grids, all_pairs, strict=True)
    )
    return Study(tuple(runs), tuple(rows), tested, name)


def _sections(rows: Sequence[Score], structures: Sequence[str]) -> list[StudySection]:
    sections = []
    for stratum in sorted({row.stratum for row in rows}, key=_natural_order):
        mine = tuple(row for row in rows if row.stratum == stratum)
        sections += [_section(mine, each, stratum) for each in structures]
    return sections


def _section(rows: tuple[Score, ...], structure: str, stratum: str) -> StudySection:
    seeds = seed_scores(rows, structure)
    means = {name: configuration_mean(own) for name, own in seeds.items()}
    return StudySection(structure, stratum, rows, over_seeds(seeds), seeds, means)


def _natural_order(text: str) -> list[str | float]:
    """Return a key that sorts 2 before 10."""
    return [float(part) if n % 2 else part for n, part in enumerate(_NUMBER.split(text))]


def _check_strata(configs: Sequence[Settings], within: Sequence[str]) -> None:
    for option in within:
        values = {str(value_of(each, option)) for each in configs}
        if len(values) < 2:
            seen = "no complete run has it" if values == {"None"} else f"all complete runs have {values.pop()}"
            seen = "seeds and folds only repeat a configuration" if option in REPEATS else seen
            names = "\n".join(f"  {name}" for name in differing(configs)) or "  none"
            raise LiverError(f"--within {option}: {seen}, so it makes no strata; choose one of\n{names}")


def _find_configuration(baseline: str, tables: Sequence[Collection[str]]) -> str:
    """Find a configuration by name, or by its values where unambiguous."""
    names = sorted({name for table in tables for name in table})
    values = {name: " ".join(part.rpartition("=")[2] for part in name.split()) for name in names}
    matches = [name for name in names if baseline == name] or [name for name in names if baseline == values[name]]
    if len(matches) != 1:
        choice = "\n".join(f"  {name}" for name in names)
        raise LiverError(f'--baseline "{baseline}": no configuration of that name; choose one of\n{choice}')
    return matches[0]
