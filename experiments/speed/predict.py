"""python -m experiments.speed.predict --nnunet PYTHON --write

Prints what it takes to predict one scan, from the start of the command to the mask on the disk, beside nnU-Net's and
MONAI's ways with networks of equal arithmetic: seconds and memory.
"""

import os
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from shutil import copy, rmtree
from tempfile import TemporaryDirectory
from typing import Any

import nibabel as nib
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from experiments.speed.command import parser_of, publish
from experiments.speed.full_size import write_scan
from experiments.speed.machine import machine
from experiments.speed.rounds import in_turns, middle_and_range
from experiments.speed.watched import Watched, watch
from lightning_liver.imageio.nifti import read_header
from lightning_liver.inference.coarse import SPECK_MM2
from lightning_liver.inference.postprocess import largest_liver
from lightning_liver.runs.trained import read_run
from lightning_liver.tables import Row, text_table

ROOT = Path(__file__).parents[2]
COMMAND = "make bench-predict"
MATRIX, WIDTH = 256, 16  # of both networks; the scan is brought to a grid of so many pixels
TRAINED_MINUTES = 2  # what finds nothing, or specks by the ten thousand, takes another time than a trained network
UNSEEN = 100  # the phantom that is predicted: none of those that train
OURS, ALL, NNUNET, MONAI = "liver-predict", "liver-predict, all slices", "nnUNetv2_predict", "MONAI, SliceInferer"
FOR_MONAI = "monai.pt"  # in the run's folder: what another tool needs of it
LIVER = 1 / 3  # of the slices show some, as of a scan from the lungs to the pelvis
TARGETS = {"time": 0.25, "peak memory": 0.5}

Contender = Callable[[], Watched]


def trained_run(folder: Path, spacing_mm: float, *typed: str) -> float:
    """A run of unet_small that found livers of phantoms; returns the FLOPs of a slice."""
    told = [f"data.spacing_mm={spacing_mm}", f"data.matrix={MATRIX}", "data.cases=8", "data.standardise=false"]
    budget = ["model=unet_small", "trainer=cpu", f"trainer.max_minutes={TRAINED_MINUTES}", "trainer.progress=false"]
    command = [sys.executable, "train.py", *told, *budget, *typed, "report=false", f"hydra.run.dir={folder}"]
    subprocess.run(command, check=True, cwd=ROOT)
    trained = read_run(folder)
    window_hu = trained.normalization.window_hu
    kept = {"weights": trained.network.state_dict(), "window_hu": window_hu, "spacing_mm": spacing_mm}
    torch.save(kept, folder / FOR_MONAI)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        trained.network(torch.zeros(1, 1, MATRIX, MATRIX))
    return float(counter.get_total_flops())


def made_model(results: Path, python: Path, spacing_mm: float) -> float:
    """The same for nnU-Net, below its folder of results."""
    folder = results / "Dataset501_CT" / "nnUNetTrainer__nnUNetPlans__2d"
    program = Path(__file__).with_name("nnunet_model.py")
    options = [folder, MATRIX, WIDTH, spacing_mm]
    command = [str(word) for word in (python.absolute(), program, *options)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | _places(results)).stdout
    return float(said.split()[-1])


def ours(work: Path, scan: Path, *typed: str) -> Watched:
    output = _empty(work / ("all" if typed else "ours"))
    program = "from lightning_liver.apps.predict import main; main()"
    told = [
        f"run={work / 'run'}",
        f"input={scan}",
        f"output={output}",
        "trainer=cpu",
        f"hydra.run.dir={work / 'hydra'}",
        *typed,
    ]
    return _done(watch([sys.executable, "-c", program, *told], cwd=ROOT), output)


def nnunet(work: Path, scan: Path, python: Path) -> Watched:
    output, given = _empty(work / "nnunet"), _empty(work / "given")
    copy(scan, given / "case_0000.nii.gz")
    command = [python.absolute().with_name("nnUNetv2_predict"), "-i", given, "-o", output]
    options = ["-d", "501", "-c", "2d", "-f", "0", "--disable_tta", "-npp", "1", "-nps", "1", "-device", "cpu"]
    return _done(watch([*command, *options], environment=_places(work / "results")), output)


def monai(work: Path, scan: Path) -> Watched:
    output = _empty(work / "monai")
    program = [sys.executable, "-m", "experiments.speed.monai_predict"]
    return _done(watch([*program, work / "run" / FOR_MONAI, scan, output], cwd=ROOT), output)


def rows(taken: Mapping[str, Sequence[Watched]], gflop: Mapping[str, float]) -> list[Row]:
    """A row a program: medians over rounds and ranges."""
    made: list[Row] = []
    for name, of_rounds in taken.items():
        seconds, spread = middle_and_range([one.seconds for one in of_rounds], 1)
        memory, its_spread = middle_and_range([one.peak_bytes / 1e9 for one in of_rounds], 2)
        row: Row = {"program": name, "GFLOP a slice": gflop[name], "s": seconds, "range": spread}
        made.append({**row, "peak GB": memory, "its range": its_spread})
    return made


def verdict(taken: Mapping[str, Sequence[Watched]]) -> list[str]:
    """Each target beside nnU-Net, and the same figures beside MONAI, as ratios of the same round."""
    lines = []
    for own, other in product((OURS, ALL), (NNUNET, MONAI)):
        pairs = list(zip(taken[own], taken[other], strict=True))
        figures = {
            "time": [a.seconds / b.seconds for a, b in pairs],
            "peak memory": [a.peak_bytes / b.peak_bytes for a, b in pairs],
        }
        for what, ratios in figures.items():
            ratio, spread = middle_and_range(ratios, 3)
            word = "pass" if ratio <= TARGETS[what] else "FAIL"
            title = f"{own}, {what} over that of {other}"
            lines.append(f"{title}: {ratio:.3f} ({spread}), target <= {TARGETS[what]:g}: {word}")
    return lines


def found(work: Path) -> str:
    """Where liver is found, and a warning where that is no scan to compare by, or where masks differ.

    MONAI's way keeps all parts of liver, ours the largest one; so of its mask, too, that one alone is counted.
    """
    shares = {name: share_found(work / folder) for name, folder in ((OURS, "ours"), (ALL, "all"), (MONAI, "monai"))}
    text = f"Slices with {SPECK_MM2 / 100:g} cm2 of liver: " + ", ".join(
        f"{s:.0%} to {name}" for name, s in shares.items()
    )
    if not 0.1 < shares[ALL] < 0.9 or max(shares.values()) - min(shares.values()) > 0.1:
        return f"{text}. That is no fair comparison: the network finds too little, too much, or not the same."
    return text


def section(given: Namespace, work: Path) -> str:
    scan = given.data or write_scan(work / "scan", UNSEEN, slices=given.slices, liver=LIVER)[0]
    header = read_header(scan)
    spacing_mm = header.spacing_mm[2] * header.shape[2] / MATRIX
    flops = trained_run(work / "run", spacing_mm)
    of_nnunet = made_model(work / "results", given.nnunet, spacing_mm)
    contenders = {
        OURS: partial(ours, work, scan),
        ALL: partial(ours, work, scan, "options.coarse_mm=null"),
        NNUNET: partial(nnunet, work, scan, given.nnunet),
        MONAI: partial(monai, work, scan),
    }
    taken = in_turns(contenders, given.rounds)
    gflop = {name: (of_nnunet if name == NNUNET else flops) / 1e9 for name in contenders}
    what = "A given scan" if given.data else f"A made scan, 512x512x{given.slices}"
    title = f"{what}; all cores; median of {given.rounds} rounds and their range\n{found(work)}"
    return "\n\n".join([title, text_table(rows(taken, gflop)), "\n".join(verdict(taken))])


def main() -> None:
    parser = _parser()
    given = parser.parse_args()
    with TemporaryDirectory() as work:
        text = f"{machine(('torch', 'monai'))}\n\n{section(given, Path(work))}"
    publish(text, parser, given, command=COMMAND, name="predict")


def _places(results: Path) -> dict[str, str]:
    """Where nnU-Net looks; without torch.compile, which would take its time at the start."""
    names = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    return {**dict.fromkeys(names, str(results)), "nnUNet_compile": "f"}


def _empty(folder: Path) -> Path:
    rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def share_found(output: Path) -> float:
    """Of slices, those on which the largest part of a mask has an area that is worth the name."""
    (path,) = output.glob("*.nii.gz")
    mask: Any = nib.load(path)  # type: ignore[attr-defined]
    x_mm, y_mm = mask.header.get_zooms()[:2]
    labels = np.asarray(mask.dataobj).astype(np.uint8)
    areas_mm2 = np.count_nonzero(largest_liver(labels, (1.0, 1.0, 1.0)), axis=(0, 1)) * x_mm * y_mm
    return float((areas_mm2 >= SPECK_MM2).mean())


def _done(watched: Watched, output: Path) -> Watched:
    if not list(output.glob("*.nii.gz")):
        raise RuntimeError(f"{output.name} wrote no mask")
    return watched


def _parser() -> ArgumentParser:
    parser = parser_of(__doc__)
    parser.add_argument("--nnunet", type=Path, required=True, help="Python of an environment that has nnunetv2")
    parser.add_argument("--data", type=Path, help="a NIfTI file, in place of a made scan")
    parser.add_argument("--slices", type=int, default=119, help="of the made scan (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="over all programs (%(default)s)")
    return parser


if __name__ == "__main__":
    main()
