"""Facts of a run for those who get its network: data, figures, training."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lightning_liver.formats.model_card import Facts
from lightning_liver.inference.network import TrainedNetwork
from lightning_liver.inference.postprocess import PostProcess
from lightning_liver.inference.thresholds import Thresholds
from lightning_liver.runs.contents import read_contents
from lightning_liver.runs.hub import BUILT

_SOURCES = {
    "lightning_liver.data.phantom.cases": "synthetic abdomens (phantoms of lightning_liver), no patients",
    "lightning_liver.data.sources.lits": "CT scans laid out as the LiTS data set (which ones, the run does not say)",
    "lightning_liver.data.sources.msd": "CT scans laid out as Task03_Liver of the Medical Segmentation Decathlon",
}
_FIGURES = ("dice_per_case", "dice_global", "assd_mm", "hd95_mm", "precision_50", "recall_50", "f1_50")
_OF_DATA = ("spacing_mm", "size", "slices_per_epoch", "batch_size", "fold")
_PACKAGES = ("code", "torch", "pytorch-lightning", "numpy", "python")


def facts_of(run: Path, trained: TrainedNetwork, name: str, licence: str | None) -> Facts:
    """Return what a run folder tells of its network; no path of the machine is among it.

    Raises:
        LiverError: a file of the folder is damaged.
    """
    contents, config = read_contents(run), trained.config
    model = str(config.model["_target_"]).rpartition(".")[2]
    weights = sum(tensor.numel() for tensor in trained.network.parameters())
    source = str(OmegaConf.select(config, "data.source._target_"))
    training = {f"data.{option}": config.data[option] for option in _OF_DATA if option in config.data}
    training |= {group: config[group]["_target_"] for group in BUILT[1:] if config.get(group)}
    known = {**(contents.environment or {})}
    return Facts(
        name=name,
        network=f"{model} of {weights / 1e6:.2f} million weights, on 2-D slices.",
        data=_SOURCES.get(source, "data of the user's own"),
        cases={part: len(cases) for part, cases in (contents.split or {}).items()},
        figures={
            figure: float(value)
            for figure, value in contents.metrics.items()
            if figure.startswith("test/") and figure.endswith(_FIGURES) and isinstance(value, int | float)
        },
        mode=str(contents.metrics.get("mode") or OmegaConf.select(config, "scores.mode") or ""),
        licence=licence,
        training=training | {"epochs": contents.metrics.get("epochs"), "steps": contents.metrics.get("steps")},
        versions={package: str(known[package]) for package in _PACKAGES if known.get(package)},
        config={},
    )


def exported_config(
    trained: TrainedNetwork, thresholds: Thresholds, post_process: PostProcess, flips: bool
) -> dict[str, Any]:
    """Return the config by which an exported network is built and used, as plain values without a path.

    Args:
        thresholds, post_process, flips: by which the test cases were labelled.
    """
    plain: Any = OmegaConf.to_container(trained.config, resolve=True)
    normalization = trained.normalization
    return {
        **{group: plain[group] for group in BUILT},
        "data": {name: plain["data"].get(name) for name in ("spacing_mm", "context", "window_hu", "standardise")},
        "inference": {
            "multiple": plain["inference"]["multiple"],
            "flips": flips,
            "thresholds": list(thresholds),
            "postprocess": {name: getattr(post_process, name) for name in post_process.__dataclass_fields__},
        },
        "normalization": {
            "window_hu": list(normalization.window_hu),
            "context": normalization.context,
            "mean": normalization.mean,
            "std": normalization.std,
        },
    }
