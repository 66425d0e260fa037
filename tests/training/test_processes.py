"""Training by several processes: their places, what they share, and the same run whatever their number."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lightning_liver import machine
from lightning_liver.errors import LiverError
from lightning_liver.training.processes import Place, external_place, merged, processes_of, run_together
from lightning_liver.training.settings import TrainerOptions
from tests.apps.commands import ROOT, call, run, small_run, start
from tests.conftest import write_scan
from tests.training.test_run_state import OPTIONS

LIKE_ONE = (  # nothing here depends on which slices share a batch
    *("loss=bce", "model.norm=none", "model.dropout=0", "augment=basic", "trainer.precision=32-true"),
    *("data.slices_per_epoch=32", "trainer.log_every_n_steps=1", "logger=csv"),
)


def options(**changes: object) -> TrainerOptions:
    return replace(OPTIONS, **{"accelerator": "cpu", **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("devices", "count"), [(1, 1), (3, 3), ("auto", 1), (-1, 1), ("2", 2), ([0, 1], 2), ("[0,1]", 2)]
)
def test_devices_are_counted_as_lightning_does(devices: object, count: int) -> None:
    assert processes_of(options(devices=devices)) == count


@pytest.mark.parametrize("devices", [0, -2, []])
def test_no_device_is_refused(devices: object) -> None:
    with pytest.raises(LiverError, match=r"trainer\.devices="):
        processes_of(options(devices=devices))


def test_more_gpus_than_there_are_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for devices in (3, [0, 2]):
        with pytest.raises(LiverError, match="1 to 2, as many as are here"):
            processes_of(options(accelerator="cuda", devices=devices))
    assert processes_of(options(accelerator="cuda", devices=-1)) == 2


def test_a_gpu_that_is_not_here_is_named_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("is_available", "device_count"):
        monkeypatch.setattr(torch.cuda, name, lambda: 0)
    typed = small_run(tmp_path / "scans", "run", "trainer.accelerator=gpu")
    code, output = call("train", *typed, folder=tmp_path, capfd=capfd)
    assert code == 2
    assert "trainer.accelerator=gpu: torch sees no such device here" in output


def test_places_are_those_of_torchrun_or_srun(monkeypatch: pytest.MonkeyPatch) -> None:
    assert external_place(4) is None
    for name, value in (("RANK", "3"), ("LOCAL_RANK", "1"), ("WORLD_SIZE", "4")):
        monkeypatch.setenv(name, value)
    assert external_place(4) == Place(3, 1, 4)
    with pytest.raises(
        LiverError, match=r"started 4 processes, expected trainer\.devices times trainer\.num_nodes = 2"
    ):
        external_place(2)
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name)
    for name, value in (("SLURM_PROCID", "1"), ("SLURM_LOCALID", "0"), ("SLURM_STEP_NUM_TASKS", "2")):
        monkeypatch.setenv(name, value)
    assert machine.started_as() == (1, 0, 2)


def test_alone_nothing_is_gathered() -> None:
    assert merged({1: "a"}, world=1) == {1: "a"}


def _answer(place: Place, value: int) -> tuple[int, int]:
    return place.world, value


def _fails(place: Place) -> None:
    if place.is_first:
        time.sleep(60)  # is ended by the other's failure
    raise LiverError("a mistake of the second")


def _dies(place: Place) -> None:
    if place.is_first:
        time.sleep(60)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_the_first_answers_and_a_failure_ends_all() -> None:
    assert run_together(_answer, (7,), processes=2) == (2, 7)
    began = time.monotonic()
    with pytest.raises(LiverError, match="a mistake of the second"):
        run_together(_fails, (), processes=2)
    with pytest.raises(LiverError, match=r"trainer\.devices=2: a process of the training ended early .*SIGKILL"):
        run_together(_dies, (), processes=2)
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("trainer.strategy=foo",), "trainer.strategy=foo: expected one of auto, ddp"),
        (("trainer.num_nodes=2",), "torchrun --nnodes=2"),
        (("trainer.devices=2", "trainer.sync_batchnorm=true"), "trainer.sync_batchnorm=true: expected GPUs"),
        (("trainer.devices=0",), "trainer.devices=0: expected 1 or more"),
    ],
)
def test_mistakes_are_named_before_anything_is_prepared(
    tmp_path: Path, arguments: tuple[str, ...], told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call("train", *small_run(tmp_path / "scans", "run", *arguments), folder=tmp_path, capfd=capfd)
    assert code == 2, output
    assert told in output
    assert "Traceback" not in output


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scans, and the run of one process in `one`: eight slices a step."""
    root = tmp_path_factory.mktemp("processes")
    for number in range(20, 26):
        write_scan(root / "scans", number, shape=(8, 40, 48))
    code, output = run("train", *small_run(root / "scans", "one", *LIKE_ONE, "data.batch_size=8"), folder=root)
    assert code == 0, output
    return root


def losses(folder: Path) -> list[float]:
    with (folder / "scalars.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    return [float(line["value"]) for line in lines if line["name"] == "train/loss"]


def assert_equal(folder: Path, other: Path) -> None:
    """Compare metrics and the loss curve to float tolerance."""
    first, second = (json.loads((each / "metrics.json").read_text()) for each in (folder, other))
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert second[name] == (value if value is None else pytest.approx(value, abs=1e-5)), name
    assert losses(folder)
    assert losses(folder) == pytest.approx(losses(other), abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [2, 4])
def test_several_devices_train_as_one_with_the_same_step(place: Path, devices: int) -> None:
    own = ("trainer.devices=" + str(devices), f"data.batch_size={8 // devices}")
    folder = place / f"devices-{devices}"
    code, output = run("train", *small_run(place / "scans", folder.name, *LIKE_ONE, *own), folder=place)
    assert code == 0, output
    assert f"A step has {devices} processes x {8 // devices} slices x 1 batch = 8 slices" in output
    assert_equal(place / "one", folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in (place / "one").iterdir())


def on_nodes(place: Path, port: int, *typed: list[str]) -> list[tuple[int, str]]:
    """Return exit code and output of torchrun on each of some nodes, all of them this machine."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "lightning_liver" / "plugins")])
    nodes = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "torch.distributed.run", f"--nnodes={len(typed)}", f"--node-rank={rank}"),
                *("--nproc-per-node=1", "--master-addr=127.0.0.1", f"--master-port={port}", str(ROOT / "train.py")),
                *arguments,
            ],
            cwd=place,
            env=os.environ | {"PYTHONPATH": paths},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank, arguments in enumerate(typed)
    ]
    said = [node.communicate(timeout=240)[0] for node in nodes]
    return [(node.returncode, output) for node, output in zip(nodes, said, strict=True)]


@pytest.mark.slow
def test_two_nodes_of_torchrun_train_as_one(place: Path) -> None:
    typed = small_run(place / "scans", "nodes", *LIKE_ONE, "trainer.num_nodes=2", "data.batch_size=4")
    ended = on_nodes(place, 29713, typed, typed)
    assert [code for code, _ in ended] == [0, 0], ended
    assert_equal(place / "one", place / "nodes")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("second", "told"), [("optimizer.lr=0.1", "the processes have different configs"), ("data.root=nowhere", "nowhere")]
)
def test_nodes_that_disagree_or_have_no_scans_end_together(place: Path, second: str, told: str) -> None:
    typed = small_run(place / "scans", "unequal", *LIKE_ONE, "trainer.num_nodes=2", "data.batch_size=4")
    first = [*typed, second] if "root" in second else typed
    ended = on_nodes(place, 29714, first, [*typed, second])
    assert any(told in output for _, output in ended), ended
    assert all(code for code, _ in ended[:1]), ended


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_processes_and_a_budget_in_minutes_is_one_for_all(place: Path) -> None:
    for devices, epochs in ((2, 1), (1, 2)):
        own = (f"trainer.devices={devices}", f"trainer.max_epochs={epochs}", "data.batch_size=4")
        code, output = run("train", *small_run(place / "scans", "resumed", *LIKE_ONE, *own), folder=place)
        assert code == 0, output
    assert "Continuing after epoch 1, step 4" in output
    own = ("trainer.devices=2", "trainer.max_minutes=0.05")
    code, output = run("train", *small_run(place / "scans", "minutes", *LIKE_ONE, *own), folder=place)
    assert code == 0, output
    steps = json.loads((place / "minutes" / "metrics.json").read_text())["steps"]
    assert json.loads((place / "minutes" / "chosen.json").read_text())["steps"] == steps


@pytest.mark.slow
def test_a_killed_process_ends_the_run_which_goes_on_later(place: Path) -> None:
    psutil = pytest.importorskip("psutil")
    own = (*LIKE_ONE, "trainer.devices=2", "data.batch_size=4", "trainer.max_epochs=40")
    typed = small_run(place / "scans", "killed", *own)
    process = start("train", *typed, folder=place)
    last = place / "killed" / "checkpoints" / "last.ckpt"
    end = time.monotonic() + 200
    while not last.exists() and time.monotonic() < end:
        time.sleep(0.2)
    workers = [each for each in psutil.Process(process.pid).children() if "spawn_main" in " ".join(each.cmdline())]
    workers[-1].kill()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2, output
    assert "ended early" in output
    assert not [each for each in workers if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    code, output = run("train", *typed, folder=place)
    assert code == 0, output
    assert "Continuing after epoch" in output
