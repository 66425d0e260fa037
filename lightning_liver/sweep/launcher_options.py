"""Options of hydra/launcher=slurm and hydra/launcher=ray, checked before anything runs."""

from collections.abc import Mapping
from typing import Any, TypeVar

from omegaconf import OmegaConf
from pydantic import ValidationError

from lightning_liver.errors import LiverError, explain

_Options = TypeVar("_Options")


def checked(kind: type[_Options], given: Mapping[str, Any]) -> _Options:
    """Return the options of a launcher.

    Raises:
        LiverError: one of them is wrong or unknown.
    """
    try:
        return kind(
            **{name: OmegaConf.to_object(each) if OmegaConf.is_config(each) else each for name, each in given.items()}
        )
    except ValidationError as error:
        raise LiverError(explain(error, "hydra.launcher")) from error
