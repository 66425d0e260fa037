import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from experiments.speed import ours, peers, policies, roofline, rounds, scoring, training, waiting
from experiments.speed.contender import TRANSFORMS
from experiments.speed.made_masks import SETS
from experiments.speed.official import NAMES, Printed, program_of, run_official
from experiments.speed.scans import scan
from experiments.speed.step import Setup
from lightning_liver.comparison.readme import check_marks
from lightning_liver.errors import LiverError
from tests.metrics.printed import PRINTED

STUDY = Path(__file__).parents[1] / "experiments" / "speed"
CONF = Path(__file__).parents[1] / "conf" / "augment"
MATRIX = 64


def test_every_policy_has_a_row() -> None:
    rows = policies.policy_rows([MATRIX], rounds=1, batches=1)
    assert [row["policy"] for row in rows] == sorted(path.stem for path in CONF.glob("*.yaml"))
    assert all(float(row[f"{MATRIX} ms"] or 0) > 0 for row in rows)


def test_limits_tell_quick_from_slow() -> None:
    lines = policies.limits([{"policy": "perlin", "512 ms": 2.9}, {"policy": "elastic", "512 ms": 3.1}], 512)
    assert [line.split()[-1] for line in lines] == ["pass", "FAIL"]


def test_our_set_does_all_that_it_is_timed_for() -> None:
    given = scan(MATRIX)
    contenders = [ours.contender(given), ours.to_tensor(given)]
    assert [row["transform"] for row in peers.change_rows(contenders)] == [*TRANSFORMS, "all five"]
    rows = peers.speed_rows(contenders, rounds=2, calls=1)
    assert rows[0]["ours is x times as quick"] == 1
    assert "pass" in peers.verdict([rows[0], {**rows[1], "ours is x times as quick": 2.0}], ["ours, to tensor"])


@pytest.mark.parametrize("library", ["monai", "batchgenerators"])
def test_peers_do_all_that_they_are_timed_for(library: str) -> None:
    pytest.importorskip("batchgeneratorsv2" if library == "batchgenerators" else library)
    module = pytest.importorskip(f"experiments.speed.{library}_set")
    assert len(peers.change_rows([module.contender(scan(MATRIX))])) == len(TRANSFORMS) + 1


def test_a_set_that_does_nothing_is_refused() -> None:
    given = ours.contender(scan(MATRIX))
    idle = peers.Contender("idle", lambda names: given.pipeline([]), given.arrays)
    with pytest.raises(RuntimeError, match="idle: rotation, scale changes the image by 0 only"):
        peers.change_rows([idle])


def test_rounds_go_through_all_with_the_same_seeds() -> None:
    seen: list[tuple[str, int]] = []
    work = {name: lambda seed, name=name: seen.append((name, seed)) for name in "ab"}
    taken = rounds.seconds_a_call(work, rounds=2, calls=2)
    assert "".join(name for name, _ in seen) == "aabb" + "bbaa" + "aabb"
    assert [seed for _, seed in seen] == [0, 1] * 6
    assert {name: len(times) for name, times in taken.items()} == {"a": 2, "b": 2}
    assert rounds.middle_and_range([3.0, 1.0, 2.0], 1) == (2.0, "1.0-3.0")


def test_waiting_is_judged_by_the_policy_asked_about() -> None:
    rows = [{"augment": "none", "waits, %": 9.0}, {"augment": "all", "waits, %": 2.5}]
    assert waiting.verdict(rows) == "augment=all: waits 2.50%, target < 3%: pass"


@pytest.mark.parametrize(
    "name",
    ["augmentation", "scoring", "training-small", "training-gpu", "start", "predict", "prepare", "slices", "growth"],
)
def test_readme_has_a_place_for_the_tables(name: str) -> None:
    check_marks(STUDY / "README.md", name)


def test_steps_are_timed_and_judged_as_ratios_of_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        torch, "compile", lambda network, dynamic: network
    )  # it cannot compile the checks of annotations
    setup = Setup.of(
        "trainer=cpu", "model=unet_small", "model.base_channels=4", "data.num_workers=0", matrix=32, cases=3, steps=2
    )
    taken = training.times(setup, 1)
    assert [row["step"] for row in training.rows(taken, 8)] == [*taken]
    assert all(seconds > 0 for of_round in taken.values() for seconds in of_round)
    given = {
        training.BARE: [1.0, 2.0],
        training.MEMORY: [1.02, 2.04],
        training.STORE: [1.02, 2.04],
        training.FLOAT32: [1.5, 3.0],
        training.COMPILED: [0.5, 1.0],
    }
    *told, compiled = training.ratios(given, shipped=training.MEMORY, has_half=True)
    assert [line.split()[-1] for line in told] == ["pass", "pass", "FAIL"]
    assert "a step is 2.040 (" in compiled
    assert training.ratios(given, shipped=training.MEMORY, has_half=False)[2].endswith("target >= 1: pass")
    made = training.ratios(given, shipped=training.COMPILED, has_half=True)
    assert [line.split()[-1] for line in made[:3]] == ["pass", "FAIL", "pass"], (
        "compiled, 1 s a round, waits for the store"
    )


def test_a_network_is_never_quicker_than_its_layers_must_be() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    passes = roofline.layers(network, torch.zeros(2, 1, 8, 8), element=2)
    pixels = 2 * 8 * 8
    # the first convolution has no gradient to the images: two passes, the second has three
    assert sum(layer.flops for layer in passes) == 2 * pixels * (2 * 4 * 9 + 3 * 8)
    first = passes[0]
    assert first.moved == 2 * (pixels + 4 * 9 + 4 * pixels)
    assert first.seconds(1e9, 1.0) == first.moved
    assert first.seconds(1.0, 1e9) == first.flops


def test_figures_of_the_official_scorer_are_compared_to_its_last_digit() -> None:
    pairs = SETS["plain"]
    theirs = {name: PRINTED["plain"][ours] for name, ours in NAMES.items()}
    row, seconds = scoring.compared("plain", pairs, lambda folder: Printed(theirs, 60.0), rounds=2)
    assert row == {"masks": "plain", "cases": 2, "figures": "24 equal"}
    assert [official for official, _ in seconds] == [60, 60]
    other = {**theirs, "liver_rvd": "0.160"}
    row, _ = scoring.compared("plain", pairs, lambda folder: Printed(other, 60.0), rounds=1)
    assert row["figures"] == "not equal: liver_rvd"
    row, seconds = scoring.compared("healthy", pairs, lambda folder: "ValueError: 5", rounds=1)
    assert (row["figures"], seconds) == ("none: the official scorer ends with ValueError: 5", [])


def test_scorers_are_judged_by_figures_and_by_time() -> None:
    rows = [{"masks": "plain", "figures": "24 equal"}, {"masks": "split", "figures": "not equal: liver_rvd"}]
    assert [line.split()[-1] for line in scoring.verdict(rows[:1], [(60.0, 12.0)])] == ["pass", "pass"]
    assert scoring.verdict(rows, [(60.0, 13.0)]) == [
        "figures: FAIL: split",
        "ours is 4.6 (4.6-4.6) times as quick, target >= 5: FAIL",
    ]
    assert [row["s a case"] for row in scoring.time_rows([(60.0, 12.0)], cases=3)] == [20, 4]


def test_a_phantom_pair_has_all_that_is_scored() -> None:
    pair = scoring.phantom_pair(0, matrix=96, slices=30)
    assert pair.truth.shape == pair.prediction.shape == (30, 96, 96)
    assert all((labels == label).any() for labels in pair[:2] for label in (0, 1, 2))
    assert (pair.truth != pair.prediction).any()


def test_the_scorer_runs_on_a_copy_that_is_mended(tmp_path: Path) -> None:
    program = tmp_path / "scorer" / "program"
    program.mkdir(parents=True)
    source = (
        "import os, sys\nimport numpy as np\n_slices = [slice(1, 2)]\n"
        "x = np.ones(3, dtype=np.bool)[_slices]\nos.makedirs(sys.argv[2])\n"
        "open(sys.argv[2] + '/scores.txt', 'w').write('liver_dice: %.3f\\n' % x.sum())\n"
        "print('(total time: 1.25 seconds)')\n"
    )
    (program / "evaluate.py").write_text(source.replace("_slices", "sum_slices"))
    printed = run_official(Path(sys.executable), program_of(tmp_path / "scorer"), tmp_path)
    assert printed == Printed({"liver_dice": "1.000"}, 1.25)
    assert "np.bool" in (program / "evaluate.py").read_text()
    (program / "evaluate.py").write_text("raise ValueError('no lesion')")
    assert run_official(Path(sys.executable), program, tmp_path) == "ValueError: no lesion"
    with pytest.raises(LiverError, match=r"no program/evaluate\.py"):
        program_of(tmp_path)
