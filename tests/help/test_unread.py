"""Options that nothing reads: of a +OPTION=VALUE, of an experiment, and those that something reads after all."""

from pathlib import Path

import hydra
import pytest
from omegaconf import DictConfig, open_dict

from lightning_liver.config import folder
from lightning_liver.errors import LiverError
from lightning_liver.help import options
from lightning_liver.help.unread import adds_options, refuse_unread
from tests.test_config import command_of


def check(command: str, *overrides: str, own: Path | None = None) -> DictConfig:
    """Compose a command line, with a folder of one's own, and refuse what nothing reads."""
    search = [f"hydra.searchpath=[file://{own}]"] if own else []
    with hydra.initialize_config_dir(str(folder()), version_base="1.3"):
        whole = hydra.compose(command, [*search, *overrides], return_hydra_config=True)
        choices = whole.hydra.runtime.choices
        with open_dict(whole):
            del whole["hydra"]
        refuse_unread(command, whole, choices)
    return whole


ANSWERS = {
    "+trainer.max_epoch=3": "trainer.max_epoch: no such option; did you mean trainer.max_epochs?",
    "+data.batchsize=99": "data.batchsize: no such option; did you mean data.batch_size?",
    "+data.loaders=2": "data.loaders: this option has another name now; use data.num_workers",
    "+data.slices.sizes=3": "data.slices.sizes: no such option; did you mean data.slices?",
    "+loss.gama=1": "loss.gama: no such option; did you mean loss.gamma, of loss=asymmetric_unified_focal, ",
    "+loss.gamma=1": "loss.gamma: no such option of the present choice; it is an option of loss=asymmetric",
    "+inference.postprocess.largest=true": "did you mean inference.postprocess.largest_liver?",
    "+seeds=1": "seeds: no such option; did you mean seed?",
}


def test_added_options_that_nothing_reads_are_refused_with_the_nearest() -> None:
    with pytest.raises(LiverError) as caught:
        check("train", *ANSWERS)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(ANSWERS)
    for typed, answer in ANSWERS.items():
        assert any(answer in line for line in lines), (typed, lines)


@pytest.mark.parametrize("command", options.commands())
def test_every_command_refuses_an_option_that_nothing_reads_and_no_other(command: str) -> None:
    with pytest.raises(LiverError, match=r"^nobody: no such option; [^\n]*$"):
        check(command, "+nobody=1")


def test_option_of_prediction_is_refused_with_the_nearest() -> None:
    with pytest.raises(LiverError, match=r"did you mean options\.batch_size\?"):
        check("predict", "+options.batchsize=1")


@pytest.mark.parametrize(
    "typed",
    [
        (
            *("loss=sum", "+loss@loss.terms.third.loss=bce", "+loss.terms.third.weight=1"),
            *("augment=all", "+augment@augment.more=flip"),
            "+callbacks.mine._target_=pytorch_lightning.callbacks.RichProgressBar",
            "data.split={train:[1],val:[2],test:[3]}",
            "finetune=self_taught",
            "+optimizer.amsgrad=true",  # an argument of torch.optim.AdamW
        ),
        (
            *("data=lits", "data.root=/lits"),
            *("+data.patch=64", "data.size=${.patch}"),  # another option refers to it
            "test_losses=all",
        ),
    ],
)
def test_added_options_that_something_reads_are_accepted(typed: tuple[str, ...]) -> None:
    check("train", *typed)


@pytest.mark.slow
@pytest.mark.parametrize("study", [choice.name for choice in options.choices("experiment")])
def test_studies_set_options_that_exist(study: str) -> None:
    check(command_of(study), f"experiment={study}")


def test_option_of_an_experiment_of_ones_own_is_checked(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    mine = tmp_path / "experiment" / "mine.yaml"
    mine.write_text("# @package _global_\ntrainer:\n  max_epoch: 3\n")
    with pytest.raises(LiverError, match=r"did you mean trainer\.max_epochs\?"):
        check("train", "experiment=mine", own=tmp_path)
    mine.write_text("# @package _global_\ntrainer:\n  max_epochs: 3\n")
    assert check("train", "experiment=mine", own=tmp_path).trainer.max_epochs == 3


def test_option_of_a_choice_of_ones_own_is_checked(tmp_path: Path) -> None:
    (tmp_path / "trainer").mkdir()
    mine = tmp_path / "trainer" / "mine.yaml"
    mine.write_text("defaults: [base, _self_]\nmax_epoch: 3\n")
    with pytest.raises(LiverError, match=r"did you mean trainer\.max_epochs\?"):
        check("train", "trainer=mine", own=tmp_path)


@pytest.mark.parametrize(
    ("typed", "added"),
    [
        (["loss=focal", "data=lits", "data.batch_size=2"], False),
        (["experiment=losses"], False),
        (["+seeds=1"], True),
        (["++seed=1"], True),
        (["hydra.searchpath=[file:///tmp]"], True),
    ],
)
def test_only_command_lines_that_can_add_options_are_compared(typed: list[str], added: bool) -> None:
    with hydra.initialize_config_dir(str(folder()), version_base="1.3"):
        assert adds_options(hydra.compose("train", typed, return_hydra_config=True).hydra) is added
