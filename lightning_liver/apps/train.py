"""python train.py loss=focal"""

import sys
from pathlib import Path

from lightning_liver.apps.main import launch, stop
from lightning_liver.errors import LiverError

_BUDGETS = ("trainer.max_epochs=", "trainer.max_minutes=")


def main() -> None:
    """Train, test and draw; with resume=RUN_FOLDER go on with the run of that folder."""
    try:
        sys.argv[1:] = _arguments(sys.argv[1:])
    except LiverError as error:
        stop(error)
    launch("train", "lightning_liver.run.train")


def _arguments(given: list[str]) -> list[str]:
    """The arguments themselves; for resume=FOLDER those that compose that folder's own config, in that folder."""
    resumed = [argument.partition("=")[2] for argument in given if argument.startswith("resume=")]
    if not resumed or resumed[-1] in ("", "null"):
        return given
    folder = Path(resumed[-1].strip("'\"")).expanduser().resolve()
    if not (folder / ".hydra" / "config.yaml").is_file():
        raise LiverError(f"resume={folder}: not a run folder, it has no .hydra/config.yaml")
    others = [argument for argument in given if not argument.startswith("resume=")]
    if changed := [argument for argument in others if not argument.startswith(_BUDGETS)]:
        raise LiverError(
            f"resume= goes on with the config of the run; only a longer trainer.max_epochs or trainer.max_minutes may "
            f"be given, not {' '.join(changed)}"
        )
    here = [f"resume='{folder}'", f"hydra.run.dir='{folder}'", "hydra.output_subdir=null"]
    return ["--config-path", str(folder / ".hydra"), "--config-name", "config", *here, *others]
