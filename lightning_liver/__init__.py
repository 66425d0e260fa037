"""Liver and liver-tumour segmentation in CT: experiments that say which loss, augmentation and fine-tuning work.

Names of the Python interface (see api/README.md) are imported when they are first used, so that `import
lightning_liver` and --help stay quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_liver.api.lightning import build_data, build_task, train
    from lightning_liver.api.runs import LoadedRun, load_run
    from lightning_liver.api.scores import evaluate
    from lightning_liver.config import compose
    from lightning_liver.data.datamodule import SliceDataModule
    from lightning_liver.errors import LiverError
    from lightning_liver.training.task import SegmentationTask

__version__ = "0.1.0"

_PLACES = {
    "LiverError": "errors",
    "LoadedRun": "api.runs",
    "SegmentationTask": "training.task",
    "SliceDataModule": "data.datamodule",
    "build_data": "api.lightning",
    "build_task": "api.lightning",
    "compose": "config",
    "evaluate": "api.scores",
    "load_run": "api.runs",
    "train": "api.lightning",
}

__all__ = [  # noqa: RUF022  the version last
    "LiverError",
    "LoadedRun",
    "SegmentationTask",
    "SliceDataModule",
    "build_data",
    "build_task",
    "compose",
    "evaluate",
    "load_run",
    "train",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Import a name of the interface."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
