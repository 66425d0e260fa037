"""Draw validation Dice over steps and tabulate forgetting: python experiments/finetuning/table.py multirun/finetuning

Reads the runs of the sweep and writes curves.png, curves.csv and forgetting.csv beside this file. The latter has the
Dice of the source's test cases before and after, by strategy.
"""

import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from lightning_liver.report.drawing import FAINT, INK, RULE, SMALL, write_png
from lightning_liver.run_folder import NAMES, RunFolder
from lightning_liver.runs.scalars import Curve, read_curves, while_training
from lightning_liver.tables import Row, text_table, write_csv

HERE = Path(__file__).parent
STRUCTURES = ("tumour", "liver")
BASELINE = "scratch"
# From Okabe and Ito, "Color Universal Design" (2008); dashes once the colours are used up
STYLES = [
    (colour, dash) for dash in ("-", "--", ":") for colour in ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
]


class Tuned(NamedTuple):
    """Settings of a run, and its validation Dice by step."""

    strategy: str
    patients: int
    seed: int
    curves: dict[str, Curve]
    metrics: dict[str, float]


def read(run: Path) -> Tuned:
    files = RunFolder(run)
    config = OmegaConf.load(files.config)
    choices = OmegaConf.load(files.hydra_config).hydra.runtime.choices
    logged = read_curves(files)
    metrics = json.loads(files.metrics.read_text())
    curves = {s: while_training(logged[f"val/{s}/dice_per_case"], metrics["steps"]) for s in STRUCTURES}
    return Tuned(choices.finetune, config.data.train_patients, config.seed, curves, metrics)


def curve_rows(runs: Sequence[Tuned]) -> list[Row]:
    return [
        {
            "finetune": run.strategy,
            "train_patients": run.patients,
            "seed": run.seed,
            "structure": structure,
            "step": step,
            "dice": round(dice, 4),
        }
        for run in runs
        for structure, curve in run.curves.items()
        for step, dice in curve
    ]


def draw(runs: Sequence[Tuned]) -> Figure:
    """Draw a row of panels per structure, a panel per number of patients, a line per strategy: the mean over seeds."""
    counts = sorted({run.patients for run in runs})
    strategies = sorted({run.strategy for run in runs} - {BASELINE})
    figure = Figure(figsize=(3.1 * len(counts) + 0.8, 6.4), facecolor="white")
    panels = figure.subplots(len(STRUCTURES), len(counts), sharex=True, sharey="row", squeeze=False)
    for row, structure in zip(panels, STRUCTURES, strict=True):
        for axes, count in zip(row, counts, strict=True):
            for strategy in [*strategies, BASELINE]:
                alike = [r.curves[structure] for r in runs if (r.strategy, r.patients) == (strategy, count)]
                alike = [curve for curve in alike if curve]
                if not alike:  # adabn does not train
                    continue
                steps = [step for step, _ in alike[0]]
                mean = np.mean([[dice for _, dice in curve] for curve in alike], axis=0)
                colour, dash = (INK, "-") if strategy == BASELINE else STYLES[strategies.index(strategy)]
                width = 2.4 if strategy == BASELINE else 1.2
                axes.plot(steps, mean, color=colour, linestyle=dash, linewidth=width, label=strategy)
            axes.grid(color=RULE, linewidth=0.4)
            axes.tick_params(labelsize=SMALL, colors=FAINT)
            axes.spines[["top", "right"]].set_visible(False)
            if structure == STRUCTURES[0]:
                axes.set_title(f"{count} patient{'s' * (count > 1)}", fontsize=SMALL + 1.5, color=INK)
            else:
                axes.set_xlabel("step", fontsize=SMALL, color=FAINT)
        row[0].set_ylabel(f"{structure} Dice per case, validation", fontsize=SMALL, color=FAINT)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=6, fontsize=SMALL, frameon=False)
    figure.suptitle(
        "Validation Dice while training, mean over seeds", fontsize=11, weight="bold", color=INK, x=0.02, ha="left"
    )
    figure.tight_layout(rect=(0, 0.08, 1, 0.98))
    return figure


def forgetting_rows(runs: Sequence[Tuned]) -> list[Row]:
    """Return Dice of the source's test cases before and after, means over seeds and numbers of patients."""
    of_strategy: dict[str, list[dict[str, float]]] = defaultdict(list)
    for run in runs:
        if any(name.startswith("source/") for name in run.metrics):
            of_strategy[run.strategy].append(run.metrics)
    return [
        {
            "finetune": strategy,
            "runs": len(metrics),
            **{
                f"{structure} {when}": statistics.mean(m[f"source/{when}/{structure}/dice_per_case"] for m in metrics)
                for structure in ("liver", "tumour")
                for when in ("before", "after")
            },
        }
        for strategy, metrics in sorted(of_strategy.items())
    ]


def main() -> None:
    runs = [read(path.parent) for path in sorted(Path(sys.argv[1]).glob(f"*/{NAMES.metrics}"))]
    write_csv(HERE / "curves.csv", curve_rows(runs))
    write_png(draw(runs), HERE / "curves.png")
    rows = forgetting_rows(runs)
    write_csv(HERE / "forgetting.csv", rows)
    print(text_table(rows))


if __name__ == "__main__":
    main()
