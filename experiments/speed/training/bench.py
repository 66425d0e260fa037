"""Time of a training step, beside a bare PyTorch loop and beside the limits of the machine.

Compares the framework with a bare loop, batches from the store with a batch in memory, the chosen precision with
float32, and the step with the least time that this machine could take.
"""

import statistics
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from experiments.speed.command import add_counts, parser_of, publish
from experiments.speed.machine import machine
from experiments.speed.rounds import judged, judged_ratio, median_and_range, ratios, round_robin, time_rows
from experiments.speed.training import roofline
from experiments.speed.training.step import Setup, bare, framework, with_options
from lightning_liver.inference.predict_volume import AUTOCAST
from lightning_liver.tables import Row, text_table
from lightning_liver.training.compiling import is_wanted

BARE, MEMORY, STORE, FLOAT32 = "bare loop", "framework, batch in memory", "framework, from the store", "bare, float32"
COMPILED = "framework, compiled"


@dataclass(frozen=True)
class Recipe:
    """Training to be timed, and its options of train.py."""

    name: str
    overrides: tuple[str, ...]
    matrix: int


RECIPES = {
    "small": Recipe(
        "unet_small, 256x256, batch 8, 1 worker", ("model=unet_small", "data.num_workers=1", "augment=basic"), 256
    ),
    "gpu": Recipe(
        "experiment=full_resolution: unet, 512x512, batch 8, 4 workers",
        ("experiment=full_resolution", "trainer=gpu", "augment=basic"),
        512,
    ),
}


def times(setup: Setup, count: int) -> dict[str, list[float]]:
    """Return seconds a step of every contender in every round."""
    batch = setup.batch()
    contenders = {
        BARE: partial(bare, setup, batch, memory_format=True),
        MEMORY: partial(framework, with_options(setup, compile=False), batch),
        STORE: partial(framework, setup, None),
        FLOAT32: partial(bare, with_options(setup, precision="32-true"), batch, memory_format=False),
        COMPILED: partial(framework, with_options(setup, compile=True), batch),
    }
    return round_robin(contenders, count)


def rows(taken: Mapping[str, Sequence[float]], batch_size: int) -> list[Row]:
    """Return a row per contender: median over rounds and range."""
    return [
        {**row, "slices/s": 1000 * batch_size / float(row["ms"] or 0)}
        for row in time_rows(taken, "step", "ms", scale=1000)
    ]


def verdict(taken: Mapping[str, Sequence[float]], *, shipped: str, has_half: bool) -> list[str]:
    """Judge each target by ratios of the same round.

    Args:
        shipped: the recipe's own step, MEMORY or COMPILED.
        has_half: half precision is the machine's default; otherwise the step only must not be slower than float32.
    """
    float32, wanted = "eager float32 over the step as shipped", 2.0
    if not has_half:
        float32, wanted = f"{float32}, which is in float32 here, too", 1.0
    asked = (
        ("framework over bare loop, batch in memory", MEMORY, BARE, 1.03, "<="),
        ("slices/s from the store over those from memory", shipped, STORE, 0.97, ">="),
        (float32, FLOAT32, shipped, wanted, ">="),
    )
    lines = [
        judged_ratio(title, ratios(taken[above], taken[below]), sign, target, 3)
        for title, above, below, target, sign in asked
    ]
    median, spread = median_and_range(ratios(taken[MEMORY], taken[COMPILED]), 3)
    return [*lines, f"with trainer.compile=true a step is {median:.3f} ({spread}) times as quick"]


def least(setup: Setup, step_s: float, other_s: float, other: str) -> list[str]:
    """Return the roofline of the step, and the fraction of it that both steps reach."""
    device, kind = setup.device, AUTOCAST.get(setup.options.precision) or torch.float32
    rate, bandwidth = roofline.flops_a_second(device, kind), roofline.bytes_a_second(device)
    images = setup.batch()["image"]
    passes = roofline.layers(setup.network().to(device), images, element=kind.itemsize)
    seconds = sum(layer.seconds(rate, bandwidth) for layer in passes)
    bound = sum(layer.seconds(rate, bandwidth) for layer in passes if layer.flops / rate > layer.moved / bandwidth)
    flops, moved = sum(layer.flops for layer in passes), sum(layer.moved for layer in passes)
    share = seconds / step_s
    return [
        f"matrix products {rate / 1e12:.3g} TFLOP/s in {kind}, copies {bandwidth / 1e9:.3g} GB/s; "
        f"a step is {flops / 1e9:.4g} GFLOP and {moved / 1e9:.3g} GB",
        f"least time {1000 * seconds:.2f} ms, {bound / seconds:.0%} of it arithmetic; "
        + judged(f"the step as shipped reaches {share:.0%} of that speed", share, ">=", 0.6, "{:.0%}"),
        f"{other} reaches {seconds / other_s:.0%}",
    ]


def section(recipe: Recipe, given: Namespace) -> str:
    setup = Setup.of(*recipe.overrides, matrix=recipe.matrix, cases=6, steps=given.steps)
    taken = times(setup, given.rounds)
    table = rows(taken, setup.cfg.data.batch_size)
    where = f"{setup.options.accelerator} in {setup.options.precision}"
    shipped, other = (COMPILED, MEMORY) if is_wanted(setup.options, hooked=False) else (MEMORY, COMPILED)
    title = f"{recipe.name}; {where}; {given.rounds} rounds of {given.steps} steps; as shipped: {shipped}"
    seconds = {name: statistics.median(taken[name]) for name in (shipped, other)}
    shown = least(setup, seconds[shipped], seconds[other], other)
    lines = verdict(taken, shipped=shipped, has_half=setup.options.precision != "32-true")
    return "\n".join([title, "", text_table(table), "", *lines, *shown])


def main(arguments: Sequence[str]) -> None:
    parser = parser_of("training", __doc__)
    parser.add_argument("--recipe", choices=RECIPES, default="small", help="training to be timed (%(default)s)")
    add_counts(parser, rounds=(5, "rounds over all contenders"), steps=(60, "steps timed in a round"))
    given = parser.parse_args(arguments)
    text = f"{machine(('torch', 'pytorch-lightning'))}\n\n{section(RECIPES[given.recipe], given)}"
    publish(text, parser, given, block=f"training-{given.recipe}")
