"""All that liver-compare draws, and the lines of a README that show it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from lightning_liver.errors import LiverError
from lightning_liver.report.drawing import write_png
from lightning_liver.report.forest import forest, seed_means
from lightning_liver.report.heatmap import heatmap, sweep
from lightning_liver.report.loss_metric import Matrix, matrix_rows
from lightning_liver.report.rank_map import rank_map
from lightning_liver.report.references import references
from lightning_liver.report.runs import Score
from lightning_liver.report.statistics import Comparison, Scores
from lightning_liver.report.tables import write_cases_csv

LOSS_BY_METRIC = "loss_by_metric"
_ALT = {
    "forest": "Mean {} Dice of each configuration with its 95 % interval, patients, seeds and published figures",
    "heatmap": "Mean {} Dice over the grid of the two options",
    LOSS_BY_METRIC: "Rank of each training configuration under each metric",
}


def draw(
    rows: Sequence[Score],
    tables: Mapping[str, Scores],
    pairs: Mapping[str, Sequence[Comparison]],
    losses: Matrix,
    own: Mapping[str, str],
    baseline: str | None,
) -> dict[str, Figure]:
    """The figures of a comparison by the names of their files.

    Args:
        tables: the scores of each structure.
        pairs: all pairs of each structure, tested.
        losses: configurations against metrics; empty where no loss was measured.
        own: the loss that each configuration was trained with.
    """
    figures: dict[str, Figure] = {}
    tests = sum(map(len, pairs.values()))
    for structure, table in tables.items():
        means = seed_means(rows, structure)
        figures[f"forest-{structure}.png"] = forest(table, means, structure, references(structure), baseline)
        if grid := sweep(table):
            figures[f"heatmap-{structure}.png"] = heatmap(grid, table, structure, pairs[structure], tests)
    if losses:
        figures[f"{LOSS_BY_METRIC}.png"] = rank_map(losses, own)
    return figures


def write_figures(folder: Path, figures: Mapping[str, Figure], losses: Matrix) -> None:
    """Write figures, and what the losses measured as loss_by_metric.csv, into a folder that is made if need be.

    Raises:
        LiverError: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LiverError(f"--figures {folder}: no folder can be made there ({error}). Choose another one.") from error
    for name, figure in figures.items():
        write_png(figure, folder / name)
    if losses:
        write_cases_csv(folder / f"{LOSS_BY_METRIC}.csv", matrix_rows(losses))


def image_lines(names: Sequence[str]) -> str:
    """Markdown that shows the figures, which lie beside it."""
    return "\n\n".join(f"![{_alt(name)}]({name})" for name in names)


def _alt(name: str) -> str:
    kind, _, structure = name.removesuffix(".png").partition("-")
    return _ALT[kind].format(structure)
