"""Costs that were measured, a model checked against measurement, and the plan for more machines."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.scale.model import (
    DataSet,
    Machines,
    Work,
    data_s,
    efficiency,
    epoch_without_copies_s,
    limit,
    reading_s,
    step_s,
    sweep_s,
    wire_s,
)
from lightning_liver.files import write_whole
from lightning_liver.tables import Row, duration, text_table

COSTS = Path(__file__).with_name("costs.json")

# One H200 at 512x512, batch 8: experiments/speed/README.md#training-step, as shipped
GPU_STEP_S, GPU_BATCH, CORES_A_GPU = 0.025606, 8, 16
# experiment=full_resolution: 200 epochs of 4000 slices
EPOCHS, SLICES_PER_EPOCH = 200, 4000
VOLUMES, MANY_VOLUMES, FOLDS = 131, 10_000, 5
RUNS = 12 * FOLDS * 3  # losses, folds, seeds
COUNTS = (1, 2, 4, 8, 16, 32, 64)
FORWARD = 1 / 3  # of a training step, for a slice without gradients; assumed


def main() -> None:
    """Print all tables; --measure takes the costs anew first."""
    options = _options()
    if options.measure:
        from experiments.scale.costs import measure

        write_whole(COSTS, json.dumps(measure(options.rounds, options.steps), indent=2) + "\n")
    print(report(json.loads(COSTS.read_text()), options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m experiments.scale", description=__doc__)
    parser.add_argument(
        "--measure", action="store_true", help="measure the costs on this machine, and write costs.json"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of measuring each number of processes (3)")
    parser.add_argument("--steps", type=int, default=60, help="of each training (60)")
    parser.add_argument("--per-node", type=int, default=8, help="GPUs of a node (8)")
    parser.add_argument("--wire-gb-s", type=float, default=25.0, help="GB/s between GPUs of a node (25, PCIe 4.0 x16)")
    parser.add_argument("--between-gb-s", type=float, default=12.5, help="GB/s between nodes (12.5, 100 Gb/s Ethernet)")
    parser.add_argument("--latency-us", type=float, default=20.0, help="microseconds of a message (20)")
    parser.add_argument("--storage-gb-s", type=float, default=1.0, help="GB/s of the shared store, over all nodes (1)")
    parser.add_argument("--slices", type=int, default=450, help="slices of a volume (450)")
    return parser.parse_args()


def report(costs: Mapping[str, Any], options: argparse.Namespace) -> str:
    """Return the whole text."""
    gpus = Machines(
        options.per_node,
        options.per_node * CORES_A_GPU,
        shared=False,
        wire_gb_s=options.wire_gb_s,
        between_gb_s=options.between_gb_s,
        latency_s=options.latency_us * 1e-6,
        storage_gb_s=options.storage_gb_s,
    )
    work = Work(GPU_BATCH, GPU_STEP_S, costs["slice"]["sample_ms"] / 1000, costs["gradient_bytes"]["unet"])
    lits, large = (DataSet(volumes, options.slices, costs["slice"]["bytes"]) for volumes in (VOLUMES, MANY_VOLUMES))
    parts = [
        f"Costs, measured on {costs['machine']}\n\n{text_table(_cost_rows(costs))}",
        f"Model against measurement, {costs['batch']} slices a process and step\n\n{text_table(_check_rows(costs))}",
        f"A store that gives 10 MB/s\n\n{text_table(_throttled_rows(costs['throttled']))}",
        f"One run on many GPUs, {VOLUMES} volumes\n\n{text_table(_run_rows(work, gpus, lits))}",
        f"A sweep of {RUNS} runs, one GPU each, {VOLUMES} volumes\n\n{text_table(_sweep_rows(work, gpus, lits))}",
        f"The same sweep with {MANY_VOLUMES} volumes on shared storage\n\n{text_table(_sweep_rows(work, gpus, large))}",
        "\n".join(_verdicts(work, gpus, lits, large)),
    ]
    return "\n\n".join(parts)


def _cost_rows(costs: Mapping[str, Any]) -> list[Row]:
    one = costs["slice"]
    gradients = " / ".join(f"{count / 1e6:.1f} MB" for count in costs["gradient_bytes"].values())
    return [
        {"cost": "read and decode a slice of 512x512", "value": f"{one['decode_ms']:.2f} ms"},
        {"cost": "the same, normalised", "value": f"{one['sample_without_augmentation_ms']:.2f} ms"},
        {"cost": "the same with augment=basic", "value": f"{one['sample_ms']:.2f} ms"},
        {"cost": "bytes of a slice in the store", "value": f"{one['bytes'] / 1000:.0f} kB"},
        {
            "cost": "gradients of unet_small, of unet",
            "value": gradients,
        },
        *(
            {"cost": f"all-reduce of those of unet_small, {p} processes", "value": f"{taken['gradients']:.1f} ms"}
            for p, taken in costs["gradients_ms"].items()
        ),
    ]


def here(costs: Mapping[str, Any]) -> tuple[Work, Machines]:
    """Return the work and the machine of the measurement: all from one process, and the gradients from two."""
    one, two = costs["processes"]["1"], costs["gradients_ms"]["2"]
    gradients = costs["gradient_bytes"]["unet_small"]
    latency_s = two["few_bytes"] / 1000 / 2
    rate = gradients / max(two["gradients"] / 1000 - 2 * latency_s, 1e-9) / 1e9
    work = Work(
        costs["batch"],
        (one["step_ms"] - one["wait_ms"]) / 1000,
        one["wait_ms"] / 1000 / costs["batch"],
        gradients,
    )
    return work, Machines(64, costs["cores"], True, rate, rate, latency_s, 1.0)


def _check_rows(costs: Mapping[str, Any]) -> list[Row]:
    work, machine = here(costs)
    rows: list[Row] = []
    for name, measured in costs["processes"].items():
        predicted = 1000 * step_s(work, machine, int(name))
        rows.append(
            {
                "processes": int(name),
                "step, measured": f"{measured['step_ms']:.0f} ms",
                "model": f"{predicted:.0f} ms",
                "error": f"{100 * (predicted / measured['step_ms'] - 1):+.0f} %",
                "of it gradients": f"{1000 * wire_s(work, machine, int(name)):.1f} ms",
                "slices/s": round(costs["batch"] * int(name) / measured["step_ms"] * 1000, 1),
            }
        )
    return rows


def _throttled_rows(taken: Mapping[str, float]) -> list[Row]:
    return [
        {
            "": f"waiting, first epoch, {taken['bytes'] / 1e6:.0f} MB",
            "measured": f"{taken['first_wait_s']:.1f} s",
            "model": f"at most {taken['bytes'] / 10e6:.1f} s, less what is loaded ahead",
        },
        {
            "": "waiting, later epochs",
            "measured": f"{100 * taken['later_wait_share']:.1f} % of {taken['later_epoch_s']:.0f} s",
            "model": "none for the store, whose copies are here",
        },
    ]


def run_s(work: Work, machines: Machines, processes: int, data: DataSet) -> float:
    """Return the seconds of a run of experiment=full_resolution: its training, and the tests of the first process."""
    steps = EPOCHS * SLICES_PER_EPOCH / (work.batch * processes)
    tested = 2 * VOLUMES / FOLDS * data.slices  # a fold validates, another one tests
    return steps * step_s(work, machines, processes) + tested * FORWARD * work.step_s / work.batch


def _run_rows(work: Work, machines: Machines, data: DataSet) -> list[Row]:
    return [
        {
            "GPUs": count,
            "step": f"{1000 * step_s(work, machines, count):.1f} ms",
            "data, of the cores": f"{1000 * data_s(work, machines, count):.1f} ms",
            "gradients": f"{1000 * wire_s(work, machines, count):.1f} ms",
            "slices/s": round(work.batch * count / step_s(work, machines, count)),
            "efficiency": f"{100 * efficiency(work, machines, count):.0f} %",
            "run": duration(run_s(work, machines, count, data)),
            "reading the store": duration(reading_s(data, machines, count)),
        }
        for count in COUNTS
    ]


def _sweep_rows(work: Work, machines: Machines, data: DataSet) -> list[Row]:
    one = run_s(work, machines, 1, data)
    rows: list[Row] = []
    for count in COUNTS:
        training, reading = sweep_s(RUNS, one, count), reading_s(data, machines, count)
        rows.append(
            {
                "GPUs": count,
                "nodes": machines.nodes(count),
                "training": duration(training),
                "reading the store once a node": duration(reading),
                "sweep": duration(training + reading),
                "copies of a node": f"{data.bytes / 1e9:.0f} GB",
                "an epoch without copies": duration(count * epoch_without_copies_s(SLICES_PER_EPOCH, data, machines)),
            }
        )
    return rows


def _verdicts(work: Work, machines: Machines, lits: DataSet, large: DataSet) -> list[str]:
    fitting = machines.cores / machines.per_node * work.step_s / (work.batch * work.slice_s)
    wired = next((count for count in range(2, 4097) if limit(work, machines, count) != "computing"), None)
    halved = next((count for count in range(2, 4097) if efficiency(work, machines, count) < 0.5), None)
    epoch_s = SLICES_PER_EPOCH / work.batch * work.step_s
    starved = machines.storage_gb_s * 1e9 * epoch_s / (SLICES_PER_EPOCH * lits.slices * lits.slice_bytes)
    one = run_s(work, machines, 1, lits)
    lost = f"half of the GPUs' time is lost from {halved} on" if halved else "never half of the GPUs' time is lost"
    return [
        f"Cores: those of a GPU prepare slices for {fitting:.1f} GPUs; "
        f"{work.batch * work.slice_s / work.step_s:.1f} cores a GPU are enough.",
        "Gradients: in one run they take longer than computing "
        + (f"from {wired} GPUs on; {lost}." if wired else f"at no count up to 4096; {lost}."),
        f"Storage, if copies fit: read once a node, {lits.bytes / 1e9:.0f} GB for {VOLUMES} volumes and "
        f"{large.bytes / 1e9:.0f} GB for {MANY_VOLUMES}, which is LIVER_CACHE_GB.",
        f"Storage, if they do not fit: each slice brings its case, and {starved:.2g} GPUs use all of it.",
        f"A sweep: no faster from {RUNS} GPUs on, a run each, which takes {duration(one)}.",
    ]


if __name__ == "__main__":
    main()
