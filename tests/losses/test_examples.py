import runpy
import sys
from pathlib import Path

import pytest

STUDY = Path(__file__).parents[2] / "experiments" / "loss_examples"


@pytest.mark.slow
def test_every_row_of_the_readme_is_printed_by_its_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["table.py"])
    runpy.run_path(str(STUDY / "table.py"), run_name="__main__")
    printed = {tuple(line.split()) for line in capsys.readouterr().out.splitlines()}
    lines = (STUDY / "README.md").read_text().splitlines()
    rows = [tuple(line.split()) for line in lines if line.startswith("    ") and line[-1:].isdigit()]
    assert {"lovasz_hinge", "second"} <= {row[0] for row in rows}
    assert [row for row in rows if row not in printed] == []
