"""Meanings of options, from the comments of conf/."""

from pathlib import Path

import pytest

from lightning_liver.config import folder
from lightning_liver.help import options
from lightning_liver.help.readme import readme


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of configs in the place of conf/."""
    monkeypatch.setattr(options, "folder", lambda: tmp_path)
    (tmp_path / "model").mkdir()
    return tmp_path


def test_conf_readme_is_what_the_command_prints() -> None:
    assert (folder() / "README.md").read_text() == readme(), "make conf-readme"


@pytest.mark.parametrize("group", options.all_groups())
def test_every_choice_and_every_option_of_a_group_has_a_meaning(group: str) -> None:
    for choice in options.choices(group):
        assert choice.line, f"{choice.name}.yaml begins without a comment"
        for name, _, meaning in choice.options if group != options.STUDIES else ():
            assert meaning or options.meaning(name), f"{choice.name}.yaml: {name} has no comment"


@pytest.mark.parametrize("command", options.commands())
def test_every_command_its_groups_and_options_have_a_meaning(command: str) -> None:
    about = options.command(command)
    assert len(about.about) > 1, "what it does, and an example"
    assert all(meaning for _, _, meaning in options.groups(command))
    assert all(meaning for _, _, meaning in about.options), about.options


def test_comment_of_an_option_is_behind_it_or_above_it(conf: Path) -> None:
    (conf / "model" / "net.yaml").write_text(
        "# A network.\n# Its source.\n_target_: torch.nn.Linear\nwidth: 3 # channels # of all levels\n"
        "# metres, or\n# seconds\nlong: [1, '# no comment']\nwired: ${data.width}\npart:\n  depth: ??? # levels\n"
        "text: '# no comment'\nroot: ${cached:x} # folder\npruner: # stops\n  _target_: torch.nn.ReLU\n"
    )
    (choice,) = options.choices("model")
    assert choice.line == "A network."
    assert choice.options == (
        ("model.width", "3", "channels # of all levels"),
        ("model.long", "[1, '# no comment']", "metres, or seconds"),
        ("model.part.depth", "(required)", "levels"),
        ("model.text", "'# no comment'", ""),
        ("model.root", "(derived)", "folder"),
        ("model.pruner", "torch.nn.ReLU", "stops"),
    )


def test_header_of_a_file_is_not_the_comment_of_its_first_option(conf: Path) -> None:
    (conf / "model" / "net.yaml").write_text("# A network.\nwidth: 3\n")
    assert options.choices("model")[0].options == (("model.width", "3", ""),)


def test_recipe_of_a_whole_config_names_its_options_in_full(conf: Path) -> None:
    (conf / "model" / "base.yaml").write_text("width: 3 # channels\n")
    (conf / "model" / "big.yaml").write_text(
        "# @package _global_\n# A recipe.\ndefaults: [base@model, {override /data: x}, _self_]\nmodel:\n  width: 9\n"
    )
    base, big = options.choices("model")
    assert (big.line, big.parents, big.options) == ("A recipe.", ("base",), (("model.width", "9", ""),))
    assert options.meaning("model.width") == base.options[0].meaning == "channels"
