"""The commands that lightning_liver/README.md names beside those of other tools."""

import re
import shlex
from pathlib import Path

import pytest

import lightning_liver
from lightning_liver.config import compose

PAGE = (
    (Path(__file__).parents[1] / "lightning_liver" / "README.md")
    .read_text()
    .partition("## Coming from another tool")[2]
)
ROWS = re.findall(r"^\| `.+\| (.+) \|$", PAGE, re.M)
COMMANDS = [found for row in ROWS for found in re.findall(r"`((?:python train\.py|liver-[a-z]+).*?)`", row)]
SEARCHES = ("hydra/sweeper=", "optimizer.lr=tag")


def test_every_row_names_a_command_of_ours() -> None:
    assert len(ROWS) > 20
    assert len(COMMANDS) >= len(ROWS) - 1, "the last row is Python"


@pytest.mark.parametrize("typed", COMMANDS)
def test_commands_have_the_options_that_are_typed(typed: str) -> None:
    program, *arguments = shlex.split(typed.replace("python train.py", "liver-train"))
    command = program.removeprefix("liver-").replace("-", "_")
    overrides = [each.replace("=1,2,3", "=1") for each in arguments if not each.startswith(("-m", *SEARCHES))]
    cfg = compose(command, overrides)
    for override in overrides:
        name, _, value = override.partition("=")
        assert name.partition(".")[0] in cfg or value in ("demo", "fast_dev_run", "overfit", "limit", "profile")


def test_choices_of_debug_are_those_that_are_named() -> None:
    for choice in re.findall(r"`debug=(\w+)`", "\n".join(ROWS)):
        compose("train", [f"debug={choice}"])


def test_python_interface_has_what_is_named() -> None:
    assert callable(lightning_liver.load_run)
    assert "load_run" in PAGE
