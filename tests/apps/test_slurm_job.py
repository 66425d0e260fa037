"""Jobs that go back into Slurm's queue."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from lightning_liver.apps.slurm_job import put_back


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("state", "typed", "mode", "rank", "expected"),
    [
        ("RUNNING", ["hydra.run.dir=run"], RunMode.RUN, "0", True),
        ("RUNNING", [], RunMode.MULTIRUN, "0", True),
        ("RUNNING", [], RunMode.RUN, "0", False),  # it would begin another folder
        ("RUNNING", ["hydra.run.dir=run"], RunMode.RUN, "1", False),  # the first process asks
        ("CANCELLED", ["hydra.run.dir=run"], RunMode.RUN, "0", False),
    ],
)
def test_a_running_job_whose_command_goes_on_is_put_back(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    typed: Sequence[str],
    mode: RunMode,
    rank: str,
    expected: bool,
) -> None:
    program(tmp_path, "squeue", f"echo {state}")
    program(tmp_path, "scontrol", f'echo "$@" > {tmp_path}/asked')
    for name, value in {"PATH": str(tmp_path), "SLURM_JOB_ID": "12", "SLURM_PROCID": rank}.items():
        monkeypatch.setenv(name, value)
    hydra = OmegaConf.create({"hydra": {"mode": mode, "overrides": {"hydra": list(typed), "task": []}}})
    monkeypatch.setattr(HydraConfig.instance(), "cfg", hydra)
    assert put_back() == expected
    asked = tmp_path / "asked"
    assert asked.exists() == expected
    if expected:
        assert asked.read_text() == "requeue 12\n"


def test_a_refusal_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    program(tmp_path, "squeue", "echo RUNNING")
    program(tmp_path, "scontrol", "echo Requested operation is presently disabled >&2; exit 1")
    for name, value in {"PATH": str(tmp_path), "SLURM_JOB_ID": "12", "SLURM_PROCID": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    assert not put_back()
    error = capsys.readouterr().err
    assert "scontrol requeue 12: Requested operation is presently disabled; the job is not put back" in error
