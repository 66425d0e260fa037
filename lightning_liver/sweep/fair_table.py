"""fair.json: what each contender of a fair comparison chose and what that took, and the table of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from lightning_liver.files import write_whole
from lightning_liver.readers import parsing, read_json
from lightning_liver.tables import MISSING, Row, duration, text_table

NAME = "fair.json"
AT_END = "*"


@dataclass(frozen=True, kw_only=True)
class ContenderResult:
    """Options that a contender chose, and what choosing took.

    Args:
        contender: its name.
        trials, pruned, failed: trials that have ended, and those of them that were given up or failed.
        search_s: seconds of these trials.
        chosen: the chosen value of each tuned option, as typed; empty until all trials have ended.
        score: of the chosen trial.
        at_end: options whose chosen value is the lowest or highest of the trials.
        rising: whether the validation curve of each tested run was still rising at its end; None if that is unknown.
    """

    contender: str
    trials: int
    pruned: int
    failed: int
    search_s: float
    chosen: Mapping[str, str] = field(default_factory=dict)
    score: float | None = None
    at_end: Sequence[str] = field(default_factory=list)
    rising: Sequence[bool | None] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class FairResult:
    """A fair comparison; `repeat` is the seed and fold of its trials, `budget` the length of each trial and run."""

    metric: str
    trials: int
    repeat: str
    budget: str
    contenders: Sequence[ContenderResult]

    @property
    def chosen(self) -> dict[str, Mapping[str, str]]:
        """The chosen settings of each contender that has chosen."""
        return {each.contender: each.chosen for each in self.contenders if each.chosen}


def write_fair(folder: Path, result: FairResult) -> None:
    """Write fair.json into a folder."""
    write_whole(folder / NAME, json.dumps(asdict(result), indent=1) + "\n")


def read_fair(folder: Path) -> FairResult | None:
    """Read fair.json of a folder, None if there is no such file.

    Raises:
        LiverError: it is damaged.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    cure = "run the same sweep again"
    found = read_json(path, cure)
    with parsing(path, cure):
        return TypeAdapter(FairResult).validate_python(found)


def fair_text(result: FairResult) -> str:
    """Return the table of the contenders, best validation score first, with the notes that a reader needs."""
    ranked = sorted(result.contenders, key=lambda each: -(each.score if each.score is not None else -1))
    options = list(dict.fromkeys(option for each in ranked for option in each.chosen))
    where = f" with {result.repeat}" if result.repeat else ""
    notes = [
        f"{result.trials} trials of {result.budget} for each contender{where}, scored on validation patients alone; "
        "the chosen setting then ran with every seed and fold.",
        "Still rising: tested runs whose last quarter of validations scored higher than the quarter before by more "
        "than the standard error: longer training may rank them otherwise. Needs 8 validations.",
    ]
    if any(each.at_end for each in ranked):
        notes.append(f"{AT_END} the lowest or highest that the contender tried: a wider range may suit it better.")
    table = text_table([_row(each, options, result.metric) for each in ranked])
    title = f"What each contender chose by {result.metric}"
    return "\n\n".join([title, table, "\n".join(f"Note: {note}" for note in notes)])


def _row(each: ContenderResult, options: Sequence[str], metric: str) -> Row:
    known = [rising for rising in each.rising if rising is not None]
    return {
        "contender": each.contender,
        **{option: each.chosen.get(option, MISSING) + AT_END * (option in each.at_end) for option in options},
        "trials": each.trials,
        "pruned": each.pruned,
        "failed": each.failed,
        "search": duration(each.search_s),
        "score": each.score,
        "still rising": f"{sum(known)} of {len(known)}" if known else MISSING,
    }
