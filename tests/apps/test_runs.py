"""liver-runs"""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.apps.commands import call, run
from tests.report.run_folders import scores_of, write_config, write_run


def scored(folder: Path, loss: str, validation: float, test: float, **other: object) -> Path:
    write_run(folder, loss, scores_of(test), choice=loss, **other)
    scores = {"test/tumour/dice_per_case": test, "val/tumour/dice_per_case": validation}
    (folder / "metrics.json").write_text(json.dumps(scores))
    return folder


@pytest.fixture
def some(tmp_path: Path) -> Path:
    """Two complete runs and a failed one, with long names."""
    scored(tmp_path / "outputs" / "2026-01-31" / "12-00-00", "dice", 0.5, 0.8)
    long = tmp_path / "multirun" / "losses" / f"{'loss-focal_' * 8}0123abcd"
    scored(long, "focal", 0.6, 0.7, options={"gamma": 2})
    failed = tmp_path / "multirun" / "losses" / "failed"
    write_config(failed, {"_target_": "package.losses.bce"}, choice="bce")
    (failed / "train.log").write_text(f"FAILED: {'no such folder ' * 9}\n")
    return tmp_path


@pytest.fixture
def listed(some: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    return lambda *arguments: call("runs", *arguments, folder=some, capfd=capfd)


def test_runs_of_both_folders_fit_120_columns(listed) -> None:
    code, output = listed()
    assert code == 0, output
    lines = output.splitlines()
    assert len(lines) == 5
    assert max(map(len, lines)) <= 120
    assert any("outputs/2026-01-31/12-00-00" in line and "0.800" in line for line in lines)
    assert any("failed" in line and "no such folder" in line for line in lines)
    assert any(line.endswith("0123abcd") for line in lines)


def test_best_run_is_chosen_by_validation_cases(listed) -> None:
    code, output = listed("--best", "--json")
    assert code == 0, output
    (best,) = json.loads(output)
    assert (best["validation_tumour"], best["tumour"]) == (0.6, 0.7)
    assert best["folder"].endswith("0123abcd")


def test_sort_and_study(listed) -> None:
    _, output = listed("--sort", "tumour", "--json")
    assert [each["tumour"] for each in json.loads(output)] == [0.8, 0.7, None]
    _, output = listed("--study", "losses", "--json")
    assert [each["tumour"] for each in json.loads(output) if each["status"] == "complete"] == [0.7]


def test_nothing_to_list_is_refused(listed) -> None:
    code, output = listed("--study", "other")
    assert code == 2
    assert "outputs and multirun: no training run of --study other" in output
    code, output = listed("multirun/losses/failed", "--best")
    assert code == 2
    assert "none of 1 runs is complete" in output


def test_start_imports_no_torch(some: Path) -> None:
    script = "import sys; from lightning_liver.commands import runs; print({'torch', 'scipy'} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "set()\n"
    )


@pytest.mark.slow
def test_500_runs_are_listed_within_3_seconds(some: Path) -> None:
    saved = (Path(__file__).parents[1] / "runs" / "earlier" / "november_2026.yaml").read_text()
    for n in range(500):
        folder = scored(some / "multirun" / "many" / str(n), "dice", 0.5, 0.5)
        (folder / ".hydra" / "config.yaml").write_text(saved.replace("seed: 0", f"seed: {n}"))
    seconds = []
    for _ in range(3):  # the machine may be busy with something else
        begun = time.monotonic()
        code, output = run("runs", "multirun/many", folder=some)
        seconds.append(time.monotonic() - begun)
        assert code == 0, output
        assert len(output.splitlines()) == 502
    assert min(seconds) < 3
