"""liver-cluster on tiny phantoms."""

import csv
import json
import shutil
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from tests.apps.commands import SMALL, call, called

TINY = ("data.matrix=32", "data.cases=5", "data.workers=0", "data.spacing_mm=null")
RUN = (*SMALL[1:], *TINY, "trainer.max_epochs=1", "hydra.run.dir=run", "data.root=source")
TARGET = ("run=run", *TINY, "data.root=target", "every=6", "starts=3")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run of a tiny network, on phantoms, in `run`, and what was clustered in `made`."""
    folder = tmp_path_factory.mktemp("clustered")
    assert called("train", *RUN, folder=folder) == 0
    with (folder / "output.txt").open("w") as output, redirect_stdout(output):
        assert called("cluster", *TARGET, "output=made", folder=folder) == 0
    return folder


def test_every_slice_has_its_truth_and_two_clusters(trained: Path) -> None:
    rows = list(csv.DictReader((trained / "made" / "clusters.csv").open()))
    assert list(rows[0]) == ["case", "z", "truth", "cluster_by_features", "cluster_by_pixels"]
    assert {row["case"] for row in rows} == {"0", "1", "2", "3", "4"}
    assert {row["truth"] for row in rows} == {"tumour", "liver", "neither"}
    for by in ("cluster_by_features", "cluster_by_pixels"):
        assert {row[by] for row in rows} == {"1", "2", "3"}
    assert [int(row["z"]) for row in rows if row["case"] == "0"][:3] == [3, 9, 15]


def test_scores_and_picture_are_written_and_reported(trained: Path) -> None:
    scores = json.loads((trained / "made" / "clusters.json").read_text())
    for name in ("features", "pixels", "difference"):
        low, value, high = (scores[f"{name}/adjusted_rand{end}"] for end in ("_low", "", "_high"))
        assert -1 <= low <= high <= 1
        assert -1 <= value <= 1
    output = (trained / "output.txt").read_text()
    assert "adjusted Rand index" in output
    assert "encoder.2, 16 channels" in output
    with Image.open(trained / "made" / "clusters.png") as picture:
        assert picture.width > 1000


@pytest.mark.slow
def test_same_command_makes_the_same_files(trained: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, output = call("cluster", *TARGET, "output=again", folder=trained, capfd=capfd)
    assert code == 0, output
    for name in ("clusters.csv", "clusters.json"):
        assert (trained / "again" / name).read_text() == (trained / "made" / name).read_text()


@pytest.mark.slow
def test_co_clustering_uses_the_training_slices_of_the_run(trained: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for output in ("together", "together-again"):
        options = ("method=co_clustering", "feature_clusters=4", f"output={output}")
        code, printed = call("cluster", *TARGET, *options, folder=trained, capfd=capfd)
        assert code == 0, printed
    assert "co-clustering with" in " ".join(printed.split())
    assert "training slices of 3 cases of the run" in " ".join(printed.split())
    made, again = ((trained / name / "clusters.csv").read_text() for name in ("together", "together-again"))
    assert made == again
    rows, by_k_means = (list(csv.DictReader((trained / n / "clusters.csv").open())) for n in ("together", "made"))
    assert {row["cluster_by_features"] for row in rows} == {"1", "2", "3"}
    assert [row["cluster_by_pixels"] for row in rows] == [row["cluster_by_pixels"] for row in by_k_means]


def test_weights_from_before_training_and_all_features(trained: Path, capfd: pytest.CaptureFixture[str]) -> None:
    saved = torch.load(trained / "run" / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    (trained / "taught" / "pretraining").mkdir(parents=True)
    shutil.copytree(trained / "run", trained / "taught", dirs_exist_ok=True)
    bare = {name.removeprefix("network."): value for name, value in saved.items()}
    torch.save(bare, trained / "taught" / "pretraining" / "network.pt")
    options = ("run=taught", "weights=pretrained", "output=of-taught", "components=16")
    code, output = call("cluster", *TARGET, *options, folder=trained, capfd=capfd)
    assert code == 0, output
    made = (trained / "of-taught" / "clusters.csv").read_text()
    assert made == (trained / "made" / "clusters.csv").read_text(), "here these are the same weights"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (("run=nowhere",), ["run=nowhere: no such folder; give a run folder"]),
        (("clusters=1",), ["clusters=1", "greater than or equal to 2"]),
        (("clusters=many",), ["clusters='many'"]),
        (("every=0",), ["every=0"]),
        (("every=1000", "clusters=8"), ["every=1000", "5 slices", "too few"]),
        (("method=means",), ["method='means'", "co_clustering"]),
        (("weights=last",), ["weights='last'", "pretrained"]),
        (("weights=pretrained",), ["network.pt is missing"]),
        (("part=stem",), ["stem", "encoder.2"]),
        (("data.phase=venous", "data.root=other"), ["data.phase='venous'", "native"]),
        (("data.phase=portal",), ["data.root"]),
    ],
)
def test_wrong_options_are_reported_by_their_names(
    trained: Path, wrong: tuple[str, ...], told: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call("cluster", *TARGET, "output=wrong", *wrong, folder=trained, capfd=capfd)
    assert code == 2, output
    for words in told:
        assert words in output
    assert "Traceback" not in output


def test_a_run_is_asked_for(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, output = call("cluster", folder=tmp_path, capfd=capfd)
    assert code == 2, output
    assert "run=null: expected a run folder; give run=..." in output


@pytest.mark.parametrize(
    ("spoilt", "told"),
    [
        ("checkpoint", "best.ckpt is damaged"),
        ("missing", "best.ckpt is missing"),
        ("other", "not a checkpoint"),
        ("model", "do not fit"),
        ("config", "config.yaml: damaged (Missing key model"),
        ("yaml", "config.yaml: damaged (while parsing a flow node)"),
    ],
)
def test_a_spoilt_run_is_reported(trained: Path, spoilt: str, told: str, capfd: pytest.CaptureFixture[str]) -> None:
    folder = trained / f"spoilt-{spoilt}"
    shutil.copytree(trained / "run", folder)
    checkpoint, config = folder / "checkpoints" / "best.ckpt", folder / ".hydra" / "config.yaml"
    if spoilt == "checkpoint":
        checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    elif spoilt == "missing":
        checkpoint.unlink()
    elif spoilt == "other":
        torch.save({"state_dict": {}}, checkpoint)
    elif spoilt == "model":
        config.write_text(config.read_text().replace("base_channels: 4", "base_channels: 6"))
    else:
        config.write_text(yaml.safe_dump({"data": {}}) if spoilt == "config" else "model: [")
    code, output = call("cluster", *TARGET, f"run={folder.name}", "output=wrong", folder=trained, capfd=capfd)
    assert code == 2, output
    assert told in output
    assert "Traceback" not in output
