"""Time and memory to predict a scan, beside nnU-Net and MONAI.

From the start of the command to the mask on the disk, with networks of equal FLOPs.
"""

import os
import subprocess
import sys
from argparse import Namespace
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

from experiments.speed import nnunet
from experiments.speed.command import ROOT, add_counts, interpreter, parser_of, publish
from experiments.speed.flops import gigaflops
from experiments.speed.machine import machine
from experiments.speed.phantoms import write_scan
from experiments.speed.process import Usage, app, measure
from experiments.speed.rounds import judged_ratio, median_and_range, round_robin
from lightning_liver.imageio.nifti import read_header
from lightning_liver.inference.coarse import SPECK_MM2
from lightning_liver.inference.postprocess import largest_liver
from lightning_liver.runs.trained import read_run
from lightning_liver.tables import Row, text_table

MATRIX, WIDTH = 256, 16  # of both networks; the scan is resampled to MATRIX pixels along a side
TRAINED_MINUTES = 2  # an untrained network finds nothing or many specks, which changes the time
UNSEEN = 100  # number of the predicted phantom, which is not in training
OURS, ALL, NNUNET, MONAI = "liver-predict", "liver-predict, all slices", "nnUNetv2_predict", "MONAI, SliceInferer"
FOR_MONAI = "monai.pt"  # file in the run folder: weights, window and spacing
LIVER = 1 / 3  # fraction of slices with liver, as in a scan from the lungs to the pelvis
TARGETS = {"time": 0.25, "peak memory": 0.5}

Contender = Callable[[], Usage]


def trained_run(folder: Path, spacing_mm: float, *overrides: str) -> float:
    """Train unet_small on phantoms and return the GFLOP of a slice."""
    options = [f"data.spacing_mm={spacing_mm}", f"data.matrix={MATRIX}", "data.cases=8", "data.standardise=false"]
    budget = [
        "model=unet_small",
        "trainer=cpu",
        f"trainer.max_minutes={TRAINED_MINUTES}",
        "trainer.enable_progress_bar=false",
    ]
    command = [sys.executable, "train.py", *options, *budget, *overrides, "report=false", f"hydra.run.dir={folder}"]
    subprocess.run(command, check=True, cwd=ROOT)
    trained = read_run(folder)
    window_hu = trained.normalization.window_hu
    kept = {"weights": trained.network.state_dict(), "window_hu": window_hu, "spacing_mm": spacing_mm}
    torch.save(kept, folder / FOR_MONAI)
    return gigaflops(trained.network, MATRIX)


def write_nnunet_model(work: Path, python: Path, spacing_mm: float) -> float:
    """Write a model of nnU-Net as its training would and return the GFLOP of a slice."""
    folder = work / "results" / nnunet.NAME / "nnUNetTrainer__nnUNetPlans__2d"
    options = [str(word) for word in (folder, MATRIX, WIDTH, spacing_mm)]
    command = [str(python), "-m", "experiments.speed.predict.nnunet_model", *options]
    environment = os.environ | nnunet.environment(work)
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env=environment).stdout
    return float(output.split()[-1])


def predict_ours(work: Path, scan: Path, *overrides: str) -> Usage:
    output = _emptied(work / ("all" if overrides else "ours"))
    files = [f"run={work / 'run'}", f"input={scan}", f"output={output}", f"hydra.run.dir={work / 'hydra'}"]
    return _checked(measure(app("predict", *files, "trainer=cpu", *overrides), cwd=ROOT), output)


def predict_nnunet(work: Path, scan: Path, python: Path) -> Usage:
    output, given = _emptied(work / "nnunet"), _emptied(work / "given")
    copy(scan, given / "case_0000.nii.gz")
    command = [python.with_name("nnUNetv2_predict"), "-i", given, "-o", output]
    options = ["-d", nnunet.NUMBER, "-c", "2d", "-f", "0", "--disable_tta", "-npp", "1", "-nps", "1", "-device", "cpu"]
    return _checked(measure([*command, *options], environment=nnunet.environment(work)), output)


def predict_monai(work: Path, scan: Path) -> Usage:
    output = _emptied(work / "monai")
    program = [sys.executable, "-m", "experiments.speed.predict.monai_predict"]
    return _checked(measure([*program, work / "run" / FOR_MONAI, scan, output], cwd=ROOT), output)


def rows(taken: Mapping[str, Sequence[Usage]], gflop: Mapping[str, float]) -> list[Row]:
    """Return a row per program: medians over rounds and ranges."""
    made: list[Row] = []
    for name, of_rounds in taken.items():
        seconds, spread = median_and_range([one.seconds for one in of_rounds], 1)
        memory, its_spread = median_and_range([one.peak_bytes / 1e9 for one in of_rounds], 2)
        row: Row = {"program": name, "GFLOP a slice": gflop[name], "s": seconds, "range": spread}
        made.append({**row, "peak GB": memory, "its range": its_spread})
    return made


def verdict(taken: Mapping[str, Sequence[Usage]]) -> list[str]:
    """Judge time and memory beside nnU-Net and MONAI by ratios of the same round."""
    lines = []
    for own, other in product((OURS, ALL), (NNUNET, MONAI)):
        pairs = list(zip(taken[own], taken[other], strict=True))
        ratios = {
            "time": [a.seconds / b.seconds for a, b in pairs],
            "peak memory": [a.peak_bytes / b.peak_bytes for a, b in pairs],
        }
        for name, target in TARGETS.items():
            lines.append(judged_ratio(f"{own}, {name} over that of {other}", ratios[name], "<=", target, 3))
    return lines


def liver_found(work: Path) -> str:
    """Return the fraction of slices with liver, and a warning if it is extreme or differs between the programs.

    MONAI's masks keep all parts of liver, ours the largest one, so only the largest part of each mask is counted.
    """
    found = {name: liver_fraction(work / folder) for name, folder in ((OURS, "ours"), (ALL, "all"), (MONAI, "monai"))}
    each = ", ".join(f"{fraction:.0%} by {name}" for name, fraction in found.items())
    text = f"Slices with {SPECK_MM2 / 100:g} cm2 of liver: {each}"
    if not 0.1 < found[ALL] < 0.9 or max(found.values()) - min(found.values()) > 0.1:
        return f"{text}. Not a fair comparison: the masks have too little liver, too much, or differ."
    return text


def section(given: Namespace, work: Path) -> str:
    python = interpreter("nnunet", given.nnunet)
    scan = given.data or write_scan(work / "scan", UNSEEN, slices=given.slices, liver=LIVER)[0]
    header = read_header(scan)
    spacing_mm = header.spacing_mm[2] * header.shape[2] / MATRIX
    own = trained_run(work / "run", spacing_mm)
    of_nnunet = write_nnunet_model(work, python, spacing_mm)
    contenders = {
        OURS: partial(predict_ours, work, scan),
        ALL: partial(predict_ours, work, scan, "options.coarse_mm=null"),
        NNUNET: partial(predict_nnunet, work, scan, python),
        MONAI: partial(predict_monai, work, scan),
    }
    taken = round_robin(contenders, given.rounds)
    gflop = {name: of_nnunet if name == NNUNET else own for name in contenders}
    source = "A given scan" if given.data else f"A synthetic scan, 512x512x{given.slices}"
    title = f"{source}; all cores; median of {given.rounds} rounds and their range\n{liver_found(work)}"
    return "\n\n".join([title, text_table(rows(taken, gflop)), "\n".join(verdict(taken))])


def main(arguments: Sequence[str]) -> None:
    parser = parser_of("predict", __doc__)
    parser.add_argument("--nnunet", type=Path, default=nnunet.PYTHON, help="Python that has nnunetv2 (%(default)s)")
    parser.add_argument("--data", type=Path, help="NIfTI file, instead of a synthetic scan")
    add_counts(parser, slices=(119, "slices of the synthetic scan"), rounds=(3, "rounds over all programs"))
    given = parser.parse_args(arguments)
    with TemporaryDirectory() as work:
        text = f"{machine(('torch', 'monai'))}\n\n{section(given, Path(work))}"
    publish(text, parser, given)


def _emptied(folder: Path) -> Path:
    rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def liver_fraction(output: Path) -> float:
    """Return the fraction of slices on which the largest part of a mask is more than a speck."""
    (path,) = output.glob("*.nii.gz")
    mask: Any = nib.load(path)  # type: ignore[attr-defined]
    x_mm, y_mm = mask.header.get_zooms()[:2]
    labels = np.asarray(mask.dataobj).astype(np.uint8)
    areas_mm2 = np.count_nonzero(largest_liver(labels, (1.0, 1.0, 1.0)), axis=(0, 1)) * x_mm * y_mm
    return float((areas_mm2 >= SPECK_MM2).mean())


def _checked(usage: Usage, output: Path) -> Usage:
    if not list(output.glob("*.nii.gz")):
        raise RuntimeError(f"{output.name} wrote no mask")
    return usage
