"""liver-compare: read runs, compare them, print, write and draw the result."""

import logging
from collections.abc import Sequence
from pathlib import Path

from lightning_liver.comparison import results
from lightning_liver.comparison.effects import effects_text
from lightning_liver.comparison.figures import draw, image_lines, write_figures
from lightning_liver.comparison.loss_metric import loss_metric_text
from lightning_liver.comparison.loss_scores import LossScores, loss_scores
from lightning_liver.comparison.paper import paper_tables, write_paper_figures
from lightning_liver.comparison.plan import StudyPlan, plan_text, plans
from lightning_liver.comparison.readme import MarkedBlock, check_marks, write_block
from lightning_liver.comparison.runs import present_runs, status_rows
from lightning_liver.comparison.study import Study, study
from lightning_liver.comparison.study_text import PAIRS, pair_rows, study_text
from lightning_liver.sweep.fair_table import FairResult, fair_text, read_fair, write_fair
from lightning_liver.tables import text_table, write_csv

log = logging.getLogger(__name__)

STRUCTURES = {"tumour": ("tumour",), "liver": ("liver",), "both": ("tumour", "liver")}


def status(places: Sequence[str]) -> str:
    """Return a table of all runs in some places with their status, and the number of runs of each status.

    Raises:
        LiverError: a folder is missing or has no run, or files are damaged.
    """
    rows = status_rows(results.gather(map(Path, places)))
    states = [str(row["status"]) for row in rows]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
    return f"{text_table(rows)}\n\n{len(rows)} runs: {counts}"


def paper(
    places: Sequence[str], metric: str, baseline: str | None, within: Sequence[str], figures: str | None, form: str
) -> str:
    """Return the tables of a comparison for a paper, see paper_tables; with `figures` write its figures there.

    Raises:
        LiverError: as comparison.
    """
    runs, earlier = present_runs(results.gather(map(Path, places)))
    options = tuple(dict.fromkeys(within))
    if earlier:
        log.warning(earlier)
    compared = study(runs, STRUCTURES[metric], baseline=baseline, within=options)
    _write_figures(figures, None, compared, loss_scores(runs, options), [])
    return paper_tables(compared, form)


def comparison(
    places: Sequence[str],
    metric: str,
    baseline: str | None,
    within: Sequence[str],
    effects: bool,
    difference: float | None,
    readme: str | None,
    figures: str | None,
    command: str,
) -> str:
    """Return the text of a comparison; with `readme` write it there too, with figures and results.csv beside it.

    The runs of this results.csv are compared as well, and their rows stay. What the contenders of a fair comparison
    chose is in the text, too, and with `readme` in the fair.json beside it.

    Args:
        places: run folders, folders above them, results.csv files and folders with one.
        metric: "tumour", "liver" or "both"; Holm's correction is over all pairs shown.
        baseline: compare with this configuration alone, given by its name or the values in it.
        within: options; only runs that share their values are compared.
        effects: begin with the effect of each option, for a design where several differ at once.
        difference: end with the size of a study that tells this difference of Dice.
        figures: a folder for the figures.
        command: as typed, shown beside the numbers.

    Raises:
        LiverError: nothing to compare or plan from, damaged files, an unknown baseline or option, or nowhere to write.
    """
    if readme:
        check_marks(Path(readme))
    structures, options = STRUCTURES[metric], tuple(dict.fromkeys(within))
    found = results.gather([*map(Path, places), *_results_beside(readme)])
    runs, earlier = present_runs(found)
    compared = study(runs, structures, baseline=baseline, within=options)
    losses = loss_scores(runs, options)
    planned = plans(compared, difference) if difference is not None else []
    parts = [effects_text(runs, structures) if effects else "", study_text(compared), loss_metric_text(*losses)]
    fair = _fair_results([*places, *([str(Path(readme).parent)] if readme else [])])
    text = "\n\n".join(filter(None, [earlier, *parts, *map(fair_text, fair), *map(plan_text, planned)]))
    images = _write_figures(figures, str(Path(readme).parent) if readme else None, compared, losses, planned)
    if readme:
        results.write_results(Path(readme).with_name(results.NAME), found, options)
        if fair:
            write_fair(Path(readme).parent, fair[0])
        write_block(Path(readme), MarkedBlock(command, text, images))
    return text


def _results_beside(readme: str | None) -> list[Path]:
    table = Path(readme).with_name(results.NAME) if readme else None
    return [table] if table and table.exists() else []


def _fair_results(places: Sequence[str]) -> list[FairResult]:
    """Return what the contenders of fair comparisons chose, each comparison once."""
    found = [read_fair(Path(place)) for place in places if Path(place).is_dir()]
    return [each for n, each in enumerate(found) if each is not None and each not in found[:n]]


def _write_figures(
    figures: str | None, study_folder: str | None, compared: Study, losses: LossScores, planned: Sequence[StudyPlan]
) -> list[str]:
    """Write figures and tables into the folders that are given, each once; return the lines that show the figures.

    Args:
        figures: a folder that gets them for a paper, too.
    """
    targets = {Path(folder).resolve() for folder in (figures, study_folder) if folder}
    pictures = draw(compared, losses, planned) if targets else {}
    for folder in targets:
        write_figures(folder, pictures, losses.matrix)
        if pairs := pair_rows(compared):
            write_csv(folder / PAIRS, pairs)
    if figures:
        write_paper_figures(Path(figures), compared, pictures)
    return image_lines(list(pictures))
