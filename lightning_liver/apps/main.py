"""What all commands share: compose the config, run the job, answer mistakes with a message and exit code 2."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.utils import get_method
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from lightning_liver import config
from lightning_liver.errors import LiverError

Job = Callable[[DictConfig, Path], object]


def launch(config_name: str, job: str) -> None:
    """Run `job` ("package.module.function", imported when it runs) with the composed config and its run folder."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands errors on instead of printing and leaving with code 1

    @hydra.main(version_base="1.3", config_path=str(config.folder()), config_name=config_name)
    def main(cfg: DictConfig) -> None:
        run: Job = get_method(job)
        run(cfg, Path(HydraConfig.get().runtime.output_dir))

    try:
        main()
    except (LiverError, HydraException, OmegaConfBaseException) as error:
        stop(error)
    except Exception as error:
        if type(error).__module__.startswith("pydantic"):
            stop(error)
        raise


def stop(error: BaseException) -> None:
    """Print what is wrong, with what led to it, and leave with exit code 2."""
    messages = [str(error)]
    while error := error.__cause__:  # type: ignore[assignment]
        if isinstance(error, HydraException | OmegaConfBaseException) and str(error) not in messages[-1]:
            messages.append(str(error))
    print("\n".join(message.strip() for message in messages), file=sys.stderr)
    sys.exit(2)
