"""Configs that a command line composes."""

from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf, open_dict

from lightning_liver.build import build
from lightning_liver.config import (
    BUDGET,
    COMMAND,
    FIRST_VALUES,
    MEASURED,
    PLACES,
    REPEATS,
    SCORING,
    compose,
    folder,
    groups_repeats,
    identity,
    is_one_of,
    read_config,
    renamed,
)
from lightning_liver.errors import LiverError
from lightning_liver.runs.settings import flat
from tests.optional import needs

OF_OTHER_COMMANDS = {"format": "export", "strategy": "active"}  # group -> the command that has it
GROUPS = {
    path.name: sorted(file.stem for file in path.glob("*.yaml") if not file.stem.startswith("base"))
    for path in folder().iterdir()
    if path.is_dir()
}


def command_of(study: str) -> str:
    """Return the command that a study's yaml is for, as its header says."""
    return "active" if "\n# liver-active " in (folder() / "experiment" / f"{study}.yaml").read_text() else "train"


def test_defaults_are_phantoms_and_the_small_network() -> None:
    cfg = compose("train", ["loss=focal"])
    assert cfg.data.source._target_ == "lightning_liver.data.phantom.cases"
    assert cfg.model.base_channels == 16
    assert cfg.trainer.accelerator == "auto"
    assert (cfg.loss.gamma, cfg.loss.alpha) == (2.0, 0.25)


def test_training_keeps_the_largest_liver_part_and_other_commands_follow_the_run() -> None:
    assert compose("train", []).inference.postprocess.largest_liver is True
    assert compose("train", ["inference.postprocess.largest_liver=false"]).inference.postprocess.largest_liver is False
    assert compose("train", ["inference=default"]).inference.postprocess.largest_liver is None
    for command in ("predict", "evaluate"):
        assert compose(command, []).inference.postprocess.largest_liver is None


def test_device_changes_the_trainer_alone() -> None:
    auto, gpu = (OmegaConf.to_container(compose("train", typed)) for typed in ([], ["trainer=gpu"]))
    assert isinstance(auto, dict)
    assert isinstance(gpu, dict)
    assert {name for name in auto if auto[name] != gpu[name]} == {"trainer"}
    changed = {name for name, value in gpu["trainer"].items() if value != auto["trainer"][name]}
    assert changed == {"accelerator", "compile"}


# Hash of trainer=gpu data=lits when it was the recipe
FULL_RESOLUTION = "d1f32f9ef36ce654"


def test_recipe_at_full_resolution_keeps_the_names_of_its_runs() -> None:
    recipe = ["experiment=full_resolution", "trainer=gpu", "data=lits", "data.root=/lits", "data.patients=/p.csv"]
    assert identity(compose("train", recipe)) == FULL_RESOLUTION


def test_full_resolution_brings_the_full_network_on_the_scans_own_grid() -> None:
    cfg = compose("train", ["experiment=full_resolution", "data=lits", "data.root=/lits", "trainer=gpu"])
    assert (cfg.model.base_channels, cfg.model.norm) == (64, "none")
    assert cfg.data.spacing_mm is None
    assert cfg.data.size == 512
    assert cfg.trainer.accelerator == "gpu"
    assert cfg.data.source.root == "/lits"


def test_command_line_wins_over_the_recipe() -> None:
    typed = [
        "experiment=full_resolution",
        "model=unet_small",
        "data.size=256",
        "data.spacing_mm=1.0",
        "trainer.max_epochs=3",
    ]
    cfg = compose("train", typed)
    assert cfg.model.base_channels == 16
    assert (cfg.data.size, cfg.data.spacing_mm, cfg.trainer.max_epochs) == (256, 1.0, 3)


@pytest.mark.parametrize("study", sorted(path.stem for path in (folder() / "experiment").glob("*.yaml")))
def test_study_sets_what_its_yaml_says(study: str) -> None:
    said = OmegaConf.load(folder() / "experiment" / f"{study}.yaml")
    cfg = compose(command_of(study), [f"experiment={study}", "data.root=/lits"])
    assert isinstance(said, DictConfig)
    for name in said.keys() - {"defaults", "hydra"}:
        assert_within(said[name], cfg[name])


def assert_within(said: object, made: object) -> None:
    if isinstance(said, DictConfig):
        assert isinstance(made, DictConfig)
        for name in said:
            assert_within(said._get_node(name), made._get_node(name))
    else:
        assert said == made


@pytest.mark.parametrize(("context", "channels"), [(0, 1), (1, 3), (3, 7)])
def test_context_gives_the_network_its_channels(context: int, channels: int) -> None:
    cfg = compose("train", [f"data.context={context}"])
    assert cfg.model.in_channels == channels
    assert instantiate(cfg.model).encoder[0].conv1.in_channels == channels


def test_two_roots_have_separate_stores() -> None:
    stores = {compose("train", ["data=lits", f"data.root={root}"]).data.store for root in ("/a/lits", "/b/lits")}
    assert len(stores) == 2
    assert all("lits-" in store for store in stores)


def test_phantoms_of_other_kinds_have_separate_folders() -> None:
    kinds = ([], ["data.matrix=64"], ["data.phantom_seed=3"], ["data.tumour_fraction=0.05"])
    assert len({compose("train", kind).data.root for kind in kinds}) == 4
    assert compose("train", ["data.cases=5"]).data.root == compose("train", []).data.root


def test_shifted_phantoms_have_separate_folders_and_plain_ones_keep_theirs() -> None:
    plain = compose("train", [])
    assert plain.data.root.endswith("phantom-256-seed-0-tumour-0.012-version-2")
    first = compose("train", ["data.phantom_version=1"])
    assert first.data.root.endswith("phantom-256-seed-0-tumour-0.012"), "the folder of earlier versions"
    kinds = (
        "data.phase=native",
        "data.phase=late",
        "data.noise_hu=[22,32]",
        "data.noise_hu=[2,2.5]",
        "data.slice_mm=7.5",
    )
    shifted = [compose("train", [kind]) for kind in kinds]
    assert len({cfg.data.root for cfg in shifted} | {plain.data.root}) == 6
    assert len({identity(cfg) for cfg in shifted} | {identity(plain)}) == 6
    for cfg in (*shifted, compose("train", ["data=phantom_shifted"])):
        assert not set(Path(cfg.data.root).name) & set(" =,/[]"), "so that it can be typed as an override"
        assert cfg.data.source.root == cfg.data.root


def test_first_values_of_phantoms_leave_run_names_unchanged() -> None:
    first = ["data.phantom_version=1"]
    plain, before = compose("train", first), compose("train", first)
    with open_dict(before):
        for name in ("phase", "noise_hu", "slice_mm", "phantom_version"):
            del before.data[name]
        for name in ("phase", "noise_hu", "slice_mm", "version"):
            del before.data.source[name]
        before.data.root = plain.data.root
    assert identity(plain) == identity(before)
    assert identity(plain) != identity(compose("train", []))


# Names of runs that results.csv files list
EARLIER_RUNS = {
    "augmentation": "1f17e0472be81c61",
    "finetuning": "a8042fd154c2c3f2",
    "finetuning_source": "d78b6afd0ec36987",
    "focal_grid": "d0ea6f7edf868074",
    "losses": "0a9870db121c963e",
    "losses_real": "c742fb5c6eb05e1b",
}


@pytest.mark.parametrize(("study", "name"), EARLIER_RUNS.items())
def test_runs_of_a_study_keep_their_names(study: str, name: str) -> None:
    cfg = compose("train", [f"experiment={study}", "data.root=/lits"])
    if "patients" in cfg.data:
        cfg.data.patients = "/lits/patients.csv"
    assert identity(cfg) == name


def test_lits_without_patients_makes_other_runs_than_before_its_repeats_were_known() -> None:
    cfg = compose("train", ["data=lits", "data.root=/lits"])
    of_patients = compose("train", ["data=lits", "data.root=/lits", "data.patients=/lits/patients.csv"])
    assert identity(cfg) != identity(of_patients)
    other = compose("train", ["data=csv", "data.table=/lits/cases.csv"])
    assert groups_repeats(cfg.data)
    assert not groups_repeats(of_patients.data)
    assert not groups_repeats(other.data)


def targets(node: DictConfig) -> list[str]:
    found = [node._target_] if "_target_" in node else []
    children = [node._get_node(key) for key in node]
    return found + [target for child in children if isinstance(child, DictConfig) for target in targets(child)]


def targets_exist(cfg: DictConfig) -> None:
    """Import what a config names by _target_ and resolve what it says of other options."""
    for target in targets(cfg):
        needs(target.split(".")[0])
        get_object(target)
    OmegaConf.to_container(cfg, resolve=True)


CHOSEN_TOGETHER = [
    group
    for group, names in GROUPS.items()
    if names and group not in {"experiment", "debug", "data", *OF_OTHER_COMMANDS}
]


@pytest.mark.parametrize("place", range(max(len(GROUPS[group]) for group in CHOSEN_TOGETHER)))
def test_every_choice_of_training_composes_and_its_targets_exist(place: int) -> None:
    """One choice of each group at a time, as a command line may name them."""
    chosen = [f"{group}={GROUPS[group][place % len(GROUPS[group])]}" for group in CHOSEN_TOGETHER]
    targets_exist(compose("train", [*chosen, "data.root=/lits"]))


@pytest.mark.parametrize("name", GROUPS["data"])
def test_every_data_set_composes_and_its_targets_exist(name: str) -> None:
    cfg = compose("train", [f"data={name}"])
    if name == "csv":
        cfg.data.table = "/lits/cases.csv"
    elif cfg.data.source._target_ != "lightning_liver.data.phantom.cases":
        cfg.data.root = "/lits"
    targets_exist(cfg)


@pytest.mark.parametrize(
    ("group", "name"),
    [(group, name) for group in ("experiment", "debug", *OF_OTHER_COMMANDS) for name in GROUPS[group]],
)
def test_every_choice_of_a_command_composes_and_its_targets_exist(group: str, name: str) -> None:
    command = command_of(name) if group == "experiment" else OF_OTHER_COMMANDS.get(group, "train")
    cfg = compose(command, [f"{group}={name}"] + (["data.root=/lits"] if "data" in compose(command, []) else []))
    targets_exist(cfg)


def test_every_command_has_its_config() -> None:
    apps = {path.stem for path in (folder().parent / "lightning_liver" / "apps").glob("*.py")}
    for name in sorted(
        apps - {"__init__", "console", "main", "new_folder", "sweep_end", "slurm_job", "compare", "runs"}
    ):
        compose(name, [])


def test_options_of_earlier_versions_are_read_by_their_present_names(tmp_path: Path) -> None:
    saved = tmp_path / "config.yaml"
    saved.write_text("data: {loaders: 2, shares: {any: 1}, slices: {loaders: '${..loaders}', shares: '${..shares}'}}\n")
    assert read_config(saved).data.slices == {"num_workers": 2, "sampling": {"any": 1}}


@pytest.mark.parametrize("content", ["1.5", "[1]", "a: [", "a: ${x", "[" * 50_000, "\udcff"])
def test_a_saved_config_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.yaml").write_text(content, errors="surrogateescape")
    with pytest.raises(LiverError, match=r"config\.yaml: damaged"):
        read_config(tmp_path / "config.yaml")
    assert renamed({"augment.shares": 2}) == {"augment.shares": 2}, "of data alone"
    assert renamed({"data.shares.any": 1, "data.slices.loaders": "${..loaders}"}) == {
        "data.sampling.any": 1,
        "data.slices.num_workers": "${..num_workers}",
    }


STRANGE = {  # what a stranger's run folder may hold -> what refuses it
    "{_target_: pathlib.Path.write_text}": "pathlib.Path.write_text: expected code of this package",
    "{_target_: torch.nn.functional.torch.load, f: x}": "torch.nn.functional.torch.load: expected code of this package",
    "{_target_: torch.hub.load}": "torch.hub.load: expected code of this package",
    "{_target_: lightning_liver.config.Path.cwd}": "lightning_liver.config.Path.cwd: expected code of this package",
    "{_target_: lightning_liver.formats.onnx.write}": "onnx.write: expected code of this package",
    "{_target_: lightning_liver.data.prepare.prepare}": "prepare.prepare: expected code of this package",
    "{_target_: mine.Net}": "mine.Net: expected code of this package .* 'trust=.mine.'",
    "{_target_: mine.Net, _partial_: true}": "mine.Net: expected code of this package",
    "{_target_: torch.nn.Sequential, _args_: [{_target_: mine.Net}]}": "model._args_.0._target_=mine.Net: expected",
    "{_target_: torch.nn.Linear, in_features: {_target_: mine.Net}}": "model.in_features._target_=mine.Net: expected",
    "{_target_: '${elsewhere}'}": "expected code of this package",
    "'${oc.create:{_target_:mine.Net}}'": "expected no call of oc.create",
    "'${${elsewhere}.create:{_target_:mine.Net}}'": "expected no call of",
    "'${cached:\"${oc.env:HOME}\"}'": "expected no call of oc.env",
}


@pytest.mark.parametrize(("model", "message"), STRANGE.items())
def test_what_a_run_folder_names_is_built_only_if_it_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, message: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine.py").write_text("raise SystemExit('executed')\n")
    saved = tmp_path / "config.yaml"
    saved.write_text(f"model: {model}\nelsewhere: oc\n")
    with pytest.raises(LiverError, match=message):
        build(read_config(saved).model)


def test_ours_torch_and_trusted_modules_of_a_run_folder_are_built(tmp_path: Path) -> None:
    saved = tmp_path / "config.yaml"
    saved.write_text(
        "model: {_target_: torch.nn.Identity}\nroot: ${cached:phantom}\n"
        "loss: {_target_: lightning_liver.losses.distribution.bce, _partial_: true, class_weights: null}\n"
        "mine: {_target_: fractions.Fraction, _args_: [1, 2]}\n"
    )
    assert isinstance(build(read_config(saved).model), torch.nn.Identity)
    assert callable(build(read_config(saved).loss))
    assert read_config(saved).root.endswith("phantom")
    assert build(read_config(saved, ["fractions"]).mine) == Fraction(1, 2)


@pytest.mark.parametrize("group", ["..", "../conf/data", "/", "", "elsewhere"])
def test_a_key_that_is_no_group_names_nothing_of_ours(tmp_path: Path, group: str) -> None:
    saved = tmp_path / "config.yaml"
    saved.write_text(f"'{group}': {{_target_: lightning_liver.data.prepare.prepare}}\n")
    with pytest.raises(LiverError, match="expected code of this package"):
        build(next(iter(read_config(saved).values())))


def test_what_writes_prepared_scans_is_confined_whatever_a_run_folder_says(tmp_path: Path) -> None:
    saved = tmp_path / "config.yaml"
    saved.write_text("data: {prepare: {_target_: lightning_liver.data.prepare.prepare, confined: false}}\n")
    assert read_config(saved).data.prepare.confined is True
    assert read_config(saved, ["data.store"]).data.prepare.confined is False


def test_trainer_of_earlier_versions_is_read_by_lightnings_names(tmp_path: Path) -> None:
    saved = tmp_path / "config.yaml"
    saved.write_text("trainer: {gradient_clip: 2, validate_every: 3, log_every: 5, progress: false, patience: null}\n")
    read = read_config(saved)
    assert (read.trainer.gradient_clip_val, read.trainer.check_val_every_n_epoch) == (2, 3)
    assert (read.trainer.log_every_n_steps, read.trainer.enable_progress_bar) == (5, False)
    later = {name.removeprefix("trainer.") for name in FIRST_VALUES if name.startswith("trainer.")}
    assert later <= read.trainer.keys()
    assert "callbacks" not in read
    assert not {"patience", "gradient_clip"} & read.trainer.keys()


def test_patience_of_earlier_versions_is_early_stopping_with_the_same_run_name(tmp_path: Path) -> None:
    typed = ["callbacks=early_stopping", "callbacks.early_stopping.patience=4"]
    now = compose("train", typed)
    assert renamed({"trainer.patience": 4}) == {
        f"callbacks.early_stopping.{name}": value for name, value in now.callbacks.early_stopping.items()
    }
    before = OmegaConf.create(OmegaConf.to_container(compose("train", [])))
    assert isinstance(before, DictConfig)
    before.trainer.patience = 4
    assert identity(now) == identity(before), "as an earlier version hashed it"
    before.trainer.patience = None
    assert identity(before) == identity(compose("train", [])) != identity(now)
    OmegaConf.save(OmegaConf.create({"trainer": {"patience": 4}, "callbacks": {}}), tmp_path / "config.yaml")
    assert read_config(tmp_path / "config.yaml").callbacks.early_stopping == now.callbacks.early_stopping


# Hash of trainer.gradient_clip=2 before it was renamed
CLIPPED = "20fdad7c9a466b3c"


def test_renamed_options_count_under_their_first_names() -> None:
    assert identity(compose("train", ["trainer.gradient_clip_val=2"])) == CLIPPED


def test_scratch_is_left_out_of_a_run_s_identity() -> None:
    scratch = compose("train", [])
    assert type(instantiate(scratch.finetune)).__name__ == "Scratch"
    assert identity(scratch) == identity(compose("train", ["finetune.source=run"])), "scratch reads no source"
    assert identity(scratch) != identity(compose("train", ["finetune=full", "finetune.source=run"]))


DIFFERS_IN_RESULT = ("seed=3", "data.fold=1", "loss=focal", "test_losses=all", "data.context=1", "finetune=full")
SAME_RESULT = (
    *("results=a.csv", "report=false", "estimate=true", "resume=a", "trial=a", "logger=csv", "tags=[a]"),
    *("trainer.enable_progress_bar=false", "trainer.enable_model_summary=true", "trainer.profiler=simple"),
    *("data.workers=1", "data.num_workers=1", "scores.tolerance_mm=1", "trainer.max_epochs=3"),
    *("trainer.max_minutes=3", "finetune.source=a"),
)


@pytest.mark.parametrize("override", SAME_RESULT)
def test_a_run_folder_may_be_used_again_with_another_value(override: str) -> None:
    assert identity(compose("train", [])) == identity(compose("train", [override]))


@pytest.mark.parametrize("override", DIFFERS_IN_RESULT)
def test_a_run_folder_is_refused_for_another_value(override: str) -> None:
    assert identity(compose("train", [])) != identity(compose("train", [override]))


def test_every_option_that_has_a_purpose_exists() -> None:
    choices = (["finetune=full", "test_losses=all"], ["data=lits", "data.root=/a"], ["data=csv", "data.table=/a.csv"])
    known = {name for each in choices for name in flat(OmegaConf.to_container(compose("train", each)))}  # type: ignore[arg-type]
    for option in (*COMMAND, *PLACES, *REPEATS, *SCORING, *MEASURED, *BUDGET, "logger", "trainer.enable_progress_bar"):
        assert any(is_one_of(name, (option,)) for name in known), option
