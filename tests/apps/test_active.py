"""liver-active, simulated on little scans."""

import csv
import json
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch

from tests.apps.commands import SMALL, call, called, start
from tests.conftest import write_scan

LOOP = [*(option for option in SMALL if "max_epochs" not in option), "trainer.max_epochs=1", "logger=none"]
KILLS = 10


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with seven scans, of which three are the pool, and a loop of two rounds in `loop`."""
    root = tmp_path_factory.mktemp("active")
    for number in range(20, 27):
        write_scan(root / "scans", number, shape=(8, 40, 48))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIVER_CACHE", str(root / "cache"))
        assert called("active", *arguments("loop"), folder=root) == 0
    return root


@pytest.fixture(autouse=True)
def _cache(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVER_CACHE", str(place / "cache"))


def arguments(workspace: str, *options: str) -> list[str]:
    small = ("initial=1", "per_round=1", "rounds=2", "strategy=entropy", "data.folds=5")
    return ["data.root=scans", *LOOP, f"workspace={workspace}", *small, *options]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def results(workspace: Path) -> dict[str, str]:
    """Return what must not depend on an interruption: what was asked for, its effort, and every round's scores."""
    paths = [workspace / "active.json", workspace / "effort.csv", workspace / "curve.csv"]
    paths += sorted((workspace / "rounds").glob("*/metrics.json"))
    return {str(path.relative_to(workspace)): path.read_text() for path in paths}


def test_each_round_is_a_run_on_what_was_asked_for(place: Path) -> None:
    asked = [
        {answer["case"] for answer in answers}
        for answers in json.loads((place / "loop/active.json").read_text())["answers"]
    ]
    assert [len(each) for each in asked] == [1, 1]
    assert not asked[0] & asked[1]
    for number, labelled in ((1, asked[0]), (2, asked[0] | asked[1])):
        run = place / "loop" / "rounds" / str(number)
        split = json.loads((run / "split.json").read_text())
        assert set(split["train"]) == labelled
        assert not labelled & {*split["val"], *split["test"]}, "nobody is both asked for and tested on"
        assert (run / "metrics.json").is_file()
        assert torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]


def test_effort_and_curve_are_written(place: Path) -> None:
    effort, curve = rows(place / "loop" / "effort.csv"), rows(place / "loop" / "curve.csv")
    assert [row["round"] for row in effort] == ["1", "2"]
    assert effort[0]["score"] == effort[0]["dice_liver"] == "", "the first was chosen at random, and drawn from nothing"
    assert float(effort[1]["score"]) > 0
    assert [row["slices"] for row in curve] == ["8", "16"]
    assert int(curve[1]["voxels"]) == sum(int(row["voxels"]) for row in effort)
    assert (place / "loop" / "curve.png").is_file()


@pytest.mark.slow
def test_a_further_round_goes_on_and_another_config_is_refused(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(place / "loop", place / "longer")
    before = (place / "longer" / "rounds" / "2" / "metrics.json").stat().st_mtime_ns
    code, output = call("active", *arguments("longer", "loss=bce"), folder=place, capfd=capfd)
    assert code == 2
    assert "another config" in output
    code, output = call("active", *arguments("longer", "rounds=3"), folder=place, capfd=capfd)
    assert code == 0, output
    assert len(rows(place / "longer" / "curve.csv")) == 3
    assert (place / "longer" / "rounds" / "2" / "metrics.json").stat().st_mtime_ns == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ("strategy=random", "start=last_round"),
        ("strategy=margin", "unit=slice", "every=2", "initial=3", "per_round=2"),
        ("strategy=variance", "strategy.passes=2"),
        ("strategy=bald", "strategy.passes=2", "unit=slice", "every=4"),
        ("strategy=disagreement", "strategy.members=2", "trainer.max_epochs=2"),
        ("strategy=disagreement", "strategy.members=2", "strategy.of=runs"),
        ("strategy=core_set",),
        ("strategy=suggestive", "strategy.passes=2"),
    ],
)
def test_every_strategy_runs(place: Path, options: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    name = "-".join(options).replace("=", "-")
    code, output = call("active", *arguments(name, *options), folder=place, capfd=capfd)
    assert code == 0, output
    assert len(rows(place / name / "curve.csv")) == 2
    if "unit=slice" in options:
        listed = {(row["case"], row["z"]) for row in rows(place / name / "rounds" / "2-slices.csv")}
        assert listed == {(row["case"], row["z"]) for row in rows(place / name / "effort.csv")}
    if "strategy.of=runs" in options:
        assert (place / name / "rounds" / "1-member-2" / "metrics.json").is_file()


@pytest.mark.slow
def test_a_loop_killed_ten_times_ends_as_one_left_alone(place: Path) -> None:
    moments = random.Random(0)
    typed = arguments("killed", "strategy=variance", "strategy.passes=3", "rounds=3")
    assert (
        called("active", *arguments("whole", "strategy=variance", "strategy.passes=3", "rounds=3"), folder=place) == 0
    )
    killed = 0
    while True:
        process = start("active", *typed, folder=place)
        if killed < KILLS:
            time.sleep(moments.uniform(6, 16))
            process.send_signal(signal.SIGKILL)
            killed += 1
            process.communicate()
            continue
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output
        break
    assert results(place / "killed") == results(place / "whole")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("rounds=9",), ["rounds=9", "9 of 3 patients", "rounds=3"]),
        (("initial=0",), ["initial=0"]),
        (("per_round=[1,1]",), ["per_round=[1, 1]: expected 1 numbers"]),
        (("start=elsewhere",), ["start='elsewhere'", "last_round"]),
        (("strategy=variance", "model.dropout=0"), ["strategy=variance", "model.dropout=0.3"]),
        (("strategy=disagreement",), ["strategy.members=3", "trainer.max_epochs=1", "strategy.of=runs"]),
        (("strategy=entropi",), ["strategy=entropi", "did you mean strategy=entropy?"]),
        (("strategy=bald", "strategy.passes=1"), ["strategy.passes=1"]),
        (("resume=run",), ["resume"]),
    ],
)
def test_mistakes_are_refused_before_anything_trains(
    place: Path, tmp_path: Path, options: tuple[str, ...], told: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    typed = [each.replace("data.root=scans", f"data.root={place / 'scans'}") for each in arguments("w", *options)]
    code, output = call("active", *typed, folder=tmp_path, capfd=capfd)
    assert code == 2, output
    assert "Traceback" not in output
    for words in told:
        assert words in output
    assert not (tmp_path / "w" / "rounds").exists()


def test_scans_without_masks_cannot_answer(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_scan(tmp_path / "scans", 20)
    (tmp_path / "scans" / "cases.csv").write_text("image\nvolume-20.nii.gz\n")
    typed = [
        "data=csv",
        "data.table=scans/cases.csv",
        *(each for each in arguments("w") if not each.startswith("data")),
    ]
    code, output = call("active", *typed, folder=tmp_path, capfd=capfd)
    assert code == 2, output
    assert "expected scans with masks" in output


@pytest.mark.parametrize(("content", "told"), [("{", "damaged"), ('{"version": 9}', "expected version 1")])
def test_a_damaged_state_is_reported(
    place: Path, tmp_path: Path, content: str, told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "active.json").write_text(content)
    typed = arguments(str(tmp_path / "w"))
    code, output = call("active", *typed, folder=place, capfd=capfd)
    assert code == 2, output
    assert "active.json" in output
    assert told in output
