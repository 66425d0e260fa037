"""python -m experiments.speed.predict --nnunet PYTHON --write

Prints what it takes to predict one scan, from the start of the command to the mask on the disk, beside nnU-Net's and
MONAI's ways with networks of equal arithmetic: seconds and memory.
"""

import os
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from shutil import copy, rmtree
from tempfile import TemporaryDirectory

import torch
from omegaconf import OmegaConf
from torch.utils.flop_counter import FlopCounterMode

from experiments.speed.command import parser_of, publish
from experiments.speed.full_size import write_scan
from experiments.speed.machine import machine
from experiments.speed.rounds import in_turns, middle_and_range
from experiments.speed.watched import Watched, watch
from lightning_liver.build import build
from lightning_liver.config import compose
from lightning_liver.data.slices import KEPT_AS, Appearance
from lightning_liver.report.tables import Row, text_table

ROOT = Path(__file__).parents[2]
COMMAND = "make bench-predict"
MATRIX, WIDTH, SPACING_MM = 256, 16, 1.5  # of both networks; a scan is brought to this spacing
FAR = -100.0  # the bias of logits: random weights would find specks by the ten thousand, which no trained network does
OURS, NNUNET, MONAI = "liver-predict", "nnUNetv2_predict", "MONAI, SliceInferer"
TARGETS = {"time": 0.25, "peak memory": 0.5}

Contender = Callable[[], Watched]


def made_run(folder: Path) -> float:
    """A run folder with random weights of unet_small; returns the FLOPs of a slice."""
    cfg = compose("train", ["model=unet_small", f"data.spacing_mm={SPACING_MM}"])
    (folder / ".hydra").mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    OmegaConf.save(cfg, folder / ".hydra" / "config.yaml")
    torch.manual_seed(0)
    network = build(cfg.model).eval()
    torch.nn.init.constant_(network.head.bias, FAR)
    look = Appearance(tuple(cfg.data.window_hu), context=0, mean=0.4, std=0.3)
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": state, KEPT_AS: asdict(look)}, folder / "checkpoints" / "best.ckpt")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 1, MATRIX, MATRIX))
    return float(counter.get_total_flops())


def made_model(results: Path, python: Path) -> float:
    """The same for nnU-Net, below its folder of results."""
    folder = results / "Dataset501_CT" / "nnUNetTrainer__nnUNetPlans__2d"
    program = Path(__file__).with_name("nnunet_model.py")
    options = [folder, MATRIX, WIDTH, SPACING_MM]
    command = [str(word) for word in (python.absolute(), program, *options)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | _places(results)).stdout
    return float(said.split()[-1])


def ours(work: Path, scan: Path) -> Watched:
    output = _empty(work / "ours")
    program = "from lightning_liver.apps.predict import main; main()"
    told = [
        f"run={work / 'run'}",
        f"input={scan}",
        f"output={output}",
        "trainer=cpu",
        f"hydra.run.dir={work / 'hydra'}",
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
    return _done(
        watch([sys.executable, "-m", "experiments.speed.monai_predict", work / "run", scan, output], cwd=ROOT), output
    )


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
    for other in (name for name in taken if name != OURS):
        pairs = list(zip(taken[OURS], taken[other], strict=True))
        figures = {
            "time": [a.seconds / b.seconds for a, b in pairs],
            "peak memory": [a.peak_bytes / b.peak_bytes for a, b in pairs],
        }
        for what, ratios in figures.items():
            ratio, spread = middle_and_range(ratios, 3)
            word = "pass" if ratio <= TARGETS[what] else "FAIL"
            lines.append(f"{what} over that of {other}: {ratio:.3f} ({spread}), target <= {TARGETS[what]:g}: {word}")
    return lines


def section(given: Namespace, work: Path) -> str:
    flops = {OURS: made_run(work / "run"), NNUNET: made_model(work / "results", given.nnunet)}
    scan = given.data or write_scan(work / "scan", 0, slices=given.slices)[0]
    contenders = {
        OURS: partial(ours, work, scan),
        NNUNET: partial(nnunet, work, scan, given.nnunet),
        MONAI: partial(monai, work, scan),
    }
    taken = in_turns(contenders, given.rounds)
    gflop = {name: count / 1e9 for name, count in (flops | {MONAI: flops[OURS]}).items()}
    what = "A given scan" if given.data else f"A made scan, 512x512x{given.slices}"
    title = f"{what}; all cores; median of {given.rounds} rounds and their range"
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
