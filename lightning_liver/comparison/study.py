"""A study: runs, the strata within which they are compared, and a table of scores with its tests for each of them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lightning_liver.comparison.heatmap import Grid, two_option_grid
from lightning_liver.comparison.runs import Run, Score, complete_runs, scores, status_rows
from lightning_liver.comparison.statistics import Comparison, Scores, compare, pairs_of, patient_scores
from lightning_liver.errors import LiverError
from lightning_liver.runs.settings import REPEATS, Settings, differing, value_of
from lightning_liver.tables import text_table

_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)")


@dataclass(frozen=True)
class Section:
    """One structure in one stratum ("data.tumour_fraction=0.05"; "" where all runs are compared with each other).

    `grid` is what two swept options make, and `every` then has all pairs, also where `pairs` has those of a baseline.
    """

    structure: str
    stratum: str
    rows: tuple[Score, ...]  # of the stratum, all structures
    table: Scores
    pairs: tuple[Comparison, ...] = ()
    grid: Grid | None = None
    every: tuple[Comparison, ...] = ()


@dataclass(frozen=True)
class Study:
    """`runs` are all, `rows` the scores of the complete ones; p values are corrected over the pairs of all sections."""

    runs: tuple[Run, ...]
    rows: tuple[Score, ...]
    sections: tuple[Section, ...]
    baseline: str | None

    @property
    def tests(self) -> int:
        return sum(len(section.pairs) for section in self.sections)

    @property
    def tests_of_all_pairs(self) -> int:
        return sum(len(section.every) for section in self.sections)


def study(
    runs: Sequence[Run], structures: Sequence[str], *, baseline: str | None = None, within: Sequence[str] = ()
) -> Study:
    """Runs compared, by stratum and structure.

    Args:
        baseline: compare with this configuration alone, by its name or the values in it.
        within: options whose values make the strata: runs are compared only with runs that share them.

    Raises:
        LiverError: no complete run, none with a structure, unknown baseline, a stratum's option in which no runs
            differ, no common patients.
    """
    _check_strata([run.settings for run in complete_runs(runs)], within)
    rows = scores(runs, within)
    if not rows:
        raise LiverError(
            "There is no complete run with test cases. See liver-compare --status for why. What a results.csv has is "
            "not run again by itself; --write README.md takes the rows of the one beside it."
        )
    sections = _sections(rows, structures)
    for structure in structures:
        if not any(section.table for section in sections if section.structure == structure):
            raise LiverError(
                f"No complete run has a Dice for the structure {structure}. Choose another one with --metric."
            )
    tables = [section.table for section in sections]
    against = _named(baseline, tables) if baseline else None
    found = compare(tables, against)
    if any(pairs_of(table, against) for table in tables) and not any(found):
        raise LiverError(
            "The configurations have no patient in common, so they cannot be compared. Run them with the same "
            f"data.fold or data.split.\n{text_table(status_rows(complete_runs(runs)))}"
        )
    grids = [two_option_grid(table) for table in tables]
    every = compare(tables) if against and any(grids) else found
    tested = tuple(
        replace(section, pairs=tuple(pairs), grid=grid, every=tuple(all_pairs))
        for section, pairs, grid, all_pairs in zip(sections, found, grids, every, strict=True)
    )
    return Study(tuple(runs), tuple(rows), tested, against)


def _sections(rows: Sequence[Score], structures: Sequence[str]) -> list[Section]:
    sections = []
    for stratum in sorted({row.stratum for row in rows}, key=_naturally):
        mine = tuple(row for row in rows if row.stratum == stratum)
        sections += [Section(each, stratum, mine, patient_scores(mine, each)) for each in structures]
    return sections


def _naturally(text: str) -> list[str | float]:
    """2 before 10."""
    return [float(part) if n % 2 else part for n, part in enumerate(_NUMBER.split(text))]


def _check_strata(configs: Sequence[Settings], within: Sequence[str]) -> None:
    for option in within:
        values = {str(value_of(each, option)) for each in configs}
        if len(values) < 2:
            seen = "no complete run has it" if values == {"None"} else f"all complete runs have {values.pop()}"
            seen = "seeds and folds only repeat a configuration" if option in REPEATS else seen
            names = "\n".join(f"  {name}" for name in differing(configs)) or "  none"
            raise LiverError(f"--within {option}: {seen}, so it does not set runs apart. Options that differ:\n{names}")


def _named(baseline: str, tables: Sequence[Scores]) -> str:
    """The configuration that is meant: by its name, or by its values alone where that is no riddle."""
    names = sorted({name for table in tables for name in table})
    values = {name: " ".join(part.rpartition("=")[2] for part in name.split()) for name in names}
    meant = [name for name in names if baseline == name] or [name for name in names if baseline == values[name]]
    if len(meant) != 1:
        choice = "\n".join(f"  {name}" for name in names)
        raise LiverError(f'--baseline "{baseline}": no configuration of that name. Choose one of\n{choice}')
    return meant[0]
