"""results.csv: runs are read back as written, and give the same comparison."""

import csv
import json
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lightning_liver.comparison.results import gather, read_results, write_results
from lightning_liver.comparison.runs import COMPLETE, Run, present_runs, read_runs
from lightning_liver.comparison.study import study
from lightning_liver.comparison.study_text import study_text
from lightning_liver.config import VERSION, renamed
from lightning_liver.errors import LiverError
from tests.report.run_folders import scores_of, write_config, write_run

TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["null", "~", "1e3", "1.0e+3", "0x1F", "0o17", "1_000", "12:30:00", "on", "No", "-", "?", ":", "...", "---", "a...",
     "", " ", "a, b", 'say "no"', "it's", "two\nlines", "\r\n", "#", "a #b", "${..fold}", "2026-01-31", "[", "{}", "&a",
     "*a", "!t", "|", ">", "%", "@", "`", "=", "<<", ".nan", "\x00", "\x85", "\u2028", "\ufeff", "\U0001f600", "é"]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS | st.dates()
VALUES = SCALARS | st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=2), max_leaves=6
)
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def run_of(**options: Any) -> Run:
    return Run(Path("run"), COMPLETE, "", options, 0, 0)


def written(*runs: Run) -> list[Run]:
    with TemporaryDirectory() as folder:
        write_results(Path(folder) / "results.csv", runs)
        return read_results(Path(folder) / "results.csv")


@settings(max_examples=300)
@given(st.dictionaries(NAMES.map("loss.{}".format), VALUES, max_size=4))
@example({"loss.a": float("inf"), "loss.b": float("-inf"), "loss.c": -0.0, "loss.d": 1e-7, "loss.e": 1e23})
@example({"loss.a": [None, ["a\nb", 1]], "loss.b": [], "loss.c": [{"x": "1e3"}], "loss.d": date(2026, 1, 31)})
def test_settings_are_read_back_as_they_were_written(options: dict[str, object]) -> None:
    (run,) = written(run_of(**options))
    expected = renamed(options)  # options of earlier versions get their present names
    assert repr(dict(sorted(run.settings.items()))) == repr(dict(sorted(expected.items())))  # 1 is not 1.0, nor true


@given(st.sampled_from(["run", "configuration", "epochs", "cases", "loss/dice", "tumour_dice"]), SCALARS)
def test_settings_may_have_the_names_of_other_columns(name: str, value: object) -> None:
    (run,) = written(run_of(**{name: value}))
    assert run.settings == {name: value}


def test_absent_setting_is_not_null(tmp_path: Path) -> None:
    first, second = Run(Path("a"), COMPLETE, "", {"loss.gamma": None}, 0, 0), Run(Path("b"), COMPLETE, "", {}, 0, 0)
    assert {run.name: run.settings for run in written(first, second)} == {"a": {"loss.gamma": None}, "b": {}}


DICE = st.none() | st.floats(0, 1)


@st.composite
def studies(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw a few runs of two losses at two sizes, on patients with one or two scans, with some missing."""
    scans = [
        (f"p{n}", f"{n}-{scan}") for n in range(draw(st.integers(1, 6))) for scan in range(draw(st.integers(1, 2)))
    ]
    return [
        {
            "loss": loss,
            "tumour": {scan: draw(DICE) for scan in scans},
            "liver": {scan: draw(DICE) for scan in scans[: draw(st.integers(1, len(scans)))]},
            "options": {"gamma": draw(st.sampled_from([0, 2]))},
            "augment": {"scale": scale},
            "seed": seed,
            "choice": loss,
        }
        for loss in ("bce", "dice")
        for scale in (1, 2.5)
        for seed in range(draw(st.integers(1, 2)))
    ]


def comparison_text(runs: list[Run], within: tuple[str, ...]) -> str:
    try:
        return study_text(study(runs, ("tumour", "liver"), within=within))
    except LiverError as error:
        return str(error)


@settings(max_examples=15)
@given(studies(), st.sampled_from([(), ("augment.scale",), ("loss", "loss.gamma")]))
def test_results_give_the_same_comparison_as_run_folders(runs: list[dict[str, Any]], within: tuple[str, ...]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        for n, run in enumerate(runs):
            write_run(folder / "study" / f"{n:02}", **{"fold": 0, **run})
        from_folders = read_runs([folder / "study"])
        write_results(folder / "results.csv", from_folders, within)
        from_rows = read_results(folder / "results.csv")
        assert comparison_text(from_rows, within) == comparison_text(from_folders, within)
        before = (folder / "results.csv").read_bytes()
        write_results(folder / "results.csv", from_rows[::-1], within)
        assert (folder / "results.csv").read_bytes() == before


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Write a run with two scans of patient A, one of B; the tumour of one scan is undefined."""
    tumour = {("A", "1"): 0.25, ("A", "2"): 0.7512345678, ("B", "3"): None}
    folder = write_run(tmp_path / "study" / "run", "bce", tumour, {("A", "1"): 1.0}, seed=4, fold=2, choice="bce")
    (folder / "metrics.json").write_text(json.dumps({"epochs": 3, "steps": 360, "test/tumour/dice": 0.5}))
    (folder / "timing.json").write_text(json.dumps({"prepare_s": 9.0, "fit_s": 60.04, "test_s": 1.5}))
    losses = [
        "1,A,bce,0.5",
        "2,A,bce,1.5",
        "3,B,bce,2.0",
        "1,A,dice,0.25",
        "2,A,dice,",
        "3,B,dice,1.0",
        "1,A,boundary,inf",
    ]
    (folder / "losses.csv").write_text("\n".join(["case,patient,loss,value", *losses]) + "\n")
    return folder


def test_row_has_the_settings_and_scores_of_a_run(run: Path, tmp_path: Path) -> None:
    write_results(tmp_path / "results.csv", read_runs([run]))
    (row,) = rows_of(tmp_path / "results.csv")
    assert list(row.values())[:14] == [
        "run", "all", "4", "2", "3", "360", "61.5", "2", "3", "1.0", "0.500617", "2", "1.5",
        '[{"case":"1","patient":"A","liver":1.0,"tumour":0.25},{"case":"2","patient":"A","liver":null,"tumour":0.751235}'
        ',{"case":"3","patient":"B","liver":null,"tumour":null}]',
    ]  # fmt: skip
    assert list(row)[:14] == [
        "run", "configuration", "seed", "fold", "epochs", "steps", "seconds", "patients", "scans", "liver_dice",
        "tumour_dice", "version", "loss/bce", "cases",
    ]  # fmt: skip
    assert {name: row[name] for name in list(row)[14:]} == {
        "data.size": "128",
        "loss._choice_": "bce",
        "loss._target_": "package.losses.bce",
        "model._choice_": "unet_small",
        "model._target_": "package.models.unet",
        "model.depth": "3",
    }


def test_losses_are_means_over_patients_and_finite(run: Path) -> None:
    assert read_runs([run])[0].losses == {"bce": 1.5}


def test_row_is_read_back_as_the_same_run(run: Path, tmp_path: Path) -> None:
    write_results(tmp_path / "results.csv", read_runs([run]))
    (was,), (now,) = read_runs([run]), read_results(tmp_path / "results.csv")
    assert now.folder == Path("run")
    for each in ("name", "status", "settings", "seed", "fold", "losses", "epochs", "steps", "seconds"):
        assert getattr(now, each) == getattr(was, each), each
    assert [case for case in now.cases if case in was.cases] == list(was.cases)


def test_older_run_without_losses_and_timing_has_empty_cells(run: Path, tmp_path: Path) -> None:
    for name in ("losses.csv", "timing.json"):
        (run / name).unlink()
    write_results(tmp_path / "results.csv", read_runs([run]))
    (row,) = rows_of(tmp_path / "results.csv")
    assert row["seconds"] == ""
    assert not any(name.startswith("loss/") for name in row)
    (now,) = read_results(tmp_path / "results.csv")
    assert (now.losses, now.seconds) == ({}, None)


@pytest.mark.parametrize("content", ["case,patient\n1,A\n", "case,patient,loss,value\n1,A,bce,many\n"])
def test_damaged_losses_are_named(run: Path, content: str) -> None:
    (run / "losses.csv").write_text(content)
    with pytest.raises(LiverError, match=r"run/losses\.csv.*damaged .*remove metrics\.json"):
        read_runs([run])


def test_rows_are_complete_runs_by_configuration_fold_seed_and_name(tmp_path: Path) -> None:
    for name, loss, fold, seed in (("a", "dice", 0, 0), ("b", "bce", 1, 0), ("c", "bce", 0, 10), ("d", "bce", 0, 9)):
        write_run(tmp_path / "study" / name, loss, scores_of(0.5), fold=fold, seed=seed)
    write_config(tmp_path / "study" / "begun", {"_target_": "package.losses.bce"})
    write_results(tmp_path / "results.csv", read_runs([tmp_path / "study"]))
    assert [row["run"] for row in rows_of(tmp_path / "results.csv")] == ["d", "c", "b", "a"]


def test_a_complete_folder_wins_over_a_row_and_a_row_over_an_incomplete_folder(tmp_path: Path) -> None:
    study = tmp_path / "study"
    folders = [write_run(study / name, "bce", {}, scores_of(0.5), seed=seed) for seed, name in enumerate("abc")]
    write_results(tmp_path / "results.csv", read_runs([study]))
    (folders[0] / "cases.csv").write_text("case,patient,structure,dice\n1,A,liver,0.875\n")
    (folders[1] / "metrics.json").unlink()
    for places in ([study, tmp_path / "results.csv"], [tmp_path / "results.csv", study], [tmp_path]):
        runs = {run.name: run for run in gather(places)}
        assert {name: (run.status, run.cases[0].dice) for name, run in runs.items()} == {
            "a": ("complete", 0.875),
            "b": ("complete", 0.5),
            "c": ("complete", 0.5),
        }
        assert len(gather(places)) == 3


def test_row_in_two_files_counts_once_and_the_first_file_wins(run: Path, tmp_path: Path) -> None:
    write_results(tmp_path / "first.csv", read_runs([run]))
    text = (tmp_path / "first.csv").read_text()
    (tmp_path / "second.csv").write_text(text.replace('"tumour"":0.25', '"tumour"":0.5'))
    places = [tmp_path / "second.csv", tmp_path / "first.csv"]
    assert [[r.cases[1].dice for r in gather(order)] for order in (places, places[::-1])] == [[0.5], [0.25]]


def test_runs_of_equal_name_are_compared_but_not_written(tmp_path: Path) -> None:
    for loss in ("bce", "dice"):
        write_run(tmp_path / "study" / loss / "seed-0", loss, scores_of(0.25, 0.5, 0.75))
    runs = read_runs([tmp_path / "study"])
    assert "Not all" not in study_text(study(runs, ["tumour"]))
    with pytest.raises(LiverError, match="have the same name"):
        write_results(tmp_path / "results.csv", runs)
    assert not (tmp_path / "results.csv").exists()


def damaged(text: str) -> dict[str, tuple[str, int]]:
    header, row, *_ = text.splitlines()
    return {
        "a table of something else": ("fold,patient\n0,A\n", 1),
        "an empty file": ("", 1),
        "a merge that was not finished": (f"{header}\n<<<<<<< HEAD\n{row}\n", 2),
        "a row twice": (f"{header}\n{row}\n{row}\n", 3),
        "a row without a name": (f"{header}\n{row.removeprefix('run')}\n", 2),
        "a row cut off": (f"{header}\n{row[:-40]}\n", 2),
        "a seed that is no number": (text.replace(",4,2,", ",four,2,"), 2),
        "cases that are no list": (text.replace('"[{', '"{'), 2),
        "a case without a patient": (text.replace('""patient"":""A"",', "", 1), 2),
        "a score that is no number": (text.replace('""tumour"":0.25', '""tumour"":NaN'), 2),
        "a setting that is no YAML": (text.replace("package.models.unet", "[1"), 2),
        "a column of another program": (text.replace("seconds,", "seconds,hours,").replace("61.5,", "61.5,7,"), 1),
    }


@pytest.mark.parametrize("damage", damaged("run\nrun\n"))
def test_damaged_results_are_named_with_their_line(run: Path, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "results.csv"
    write_results(path, read_runs([run]))
    content, line = damaged(path.read_text())[damage]
    assert content != path.read_text()
    path.write_text(content)
    with pytest.raises(LiverError, match=rf"results\.csv, line {line}: .*git checkout"):
        read_results(path)


def test_cells_are_plain_yaml(tmp_path: Path) -> None:
    write_results(tmp_path / "results.csv", [run_of(**{"loss.a": "null", "loss.b": [1, "x"], "loss.c": None})])
    (row,) = rows_of(tmp_path / "results.csv")
    assert [row[f"loss.{each}"] for each in "abc"] == ["'null'", "[1, x]", "null"]
    assert yaml.safe_load(row["loss.a"]) == "null"


def row_of(name: str, version: int) -> Run:
    return Run(Path(name), COMPLETE, "", {"loss.gamma": version}, 0, 0, version=version)


def test_runs_of_an_earlier_version_keep_their_rows_and_are_not_compared_with_present_ones(tmp_path: Path) -> None:
    write_run(tmp_path / "study" / "loss-bce-00000002", "bce", scores_of(0.5, 0.7))
    write_results(tmp_path / "results.csv", [row_of("loss-bce-00000001", 1), row_of("loss-dice-00000001", 1)])
    found = gather([tmp_path / "study", tmp_path / "results.csv"])
    kept, text = present_runs(found)
    assert [run.name for run in kept] == ["loss-bce-00000002"]
    assert text.startswith("2 of 3 runs are of an earlier version")
    write_results(tmp_path / "results.csv", found)
    assert {row["run"]: row["version"] for row in rows_of(tmp_path / "results.csv")} == {
        "loss-bce-00000001": "1", "loss-bce-00000002": "2", "loss-dice-00000001": "1"
    }  # fmt: skip
    alone, text = present_runs([row_of("loss-bce-00000001", 1), row_of("loss-dice-00000001", 1)])
    assert (len(alone), text) == (2, "")


def test_a_row_whose_run_was_made_again_with_other_options_is_of_an_earlier_version(tmp_path: Path) -> None:
    write_run(tmp_path / "study" / "seed-0-00000002", "bce", scores_of(0.5, 0.7))
    write_results(tmp_path / "results.csv", [row_of("seed-0-00000001", 2), row_of("seed-1-00000001", 2)])
    kept, _ = present_runs(gather([tmp_path / "study", tmp_path / "results.csv"]))
    assert [run.name for run in kept] == ["seed-0-00000002", "seed-1-00000001"]
    several = [row_of(f"seed-0-0000000{n}", 2) for n in (1, 2, 3)]  # as of several commands
    write_results(tmp_path / "results.csv", several)
    kept, text = present_runs(gather([tmp_path / "study", tmp_path / "results.csv"]))
    assert (len(kept), text) == (3, "")


@pytest.mark.slow
def test_committed_rows_say_their_version_and_a_table_without_one_is_of_the_first(tmp_path: Path) -> None:
    tables = list((Path(__file__).parents[2] / "experiments").glob("*/results.csv"))
    versions = {
        path.parent.name: {run.version for run in read_results(path)} for path in tables if "first" not in str(path)
    }
    assert {name for name, found in versions.items() if found == {1}} == {"losses", "focal_grid", "losses_real"}
    assert all(found == {VERSION} for name, found in versions.items() if not name.startswith(("losses", "focal_grid")))
    write_results(tmp_path / "results.csv", [row_of("a", 2)])
    text = (tmp_path / "results.csv").read_text()
    (tmp_path / "results.csv").write_text(
        text.replace("tumour_dice,version,", "tumour_dice,").replace(",,,2,[]", ",,,[]")
    )
    assert [run.version for run in read_results(tmp_path / "results.csv")] == [1]
