"""python -m experiments.position [--version 2] [--cases 24] [--lits FOLDER [--patients CSV]]

Print the liver Dice of a prediction from position alone, and how far the liver's centre moves, for README.md.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from experiments.position.prior import LiverMask, centre_spread_mm, placements, position_alone, with_liver
from lightning_liver.data.phantom.data_set import render
from lightning_liver.data.sources import lits
from lightning_liver.imageio.nifti import read_labels, read_volume
from lightning_liver.tables import text_table


def phantoms(version: int, *, cases: int, matrix: int = 64) -> list[LiverMask]:
    """Render liver masks of the phantoms with the default seed."""
    drawn = (render(case, seed=0, matrix=matrix, tumour_fraction=0.012, version=version) for case in range(cases))
    return [LiverMask(labels > 0, volume.spacing_mm, str(case)) for case, (volume, labels) in enumerate(drawn)]


def scans(root: Path, patients: Path | None) -> list[LiverMask]:
    """Read the liver masks of a folder of LiTS."""
    masks = []
    for case in lits(root, patients=patients):
        if case.labels is not None:
            volume = read_volume(case.volume)
            masks.append(LiverMask(read_labels(case.labels, volume) > 0, volume.spacing_mm, case.patient))
    return masks


def rows(masks: Sequence[LiverMask]) -> list[dict[str, str]]:
    """Return a row for each way to find a slice's place in the body, and a column for each range of slices."""
    ranges = {"all slices": masks, "slices with liver": [with_liver(mask) for mask in masks]}
    return [
        {"slice's place": name} | {title: f"{position_alone(some, place):.2f}" for title, some in ranges.items()}
        for name, place in placements()
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure phantoms, or a folder of scans."""
    parser = argparse.ArgumentParser(prog="python -m experiments.position", description=__doc__)
    parser.add_argument("--version", type=int, default=2, help="of the phantoms")
    parser.add_argument("--cases", type=int, default=24, help="number of phantoms")
    parser.add_argument("--lits", type=Path, help="folder of scans to measure in place of phantoms")
    parser.add_argument("--patients", type=Path, help="CSV with the header case,patient")
    given = parser.parse_args(arguments)
    masks = phantoms(given.version, cases=given.cases) if given.lits is None else scans(given.lits, given.patients)
    print(text_table(rows(masks)))
    y, x = centre_spread_mm(masks)
    print(f"standard deviation of the liver's centre in the field: {y:.1f} mm along y, {x:.1f} mm along x")


if __name__ == "__main__":
    main()
