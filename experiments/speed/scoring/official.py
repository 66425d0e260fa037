"""Official scorer as a process, and our names of its figures."""

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from lightning_liver.errors import LiverError

RUNNER = Path(__file__).with_name("scorer_runner.py")

_MASKS = {"jaccard": "jaccard", "voe": "voe", "rvd": "rvd", "assd": "assd_mm", "rmsd": "rmsd_mm", "msd": "mssd_mm"}
_DICE = ("dice_per_case", "dice_global")
NAMES = {
    "lesion_precision": "lesion/precision_50",
    "lesion_recall": "lesion/recall_50",
    "lesion_precision_greater_zero": "lesion/precision_0",
    "lesion_recall_greater_zero": "lesion/recall_0",
    "lesion_dice": "lesion/dice",
    "liver_dice": "liver/dice_per_case",
    **{f"lesion_{theirs}": f"lesion/{ours}" for theirs, ours in _MASKS.items()},
    **{f"liver_{theirs}": f"liver/{ours}" for theirs, ours in _MASKS.items()},
    **{f"lesion_{name}": f"tumour/{name}" for name in _DICE},
    **{f"liver_{name}": f"liver/{name}" for name in _DICE},
    "RMSE_Tumorburden": "burden/rmse",
    "MAXERROR_Tumorburden": "burden/maximum",
}


class Printed(NamedTuple):
    """Output of the scorer.

    Args:
        figures: text by the scorer's names.
        seconds: the scorer's own time for all volumes, with reading and without its start.
    """

    figures: dict[str, str]
    seconds: float


def program_of(checkout: Path) -> Path:
    """Return the folder with evaluate.py.

    Raises:
        LiverError: it does not exist.
    """
    program = checkout.expanduser() / "program"
    if not (program / "evaluate.py").is_file():
        raise LiverError(
            f"SCORER={checkout}: expected program/evaluate.py in it; clone PatrickChrist/lits-challenge-scoring there"
        )
    return program


def run_official(python: Path, program: Path, folder: Path) -> Printed | str:
    """Run the scorer on ref/ and res/ of a folder; return the last line of its error if it fails."""
    command = [str(python), str(RUNNER), str(program), str(folder), str(folder / "scores")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no message"])[-1]
    lines = (folder / "scores" / "scores.txt").read_text().splitlines()
    figures = {name: text.strip() for name, text in (line.split(":") for line in lines if line)}
    seconds = sum(map(float, re.findall(r"total time: ([\d.]+) seconds", done.stdout)))
    return Printed(figures, seconds)
