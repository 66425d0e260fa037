"""python train.py loss=focal"""

import os
import sys
from pathlib import Path

from hydra.errors import HydraException
from hydra.utils import get_method
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lightning_liver.apps.main import launch, stop
from lightning_liver.errors import LiverError

_BUDGETS = ("trainer.max_epochs=", "trainer.max_minutes=")
_YES = ("true", "yes", "on", "1")  # as YAML has them, and what people type


def main() -> None:
    """Train, test and draw; with resume=RUN_FOLDER go on with the run of that folder; with estimate=true only say how
    many runs that would be, and how long they would take."""
    given = sys.argv[1:]
    wishes = [argument.partition("=")[2].lower() for argument in given if argument.startswith("estimate=")]
    if wishes and wishes[-1] in _YES:
        return _estimate([argument for argument in given if not argument.startswith("estimate=")])
    resumed = [argument.partition("=")[2] for argument in given if argument.startswith("resume=")]
    if not resumed or resumed[-1] in ("", "null"):
        return launch("train", "lightning_liver.commands.train.train")
    try:
        folder = _run_folder(resumed[-1])
        _refuse_changes([argument for argument in given if not argument.startswith("resume=")])
    except LiverError as error:
        stop(error)
    # the folder's own .hydra stays as it is
    sys.argv += [f"hydra.run.dir='{folder}'", "hydra.output_subdir=null"]
    _go_where_it_began(folder)
    return launch("train", "lightning_liver.commands.train.resume")


def _estimate(arguments: list[str]) -> None:
    sys.argv = [sys.argv[0], *arguments]  # by which the names of runs are made
    try:
        print(get_method("lightning_liver.commands.estimate.estimate")(arguments))
    except (LiverError, HydraException, OmegaConfBaseException) as error:
        stop(error)


def _run_folder(typed: str) -> Path:
    folder = Path(typed.strip("'\"")).expanduser().resolve()
    if not (folder / ".hydra" / "config.yaml").is_file():
        raise LiverError(f"resume={folder}: not a run folder, it has no .hydra/config.yaml")
    return folder


def _refuse_changes(others: list[str]) -> None:
    if changed := [argument for argument in others if not argument.startswith(_BUDGETS)]:
        raise LiverError(
            "resume= goes on with the config of the run; only a longer trainer.max_epochs or trainer.max_minutes may "
            f"be given, not {' '.join(changed)}"
        )


def _go_where_it_began(folder: Path) -> None:
    """Relative paths in the run's config mean what they meant, if that place is still there."""
    saved = folder / ".hydra" / "hydra.yaml"
    began = OmegaConf.select(OmegaConf.load(saved), "hydra.runtime.cwd") if saved.exists() else None
    if began and Path(began).is_dir():
        os.chdir(began)
