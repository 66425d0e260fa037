"""Every strategy of conf/finetune, from the command that a user types."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_liver.config import folder
from lightning_liver.finetune.freezing import Freezing
from lightning_liver.finetune.self_taught import MaskedReconstruction
from lightning_liver.models.unet import UNet
from lightning_liver.runs.trained import STATISTICS
from tests.apps.commands import call, small_run
from tests.conftest import write_scan

STRATEGIES = sorted(
    path.stem for path in (folder() / "finetune").glob("*.yaml") if path.stem not in ("base", "scratch")
)
TARGETED = ("adabn", "domain_adversarial", "pseudo_label")
EVERY_TIME = ("full",)  # slow tests train the others

slow = partial(pytest.param, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with labelled scans, unlabelled ones, and a run to start from."""
    root = tmp_path_factory.mktemp("finetune")
    for number in range(20, 25):
        write_scan(root / "scans", number)
    for number in range(30, 32):
        write_scan(root / "unlabelled", number, spacing_mm=2.0)
        (root / "unlabelled" / f"segmentation-{number}.nii.gz").unlink()
    return root


@pytest.fixture
def tune(place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.setenv("LIVER_CACHE", str(place / "cache"))
    if not (place / "source" / "metrics.json").exists():
        code, output = call("train", *small_run(place / "scans", "source"), folder=place, capfd=capfd)
        assert code == 0, output

    def run(name: str, strategy: str, *options: str, expected: int = 0) -> str:
        source = () if strategy == "self_taught" else ("finetune.source=source",)
        target = ("finetune.target_root=unlabelled",) if strategy in TARGETED else ()
        both = ("finetune.source_data=source",) if strategy == "multitask_source" else ()
        arguments = small_run(place / "scans", name, f"finetune={strategy}", *source, *target, *both, *options)
        code, output = call("train", *arguments, folder=place, capfd=capfd)
        assert code == expected, output
        assert "Traceback" not in output
        return output

    return run


def weights(run: Path, name: str = "last") -> dict[str, torch.Tensor]:
    loaded: dict[str, torch.Tensor] = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
    return loaded


def groups(run: Path) -> list[Any]:
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return [group["name"] for group in saved["optimizer_states"][0]["param_groups"]]


@pytest.mark.parametrize(
    "strategy", [each if each in EVERY_TIME else pytest.param(each, marks=pytest.mark.slow) for each in STRATEGIES]
)
def test_every_strategy_trains_and_says_what_it_copied(place: Path, tune: Callable[..., str], strategy: str) -> None:
    output = tune(strategy, strategy)
    metrics = json.loads((place / strategy / "metrics.json").read_text())
    assert metrics["steps"] == (0 if strategy == "adabn" else 8)
    if strategy != "self_taught":
        assert "encoder.0" in (place / strategy / "transfer.txt").read_text()
        assert "copied" in output


def test_adabn_changes_the_statistics_alone(place: Path, tune: Callable[..., str]) -> None:
    output = " ".join(tune("adapted", "adabn", "finetune.source_data=source").split())
    before, after = weights(place / "source", "best"), weights(place / "adapted", "best")
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]) != name.endswith(("running_mean", "running_var")), name
    assert "Batch-norm statistics: all cases are tested with those of the target, 16 slices of unlabelled" in output
    assert "Slices of finetune.target_root that count as liver" in output
    assert "Batch-norm statistics: all cases" in (place / "adapted" / "transfer.txt").read_text()
    kept = torch.load(place / "adapted" / "checkpoints" / "best.ckpt", weights_only=True)[STATISTICS]
    assert torch.equal(kept["training"]["encoder.0.norm1.running_mean"], before["network.encoder.0.norm1.running_mean"])
    assert torch.equal(kept["target"]["encoder.0.norm1.running_mean"], after["network.encoder.0.norm1.running_mean"])
    metrics = json.loads((place / "adapted" / "metrics.json").read_text())
    assert (metrics["steps"], metrics["epochs"]) == (0, 0)
    assert "source/after/liver/dice_per_case" in metrics


def evaluated(place: Path, capfd: pytest.CaptureFixture[str], name: str, *typed: str) -> tuple[dict[str, Any], str]:
    options = ("trainer=cpu", "trainer.threads=1", "mode=corrected", f"hydra.run.dir={name}")
    code, output = call("evaluate", *typed, *options, folder=place, capfd=capfd)
    assert code == 0, output
    return json.loads((place / name / "metrics.json").read_text()), " ".join(output.split())


@pytest.mark.slow
def test_scans_elsewhere_use_the_targets_statistics_and_own_test_cases_those_of_training(
    place: Path, tune: Callable[..., str], capfd: pytest.CaptureFixture[str]
) -> None:
    output = " ".join(tune("pseudo", "pseudo_label").split())
    assert "1 test cases use those of training, the labelled slices; those of the target, 16 slices of" in output
    trained = json.loads((place / "pseudo" / "metrics.json").read_text())
    own, said = evaluated(place, capfd, "own", "run=pseudo")
    assert "batch-norm statistics of training (the labelled slices)" in said
    assert own["batch_norm_statistics"] == "training"
    assert own["test/liver/dice_per_case"] == pytest.approx(trained["test/liver/dice_per_case"], abs=1e-6)
    for number in (60, 61):
        write_scan(place / "other", number, spacing_mm=2.0)
    data = ("run=pseudo", "data=lits", f"data.root={place / 'other'}", "data.workers=0", "data.num_workers=0")
    target, said = evaluated(place, capfd, "by-target", *data)
    assert "batch-norm statistics of target (16 slices of unlabelled)" in said
    assert target["batch_norm_statistics"] == "target"
    training, _ = evaluated(place, capfd, "by-training", *data, "statistics=training")
    assert {**training, "batch_norm_statistics": "target"} != target
    code, output = call("evaluate", "run=source", "statistics=target", "trainer=cpu", folder=place, capfd=capfd)
    assert code == 2
    assert "statistics=target: expected a run with batch normalisation that knows a target" in output
    typed = ("run=pseudo", "input=other", "output=masks", "trainer=cpu", "trainer.threads=1")
    code, output = call("predict", *typed, folder=place, capfd=capfd)
    assert code == 0, output
    assert "batch-norm statistics of target" in " ".join(output.split())


@pytest.mark.slow
def test_test_cases_in_the_targets_folder_use_its_statistics(
    place: Path, tune: Callable[..., str], capfd: pytest.CaptureFixture[str]
) -> None:
    """Two hospitals below one data.root; the masks of one are only for the test."""
    for number in range(70, 75):
        write_scan(place / "both" / ("there" if number == 74 else "here"), number)
    split = "data.split={train:['70','71'],val:['72'],test:['73','74']}"
    typed = (f"data.root={place / 'both'}", "finetune.target_root=both/there", split)
    output = " ".join(tune("two", "domain_adversarial", *typed).split())
    assert "1 test cases use those of training, the labelled slices; 1 test cases use those of target" in output
    metrics = json.loads((place / "two" / "metrics.json").read_text())
    own, said = evaluated(place, capfd, "two-own", "run=two")
    assert "Cases in the target's folder use its statistics: 74" in said
    assert own["test/liver/dice_per_case"] == pytest.approx(metrics["test/liver/dice_per_case"], abs=1e-6)


@pytest.mark.slow
def test_networks_without_batch_norm_have_no_statistics_to_adapt(place: Path, tune: Callable[..., str]) -> None:
    output = tune("unadapted", "adabn", "model.norm=none", expected=2)
    assert "finetune=adabn: expected a network with batch normalisation; " in output
    output = tune("alike", "domain_adversarial", "model.norm=instance", "finetune.source=null")
    assert "Batch-norm statistics: none, the network has no batch normalisation" in " ".join(output.split())
    assert "they lie as high as training slices with liver" in " ".join(output.split())


@pytest.mark.slow
def test_scratch_takes_a_source_and_is_training_from_scratch(place: Path, tune: Callable[..., str]) -> None:
    tune("scratch", "scratch")
    for name, tensor in weights(place / "source").items():
        assert torch.equal(tensor, weights(place / "scratch")[name])


@pytest.mark.slow
def test_frozen_stages_change_by_no_bit_and_have_no_group(place: Path, tune: Callable[..., str]) -> None:
    tune("frozen", "layer_transfer", "finetune.copied=2", "finetune.frozen=2")
    before, after = weights(place / "source", "best"), weights(place / "frozen")
    held = [name for name in before if name.startswith(("network.encoder.0", "network.encoder.1"))]
    assert any("running_mean" in name for name in held)
    for name in before:
        assert torch.equal(before[name], after[name]) == (name in held), name
    assert groups(place / "frozen") == ["head", "decoder.1", "decoder.0", "encoder.2"]


@pytest.mark.slow
def test_gradual_unfreezes_from_the_logits_to_the_image(place: Path, tune: Callable[..., str]) -> None:
    tune("thawing", "gradual", "trainer.max_epochs=2")  # of six parts, two an epoch
    before, after = weights(place / "source", "best"), weights(place / "thawing")
    moved = {
        name.split(".")[1] + "." + name.split(".")[2] for name in before if not torch.equal(before[name], after[name])
    }
    assert moved == {"head.weight", "head.bias", "decoder.0", "decoder.1", "encoder.2"}
    assert groups(place / "thawing") == ["head", "decoder.1", "decoder.0", "encoder.2"]


@pytest.mark.parametrize(
    ("strategy", "options", "breaking", "method"),
    [
        pytest.param("gradual", (), Freezing, "on_train_epoch_start", marks=pytest.mark.slow),
        pytest.param(
            "layer_transfer",
            ("finetune.copied=2", "finetune.frozen=2", "finetune.frozen_epochs=1"),
            Freezing,
            "on_train_epoch_start",
            marks=pytest.mark.slow,
        ),
        pytest.param("conservation_weights", (), Freezing, "on_train_epoch_start", marks=pytest.mark.slow),
        pytest.param("domain_adversarial", (), Freezing, "on_train_epoch_start", marks=pytest.mark.slow),
        pytest.param("self_taught", (), MaskedReconstruction, "on_train_epoch_start", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("epoch", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_cut_short_in_any_phase_continues_to_the_same_weights(
    place: Path,
    tune: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    strategy: str,
    options: tuple[str, ...],
    breaking: type,
    method: str,
    epoch: int,
) -> None:
    options = (*options, "trainer.max_epochs=3")
    whole, cut = f"{strategy}-whole", f"{strategy}-cut-{epoch}"
    if not (place / whole / "metrics.json").exists():
        tune(whole, strategy, *options)
    honest = getattr(breaking, method, None)

    def fail(self: Any, *arguments: Any) -> None:
        trainer = arguments[0] if arguments else self.trainer
        if trainer.current_epoch == epoch:
            raise RuntimeError("pulled the plug")
        if honest is not None:
            honest(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(breaking, method, fail)
        with pytest.raises(RuntimeError, match="plug"):
            tune(cut, strategy, *options)
    assert not (place / cut / "metrics.json").exists()
    code, output = call("train", f"resume={cut}", folder=place, capfd=capfd)
    assert code == 0, output
    for name, tensor in weights(place / whole).items():
        assert torch.equal(tensor, weights(place / cut)[name]), name
    assert (place / cut / "metrics.json").read_text() == (place / whole / "metrics.json").read_text()


@pytest.mark.slow
def test_forgetting_is_measured_on_the_sources_own_test_cases(place: Path, tune: Callable[..., str]) -> None:
    tune("forgetting", "full", "finetune.source_data=source", "data.split_seed=7")
    metrics = json.loads((place / "forgetting" / "metrics.json").read_text())
    source = json.loads((place / "source" / "metrics.json").read_text())
    for structure in ("liver", "tumour"):
        before = metrics[f"source/before/{structure}/dice_per_case"]
        assert before == pytest.approx(source[f"test/{structure}/dice_per_case"], abs=0.02)
        assert 0 <= metrics[f"source/after/{structure}/dice_per_case"] <= 1
    assert "test/liver/dice_per_case" in metrics


@pytest.mark.slow
def test_zero_shot_is_a_sources_score_on_scans_that_it_never_saw(
    place: Path, tune: Callable[..., str], capfd: pytest.CaptureFixture[str]
) -> None:
    for number in (50, 51):
        write_scan(place / "strange", number, spacing_mm=2.0)
    typed = ("run=source", "data=lits", f"data.root={place / 'strange'}", "data.workers=0", "data.num_workers=0")
    typed += ("trainer=cpu", "uncertainty=entropy")
    code, output = call("evaluate", *typed, "hydra.run.dir=zero", folder=place, capfd=capfd)
    assert code == 0, output
    assert "Uncertainty (entropy): a wrong voxel is more uncertain than a right one in" in output.replace("\n", " ")
    assert "2 cases of 2 patients" in output
    rows = (place / "zero" / "cases.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * 2
    assert rows[1].startswith("50,")


@pytest.mark.slow
def test_a_run_scored_again_has_the_scores_that_it_had(
    place: Path, tune: Callable[..., str], capfd: pytest.CaptureFixture[str]
) -> None:
    typed = ("run=source", "trainer=cpu", "trainer.threads=1", "hydra.run.dir=again")
    code, output = call("evaluate", *typed, "mode=corrected", folder=place, capfd=capfd)
    assert code == 0, output
    again, first = (json.loads((place / name / "metrics.json").read_text()) for name in ("again", "source"))
    assert (again.pop("mode"), again.pop("tolerance_mm")) == ("corrected", 2.0)
    for name in again:
        assert again[name] == pytest.approx(first[name], abs=1e-6), name
    for wrong, told in (
        (("run=nowhere",), "run=nowhere: no such folder; give a run folder"),
        (("run=scans",), "run=scans: not a run folder"),
        (
            ("run=source", "uncertainty=doubt"),
            "uncertainty='doubt': expected 'entropy', 'margin', 'mutual_information' or",
        ),
    ):
        code, output = call("evaluate", *wrong, "trainer=cpu", folder=place, capfd=capfd)
        assert code == 2, output
        assert told in output


@pytest.mark.slow
def test_a_plain_state_dict_with_another_number_of_channels_is_a_source(
    place: Path, tune: Callable[..., str], tmp_path: Path
) -> None:
    other = UNet(in_channels=3, classes=1, base_channels=4, depth=2, norm="batch", dropout=0.0)
    torch.save(other.state_dict(), tmp_path / "other.pt")
    source = f"finetune.source={tmp_path / 'other.pt'}"
    assert "reshaped" in tune("other", "full", source)
    refused = tune("untaught", "conservation", source, expected=2)
    assert "expected a source with all weights" in refused
    assert "head.weight" in refused


@pytest.mark.parametrize(
    ("strategy", "options", "told"),
    [
        ("full", ("finetune.source=null",), ["finetune.source=null: expected a run folder"]),
        slow("full", ("finetune.source=nowhere",), ["nowhere"]),
        slow("full", ("finetune.lr_scale=0",), ["finetune.lr_scale=0"]),
        ("layer_transfer", ("finetune.copied=99",), ["finetune.copied=99", "6 parts"]),
        ("layer_transfer", ("finetune.frozen=[encodr.*]",), ["encodr.*", "encoder.0"]),
        slow("layer_transfer", ("finetune.frozen=6",), ["finetune.frozen=6: freezes every part"]),
        ("gradual", ("finetune.frozen=1",), ["contradict"]),
        slow(
            "conservation",
            ("finetune.terms.conservation.temperature=0",),
            ["finetune.terms.conservation.temperature=0"],
        ),
        (
            "domain_adversarial",
            ("finetune.target_root=null",),
            ["finetune.target_root=null: expected a folder of scans without masks, which"],
        ),
        (
            "multitask_source",
            ("finetune.source_data=null",),
            ["finetune.source_data=null: expected a run folder with labelled training scans"],
        ),
        slow("full", ("finetune.source_data=scans",), ["finetune.source_data=scans", "expected a run folder"]),
        slow("full", ("finetune.unfreeze_at_once=2",), ["finetune.unfreeze_at_once"]),
        slow("self_taught", ("finetune.pretrain.part=encoder.*",), ["encoder.*", "full resolution"]),
        (
            "multitask",
            ("finetune/term@finetune.terms.second=reconstruction", "finetune.terms.second.part=encoder.*"),
            ["finetune.terms.second.part", "full resolution"],
        ),
        ("fulll", (), ["finetune=fulll", "layer_transfer", "did you mean finetune=full?"]),
    ],
)
def test_wrong_options_are_reported_by_name(
    tune: Callable[..., str], tmp_path: Path, strategy: str, options: tuple[str, ...], told: list[str]
) -> None:
    output = tune(str(tmp_path / "wrong"), strategy, *options, expected=2)
    for words in told:
        assert words in output


def test_a_source_of_which_nothing_fits_is_refused_with_its_table(
    place: Path, tune: Callable[..., str], tmp_path: Path
) -> None:
    torch.save({"somebody.elses.weight": torch.zeros(7, 7)}, tmp_path / "else.pt")
    output = tune("else", "full", f"finetune.source={tmp_path / 'else.pt'}", expected=2)
    assert "somebody.elses.weight" in output
    shutil.rmtree(place / "else", ignore_errors=True)
