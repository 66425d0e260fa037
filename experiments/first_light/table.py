"""Tabulate the runs of the sweep: python experiments/first_light/table.py multirun/first_light

Writes results.csv beside this file (a row per fold) and prints the table of README.md.
"""

import csv
import json
import statistics
import sys
from pathlib import Path

from omegaconf import OmegaConf

from lightning_liver.run_folder import NAMES, RunFolder
from lightning_liver.tables import Row, text_table, write_csv
from lightning_liver.types import STRUCTURES


def fold_row(run: Path) -> Row:
    """Return the test patient of a run, its training length and Dice per case."""
    files = RunFolder(run)
    cases = list(csv.DictReader(files.cases.open()))
    metrics = json.loads(files.metrics.read_text())
    dice = {s: [float(c["dice"]) for c in cases if c["structure"] == s] for s in STRUCTURES}
    return {
        "fold": OmegaConf.load(files.config).data.fold,
        "patient": cases[0]["patient"],
        "scans": len(dice["liver"]),
        "epochs": metrics["epochs"],
        "steps": metrics["steps"],
        **{f"{s}_dice": round(statistics.mean(dice[s]), 3) for s in STRUCTURES},
        "tumour_dice_per_scan": " ".join(f"{value:.3f}" for value in dice["tumour"]),
    }


def main() -> None:
    runs = [path.parent for path in Path(sys.argv[1]).glob(f"*/{NAMES.metrics}")]
    rows = sorted((fold_row(run) for run in runs), key=lambda row: int(row["fold"] or 0))
    write_csv(Path(__file__).with_name("results.csv"), rows)
    medians: Row = {"fold": "median", "patient": ""} | {
        f"{s}_dice": statistics.median([float(row[f"{s}_dice"] or 0) for row in rows]) for s in STRUCTURES
    }
    print(text_table([*rows, medians]))


if __name__ == "__main__":
    main()
