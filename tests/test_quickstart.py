"""The notebook of experiments/quickstart, executed as it is."""

import os
import sys
from ast import literal_eval
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "experiments" / "quickstart" / "quickstart.ipynb"


def test_notebook_is_kept_without_outputs() -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@pytest.mark.slow
def test_notebook_runs_and_finds_the_liver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "lightning_liver" / "plugins")]))
    monkeypatch.delenv("LIVER_CACHE")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.create_kernel_manager().kernel_cmd = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    done = client.execute()
    results = {
        cell.source.splitlines()[-1]: output["data"]
        for cell in done.cells
        for output in cell.get("outputs", ())
        if output.output_type in ("execute_result", "display_data")
    }
    assert float(results['tested["test/liver/dice_per_case"]']["text/plain"]) > 0.3
    [scores] = [data for line, data in results.items() if '"dice"' in line]
    assert literal_eval(scores["text/plain"])["liver"] > 0.6
    assert any("image/png" in data for data in results.values())
    assert (tmp_path / "outputs" / "quickstart" / "report.html").is_file()
