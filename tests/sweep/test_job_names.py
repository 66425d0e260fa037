"""Names of a sweep's jobs, which a launcher may compose in a process with another command line."""

import sys
from collections.abc import Callable

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig

from lightning_liver.apps.main import with_home
from lightning_liver.config import compose, folder, sweep_dir
from lightning_liver.sweep.job_names import JobNames

Jobs = Callable[..., list[DictConfig]]


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """Compose the jobs of a sweep as a launcher does that runs them in processes of its own."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    def composed_by(*overrides: str) -> list[DictConfig]:
        GlobalHydra.instance().clear()
        with hydra.initialize_config_dir(str(folder()), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            master = loader.load_configuration("train", list(overrides), run_mode=RunMode.MULTIRUN)
            JobNames().on_multirun_start(master)
            monkeypatch.setattr(sys, "argv", ["submitit", "folder"])
            parsed = OverridesParser.create().parse_overrides(list(map(str, master.hydra.overrides.task)))
            (each,) = BasicSweeper.split_arguments(parsed, None)
            composed = [loader.load_sweep_config(master, job) for job in each]
            for cfg in composed:
                assert cfg.hydra.sweep.dir == master.hydra.sweep.dir
            return composed

    return composed_by


def names(composed: list[DictConfig]) -> list[str]:
    """Names without the hash, which a test of identity holds."""
    return [str(cfg.hydra.sweep.subdir).rpartition("-")[0] for cfg in composed]


def test_the_folder_of_a_sweep_is_found_again_by_its_own_options_in_any_order() -> None:
    sweep = compose("train", [], return_hydra_config=True)
    plain = sweep_dir(sweep, ["loss=bce,dice", "data=lits", "data.root=/a"])
    assert plain.startswith("multirun/sweep-")
    assert sweep_dir(sweep, ["report=false", "data.root=/b", "data=lits", "loss=bce,dice"]) == plain
    assert sweep_dir(sweep, ["loss=bce,focal", "data=lits", "data.root=/a"]) != plain
    assert sweep_dir(sweep, ["experiment=losses", "seed=0,1"]) == "multirun/losses"


def test_names_of_jobs_have_what_differs_and_nothing_else(jobs: Jobs) -> None:
    alike = ("data.standardise=true", "optimizer.lr=1e-4", "data=lits", "data.root='/my scans'", "model.depth=3")
    assert names(jobs("loss=bce,dice", *alike)) == ["loss-bce", "loss-dice"]


def test_paths_in_names_of_jobs_are_short_and_distinct(jobs: Jobs) -> None:
    made = names(jobs("data=lits", "data.root=/a/lits,/b/lits"))
    assert len(set(made)) == 2
    assert all(name.startswith("data.root-lits-") for name in made)


@pytest.mark.parametrize(
    ("typed", "becomes"),
    [
        ("data.root=~/lits", "data.root='/home/me/lits'"),
        ("data.root=~/my scans", "data.root='/home/me/my scans'"),
        ("run=~", "run='/home/me'"),
        ("~loss", "~loss"),
        ("~loss=dice", "~loss=dice"),
        ("data.root=a~b", "data.root=a~b"),
        ("loss=dice", "loss=dice"),
    ],
)
def test_a_tilde_that_begins_a_value_is_the_home_folder(
    monkeypatch: pytest.MonkeyPatch, typed: str, becomes: str
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert with_home([typed]) == [becomes]
