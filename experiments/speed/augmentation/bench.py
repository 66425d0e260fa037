"""Time per augmented slice, beside MONAI and batchgeneratorsv2.

Prints milliseconds a slice for every policy of conf/augment; five transforms by our policy, MONAI and
batchgeneratorsv2; the fraction of training time spent waiting for data. Runs in an environment that has
batchgeneratorsv2, as `make bench` makes it.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when numpy is imported

from argparse import Namespace
from collections.abc import Sequence

import cv2
import torch

from experiments.speed.augmentation import batchgenerators_set, data_wait, monai_set, our_set, peers, policies
from experiments.speed.augmentation.scans import scan
from experiments.speed.command import add_counts, parser_of, publish
from experiments.speed.machine import machine
from lightning_liver.tables import text_table

MATRICES = (256, 512)
LIBRARIES = ("torch", "numpy", "opencv-python-headless", "albumentations", "monai", "batchgeneratorsv2")


def policy_section(given: Namespace) -> str:
    rows = policies.policy_rows(MATRICES, rounds=given.rounds, batches=given.calls)
    title = f"Milliseconds a slice, one thread: median of {given.rounds} rounds and their range"
    return "\n".join([title, "", text_table(rows), "", *policies.limits(rows, MATRICES[-1])])


def peer_section(matrix: int, given: Namespace) -> str:
    image = scan(matrix)
    others = [monai_set.contender(image), batchgenerators_set.contender(image)]
    contenders = [our_set.contender(image), our_set.to_tensor(image), *others]
    changes = peers.change_rows(contenders)
    rows = peers.speed_rows(contenders, rounds=given.rounds, calls=given.calls)
    title = f"Five transforms, {matrix}x{matrix}, one thread: median of {given.rounds} rounds and their range"
    verdict = f"ours at {matrix}: {peers.verdict(rows, [other.name for other in others])}"
    change_title = "Change of the image: mean difference to the slice, % of the window"
    return "\n".join([title, "", text_table(rows), "", verdict, "", change_title, "", text_table(changes)])


def wait_section(given: Namespace) -> str:
    rows = data_wait.wait_rows(epochs=given.epochs, steps=given.steps, runs=given.runs)
    title = f"Waiting for data: {given.epochs} epochs of {given.steps} steps; median of {given.runs} runs"
    return "\n".join([title, "", text_table(rows), "", data_wait.verdict(rows)])


def main(arguments: Sequence[str]) -> None:
    parser = parser_of("augmentation", __doc__)
    add_counts(
        parser,
        rounds=(9, "rounds over all contenders"),
        calls=(8, "batches of a policy, or slices of a set, in a round"),
        runs=(1, "training runs of each policy"),
        epochs=(1, "epochs of a training run"),
        steps=(60, "steps of an epoch"),
    )
    given = parser.parse_args(arguments)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    of_sizes = [peer_section(matrix, given) for matrix in MATRICES]
    sections = [machine(LIBRARIES), policy_section(given), *of_sizes, wait_section(given)]
    publish("\n\n".join(sections), parser, given)
