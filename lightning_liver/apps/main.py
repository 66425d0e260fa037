"""What all commands share: compose the config, run the job, answer mistakes with a message and exit code 2."""

import gc
import logging
import multiprocessing
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from hydra.utils import get_method
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from lightning_liver import config
from lightning_liver.errors import LiverError, PartlyDone, Pruned

log = logging.getLogger(__name__)

Job = Callable[[DictConfig, Path], object]


def launch(config_name: str, job: str) -> None:
    """Run `job` ("package.module.function", imported when it runs) with the composed config and its run folder."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands errors on instead of printing and leaving with code 1

    @hydra.main(version_base="1.3", config_path=str(config.folder()), config_name=config_name)
    def main(cfg: DictConfig) -> object:
        return run_job(job, cfg)

    try:
        main()
    except (LiverError, HydraException, OmegaConfBaseException) as error:
        stop(error)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)


def run_job(job: str, cfg: DictConfig) -> object:
    """What the job returns. In a sweep, a job that fails says so at once: the others go on.

    It is a function of a module so that a launcher's worker processes import it, and with it the config's resolvers.
    """
    if multiprocessing.get_start_method(allow_none=True) == "loky":
        # its workers pass it on to the processes that draw, prepare and load, which do not know it
        multiprocessing.set_start_method(None, force=True)
    run = _imported(job)
    try:
        return run(cfg, Path(HydraConfig.get().runtime.output_dir))
    except Pruned:  # given up, not failed
        raise
    except Exception as error:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            kind = "" if isinstance(error, LiverError) else f"{type(error).__name__}: "
            log.error(f"FAILED: {kind}{error}")
        raise


def _imported(job: str) -> Job:
    """The job. What its modules make stays, so looking for garbage in it would only lengthen their import."""
    if job.rpartition(".")[0] in sys.modules:
        return get_method(job)
    gc.disable()
    try:
        return get_method(job)
    finally:
        gc.freeze()  # nor is it looked through later, here and in the processes that load slices
        gc.enable()


def stop(error: BaseException) -> NoReturn:
    """Print what is wrong, with what led to it, and leave with exit code 2, or 1 where a part is done."""
    messages = [_text(error)]
    cause = error.__cause__
    while cause and not isinstance(error, LiverError):  # our own messages say it all
        if isinstance(cause, HydraException | OmegaConfBaseException) and str(cause) not in messages[-1]:
            messages.append(_text(cause))
        cause = cause.__cause__
    print("\n".join(message.strip() for message in messages), file=sys.stderr)
    sys.exit(1 if isinstance(error, PartlyDone) else 2)


def _text(error: BaseException) -> str:
    override = getattr(error, "override", None)  # of a command line that could not be parsed
    hint = "\nQuote what has a sign in it: \"GROUP.OPTION='VALUE'\"; write $HOME for ~." if override else ""
    return f"{override}: {error}{hint}" if override else str(error)
