import runpy
from pathlib import Path

import pytest

STUDY = Path(__file__).parents[2] / "experiments" / "loss_examples"


def test_tables_of_the_readme_are_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(STUDY / "table.py"), run_name="__main__")
    readme = {line.strip() for line in (STUDY / "README.md").read_text().splitlines()}
    printed = capsys.readouterr().out.splitlines()
    assert any(line.startswith("lovasz_hinge") for line in printed)
    assert [line for line in printed if line not in readme] == []
