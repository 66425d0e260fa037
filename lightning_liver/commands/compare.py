"""What liver-compare does: read runs, compare them, write and draw what came of it."""

from collections.abc import Sequence
from pathlib import Path

from lightning_liver.comparison import results
from lightning_liver.comparison.effects import effects_text
from lightning_liver.comparison.figures import draw, image_lines, write_figures
from lightning_liver.comparison.loss_metric import loss_metric_text
from lightning_liver.comparison.loss_scores import loss_scores
from lightning_liver.comparison.readme import Block, check_marks, write_block
from lightning_liver.comparison.runs import status_rows
from lightning_liver.comparison.study import study
from lightning_liver.comparison.study_text import PAIRS, pair_rows, study_text
from lightning_liver.tables import text_table, write_csv

STRUCTURES = {"tumour": ("tumour",), "liver": ("liver",), "both": ("tumour", "liver")}


def status(places: Sequence[str]) -> str:
    """A table of all runs in some places, what became of each, and the count of each outcome.

    Raises:
        LiverError: no such folder, no run, damaged files.
    """
    rows = status_rows(results.gather(map(Path, places)))
    states = [str(row["status"]) for row in rows]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
    return f"{text_table(rows)}\n\n{len(rows)} runs: {counts}"


def comparison(
    places: Sequence[str],
    metric: str,
    baseline: str | None,
    within: Sequence[str],
    effects: bool,
    readme: str | None,
    figures: str | None,
    command: str,
) -> str:
    """The text of a comparison; with `readme` also written there, with its figures and results.csv beside it.

    The runs that this results.csv already has are compared too, and their rows stay.

    Args:
        places: run folders, folders above them, results.csv files and folders that hold one.
        metric: "tumour", "liver" or "both"; Holm's correction is over all pairs of what is shown.
        baseline: compare with this configuration alone, by its name or the values in it.
        within: options; runs are compared only with runs that share their values.
        effects: tell first what each option did, where several differ at once.
        figures: a folder for the figures.
        command: what was typed, to stand beside the numbers.

    Raises:
        LiverError: nothing to compare, damaged files, unknown baseline or option, no place for what is written.
    """
    given, table = list(map(Path, places)), None
    if readme:
        check_marks(Path(readme))
        table = Path(readme).with_name(results.NAME)
        given += [table] * table.exists()
    runs, options = results.gather(given), tuple(dict.fromkeys(within))
    found = study(runs, STRUCTURES[metric], baseline=baseline, within=options)
    losses = loss_scores(runs, options)
    of_options = effects_text(found.runs, STRUCTURES[metric]) if effects else ""
    text = "\n\n".join(filter(None, [of_options, study_text(found), loss_metric_text(*losses)]))
    folders = {Path(each).resolve() for each in (figures, Path(readme).parent if readme else None) if each}
    pictures = draw(found, losses) if folders else {}
    for folder in folders:
        write_figures(folder, pictures, losses.matrix)
        if pairs := pair_rows(found):
            write_csv(folder / PAIRS, pairs)
    if readme and table:
        results.write_results(table, runs, options)
        write_block(Path(readme), Block(command, text, image_lines(list(pictures))))
    return text
