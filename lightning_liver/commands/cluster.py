"""Slices clustered by the features of a trained network, beside k-means on their pixels: the job of liver-cluster."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import cv2
import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from pydantic import Field, ValidationError
from pydantic.dataclasses import dataclass
from torch import nn
from tqdm import tqdm

from lightning_liver.build import prepared
from lightning_liver.clustering.features import part_named, pooled
from lightning_liver.clustering.figure import Clustering, clusters_figure, clusters_text
from lightning_liver.clustering.kmeans import (
    Agreement,
    Groups,
    Points,
    agreement,
    difference,
    k_means,
    principal,
    standardised,
    tables,
)
from lightning_liver.data.slices import Normalization
from lightning_liver.data.store import CaseRecord, Store
from lightning_liver.errors import LiverError
from lightning_liver.inference.label_maps import whole_slice_logits
from lightning_liver.report.drawing import write_png
from lightning_liver.runs.trained import Weights, appearance, read_run
from lightning_liver.tables import Row, write_csv, write_json_whole
from lightning_liver.training.settings import available_accelerator

log = logging.getLogger(__name__)

TRUTHS = ("tumour", "liver", "neither")  # what a slice shows, by its labels
PIXELS = 32  # side of the slices whose pixels are clustered

_BATCH = 8

Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Options:
    """Options of conf/cluster.yaml.

    Args:
        run: folder of the run whose network makes the features.
        weights: the best ones of its training, or those before it, which saw no mask.
        part: of the network, by name or pattern; the last one that fits.
        clusters: how many.
        every: one slice in so many.
        components: principal components of the features; None takes the features as they are.
        starts: of k-means.
        seed: of the first start.
    """

    run: str
    weights: Weights
    part: str
    clusters: Annotated[int, Field(ge=2, le=8)]
    every: Count
    components: Annotated[int, Field(ge=2)] | None
    starts: Count
    seed: Annotated[int, Field(ge=0, lt=2**32 - 10_000)]


class Trained(NamedTuple):
    """The network of a run, how it sees HU, to what size it pads, and the pixels in mm that it was trained on."""

    network: nn.Module
    normalization: Normalization
    multiple: int
    spacing_mm: float | None


class Place(NamedTuple):
    """A slice, and what it shows; None where its case has no labels."""

    case: str
    patient: str
    z: int
    truth: str | None


def cluster(cfg: DictConfig, folder: Path) -> None:
    """Write clusters.csv, clusters.png and clusters.json into a folder, and say how well clusters agree with the truth.

    The labels of the scans are looked at afterwards alone.

    Raises:
        LiverError: something that the user can mend.
    """
    options = _options(cfg)
    trained = _trained(options)
    part = part_named(trained.network, options.part)
    store = prepared(cfg.data)
    _warn_of_spacing(trained.spacing_mm, cfg.data.spacing_mm)
    places = _places(store, options.every)
    if len(places) < 2 * options.clusters:
        raise LiverError(
            f"every={options.every}: that is {len(places)} slices of {len(store.cases)} cases, too few for "
            f"{options.clusters} clusters; take a smaller one, or more cases"
        )
    features = standardised(_features(trained, part, store, places))
    pixels = _pixels(trained.normalization, store, places)
    points, share = _reduced(features, options.components)
    found = [k_means(each, options.clusters, starts=options.starts, seed=options.seed) for each in (points, pixels)]
    scores = _scores(places, *found)
    how = f"{part}, {features.shape[1]} channels" + (
        f"; {points.shape[1]} principal components hold {100 * share:.1f} % of their variance" * (share < 1)
    )
    shown = Clustering(
        how=how,
        truth=[place.truth or "unknown" for place in places],
        features=found[0],
        pixels=found[1],
        feature_plane=principal(features, 2)[0],
        pixel_plane=principal(pixels, 2)[0],
        scores=scores,
        patients=len({place.patient for place in places}),
    )
    _write(folder, places, shown, partial(_picture, trained.normalization, store, places))
    log.info(f"{clusters_text(shown)}\n\n{folder / 'clusters.png'}")


def _options(cfg: DictConfig) -> Options:
    if OmegaConf.is_missing(cfg, "run"):
        raise LiverError("run is needed and has no default: run=RUN_FOLDER, a folder that python train.py made")
    names = list(Options.__dataclass_fields__)
    try:
        return Options(**{name: cfg[name] for name in names})
    except ValidationError as error:
        faults = [f"{fault['loc'][0]}={fault['input']!r}: {fault['msg']}" for fault in error.errors()]
        raise LiverError("\n".join(faults)) from error


def _trained(options: Options) -> Trained:
    run = read_run(Path(options.run).expanduser(), weights=options.weights)
    normalization = appearance(run, Path(options.run))
    return Trained(run.network.to(available_accelerator()), normalization, run.multiple, run.config.data.spacing_mm)


def _warn_of_spacing(trained: float | None, seen: float | None) -> None:
    if trained != seen:
        log.warning(
            f"The network was trained at data.spacing_mm={trained}, these slices have {seen}: features differ for that"
        )


def _places(store: Store, every: int) -> list[Place]:
    """One slice in so many of each case, from the middle of the first so many on."""
    return [
        Place(name, record.patient, z, _truth(record, z))
        for name, record in store.cases.items()
        for z in range(min(every // 2, record.shape[0] - 1), record.shape[0], every)
    ]


def _truth(record: CaseRecord, z: int) -> str | None:
    if not record.labelled:
        return None
    return "tumour" if record.tumour_pixels[z] else "liver" if record.liver_pixels[z] else "neither"


def _features(trained: Trained, part: str, store: Store, places: Sequence[Place]) -> Points:
    """Pooled features (slice, channel)."""
    apply = partial(whole_slice_logits, trained.network, multiple=trained.multiple)
    rows = []
    for batch in tqdm(_batches(places), desc="features", unit="batch", dynamic_ncols=True):
        images = [trained.normalization.tensor(trained.normalization.hu(store, place.case, place.z)) for place in batch]
        rows.append(pooled(trained.network, part, torch.stack(images).to(available_accelerator()), apply).cpu().numpy())
    return np.concatenate(rows)


def _batches(places: Sequence[Place]) -> list[list[Place]]:
    """Slices of one case, since cases differ in size."""
    cases: dict[str, list[Place]] = {}
    for place in places:
        cases.setdefault(place.case, []).append(place)
    return [case[start : start + _BATCH] for case in cases.values() for start in range(0, len(case), _BATCH)]


def _pixels(normalization: Normalization, store: Store, places: Sequence[Place]) -> Points:
    """Windowed slices as rows of PIXELS x PIXELS values in [0, 1], each the mean of the area it covers."""
    slices = [normalization.window(store.read(place.case, "hu", place.z)) for place in places]
    return np.stack([cv2.resize(each, (PIXELS, PIXELS), interpolation=cv2.INTER_AREA).ravel() for each in slices])


def _reduced(features: Points, components: int | None) -> tuple[Points, float]:
    return (features, 1.0) if components is None else principal(features, components)


def _scores(places: Sequence[Place], features: Groups, pixels: Groups) -> dict[str, Agreement]:
    """Over the slices whose truth is known."""
    known = [n for n, place in enumerate(places) if place.truth is not None]
    truth = np.array([TRUTHS.index(places[n].truth or "") for n in known], np.int64)
    patients = [places[n].patient for n in known]
    of_features, of_pixels = (tables(truth, groups[known], patients) for groups in (features, pixels))
    return {
        "features": agreement(of_features),
        "pixels": agreement(of_pixels),
        "difference": difference(of_features, of_pixels),
    }


def _picture(normalization: Normalization, store: Store, places: Sequence[Place], n: int) -> np.ndarray:
    return normalization.window(store.read(places[n].case, "hu", places[n].z))


def _write(folder: Path, places: Sequence[Place], shown: Clustering, picture: Any) -> None:
    rows: list[Row] = [
        {
            "case": place.case,
            "z": place.z,
            "truth": place.truth,
            "cluster_by_features": int(shown.features[n]) + 1,
            "cluster_by_pixels": int(shown.pixels[n]) + 1,
        }
        for n, place in enumerate(places)
    ]
    write_csv(folder / "clusters.csv", rows)
    write_png(clusters_figure(shown, picture), folder / "clusters.png")
    flat = {"slices": len(places), "cases": len({place.case for place in places}), "patients": shown.patients}
    for name, score in shown.scores.items():
        ends = zip(("", "_low", "_high"), score, strict=True)
        flat |= {f"{name}/adjusted_rand{end}": value for end, value in ends}  # type: ignore[misc]
    write_json_whole(folder / "clusters.json", flat)
