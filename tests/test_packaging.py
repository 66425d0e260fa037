"""pip install . into another place, run from another folder."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import lightning_liver

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def test_citation_has_the_version_and_licence_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = re.search(r"^> lightning_liver: .* Version (\S+), commit COMMIT\. (\S+)\.$", README.read_text(), re.M)
    assert cited
    assert cited.groups() == (lightning_liver.__version__, project["license"])


@pytest.mark.slow
def test_installed_package_brings_its_configs(tmp_path: Path) -> None:
    install = ["install", "--quiet", "--no-deps", "--target", str(tmp_path / "site"), str(ROOT)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True)
    somewhere = tmp_path / "somewhere"
    somewhere.mkdir()
    for command in (["liver-prepare", "data.cases=3", "data.matrix=32", "data.workers=0"], ["liver-train", "--help"]):
        script = tmp_path / "site" / "bin" / command[0]
        done = subprocess.run(
            [sys.executable, str(script), *command[1:]],
            cwd=somewhere,
            env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    location = "import lightning_liver.config as c; print(c.folder())"
    where = subprocess.run(
        [sys.executable, "-c", location],
        cwd=somewhere,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert str(tmp_path / "site") in where
    package = tmp_path / "site" / "lightning_liver"
    assert (package / "report" / "html" / "templates" / "page.html").is_file()
    assert (package / "report" / "viewer" / "page" / "niivue.js").stat().st_size > 1_000_000
