"""--help: a command on one screen, a group with a line for each choice."""

import re

import pytest

from lightning_liver.help import options
from lightning_liver.help.screen import help_text

SCREEN, WIDTH = 60, 120  # lines, columns


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))


def lines_of(command: str, *arguments: str) -> list[str]:
    return (help_text(command, [*arguments, "--help"]) or "").splitlines()


def names_of(group: str) -> list[str]:
    return [choice.name for choice in options.choices(group) if not choice.name.startswith("base")]


@pytest.mark.parametrize("command", options.commands())
def test_help_of_a_command_is_one_screen(command: str) -> None:
    lines = lines_of(command)
    assert 3 < len(lines) <= SCREEN
    assert max(map(len, lines)) <= WIDTH


@pytest.mark.parametrize("command", options.commands())
def test_help_of_a_command_has_its_examples_groups_choices_and_options(command: str) -> None:
    lines, about = lines_of(command), options.command(command)
    words = set(re.split(r"[\s,]+", " ".join(lines)))
    assert lines[0] == about.line
    assert all(f"  {line}" in lines for line in about.about if options.is_command(line))
    for group in options.groups(command):
        assert group.name in words or f"{group.name}={group.default}" in words
        assert set(names_of(group.name)) <= words
    for option in about.options:
        assert any(line.startswith(f"  {option.name}") for line in lines), option.name


def test_meanings_of_groups_and_options_begin_in_one_column() -> None:
    lines = lines_of("train")
    column = next(line.index("the scans") for line in lines if line.startswith("  data=phantom"))
    meanings = [*options.groups("train"), *options.command("train").options]
    assert {line.find(each.meaning) for each in meanings for line in lines if each.meaning in line} == {column}


def test_choices_wrap_below_the_meaning_of_their_group() -> None:
    lines = lines_of("train")
    begin = next(number for number, line in enumerate(lines) if line.startswith("  loss=dice_bce"))
    end = next(number for number, line in enumerate(lines) if line.startswith("  finetune=scratch"))
    assert " ".join(line.strip() for line in lines[begin + 1 : end]) == ", ".join(names_of("loss"))
    assert end - begin > 2
    assert len({len(line) - len(line.lstrip()) for line in lines[begin + 1 : end]}) == 1


@pytest.mark.parametrize("group", [group.name for group in options.groups("train")])
def test_help_of_a_group_has_each_choice_with_its_whole_line(group: str) -> None:
    lines = lines_of("train", group)
    assert lines[0].endswith(next(each.meaning for each in options.groups("train") if each.name == group))
    text = " ".join(" ".join(lines).split())
    for choice in options.choices(group):
        if choice.name in names_of(group):
            assert f"{choice.name} {choice.line}" in text
    listed = lines[: lines.index("")] if "" in lines else lines
    assert max(map(len, listed)) <= WIDTH


def test_narrow_terminal_wraps_at_its_own_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    examples = [f"  {line}" for line in options.command("train").about]
    assert all(len(line) <= 80 for line in lines_of("train")[1:] if line not in examples and "--cfg" not in line)
