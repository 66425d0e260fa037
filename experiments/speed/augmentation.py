"""python experiments/speed/augmentation.py --write

Prints what augmentation costs: milliseconds a slice for every policy of conf/augment; five transforms by our policy,
MONAI and batchgeneratorsv2; the share of training that waits for data. --write puts it into README.md beside this file.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when numpy is imported

from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path

import cv2
import torch

from experiments.speed import batchgenerators_set, monai_set, ours, peers, policies, waiting
from experiments.speed.machine import machine
from experiments.speed.scans import scan
from lightning_liver.comparison.readme import Block, write_block
from lightning_liver.tables import text_table

COMMAND = "make bench-augment"
README = Path(__file__).with_name("README.md")
MATRICES = (256, 512)
LIBRARIES = ("torch", "numpy", "opencv-python-headless", "albumentations", "monai", "batchgeneratorsv2")


def policy_section(given: Namespace) -> str:
    rows = policies.policy_rows(MATRICES, rounds=given.rounds, batches=given.calls)
    title = f"Milliseconds a slice, one thread: median of {given.rounds} rounds and their range"
    return "\n".join([title, "", text_table(rows), "", *policies.limits(rows, MATRICES[-1])])


def peer_section(matrix: int, given: Namespace) -> str:
    image = scan(matrix)
    others = [monai_set.contender(image), batchgenerators_set.contender(image)]
    contenders = [ours.contender(image), ours.to_tensor(image), *others]
    changes = peers.change_rows(contenders)
    rows = peers.speed_rows(contenders, rounds=given.rounds, calls=given.calls)
    title = f"Five transforms, {matrix}x{matrix}, one thread: median of {given.rounds} rounds and their range"
    verdict = f"ours at {matrix}: {peers.verdict(rows, [other.name for other in others])}"
    what = "What they change: mean difference to the slice, % of the window"
    return "\n".join([title, "", text_table(rows), "", verdict, "", what, "", text_table(changes)])


def wait_section(given: Namespace) -> str:
    rows = waiting.wait_rows(epochs=given.epochs, steps=given.steps, runs=given.runs)
    title = f"Training waits for data: {given.epochs} epochs of {given.steps} steps; median of {given.runs} runs"
    return "\n".join([title, "", text_table(rows), "", waiting.verdict(rows)])


def main() -> None:
    given = _parser().parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    sections = [machine(LIBRARIES)]
    print(sections[0], flush=True)
    for section in (policy_section, *(partial(peer_section, matrix) for matrix in MATRICES), wait_section):
        sections.append(section(given))
        print(f"\n{sections[-1]}", flush=True)
    if given.write:
        write_block(README, Block(COMMAND, "\n\n".join(sections)), "augmentation")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description=__doc__.partition("\n")[2].strip())
    for name, default, what in (
        ("rounds", 9, "rounds over all that is compared"),
        ("calls", 8, "batches of a policy, or slices of a set, in a round"),
        ("runs", 1, "training runs of each policy"),
        ("epochs", 1, "of a training run"),
        ("steps", 60, "of an epoch"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{what} (%(default)s)")
    parser.add_argument("--write", action="store_true", help="into the README beside this file")
    return parser


if __name__ == "__main__":
    main()
