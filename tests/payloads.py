"""Payloads that a stranger's folder could hold: each would make a file, if it were built."""

import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch

_MODULE = "stranger_module"


class _Touch:
    """An object that makes a file when it is read from a pickle."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def payloads(folder: Path) -> dict[str, dict[str, Any]]:
    """Write what the payloads read into a folder, and return them by name; each makes the file `mark(folder)`."""
    folder.mkdir(parents=True, exist_ok=True)
    mark, evil = mark_of(folder), _Touch(mark_of(folder))
    torch.save(evil, folder / "evil.pt")
    np.save(folder / "evil.npy", np.array([evil], dtype=object), allow_pickle=True)
    joblib.dump(evil, folder / "evil.joblib")
    mark.unlink(missing_ok=True)
    code = f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n"
    (folder / f"{_MODULE}.py").write_text(code)
    (folder / "hubconf.py").write_text(f"{code}\ndef net():\n    return None\n")
    assert pickle.dumps(evil)
    text = {"_target_": "pathlib.Path", "_args_": [str(mark)]}
    return {
        "torch.load": {"_target_": "torch.load", "f": str(folder / "evil.pt"), "weights_only": False},
        "numpy.load": {"_target_": "numpy.load", "file": str(folder / "evil.npy"), "allow_pickle": True},
        "joblib.load": {"_target_": "joblib.load", "filename": str(folder / "evil.joblib")},
        "torch.hub.load": {
            "_target_": "torch.hub.load",
            "repo_or_dir": str(folder),
            "model": "net",
            "source": "local",
        },
        "pathlib.Path.write_text": {"_target_": "pathlib.Path.write_text", "_args_": [text, "x"]},
        "builtins.open": {"_target_": "builtins.open", "file": str(mark), "mode": "w"},
        "shutil.copy": {"_target_": "shutil.copy", "src": str(folder / "evil.pt"), "dst": str(mark)},
        "environment._output": {
            "_target_": "lightning_liver.runs.environment._output",
            "_args_": ["touch", str(mark)],
        },
        "os.system": {"_target_": "os.system", "_args_": [f"touch {mark}"]},
        "subprocess.run": {"_target_": "subprocess.run", "args": ["touch", str(mark)]},
        "builtins.eval": {"_target_": "builtins.eval", "_args_": [f"open({str(mark)!r}, 'w')"]},
        "importlib.import_module": {"_target_": "importlib.import_module", "name": _MODULE},
    }


def mark_of(folder: Path) -> Path:
    """Return the file that a payload of a folder makes."""
    return folder / "executed"
