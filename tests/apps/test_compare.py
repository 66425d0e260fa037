"""liver-compare"""

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from tests.apps.commands import call
from tests.report.run_folders import scores_of, write_config, write_run

Shown = tuple[int, str]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """12 patients, two seeds: dice is better for each of them, focal only differs by chance."""
    random = np.random.default_rng(0)
    bce = random.uniform(0.3, 0.7, 12)
    for seed in (0, 1):
        for loss, gain in (("bce", 0.0), ("dice", 0.1), ("focal", random.normal(0, 0.05, 12))):
            tumour = scores_of(*(bce + gain + random.uniform(0, 0.01, 12)))
            write_run(tmp_path / "study" / f"{loss}-{seed}", loss, tumour, liver=tumour, seed=seed)
    return tmp_path


@pytest.fixture
def compare(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    return lambda *arguments: call("compare", *arguments, folder=tmp_path, capfd=capfd)


def test_tells_apart_what_differs_and_says_what_it_cannot_tell(study: Path, compare) -> None:
    code, output = compare("study")
    assert code == 0, output
    assert "loss=dice scores higher than loss=bce" in output
    assert "The data cannot tell loss=bce from loss=focal" in output
    assert "Holm's correction over 3 tests" in output
    assert "Liver" not in output


def test_both_structures_are_corrected_together(study: Path, compare) -> None:
    code, output = compare("study", "--metric", "both")
    assert code == 0, output
    assert "Verdict on tumour" in output
    assert "Verdict on liver" in output
    assert "over 6 tests" in output


@pytest.mark.parametrize("name", ["loss=bce", "bce"])
def test_baseline_goes_by_its_name_or_its_values(study: Path, compare, name: str) -> None:
    code, output = compare("study", "--baseline", name)
    assert code == 0, output
    assert "against loss=bce" in output
    assert "over 2 tests" in output
    assert "loss=dice from loss=focal" not in output


def test_five_patients_are_reported_that_no_test_can_reach_005(tmp_path: Path, compare) -> None:
    for loss, dice in (("bce", 0.2), ("dice", 0.9), ("focal", 0.5)):
        write_run(tmp_path / "study" / loss, loss, scores_of(*(dice + n / 100 for n in range(5))))
    code, output = compare("study")
    assert code == 0, output
    assert "With 5 patients no test can reach 0.05 whatever happens: the smallest possible p is 0.0625" in output
    assert "0.188 after Holm's correction" in output
    assert "it takes 7 patients" in output


def test_different_patients_seeds_and_unfinished_runs_are_remarked(study: Path, compare) -> None:
    (study / "study" / "focal-1" / "metrics.json").unlink()
    write_run(study / "study" / "bce-2", "bce", scores_of(*[0.5] * 13))
    code, output = compare("study")
    assert code == 0, output
    assert "1 of 7 runs are not complete" in output
    assert "Not all configurations met the same patients" in output
    assert "Not all configurations have the same seeds" in output


def test_pairs_too_many_for_a_table_are_letters_and_a_csv(tmp_path: Path, compare) -> None:
    for n in range(11):
        write_run(tmp_path / "study" / f"{n}", f"loss{n:02}", scores_of(*(0.05 * n + k / 1000 for k in range(14))))
    code, output = compare("study", "--figures", "f")
    assert code == 0, output
    assert re.search(r"loss=loss10 +0\.506  a\n", output)
    assert "All 55 pairs are in pairs.csv" in output
    assert "The data tell apart 55 of 55 pairs of networks" in output
    assert "rank-biserial" not in output
    with (tmp_path / "f" / "pairs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 55
    assert {row["told apart"] for row in rows} == {"networks"}, "of one seed"


def test_one_configuration_has_its_table_and_nothing_to_compare(tmp_path: Path, compare) -> None:
    write_run(tmp_path / "study" / "run", "bce", scores_of(0.2, 0.4, 0.9))
    code, output = compare("study")
    assert code == 0, output
    assert "0.500" in output
    assert "nothing to compare" in output


def test_status_lists_every_run_with_its_reason(study: Path, compare) -> None:
    write_config(study / "study" / "broken", {"_target_": "package.losses.bce"})
    (study / "study" / "broken" / "train.log").write_text("FAILED: loss.gamma=-1: it must not be negative\n")
    code, output = compare("study", "--status")
    assert code == 0, output
    assert "loss.gamma=-1: it must not be negative" in output
    assert output.endswith("7 runs: 6 complete, 1 failed\n")


def test_write_replaces_only_what_stands_between_the_marks(study: Path, compare) -> None:
    readme = study / "README.md"
    readme.write_text("# Question\n<!-- liver-compare -->\nstale\n<!-- /liver-compare -->\nEnd \\1\n")
    for _ in range(2):
        code, output = compare("study", "--write", "README.md")
        assert code == 0, output
    text = readme.read_text()
    assert text.startswith("# Question\n<!-- liver-compare -->\n\n    liver-compare study --write README.md\n")
    assert text.endswith("<!-- /liver-compare -->\nEnd \\1\n")
    assert text.count("Verdict on tumour") == 1
    assert "stale" not in text
    with (study / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["run"] for row in rows] == sorted(path.name for path in (study / "study").iterdir())


def write_losses(run: Path, **losses: float) -> None:
    """losses.csv as a run leaves it, equal for three cases of two patients."""
    with (run / "losses.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "patient", "loss", "value"])
        cases = [("1", "A"), ("2", "A"), ("3", "B")]
        writer.writerows([*case, loss, value] for case in cases for loss, value in losses.items())


@pytest.fixture
def measured(study: Path) -> Path:
    """The study with measured losses, but for one run."""
    for seed in (0, 1):
        write_losses(study / "study" / f"bce-{seed}", bce=0.25 + seed / 2, dice=0.5)
        write_losses(study / "study" / f"dice-{seed}", bce=3.0, dice=0.25)
    write_losses(study / "study" / "focal-0", bce=0.75, dice=0.75)
    return study


def test_published_figures_follow_the_means(study: Path, compare) -> None:
    _, output = compare("study", "--metric", "both")
    means, published = output.index("Tumour Dice per case, mean"), output.index("Published tumour Dice")
    assert means < published < output.index("Paired differences") < output.index("Published liver Dice")
    assert output.count("Is it good enough?") == 2
    assert "not comparable" in output


def test_figures_are_written_for_what_is_shown(study: Path, compare) -> None:
    code, output = compare("study", "--metric", "both", "--figures", "new/figures")
    assert code == 0, output
    assert {path.name for path in (study / "new" / "figures").glob("*.png")} == {
        "forest-tumour.png",
        "forest-liver.png",
    }
    columns = {path.name for path in (study / "new" / "figures").glob("column-*")}
    assert columns == {f"column-{name}.{ending}" for name in ("tumour", "liver") for ending in ("pdf", "svg")}
    assert "Training loss against metric" not in output


@pytest.mark.slow
def test_sweep_of_two_options_is_shown_as_a_grid_with_all_pairs_tested(tmp_path: Path, compare) -> None:
    for gamma in (10, 2):
        for alpha in (0.25, 0.5):
            options = {"gamma": gamma, "alpha": alpha}
            dice = scores_of(*((alpha + gamma / 100) * (1 + n / 100) for n in range(12)))
            write_run(tmp_path / "study" / f"{gamma}-{alpha}", "focal", dice, options=options)
    code, output = compare("study", "--figures", "f", "--baseline", "loss.alpha=0.25 loss.gamma=2")
    assert code == 0, output
    assert "Tumour Dice by loss.alpha and loss.gamma" in output
    assert "Holm's correction over 6 tests, all pairs" in output
    assert "Holm's correction over 3 tests" in output
    assert {path.name for path in (tmp_path / "f").glob("*.png")} == {"forest-tumour.png", "heatmap-tumour.png"}


@pytest.mark.slow
def test_measured_losses_are_set_against_metrics(measured: Path, compare) -> None:
    code, output = compare("study", "--figures", "f")
    assert code == 0, output
    assert "1 complete run has no losses.csv and is left out here." in output
    assert "Under 2 of 2 losses that were both trained with and measured" in output
    with (measured / "f" / "loss_by_metric.csv").open(newline="") as file:
        rows = {row["configuration"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["loss=bce", "loss=dice", "loss=focal"]
    assert [float(rows["loss=bce"][metric]) for metric in ("1 - bce", "1 - dice")] == [0.5, 0.5]
    assert [float(rows["loss=dice"][metric]) for metric in ("1 - bce", "1 - dice")] == [-2.0, 0.75]
    assert (measured / "f" / "loss_by_metric.png").stat().st_size < 200_000


def test_write_puts_figures_beside_the_readme_and_shows_them(measured: Path, compare) -> None:
    readme = measured / "report" / "README.md"
    readme.parent.mkdir()
    readme.write_text("<!-- liver-compare -->\n<!-- /liver-compare -->\n")
    code, output = compare("study", "--write", "report/README.md", "--figures", "f")
    assert code == 0, output
    figures = {"forest-tumour.png", "loss_by_metric.png"}
    for folder in ("report", "f"):
        assert {path.name for path in (measured / folder).glob("*.png")} == figures
    text = readme.read_text()
    assert {name for name in figures if f"]({name})" in text} == figures
    assert text.index("](") < text.index("```text")


def test_mistakes_are_named_with_their_cure_and_exit_code_2(study: Path, compare) -> None:
    (study / "nothing").mkdir()
    (study / "plain.md").write_text("no marks")
    write_config(study / "begun" / "run", {"_target_": "package.losses.bce"})
    (write_run(study / "torn" / "run", "bce", scores_of(0.5)) / "losses.csv").write_text("case,loss\n1,bce\n")
    for loss, patient in (("bce", "A"), ("dice", "B")):
        write_run(study / "apart" / loss, loss, {(patient, "1"): 0.5})
    for arguments, words in {
        ("absent",): "absent: no such folder",
        ("nothing",): "nothing: no run in it",
        ("begun",): "no complete run with test cases",
        ("study", "--baseline", "tversky"): "loss=dice",
        ("apart",): "no patient in common",
        ("apart", "--metric", "liver"): "structure liver",
        ("study", "--write", "absent.md"): "absent.md: no such file",
        ("study", "--write", "plain.md"): "<!-- liver-compare -->",
        ("study", "--metric", "spleen"): "spleen",
        ("study", "--figures", "plain.md"): "--figures",
        ("torn",): "losses.csv, line 1: damaged",
        (): "FOLDER",
    }.items():
        code, output = compare(*arguments)
        assert code == 2, (arguments, output)
        assert words in output
        assert "Traceback" not in output
    assert not (study / "results.csv").exists()


@pytest.fixture
def readme(tmp_path: Path) -> Path:
    (tmp_path / "experiments" / "study").mkdir(parents=True)
    path = tmp_path / "experiments" / "study" / "README.md"
    path.write_text("<!-- liver-compare -->\n<!-- /liver-compare -->\n")
    return path


def test_results_say_what_the_run_folders_said(study: Path, readme: Path, compare) -> None:
    code, said = compare("study", "--metric", "both", "--write", str(readme))
    assert code == 0, said
    for place in ("experiments/study", "experiments/study/results.csv"):
        assert compare(place, "--metric", "both") == (0, said)
    code, output = compare("experiments/study", "--status")
    assert code == 0, output
    assert output.endswith("6 runs: 6 complete\n")


def test_a_second_machine_adds_to_what_the_first_one_committed(study: Path, readme: Path, compare) -> None:
    elsewhere = study / "elsewhere"
    elsewhere.mkdir()
    for name in ("focal-0", "focal-1"):
        (study / "study" / name).rename(elsewhere / name)
    code, output = compare("study", "--write", str(readme))
    assert code == 0, output
    assert "focal" not in readme.read_text()
    code, added = compare("elsewhere", "--write", str(readme))
    assert code == 0, added
    assert compare("study", "elsewhere") == (0, added)
    with readme.with_name("results.csv").open(newline="") as file:
        assert [row["run"] for row in csv.DictReader(file)] == [
            f"{loss}-{seed}" for loss in ("bce", "dice", "focal") for seed in (0, 1)
        ]


def test_write_leaves_good_results_where_something_fails(study: Path, readme: Path, compare) -> None:
    code, output = compare("study", "--write", str(readme))
    assert code == 0, output
    results = readme.with_name("results.csv")
    good, block = results.read_bytes(), readme.read_text()
    (study / "study" / "dice-0" / "cases.csv").write_text("nonsense")
    assert compare("study", "--write", str(readme))[0] == 2
    assert compare("experiments/study", "--baseline", "tversky", "--write", str(readme))[0] == 2
    assert (results.read_bytes(), readme.read_text()) == (good, block)
    results.write_bytes(good[: len(good) // 2])
    code, output = compare("experiments/study/results.csv", "--write", str(readme))
    assert code == 2
    assert "results.csv: damaged" in output
    assert "git checkout" in output
    assert (results.read_bytes(), readme.read_text()) == (good[: len(good) // 2], block)


@pytest.fixture
def scales(tmp_path: Path) -> Path:
    """12 patients, two losses at three sizes of tumours: at size 2 one is better, at the others equal by chance."""
    random = np.random.default_rng(0)
    for scale in (10, 2, 0.5):
        bce = random.uniform(0.3, 0.7, 12)
        for loss, gain in (("bce", 0.0), ("dice", 0.2 if scale == 2 else random.normal(0, 0.05, 12))):
            tumour = scores_of(*(bce + gain))
            write_run(
                tmp_path / "scales" / f"{loss}-{scale}", loss, tumour, liver=tumour, augment={"tumour_scale": scale}
            )
    return tmp_path


def test_within_compares_only_runs_that_share_a_value_and_corrects_over_all(scales: Path, compare) -> None:
    code, output = compare("scales", "--within", "augment.tumour_scale", "--metric", "both")
    assert code == 0, output
    headings = [line for line in output.splitlines() if line.startswith("Verdict")]
    assert headings == [
        f"Verdict on {structure} where augment.tumour_scale={scale}:"
        for scale in (0.5, 2, 10)
        for structure in ("tumour", "liver")
    ]
    assert output.count("over 6 tests") == 6
    assert output.count("The network of loss=dice scores higher than that of loss=bce") == 2
    assert "loss=bce augment" not in output
    assert "augment.tumour_scale=2 loss" not in output


def test_baseline_that_a_stratum_does_not_have_is_reported_there(scales: Path, compare) -> None:
    (scales / "scales" / "bce-10" / "metrics.json").unlink()
    write_run(scales / "scales" / "focal", "focal", scores_of(*[0.5] * 12), augment={"tumour_scale": 10})
    code, output = compare("scales", "--within", "augment.tumour_scale", "--baseline", "bce")
    assert code == 0, output
    assert "- No run of loss=bce here: there is nothing to compare." in output
    assert output.count("over 2 tests") == 2


def test_strata_may_be_set_apart_by_several_options_and_by_groups(scales: Path, compare) -> None:
    code, output = compare("scales", "--within", "augment.tumour_scale", "--within", "loss")
    assert code == 0, output
    assert output.count("Verdict on") == 6
    assert "augment.tumour_scale=10 loss=dice: Tumour Dice per case" in output
    assert output.count("One configuration alone") == 6


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("augment.tumor_scale", "no complete run has it"),
        ("data.size", "all complete runs have 128"),
        ("seed", "seeds and folds only repeat"),
    ],
)
def test_within_what_does_not_differ_names_what_does(scales: Path, compare, option: str, words: str) -> None:
    code, output = compare("scales", "--within", option)
    assert code == 2, output
    assert words in output
    assert output.endswith("choose one of\n  augment.tumour_scale\n  loss\n")


def test_results_are_named_as_the_text_names_them(scales: Path, readme: Path, compare) -> None:
    code, output = compare("scales", "--within", "augment.tumour_scale", "--write", str(readme))
    assert code == 0, output
    with readme.with_name("results.csv").open(newline="") as file:
        assert {row["configuration"] for row in csv.DictReader(file)} == {"loss=bce", "loss=dice"}
    assert compare("experiments/study", "--within", "augment.tumour_scale") == (0, output)
