"""Memory while training does not depend on the number of cases."""

import os
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import psutil
import pytest

from tests.apps.commands import ROOT, run, start

TRAINING = (
    "data.matrix=64",
    "data.spacing_mm=null",
    "data.size=64",
    "data.slices_per_epoch=800",
    "model.base_channels=4",
    "trainer=cpu",
    "trainer.threads=1",
    "trainer.max_epochs=2",
)


def peak_bytes(process: psutil.Process) -> int:
    """Sum the peak resident sets of a process and its children."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            status = Path(f"/proc/{one.pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    return total


def peak_while_training(folder: Path, cases: int) -> int:
    names = ",".join(str(n) for n in range(cases) if n not in (6, 8))
    split = f"data.split={{train:[{names}],val:[6],test:[8]}}"
    code, output = run("prepare", f"data.cases={cases}", *TRAINING[:2], folder=folder)
    assert code == 0, output
    process = start("train", f"data.cases={cases}", *TRAINING, split, folder=folder)
    watched, peak = psutil.Process(process.pid), 0
    while process.poll() is None:
        try:
            peak = max(peak, peak_bytes(watched))
        except psutil.NoSuchProcess:
            break
        time.sleep(0.1)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    return peak


PREPARING = """
import sys
from pathlib import Path
from lightning_liver.data.convert import prepare_case
from lightning_liver.data.sources import Case
prepare_case(Case("1", "1", Path("volume-1.nii.gz"), Path("segmentation-1.nii.gz")), Path("store"), 1.5)
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read from Linux's /proc")
def test_a_worker_that_prepares_1000_slices_of_512x512_stays_below_2500_mb(tmp_path: Path) -> None:
    """Extrapolated from 250 slices, a quarter of the peak above that of 1 slice."""
    (tmp_path / "store").mkdir()
    few, many = (preparing_peak_bytes(tmp_path, slices) for slices in (1, 250))
    expected = few + 4 * (many - few)
    print(f"peak memory: {many / 1e6:.0f} MB for 250 slices, so about {expected / 1e6:.0f} MB for 1000")
    assert expected < 2.5e9


def preparing_peak_bytes(folder: Path, slices: int) -> int:
    rng = np.random.default_rng(0)
    hu = rng.integers(-1000, 1000, (512, 512, slices), np.int16)
    for name, voxels in (("volume", hu), ("segmentation", (hu > 900).astype(np.uint8))):
        nib.save(nib.Nifti1Image(voxels, np.diag([-0.7, -0.7, 1.0, 1])), folder / f"{name}-1.nii.gz")
    command = [sys.executable, "-c", PREPARING]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, check=True
    )
    return int(done.stdout) * 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read from Linux's /proc")
def test_peak_memory_at_10_and_at_100_cases_is_equal_within_5_percent(tmp_path: Path) -> None:
    few, many = (peak_while_training(tmp_path, cases) for cases in (10, 100))
    print(f"peak memory: {few / 1e6:.0f} MB with 10 cases, {many / 1e6:.0f} MB with 100")
    assert many == pytest.approx(few, rel=0.05)
