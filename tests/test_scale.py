"""The model of experiments/scale, and the table in its README."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.scale import costs
from experiments.scale.__main__ import COSTS, here
from experiments.scale.model import DataSet, Machines, Work, data_s, efficiency, reading_s, step_s, sweep_s, wire_s

GPUS = Machines(8, 64, shared=False, wire_gb_s=20, between_gb_s=10, latency_s=1e-5, storage_gb_s=1)
WORK = Work(batch=8, step_s=0.03, slice_s=0.004, gradient_bytes=1.2e8)


@given(st.integers(2, 12), st.integers(1, 10))
def test_gradients_take_the_time_of_a_ring_sent_piece_by_piece(processes: int, megabytes: int) -> None:
    ring = replace(GPUS, per_node=64)
    piece = megabytes * 1e6 / processes
    seconds = 0.0
    for _ in ("sum", "share"):
        for _ in range(processes - 1):
            seconds += piece / (ring.wire_gb_s * 1e9) + ring.latency_s
    assert wire_s(replace(WORK, gradient_bytes=megabytes * 1e6), ring, processes) == pytest.approx(seconds)


def test_processes_of_one_processor_share_its_cores() -> None:
    two_cores = Machines(64, 2, True, 1e9, 1e9, 0.0, 1.0)
    alone = step_s(WORK, two_cores, 1)
    assert alone == pytest.approx(WORK.step_s + 8 * WORK.slice_s)
    assert step_s(WORK, two_cores, 2) == pytest.approx(alone)
    assert step_s(WORK, two_cores, 4) == pytest.approx(2 * alone)


def test_gpus_load_while_they_compute() -> None:
    assert data_s(WORK, GPUS, 8) == pytest.approx(8 * WORK.slice_s / 8)
    assert step_s(WORK, GPUS, 1) == WORK.step_s
    starved = replace(GPUS, cores=8)
    assert step_s(WORK, starved, 8) == pytest.approx(8 * WORK.slice_s + wire_s(WORK, starved, 8))


@given(st.integers(1, 500))
def test_more_gpus_are_never_slower_nor_more_efficient(count: int) -> None:
    assert efficiency(WORK, GPUS, count + 1) <= efficiency(WORK, GPUS, count) + 1e-12
    assert sweep_s(180, 100.0, count + 1) <= sweep_s(180, 100.0, count)


def test_each_node_reads_the_store_once() -> None:
    assert reading_s(DataSet(10, 100, 1e6), GPUS, 8) == pytest.approx(1.0)
    assert reading_s(DataSet(10, 100, 1e6), GPUS, 9) == pytest.approx(2.0)


def test_the_readme_has_what_the_command_prints() -> None:
    printed = subprocess.run([sys.executable, "-m", "experiments.scale"], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() in COSTS.with_name("README.md").read_text()


def test_the_model_predicts_what_was_measured() -> None:
    taken = json.loads(COSTS.read_text())
    work, machine = here(taken)
    for name, measured in taken["processes"].items():
        assert 1000 * step_s(work, machine, int(name)) == pytest.approx(measured["step_ms"], rel=0.25)
    assert taken["throttled"]["later_wait_share"] < 0.05


@pytest.mark.slow
def test_a_store_at_10_mb_a_second_is_waited_for_in_the_first_epoch_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("moto.server", reason="no S3 server: pip install 'moto[s3]' flask flask-cors")
    pytest.importorskip("s3fs", reason="no S3: pip install s3fs")
    monkeypatch.setenv("LIVER_CACHE", str(tmp_path / "cache"))
    taken = costs.throttled(tmp_path, costs.phantoms(tmp_path, 5, 256), slices=80)
    assert taken["bytes"] > 20e6
    assert taken["first_wait_s"] > 0.25
    assert taken["later_wait_share"] < 0.05
