"""Figures of liver-compare, and the lines of a README that show them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from lightning_liver.comparison.forest import forest
from lightning_liver.comparison.heatmap import heatmap
from lightning_liver.comparison.loss_metric import Matrix, matrix_rows
from lightning_liver.comparison.loss_scores import LossScores
from lightning_liver.comparison.plan import StudyPlan
from lightning_liver.comparison.plan_figure import plan_figure
from lightning_liver.comparison.rank_map import rank_map
from lightning_liver.comparison.statistics import seed_means
from lightning_liver.comparison.study import Study
from lightning_liver.errors import LiverError
from lightning_liver.report.drawing import write_png
from lightning_liver.report.references import references
from lightning_liver.tables import write_csv

LOSS_BY_METRIC = "loss_by_metric"
_ALT = {
    "forest": "Mean {} Dice of each configuration with its 95 % interval, patients, seeds and published figures",
    "heatmap": "Mean {} Dice over the grid of the two options",
    "plan": "Smallest difference of {} Dice that a study tells, against its patients and seeds",
    LOSS_BY_METRIC: "Rank of each training configuration under each metric",
}


def draw(study: Study, losses: LossScores, plans: Sequence[StudyPlan] = ()) -> dict[str, Figure]:
    """Draw the figures of each section, of the losses if any were measured, and of plans; by file name."""
    figures: dict[str, Figure] = {}
    for section in study.sections:
        structure, table = section.structure, section.table
        name = _section_name(structure, section.stratum)
        if table:
            seeds = {each: seed_means(own) for each, own in section.seeds.items()}
            known = references(structure)
            figures[f"forest-{name}.png"] = forest(table, section.means, seeds, structure, known, study.baseline)
        if section.grid:
            grid = heatmap(section.grid, section.means, structure, section.all_pairs, study.tests_of_all_pairs)
            figures[f"heatmap-{name}.png"] = grid
    if losses.matrix:
        figures[f"{LOSS_BY_METRIC}.png"] = rank_map(losses.matrix, losses.own)
    return figures | {f"plan-{_section_name(plan.structure, plan.stratum)}.png": plan_figure(plan) for plan in plans}


def _section_name(structure: str, stratum: str) -> str:
    return f"{structure}{re.sub('[^A-Za-z0-9.]+', '-', f' {stratum}').rstrip('-')}"


def write_figures(folder: Path, figures: Mapping[str, Figure], losses: Matrix) -> None:
    """Write figures, and the measured losses as loss_by_metric.csv, into a folder that is made if necessary.

    Raises:
        LiverError: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LiverError(
            f"--figures {folder}: expected a folder that can be made ({error}); choose another one"
        ) from error
    for name, figure in figures.items():
        write_png(figure, folder / name)
    if losses:
        write_csv(folder / f"{LOSS_BY_METRIC}.csv", matrix_rows(losses))


def image_lines(names: Sequence[str]) -> list[str]:
    """Return Markdown that shows the figures, which are beside it."""
    return [f"![{_alt(name)}]({name})" for name in names]


def _alt(name: str) -> str:
    kind, _, structure = name.removesuffix(".png").partition("-")
    return _ALT[kind].format(structure)
