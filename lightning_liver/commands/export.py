"""Export of a run's network to a file that runs without this package, checked against the original."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from pydantic import ValidationError
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from lightning_liver.build import build
from lightning_liver.data.prepare import folder_of
from lightning_liver.data.slices import WholeSlices
from lightning_liver.data.store import HU_RANGE, open_store
from lightning_liver.errors import LiverError, explain, first_line
from lightning_liver.files import replacing, required_run
from lightning_liver.formats.folders import new_folder
from lightning_liver.formats.model_card import Facts
from lightning_liver.inference.label_maps import Network, whole_slice_logits
from lightning_liver.inference.network import TrainedNetwork
from lightning_liver.runs.facts import exported_config, facts_of
from lightning_liver.runs.trained import TestedDecision, read_run, tested_decision, trusted
from lightning_liver.types import STRUCTURES
from lightning_liver.types.options import Closed, Natural, Positive
from lightning_liver.types.tensors import Images

log = logging.getLogger(__name__)

# batch, height and width of random slices, in multiples of what the network accepts; none is the example's own
_SIZES = ((1, 2, 2), (1, 4, 3), (3, 2, 5), (4, 3, 1))
_EXAMPLE = (2, 2, 3)


@dataclass(frozen=True, config=Closed)
class ExportOptions:
    """Options of conf/export.yaml.

    Args:
        run: a run folder.
        output: a file; None is network.SUFFIX in the run folder.
        tolerance: largest difference allowed between a logit of the file and the original's.
        slices: number compared from the run's store, beside random ones.
        seed: of the random ones.
        licence: of the weights; None is not stated.
    """

    run: Path
    output: Path | None
    tolerance: Positive
    slices: Natural
    seed: Natural
    licence: str | None


def export(cfg: DictConfig, folder: Path) -> Path:
    """Write the network of a run, with what turns HU into its input and its logits into labels.

    Raises:
        LiverError: no run, or one without weights; a package that the format needs is missing; the network cannot be
            exported, or the file computes something else: then no file is written, and an earlier one stays.
    """
    options = _options(cfg)
    write, read = build(cfg.format.write), build(cfg.format.read)
    trained = read_run(options.run, statistics=cfg.statistics, elsewhere=True, trust=trusted(cfg))
    example = _random(trained, _EXAMPLE, np.random.default_rng(options.seed))
    _refuse_other_output(trained.network, example)
    decision = tested_decision(options.run, trained)
    document = describe(trained, decision)
    path = options.output or options.run / f"network{cfg.format.suffix}"
    is_folder = not str(cfg.format.suffix).startswith(".")
    extra = {"facts": _facts(options, trained, decision, path)} if is_folder else {}
    with _writing(path, is_folder=is_folder) as partial:
        with _followed():
            write(trained.network, example, document, partial, **extra)
            exported, kept = read(partial)
        assert kept == document
        told = _compared(exported, trained, options)
    log.info(f"{told}\n{json.dumps(document)}\n{_left_to_the_user(document, is_folder)}\n{path}")
    return path


def describe(trained: TrainedNetwork, decision: TestedDecision) -> dict[str, Any]:
    """Return what the file tells users of its network.

    Scans are (z, y, x) with x to the patient's left, y to the back and z to the head (LPS). HU are clipped to
    `hu_range`, resampled in plane to `spacing_mm` where that is not null, and rounded; `window_hu` becomes [0, 1],
    clipped, less `mean`, over `std`. Channels are the slice with `context` neighbours on each side; height and width
    are padded to multiples of `multiple`. The logits, cut and interpolated back to the scan's grid, mean `classes`
    where their logistic function exceeds the class's threshold; with `flips`, where the mean over mirrored slices
    does. Then follow the steps of `postprocess`, on the labels of the whole scan.
    """
    normalization = trained.normalization
    return {
        "orientation": "LPS",
        "hu_range": list(HU_RANGE),
        "spacing_mm": trained.spacing_mm,
        "window_hu": list(normalization.window_hu),
        "mean": normalization.mean,
        "std": normalization.std,
        "context": normalization.context,
        "multiple": trained.multiple,
        "classes": list(STRUCTURES),
        "flips": decision.flips,
        "thresholds": dict(zip(STRUCTURES, decision.thresholds, strict=True)),
        "postprocess": asdict(decision.post_process),
    }


def _facts(options: ExportOptions, trained: TrainedNetwork, decision: TestedDecision, path: Path) -> Facts:
    facts = facts_of(options.run, trained, path.name, options.licence)
    return facts._replace(config=exported_config(trained, *decision))


def _left_to_the_user(document: Mapping[str, Any], is_folder: bool) -> str:
    """Say what the scores of the run hold for, beside the network."""
    steps = [name for name, value in document["postprocess"].items() if value]
    steps += ["flips"] * document["flips"]
    if is_folder or not steps:
        return ""
    return (
        f"The run was tested with {', '.join(steps)}, not in the graph but named in the file's metadata: "
        "lightning_liver/formats/standalone/segment.py does it, as experiments/export shows.\n"
    )


def _options(cfg: DictConfig) -> ExportOptions:
    run, output = required_run(cfg.run), None if cfg.output is None else Path(str(cfg.output)).expanduser()
    try:
        options = ExportOptions(
            run, output, tolerance=cfg.tolerance, slices=cfg.slices, seed=cfg.seed, licence=cfg.licence
        )
    except ValidationError as error:
        raise LiverError(explain(error)) from error
    if str(cfg.format.suffix).startswith("."):
        _refuse_folder_options(options)
    return options


def _refuse_folder_options(options: ExportOptions) -> None:
    if options.licence is not None:
        raise LiverError(f"licence={options.licence}: expected format=bundle or hub, which have a card; leave it out")
    if options.output is not None and options.output.is_dir():
        raise LiverError(f"output={options.output}: expected a file, this is a folder; name a file in it")


def _refuse_other_output(network: nn.Module, images: Images) -> None:
    with torch.inference_mode():
        logits = network(images)
    wanted = (len(images), len(STRUCTURES), *images.shape[-2:])
    given = tuple(logits.shape) if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
    if given != wanted:
        raise LiverError(
            f"the network makes {given} of slices {tuple(images.shape)}, but a mask is made of logits {wanted} alone. "
            "One that is supervised at several resolutions must give the finest alone when it does not train"
        )


@contextmanager
def _writing(path: Path, *, is_folder: bool) -> Iterator[Path]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_folder(path) if is_folder else replacing(path) as partial:
            yield partial
    except OSError as error:
        raise LiverError(f"{path}: cannot be written ({error.strerror or error}); check folder and space") from error


@contextmanager
def _followed() -> Iterator[None]:
    try:
        yield
    except (LiverError, OSError):
        raise
    except Exception as error:  # torch raises many kinds
        root: BaseException = error
        while root.__cause__ is not None:
            root = root.__cause__
        raise LiverError(
            f"torch cannot export this network: {first_line(root)}. Its control flow must depend neither on the "
            "values of pixels nor on the size of slices"
        ) from error


def _compared(exported: Network, trained: TrainedNetwork, options: ExportOptions) -> str:
    """Describe how much the file's logits differ from the original's.

    Raises:
        LiverError: by more than tolerance allows, or the file takes slices of some sizes only.
    """
    rng = np.random.default_rng(options.seed)
    made = [_random(trained, size, rng) for size in _SIZES]
    told = [f"{_difference(exported, trained, made, options.tolerance):.1e} on {len(made)} batches of random slices"]
    if own := _of_store(trained, options.slices):
        told.append(
            f"{_difference(exported, trained, own, options.tolerance):.1e} on {len(own)} slices of the run's store"
        )
    return f"Largest difference from a logit of the original, of which {options.tolerance:g} is allowed: " + ", ".join(
        told
    )


@torch.inference_mode()
def _difference(exported: Network, trained: TrainedNetwork, batches: Sequence[Tensor], tolerance: float) -> float:
    worst = 0.0
    for images in batches:
        original = whole_slice_logits(trained.network, images, multiple=trained.multiple)
        with _followed():
            copy = whole_slice_logits(exported, images, multiple=trained.multiple)
        difference = float((copy - original).abs().max()) if copy.shape == original.shape else float("inf")
        if not difference <= tolerance:
            raise LiverError(
                f"the exported network differs from the original by {difference:.2g} in a logit of slices "
                f"{tuple(images.shape)}, but tolerance={tolerance:g}: no file was written. Try another format, "
                "or a larger tolerance"
            )
        worst = max(worst, difference)
    return worst


def _random(trained: TrainedNetwork, size: tuple[int, int, int], rng: np.random.Generator) -> Images:
    """Draw slices of noise that the window clips on both sides."""
    (batch, height, width), multiple, normalization = size, trained.multiple, trained.normalization
    low, high = normalization.window_hu
    shape = (batch, height * multiple, width * multiple, 2 * normalization.context + 1)
    hu = rng.uniform(low - (high - low) / 4, high + (high - low) / 4, shape).astype(np.float32)
    return torch.stack([normalization.tensor(each) for each in hu])


def _of_store(trained: TrainedNetwork, count: int) -> list[Tensor]:
    """Read slices from all over the store, each a batch since cases differ in size; none if the store is gone."""
    try:
        store = open_store(folder_of(str(trained.config.data.store), trained.spacing_mm))
        slices = WholeSlices(store, trained.normalization, cases=list(store.cases), native=False)
        places = np.linspace(0, len(slices) - 1, min(count, len(slices))).round().astype(int)
        return [slices[place]["image"][None] for place in places.tolist()]
    except (LiverError, OSError) as error:
        log.warning(f"Not compared on slices of the run's store: {error}")
        return []
