"""Where the configs are, and the resolvers that they use. Imports Hydra alone, so that --help is quick."""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf


def folder() -> Path:
    """conf/ of the wheel, or of the checkout."""
    package = Path(__file__).parent
    return next(path for path in (package / "conf", package.parent / "conf") if path.is_dir())


def compose(name: str, overrides: Sequence[str]) -> DictConfig:
    """The config that a command line would give: for notebooks, loops and tests."""
    with hydra.initialize_config_dir(str(folder()), version_base="1.3"):
        return hydra.compose(name, list(overrides))


def _cached(name: str) -> str:
    return str(Path(os.environ.get("LIVER_CACHE", ".cache")) / name)


def _cache_of(root: str) -> str:
    path = Path(root).expanduser().resolve()
    return _cached(f"{path.name}-{hashlib.sha256(str(path).encode()).hexdigest()[:8]}")


def _channels(context: int) -> int:
    return 2 * context + 1


_RESOLVERS: dict[str, Callable[..., object]] = {"cached": _cached, "cache_of": _cache_of, "channels": _channels}
for _name, _resolver in _RESOLVERS.items():
    OmegaConf.register_new_resolver(_name, _resolver, replace=True)
