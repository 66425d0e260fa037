import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from experiments.speed import rounds
from experiments.speed.__main__ import benchmarks, main
from experiments.speed.augmentation import data_wait, our_set, peers, policies
from experiments.speed.augmentation.contender import TRANSFORMS
from experiments.speed.augmentation.scans import scan
from experiments.speed.command import README, ROOT
from experiments.speed.scoring import bench as scoring
from experiments.speed.scoring.masks import SETS
from experiments.speed.scoring.official import NAMES, Printed, program_of, run_official
from experiments.speed.training import bench as training
from experiments.speed.training import roofline
from experiments.speed.training.step import Setup
from lightning_liver.comparison.readme import check_marks
from lightning_liver.errors import LiverError
from tests.metrics.printed import PRINTED

STUDY = README.parent
CONF = ROOT / "conf" / "augment"
MATRIX = 64


def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["speed", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_help_has_a_line_for_each_benchmark(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [line.split(maxsplit=1) for line in shown(capsys, monkeypatch, "--help").splitlines()]
    assert {path.parent.name for path in STUDY.glob("*/bench.py")} == set(benchmarks()) >= {"training", "dice"}
    assert all([name, line] in lines for name, line in benchmarks().items())


@pytest.mark.parametrize("what", benchmarks())
def test_each_benchmark_has_its_own_help(
    what: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if what == "augmentation":
        pytest.importorskip("batchgeneratorsv2")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # which the benchmark of augmentation sets
    help_text = shown(capsys, monkeypatch, what, "--help")
    assert f"usage: python -m experiments.speed {what} " in help_text
    assert benchmarks()[what] in " ".join(help_text.split())
    assert "--write" in help_text


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    ("variables", "environments", "options"),
    [
        ("WHAT=training RECIPE=gpu", [".venv"], "training --recipe gpu --write"),
        ("WHAT=augmentation", [".cache/bench"], "augmentation --write"),
        ("WHAT=scoring SCORER=/scorer", [".cache/scorer", ".venv"], "scoring --scorer /scorer --write"),
        ("WHAT=prepare OPTIONS=--cases=1", [".cache/nnunet", ".venv"], "prepare --cases=1 --write"),
        ("WHAT=dice DATA=/scans", [".cache/nnunet", ".venv"], "dice --data /scans --write"),
        ("", [".venv"], "--help --write"),
    ],
)
def test_make_bench_needs_the_environments_of_the_benchmark_and_passes_its_options(
    variables: str, environments: list[str], options: str
) -> None:
    command = ["make", "--no-print-directory", "--always-make", "--dry-run", "bench", *variables.split()]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert sorted(line.split()[-1] for line in lines if " -m venv " in line) == environments
    python, rest = lines[-1].split(" -m experiments.speed ")
    assert python == (".cache/bench/bin/python" if "augmentation" in variables else ".venv/bin/python")
    assert rest.split() == options.split()


def test_mistake_of_the_user_is_a_message_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["speed", "scoring", "--scorer", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"SCORER={tmp_path}: expected program/evaluate.py in it; clone")


def test_summary_has_the_numbers_and_verdicts_of_the_sections() -> None:
    summary, _, sections = README.read_text().partition("\n## ")
    rows = [line for line in summary.splitlines() if line.startswith("| [")]
    titles = re.findall(r"^## (.*)", README.read_text(), re.M)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    assert {anchor for row in rows for anchor in re.findall(r"\(#([\w-]+)\)", row)} <= anchors
    missing = [
        (row, number) for row in rows for number in re.findall(r"(?<![\w.])\d+\.\d+", row) if number not in sections
    ]
    assert len(rows) > len(benchmarks())
    assert not missing
    assert sum(row.endswith("| no |") for row in rows) == sections.count(": FAIL\n")


@pytest.mark.parametrize(
    ("program", "installed"),
    [
        ("experiments.speed.dice.nnunet", {"torch", "numpy", "nnunetv2"}),
        ("experiments.speed.predict.nnunet_model", {"torch", "nnunetv2"}),
        ("experiments.speed.scoring.scorer_runner", set()),
    ],
)
def test_programs_of_other_environments_import_only_what_is_installed_there(program: str, installed: set[str]) -> None:
    reached, waiting = set(), [program]
    while waiting:
        name = waiting.pop()
        text = (ROOT / f"{name.replace('.', '/')}.py").read_text()
        found = set(re.findall(r"^ *(?:from|import) ([\w.]+)", text, re.M))
        assert {each.partition(".")[0] for each in found} <= {*sys.stdlib_module_names, *installed, "experiments"}, name
        reached.add(name)
        waiting += [each for each in found if each.startswith("experiments.") and each not in reached]
    assert len(reached) > 1 or not installed


@pytest.mark.slow
def test_every_policy_has_a_row() -> None:
    rows = policies.policy_rows([MATRIX], rounds=1, batches=1)
    assert [row["policy"] for row in rows] == sorted(path.stem for path in CONF.glob("*.yaml"))
    assert all(float(row[f"{MATRIX} ms"] or 0) > 0 for row in rows)


def test_slow_policies_fail_their_limit() -> None:
    lines = policies.limits([{"policy": "perlin", "512 ms": 2.9}, {"policy": "elastic", "512 ms": 3.1}], 512)
    assert [line.split()[-1] for line in lines] == ["pass", "FAIL"]


def test_our_set_applies_every_transform() -> None:
    given = scan(MATRIX)
    contenders = [our_set.contender(given), our_set.to_tensor(given)]
    assert [row["transform"] for row in peers.change_rows(contenders)] == [*TRANSFORMS, "all five"]
    rows = peers.speed_rows(contenders, rounds=2, calls=1)
    assert rows[0]["ours is x times as quick"] == 1
    assert "pass" in peers.verdict([rows[0], {**rows[1], "ours is x times as quick": 2.0}], ["ours, to tensor"])


@pytest.mark.parametrize("library", ["monai", "batchgenerators"])
def test_sets_of_peers_apply_every_transform(library: str) -> None:
    pytest.importorskip("batchgeneratorsv2" if library == "batchgenerators" else library)
    module = pytest.importorskip(f"experiments.speed.augmentation.{library}_set")
    assert len(peers.change_rows([module.contender(scan(MATRIX))])) == len(TRANSFORMS) + 1


def test_idle_set_is_refused() -> None:
    given = our_set.contender(scan(MATRIX))
    idle = peers.Contender("idle", lambda names: given.pipeline([]), given.arrays)
    with pytest.raises(RuntimeError, match="idle: rotation, scale changes the image by only 0"):
        peers.change_rows([idle])


def test_rounds_time_all_work_with_the_same_seeds() -> None:
    seen: list[tuple[str, int]] = []
    work = {name: lambda seed, name=name: seen.append((name, seed)) for name in "ab"}
    taken = rounds.seconds_a_call(work, rounds=2, calls=2)
    assert "".join(name for name, _ in seen) == "aabb" + "bbaa" + "aabb"
    assert [seed for _, seed in seen] == [0, 1] * 6
    assert {name: len(times) for name, times in taken.items()} == {"a": 2, "b": 2}
    assert rounds.median_and_range([3.0, 1.0, 2.0], 1) == (2.0, "1.0-3.0")


def test_data_wait_is_judged_for_the_policy_under_test() -> None:
    rows = [{"augment": "none", "waits, %": 9.0}, {"augment": "all", "waits, %": 2.5}]
    assert data_wait.verdict(rows) == "augment=all: waits 2.50%, target < 3%: pass"


@pytest.mark.parametrize(
    "name",
    ["augmentation", "scoring", "training-small", "training-gpu", "start", "predict", "prepare", "slices", "growth"],
)
def test_readme_has_marks_for_each_table(name: str) -> None:
    check_marks(README, name)


@pytest.mark.slow
def test_steps_are_timed_and_judged_by_ratios_of_the_same_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        torch, "compile", lambda network, dynamic: network
    )  # it cannot compile the checks of annotations
    setup = Setup.of(
        "trainer=cpu", "model=unet_small", "model.base_channels=4", "data.num_workers=0", matrix=32, cases=3, steps=2
    )
    taken = training.times(setup, 1)
    batch = setup.batch()
    assert all(each is batch for each in setup.data(batch).train_dataloader())
    assert [row["step"] for row in training.rows(taken, 8)] == [*taken]
    assert all(seconds > 0 for of_round in taken.values() for seconds in of_round)
    given = {
        training.BARE: [1.0, 2.0],
        training.MEMORY: [1.02, 2.04],
        training.STORE: [1.02, 2.04],
        training.FLOAT32: [1.5, 3.0],
        training.COMPILED: [0.5, 1.0],
    }
    *lines, compiled = training.verdict(given, shipped=training.MEMORY, has_half=True)
    assert [line.split()[-1] for line in lines] == ["pass", "pass", "FAIL"]
    assert "a step is 2.040 (" in compiled
    assert training.verdict(given, shipped=training.MEMORY, has_half=False)[2].endswith("target >= 1: pass")
    made = training.verdict(given, shipped=training.COMPILED, has_half=True)
    assert [line.split()[-1] for line in made[:3]] == ["pass", "FAIL", "pass"], (
        "compiled, 1 s a round, waits for the store"
    )


def test_roofline_counts_flops_and_bytes_of_each_pass() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    passes = roofline.layers(network, torch.zeros(2, 1, 8, 8), element=2)
    pixels = 2 * 8 * 8
    # the first convolution has no gradient to the images: two passes, the second has three
    assert sum(layer.flops for layer in passes) == 2 * pixels * (2 * 4 * 9 + 3 * 8)
    first = passes[0]
    assert first.moved == 2 * (pixels + 4 * 9 + 4 * pixels)
    assert first.seconds(1e9, 1.0) == first.moved
    assert first.seconds(1.0, 1e9) == first.flops


def test_figures_are_compared_to_the_last_digit_of_the_official_scorer() -> None:
    pairs = SETS["plain"]
    theirs = {name: PRINTED["plain"][ours] for name, ours in NAMES.items()}
    row, seconds = scoring.compare("plain", pairs, lambda folder: Printed(theirs, 60.0), rounds=2)
    assert row == {"masks": "plain", "cases": 2, "figures": "24 equal"}
    assert [official for official, _ in seconds] == [60, 60]
    other = {**theirs, "liver_rvd": "0.160"}
    row, _ = scoring.compare("plain", pairs, lambda folder: Printed(other, 60.0), rounds=1)
    assert row["figures"] == "not equal: liver_rvd"
    row, seconds = scoring.compare("healthy", pairs, lambda folder: "ValueError: 5", rounds=1)
    assert (row["figures"], seconds) == ("none: the official scorer ends with ValueError: 5", [])


def test_scorers_are_judged_by_figures_and_time() -> None:
    rows = [{"masks": "plain", "figures": "24 equal"}, {"masks": "split", "figures": "not equal: liver_rvd"}]
    assert [line.split()[-1] for line in scoring.verdict(rows[:1], [(60.0, 12.0)])] == ["pass", "pass"]
    assert scoring.verdict(rows, [(60.0, 13.0)]) == [
        "figures: FAIL: split",
        "ours is 4.6 (4.6-4.6) times as quick, target >= 5: FAIL",
    ]
    assert [row["s a case"] for row in scoring.time_rows([(60.0, 12.0)], cases=3)] == [20, 4]


def test_phantom_pair_has_all_labels_and_differences() -> None:
    pair = scoring.phantom_pair(0, matrix=96, slices=30)
    assert pair.truth.shape == pair.prediction.shape == (30, 96, 96)
    assert all((labels == label).any() for labels in pair[:2] for label in (0, 1, 2))
    assert (pair.truth != pair.prediction).any()


def test_official_scorer_runs_on_a_patched_copy(tmp_path: Path) -> None:
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
    with pytest.raises(LiverError, match=r"expected program/evaluate\.py"):
        program_of(tmp_path)
