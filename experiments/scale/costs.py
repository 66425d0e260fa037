"""Costs of a slice, a step, the gradients and a throttled store, measured on this machine with the real commands."""

import csv
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any

import fsspec
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import start_processes

from experiments.scale.throttle import ThrottledProxy
from experiments.speed.machine import machine
from lightning_liver import config
from lightning_liver.build import build, prepared
from lightning_liver.data.sampling import EpochSampler, Kind, Pools
from lightning_liver.data.slices import Normalization, TrainingSlices
from lightning_liver.data.store import Store
from lightning_liver.machine import cores
from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.timing import read_timing

ROOT = Path(__file__).parents[2]
PROCESSES = (1, 2, 4)
BATCH = 8
BYTES_PER_S = 10e6  # of the throttled store
_CASES, _MATRIX, _SAMPLES, _EPOCHS = 5, 512, 60, 3
_ALONE = ["trainer=cpu", "trainer.threads=1", "trainer.precision=32-true", "trainer.enable_progress_bar=false"]
_SHORT = ["trainer.limit_val_batches=1", "trainer.limit_test_batches=1", "loss=bce", f"data.batch_size={BATCH}"]
_KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


def measure(rounds: int, steps: int) -> dict[str, Any]:
    """Return all costs as plain values.

    Args:
        rounds: that go through the numbers of processes, so that drift affects them alike.
        steps: of each training.
    """
    torch.set_num_threads(1)
    with TemporaryDirectory() as place:
        folder = Path(place)
        os.environ["LIVER_CACHE"] = str(folder / "cache")
        store = prepared(config.compose("train", phantoms(folder / "large", _CASES, _MATRIX)).data)
        data = phantoms(folder / "small", _CASES, 128)  # so that validating and testing are short
        taken: dict[int, list[dict[str, float]]] = {number: [] for number in PROCESSES}
        for number in [number for _ in range(rounds) for number in PROCESSES]:
            taken[number].append(_training(folder, data, number, steps))
        return {
            "machine": machine(["torch", "pytorch-lightning"]),
            "cores": cores(),
            "batch": BATCH,
            "slice": _slice(store),
            "gradient_bytes": {name: _gradient_bytes(name) for name in ("unet_small", "unet")},
            "processes": {
                str(number): {name: median(each[name] for each in runs) for name in runs[0]}
                for number, runs in taken.items()
            },
            "gradients_ms": {str(number): _all_reduce_ms(number) for number in PROCESSES if number > 1},
            "throttled": throttled(folder, phantoms(folder / "middle", _CASES, 256)),
        }


def phantoms(folder: Path, cases: int, matrix: int) -> list[str]:
    """Return options of train.py for phantoms on their own grid in a folder."""
    return [
        "data=phantom",
        f"data.cases={cases}",
        f"data.matrix={matrix}",
        "data.spacing_mm=null",
        f"data.root={folder / 'phantoms'}",
    ]


def _slice(store: Store) -> dict[str, float]:
    """Return milliseconds of one core for a slice of the store, and its bytes there."""
    reading = [(name, z) for name, record in store.cases.items() for z in range(0, record.shape[0], 4)]
    decoded = []
    for name, z in reading:
        store.check(name)
        began = time.perf_counter()
        store.read(name, "hu", z)
        store.read(name, "labels", z)
        decoded.append(time.perf_counter() - began)
    stored = sum(store.path(name, kind).stat().st_size for name in store.cases for kind in ("hu", "labels"))
    return {
        "decode_ms": 1000 * median(decoded),
        "sample_ms": _sample_ms(store, "basic"),
        "sample_without_augmentation_ms": _sample_ms(store, "none"),
        "bytes": stored / sum(record.shape[0] for record in store.cases.values()),
    }


def _sample_ms(store: Store, augment: str) -> float:
    """Return the milliseconds of reading, augmenting and normalising a training slice, by the mean over an epoch."""
    pools = Pools.of(list(store.cases.values()))
    slices = TrainingSlices(
        store,
        Normalization((-160.0, 240.0), 0, 0.0, 1.0),
        augment=build(config.compose("train", [f"augment={augment}"]).augment),
        size=(_MATRIX, _MATRIX),
        seed=0,
        tumours=pools.kinds["tumour"],
    )
    weights: dict[Kind, float] = {"tumour": 0.34, "liver": 0.33, "any": 0.33}
    draws = list(EpochSampler(pools, length=_SAMPLES, weights=weights, seed=0, repeat=False, rank=0, world=1))
    slices[draws[0]]
    began = time.perf_counter()
    for draw in draws:
        slices[draw]
    return 1000 * (time.perf_counter() - began) / len(draws)


def _gradient_bytes(model: str) -> int:
    network = build(config.compose("train", [f"model={model}"]).model)
    return sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())


def _training(folder: Path, data: Sequence[str], processes: int, steps: int) -> dict[str, float]:
    """Return the milliseconds of a step and of waiting for its slices, which the process loads itself."""
    run = folder / f"run-{processes}-{time.monotonic_ns()}"
    options = [f"trainer.devices={processes}", "data.num_workers=0", f"trainer.max_steps={steps}"]
    train([*data, *_ALONE, *_SHORT, *options, f"data.slices_per_epoch={steps * BATCH * processes}"], run)
    timing = read_timing(run)
    assert timing.slices_per_s is not None
    assert timing.wait_share is not None
    step_ms = 1000 * BATCH * processes / timing.slices_per_s
    return {"step_ms": step_ms, "wait_ms": step_ms * timing.wait_share}


def train(options: Sequence[str], run: Path, **environment: str) -> None:
    """Run train.py to its end.

    Raises:
        RuntimeError: it fails; the message has the end of its output.
    """
    command = [sys.executable, "train.py", *options, f"hydra.run.dir={run}"]
    threads = {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=os.environ | threads | environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {done.returncode}:\n{done.stderr[-2000:]}")


def _all_reduce_ms(processes: int) -> dict[str, float]:
    """Return the milliseconds of an all-reduce by gloo, for the gradients of unet_small and for few bytes."""
    with TemporaryDirectory() as place:
        start_processes(  # type: ignore[no-untyped-call]
            _reduce, (processes, place), nprocs=processes, start_method="spawn"
        )
        taken = [float(each) for each in (Path(place) / "taken").read_text().split()]
    return {"gradients": taken[0], "few_bytes": taken[1]}


def _reduce(rank: int, processes: int, place: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{place}/meeting", rank=rank, world_size=processes)
    taken = []
    for count in (_gradient_bytes("unet_small") // 4, 16):
        values, times = torch.ones(count), []
        for _ in range(12):
            dist.barrier()
            began = time.perf_counter()
            dist.all_reduce(values)
            times.append(time.perf_counter() - began)
        taken.append(1000 * median(times[2:]))
    if rank == 0:
        (Path(place) / "taken").write_text(" ".join(map(str, taken)))
    dist.destroy_process_group()


def throttled(folder: Path, data: Sequence[str], *, epochs: int = _EPOCHS, slices: int = 160) -> dict[str, float]:
    """Train from a store in S3 that answers with BYTES_PER_S, and return what waiting for it took.

    Returns:
        bytes that came, seconds of the first epoch's waiting and training, fraction of the waiting in later epochs.
    """
    with _s3_server(folder) as port:
        environment = _KEYS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "LIVER_CACHE": str(folder / "fast")}
        keys = {"key": _KEYS["AWS_ACCESS_KEY_ID"], "secret": _KEYS["AWS_SECRET_ACCESS_KEY"]}
        fsspec.filesystem("s3", endpoint_url=environment["AWS_ENDPOINT_URL"], **keys).mkdir("scale")
        options = [*data, *_ALONE, *_SHORT, "data.store=s3://scale/store", "data.num_workers=1"]
        train([*options, "trainer.max_steps=1", f"data.slices_per_epoch={BATCH}"], folder / "preparing", **environment)
        with ThrottledProxy(port, BYTES_PER_S) as proxy:
            environment |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}", "LIVER_CACHE": str(folder / "slow")}
            run = folder / "throttled"
            train([*options, f"trainer.max_epochs={epochs}", f"data.slices_per_epoch={slices}"], run, **environment)
            came = proxy.sent
    with RunFolder(run).scalars.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    training = [slices / float(row["value"]) for row in rows if row["name"] == "train/slices_per_s"]
    waits = [float(row["value"]) for row in rows if row["name"] == "train/wait_share"]
    return {
        "bytes": came,
        "first_epoch_s": training[0],
        "first_wait_s": waits[0] * training[0],
        "later_epoch_s": mean(training[1:]),
        "later_wait_share": mean(waits[1:]),
    }


@contextmanager
def _s3_server(folder: Path) -> Iterator[int]:
    """Yield the port of moto's S3 server on loopback, in a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "moto.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            for _ in range(300):
                with socket.socket() as trying:
                    if trying.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield port
        finally:
            server.terminate()
