"""Loop of active learning with an expert, who corrects proposed masks in a workspace: init, propose, accept, status."""

import logging
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from lightning_liver.active.pool_scans import cases_of_pool, mask_beside, scans_of_pool
from lightning_liver.active.workspace import FILE, WorkspaceState, read_workspace
from lightning_liver.commands.active_corrections import Accepting
from lightning_liver.commands.active_proposals import Proposing
from lightning_liver.commands.active_workspace import OF_ONE_ACTION, OpenWorkspace, keys
from lightning_liver.errors import LiverError
from lightning_liver.files import required_folder

log = logging.getLogger(__name__)


def init(cfg: DictConfig, folder: Path, typed: Sequence[str]) -> None:
    """Make a workspace of a pool of scans. A mask beside a scan counts as corrected.

    Raises:
        LiverError: no pool, a workspace that is there already, an invalid option, too few cases for the first training.
    """
    if (folder / FILE).exists():
        raise LiverError(
            f"workspace={folder}: there is one already; go on by action=status, or give another workspace="
        )
    pool = required_folder("pool", cfg.pool, "a folder of NIfTI files or DICOM series").resolve()
    names = keys(typed)
    if "data" in names:
        raise LiverError(
            f"{typed[names.index('data')]}: expected no data set, the scans are those of pool; leave it out"
        )
    if cfg.unit != "case":
        raise LiverError(f"unit={cfg.unit}: expected unit=case in a loop with an expert, who corrects whole scans")
    run = None if cfg.run is None else str(required_folder("run", cfg.run, "a run folder").resolve())
    scans = scans_of_pool(pool, folder)
    state = WorkspaceState(
        str(pool),
        run,
        tuple(each for each, name in zip(typed, names, strict=True) if name not in OF_ONE_ACTION),
        cases_of_pool(scans, pool, cfg.patients),
    )
    loop = Accepting(state, folder, [])
    loop.places.make_folders()
    for scan in scans:
        loop.refuse_other_copy(scan)
        if mask := mask_beside(scan, pool):
            loop.take(scan.name, [mask], accept_unchanged=False)
    loop.check_size()
    loop.save()
    log.info(loop.described())


def propose(cfg: DictConfig, folder: Path, typed: Sequence[str]) -> None:
    """Choose cases, and write their scans and proposed masks for the expert.

    Raises:
        LiverError: no workspace, corrected cases that no round has trained with, no case or no round left; a scan that
            cannot be read.
    """
    loop = Proposing(read_workspace(folder), folder, typed)
    if cfg.pool is not None:
        pool = required_folder("pool", cfg.pool, "the folder of the scans").resolve()
        loop.move_pool(pool)
    loop.leave_out_missing()
    if not loop.state.names("proposed") or loop.lacks_patients():
        loop.choose()
    loop.write_proposals()
    loop.write_report()
    log.info(loop.described())


def accept(cfg: DictConfig, folder: Path, typed: Sequence[str]) -> None:
    """Read and measure the corrected masks of all proposed cases, and train the next round with them.

    Raises:
        LiverError: nothing was proposed; cases without a valid correction, while the others are kept as corrected.
    """
    loop = Accepting(read_workspace(folder), folder, typed)
    further = None if cfg.corrections is None else required_folder("corrections", cfg.corrections, "a folder of masks")
    if cfg.patients is not None:
        loop.give_patients(cfg.patients)
    loop.take_all(further, accept_unchanged=cfg.accept_unchanged)
    loop.train()
    log.info(loop.described())


def status(cfg: DictConfig, folder: Path, typed: Sequence[str]) -> None:
    """Say where a loop stands and what comes next.

    Raises:
        LiverError: no workspace.
    """
    log.info(OpenWorkspace(read_workspace(folder), folder, typed).described())
