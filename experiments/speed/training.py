"""python -m experiments.speed.training --write

Prints what a training step takes: the framework beside a bare PyTorch loop, fed from the store beside fed from memory,
the precision that is chosen beside float32, and all of it beside the least that this machine could need.
"""

import statistics
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from experiments.speed import roofline
from experiments.speed.command import parser_of, publish
from experiments.speed.machine import machine
from experiments.speed.rounds import in_turns, middle_and_range
from experiments.speed.step import Setup, bare, framework, with_options
from lightning_liver.inference.predict_volume import AUTOCAST
from lightning_liver.tables import Row, text_table
from lightning_liver.training.compiling import is_wanted

BARE, MEMORY, STORE, FLOAT32 = "bare loop", "framework, batch in memory", "framework, from the store", "bare, float32"
COMPILED = "framework, compiled"


@dataclass(frozen=True)
class Recipe:
    """What is trained, and what `python train.py` would be told."""

    name: str
    overrides: tuple[str, ...]
    matrix: int


RECIPES = {
    "small": Recipe(
        "unet_small, 256x256, batch 8, 1 worker", ("model=unet_small", "data.num_workers=1", "augment=basic"), 256
    ),
    "gpu": Recipe("trainer=gpu: unet, 512x512, batch 8, 4 workers", ("trainer=gpu", "augment=basic"), 512),
}


def times(setup: Setup, count: int) -> dict[str, list[float]]:
    """Seconds a step of every contender in every round."""
    batch = setup.batch()
    contenders = {
        BARE: partial(bare, setup, batch, laid_out=True),
        MEMORY: partial(framework, with_options(setup, compile=False), batch),
        STORE: partial(framework, setup, None),
        FLOAT32: partial(bare, with_options(setup, precision="32-true"), batch, laid_out=False),
        COMPILED: partial(framework, with_options(setup, compile=True), batch),
    }
    return in_turns(contenders, count)


def rows(taken: Mapping[str, Sequence[float]], batch_size: int) -> list[Row]:
    """A row a contender: median over rounds and range."""
    made: list[Row] = []
    for name, seconds in taken.items():
        median, spread = middle_and_range([1000 * value for value in seconds], 2)
        made.append({"step": name, "ms": median, "range": spread, "slices/s": 1000 * batch_size / median})
    return made


def ratios(taken: Mapping[str, Sequence[float]], *, shipped: str, has_half: bool) -> list[str]:
    """Each target, as a ratio of the same round.

    Args:
        shipped: what the recipe does by itself, MEMORY or COMPILED.
        has_half: whether half precision is chosen here; elsewhere what is chosen must not be slower than float32.
    """
    float32, wanted = "eager float32 over the step as shipped", 2.0
    if not has_half:
        float32, wanted = f"{float32}, which is in float32 here, too", 1.0
    asked = (
        ("framework over bare loop, batch in memory", MEMORY, BARE, 1.03, "<="),
        ("slices/s from the store over those from memory", shipped, STORE, 0.97, ">="),
        (float32, FLOAT32, shipped, wanted, ">="),
    )
    lines = []
    for what, above, below, target, sign in asked:
        median, spread = middle_and_range([a / b for a, b in zip(taken[above], taken[below], strict=True)], 3)
        held = median <= target if sign == "<=" else median >= target
        lines.append(f"{what}: {median:.3f} ({spread}), target {sign} {target:g}: {'pass' if held else 'FAIL'}")
    median, spread = middle_and_range([a / b for a, b in zip(taken[MEMORY], taken[COMPILED], strict=True)], 3)
    return [*lines, f"with trainer.compile=true a step is {median:.3f} ({spread}) times as quick"]


def least(setup: Setup, step_s: float, other_s: float, other: str) -> list[str]:
    """The roofline of the step, and how much of it the step as shipped reaches, and the other one."""
    device, kind = setup.device, AUTOCAST.get(setup.options.precision) or torch.float32
    rate, bandwidth = roofline.flops_a_second(device, kind), roofline.bytes_a_second(device)
    images = setup.batch()["image"]
    passes = roofline.layers(setup.task().network.to(device), images, element=kind.itemsize)
    seconds = sum(layer.seconds(rate, bandwidth) for layer in passes)
    bound = sum(layer.seconds(rate, bandwidth) for layer in passes if layer.flops / rate > layer.moved / bandwidth)
    flops, moved = sum(layer.flops for layer in passes), sum(layer.moved for layer in passes)
    share = seconds / step_s
    return [
        f"matrix products {rate / 1e12:.3g} TFLOP/s in {kind}, copies {bandwidth / 1e9:.3g} GB/s; "
        f"a step is {flops / 1e9:.4g} GFLOP and {moved / 1e9:.3g} GB",
        f"least time {1000 * seconds:.2f} ms, {bound / seconds:.0%} of it arithmetic; "
        f"the step as shipped reaches {share:.0%} of that speed, target >= 60%: {'pass' if share >= 0.6 else 'FAIL'}",
        f"{other} reaches {seconds / other_s:.0%}",
    ]


def section(recipe: Recipe, given: Namespace) -> str:
    setup = Setup.of(*recipe.overrides, matrix=recipe.matrix, cases=6, steps=given.steps)
    taken = times(setup, given.rounds)
    table = rows(taken, setup.cfg.data.batch_size)
    where = f"{setup.options.accelerator} in {setup.options.precision}"
    shipped, other = (COMPILED, MEMORY) if is_wanted(setup.options, looked_into=False) else (MEMORY, COMPILED)
    title = f"{recipe.name}; {where}; {given.rounds} rounds of {given.steps} steps; as shipped: {shipped}"
    seconds = {name: statistics.median(taken[name]) for name in (shipped, other)}
    shown = least(setup, seconds[shipped], seconds[other], other)
    told = ratios(taken, shipped=shipped, has_half=setup.options.precision != "32-true")
    return "\n".join([title, "", text_table(table), "", *told, *shown])


def main() -> None:
    parser = _parser()
    given = parser.parse_args()
    text = f"{machine(('torch', 'pytorch-lightning'))}\n\n{section(RECIPES[given.recipe], given)}"
    publish(text, parser, given, command=f"make bench-training RECIPE={given.recipe}", name=f"training-{given.recipe}")


def _parser() -> ArgumentParser:
    parser = parser_of(__doc__)
    parser.add_argument("--recipe", choices=RECIPES, default="small", help="what is trained (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds over all that is compared (%(default)s)")
    parser.add_argument("--steps", type=int, default=60, help="timed in a round (%(default)s)")
    return parser


if __name__ == "__main__":
    main()
