"""liver-evaluate run=RUN_FOLDER, liver-evaluate truth=DIR predictions=DIR"""

from pathlib import Path

from omegaconf import DictConfig

from lightning_liver.apps.main import Job, command
from lightning_liver.errors import LiverError


@command("evaluate")
def main() -> Job:
    """Score a run on its test cases or, with data=..., on scans that it never saw; or masks of any tool."""
    return evaluate


def evaluate(cfg: DictConfig, folder: Path) -> object:
    """Score a run or masks, whichever the options name; masks need no Lightning, so only one of the two is imported.

    Raises:
        LiverError: neither or both are named; see evaluate_run and evaluate_masks.
    """
    of_masks = cfg.truth is not None or cfg.predictions is not None
    if of_masks and cfg.run is not None:
        raise LiverError(f"run={cfg.run}: expected run= alone, or truth= with predictions=; leave one out")
    if cfg.run is None and (cfg.truth is None or cfg.predictions is None):
        raise LiverError("run=null: expected something to score; give run=RUN_FOLDER, or truth=DIR predictions=DIR")
    if of_masks:
        from lightning_liver.commands.evaluate_masks import evaluate_masks

        return evaluate_masks(cfg, folder)
    from lightning_liver.commands.evaluate_run import evaluate_run

    return evaluate_run(cfg, folder)


if __name__ == "__main__":
    main()
