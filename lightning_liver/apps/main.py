"""What all commands share: compose the config, run the job, answer mistakes with a message and exit code 2."""

import logging
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
from lightning_liver.errors import LiverError

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
    """What the job returns.

    It is a function of a module so that a launcher's worker processes import it, and with it the config's resolvers.
    """
    run: Job = get_method(job)
    try:
        return run(cfg, Path(HydraConfig.get().runtime.output_dir))
    except LiverError as error:
        if HydraConfig.get().mode == RunMode.MULTIRUN:  # the others go on: say now what was wrong with this one
            log.error(f"FAILED: {error}")
        raise


def stop(error: BaseException) -> NoReturn:
    """Print what is wrong, with what led to it, and leave with exit code 2."""
    messages = [_text(error)]
    cause = error.__cause__
    while cause and not isinstance(error, LiverError):  # our own messages say it all
        if isinstance(cause, HydraException | OmegaConfBaseException) and str(cause) not in messages[-1]:
            messages.append(_text(cause))
        cause = cause.__cause__
    print("\n".join(message.strip() for message in messages), file=sys.stderr)
    sys.exit(2)


def _text(error: BaseException) -> str:
    override = getattr(error, "override", None)  # of a command line that could not be parsed
    hint = "\nQuote what has a sign in it: \"GROUP.OPTION='VALUE'\"; write $HOME for ~." if override else ""
    return f"{override}: {error}{hint}" if override else str(error)
