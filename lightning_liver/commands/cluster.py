"""liver-cluster: slices in clusters by the features of a trained network, and by their pixels."""

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Float
from omegaconf import DictConfig
from pydantic import Field, ValidationError
from pydantic.dataclasses import dataclass
from tqdm import tqdm

from lightning_liver.build import prepared
from lightning_liver.clustering.co_clustering import binned_counts, co_cluster
from lightning_liver.clustering.figure import Clustering, clusters_figure, clusters_text
from lightning_liver.clustering.kmeans import (
    Agreement,
    Groups,
    Points,
    agreement,
    agreement_difference,
    contingency_tables,
    k_means,
    principal_components,
    standardise,
)
from lightning_liver.data.slices import Normalization
from lightning_liver.data.splits import Split
from lightning_liver.data.store import CaseRecord, Store
from lightning_liver.errors import LiverError, explain
from lightning_liver.files import required_run
from lightning_liver.inference.features import find_part, pool_features
from lightning_liver.inference.label_maps import whole_slice_logits
from lightning_liver.inference.network import TrainedNetwork
from lightning_liver.report.drawing import write_png
from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.trained import Weights, read_run, trusted
from lightning_liver.tables import Row, Value, write_csv, write_json_whole
from lightning_liver.training.settings import available_accelerator
from lightning_liver.types.options import Closed, Count, NonNegative

log = logging.getLogger(__name__)

TRUTHS = ("tumour", "liver", "neither")  # of a slice, by its labels
PIXELS = 32  # side of the reduced slices whose pixels are clustered

_BATCH = 8

Pixels = Float[np.ndarray, "y x"]


@dataclass(frozen=True, config=Closed)
class ClusterOptions:
    """Options of conf/cluster.yaml.

    Args:
        run: folder of the run whose network computes the features.
        weights: the best of its training, or the pretrained ones from before, without any mask.
        part: name or pattern of the part of the network; the last match is used.
        method: of the clusters by features: k_means, or co_clustering with the run's training slices (Dai et al. 2008).
        clusters: their number.
        every: use every nth slice of a case.
        components: number of principal components of the features for k-means; None uses the features themselves.
        feature_clusters: number of clusters of features that both data share in co-clustering.
        auxiliary_clusters: number of clusters of the run's training slices; None is as many as `clusters`.
        auxiliary_weight: of those slices in the objective.
        bins: number of intervals of each channel's activations; each channel and bin is a feature to co-cluster.
        starts: of either method.
        seed: of the first start.
    """

    run: Path
    weights: Weights
    part: str
    method: Literal["k_means", "co_clustering"]
    clusters: Annotated[int, Field(ge=2, le=8)]
    every: Count
    components: Annotated[int, Field(ge=2)] | None
    feature_clusters: Annotated[int, Field(ge=2)]
    auxiliary_clusters: Annotated[int, Field(ge=2)] | None
    auxiliary_weight: NonNegative
    bins: Annotated[int, Field(ge=2)]
    starts: Count
    seed: Annotated[int, Field(ge=0, lt=2**32 - 10_000)]


class LabelledSlice(NamedTuple):
    """A slice and its truth, one of TRUTHS; None if its case has no labels."""

    case: str
    patient: str
    z: int
    truth: str | None


def cluster(cfg: DictConfig, folder: Path) -> None:
    """Cluster slices, write clusters.csv, clusters.png and clusters.json into a folder, and log the agreement.

    Labels are only used to score the clusters.

    Raises:
        LiverError: an invalid option, run or data set.
    """
    options = _options(cfg)
    trained = read_run(options.run, weights=options.weights, trust=trusted(cfg))
    trained.network.to(available_accelerator())
    part = find_part(trained.network, options.part)
    store = prepared(cfg.data)
    _warn_of_spacing(trained.spacing_mm, cfg.data.spacing_mm)
    slices = _slices(store, options)
    features = _features(trained, part, store, slices)
    grouped = _by_k_means if options.method == "k_means" else partial(_by_co_clustering, trained=trained, part=part)
    by_features, described = grouped(features, options=options)
    pixels = _pixels(trained.normalization, store, slices)
    described = f"{part}, {features.shape[1]} channels; {described}"
    clustering = _clustering(slices, standardise(features), by_features, pixels, described, options)
    _write(folder, slices, clustering, lambda n: _windowed(trained.normalization, store, slices[n]))
    log.info(f"{clusters_text(clustering)}\n\n{folder / 'clusters.png'}")


def _options(cfg: DictConfig) -> ClusterOptions:
    run = required_run(cfg.run)
    names = [name for name in ClusterOptions.__dataclass_fields__ if name != "run"]
    try:
        return ClusterOptions(run, **{name: cfg[name] for name in names})
    except ValidationError as error:
        raise LiverError(explain(error)) from error


def _warn_of_spacing(trained: float | None, given: float | None) -> None:
    if trained != given:
        log.warning(
            f"data.spacing_mm={given}: the network was trained at {trained}, so features differ; use that spacing"
        )


def _slices(store: Store, options: ClusterOptions) -> list[LabelledSlice]:
    """Return every nth slice of each case, from the middle of the first n on.

    Raises:
        LiverError: too few slices for the clusters.
    """
    every = options.every
    slices = _every_nth(store, store.cases, every)
    if len(slices) < 2 * options.clusters:
        raise LiverError(
            f"every={every}: {len(slices)} slices of {len(store.cases)} cases are too few for {options.clusters} "
            "clusters; choose a smaller one or more cases"
        )
    return slices


def _every_nth(store: Store, cases: Iterable[str], every: int) -> list[LabelledSlice]:
    return [
        LabelledSlice(name, record.patient, z, _truth(record, z))
        for name, record in ((name, store.cases[name]) for name in cases)
        for z in range(min(every // 2, record.shape[0] - 1), record.shape[0], every)
    ]


def _truth(record: CaseRecord, z: int) -> str | None:
    if not record.labelled:
        return None
    return "tumour" if record.tumour_pixels[z] else "liver" if record.liver_pixels[z] else "neither"


def _features(trained: TrainedNetwork, part: str, store: Store, slices: Sequence[LabelledSlice]) -> Points:
    """Return pooled features (slice, channel)."""
    apply = partial(whole_slice_logits, trained.network, multiple=trained.multiple)
    normalization = trained.normalization
    rows = []
    for batch in tqdm(_batches(slices), desc="features", unit="batch", dynamic_ncols=True):
        images = [normalization.tensor(normalization.hu(store, each.case, each.z)) for each in batch]
        rows.append(
            pool_features(trained.network, part, torch.stack(images).to(available_accelerator()), apply).cpu().numpy()
        )
    return np.concatenate(rows)


def _batches(slices: Sequence[LabelledSlice]) -> list[list[LabelledSlice]]:
    """Return batches of slices of one case, since cases differ in size."""
    cases: dict[str, list[LabelledSlice]] = {}
    for each in slices:
        cases.setdefault(each.case, []).append(each)
    return [case[start : start + _BATCH] for case in cases.values() for start in range(0, len(case), _BATCH)]


def _pixels(normalization: Normalization, store: Store, slices: Sequence[LabelledSlice]) -> Points:
    """Return windowed slices as rows of PIXELS x PIXELS values in [0, 1], each the mean of its area."""
    windowed = (_windowed(normalization, store, each) for each in slices)
    return np.stack([cv2.resize(each, (PIXELS, PIXELS), interpolation=cv2.INTER_AREA).ravel() for each in windowed])


def _windowed(normalization: Normalization, store: Store, each: LabelledSlice) -> Pixels:
    return normalization.window(store.read(each.case, "hu", each.z))


def _by_k_means(features: Points, *, options: ClusterOptions) -> tuple[Groups, str]:
    """Return clusters of standardised features, or of their principal components, and a description."""
    points, explained = standardise(features), 1.0
    if options.components is not None:
        points, explained = principal_components(points, options.components)
    described = "k-means"
    if explained < 1:
        count = points.shape[1]
        described += f" of {count} principal components, which explain {100 * explained:.1f} % of the variance"
    return k_means(points, options.clusters, starts=options.starts, seed=options.seed), described


def _by_co_clustering(
    features: Points, *, options: ClusterOptions, trained: TrainedNetwork, part: str
) -> tuple[Groups, str]:
    """Return clusters that share clusters of features with the run's training slices, and a description."""
    store = prepared(trained.config.data)
    names = [name for name in Split.read(RunFolder(options.run).split).train if name in store.cases]
    slices = _every_nth(store, names, options.every)
    target, auxiliary = binned_counts(features, _features(trained, part, store, slices), options.bins)
    found = co_cluster(
        target,
        auxiliary,
        clusters=options.clusters,
        auxiliary_clusters=options.auxiliary_clusters or options.clusters,
        feature_clusters=options.feature_clusters,
        weight=options.auxiliary_weight,
        starts=options.starts,
        seed=options.seed,
    )
    return found.target, (
        f"co-clustering with {len(slices)} training slices of {len(names)} cases of the run, which loses "
        f"{found.losses[-1]:.4f} nats of information"
    )


def _clustering(
    slices: Sequence[LabelledSlice],
    features: Points,
    by_features: Groups,
    pixels: Float[np.ndarray, "point pixel"],
    described: str,
    options: ClusterOptions,
) -> Clustering:
    by_pixels = k_means(pixels, options.clusters, starts=options.starts, seed=options.seed)
    return Clustering(
        description=described,
        truth=[each.truth or "unknown" for each in slices],
        features=by_features,
        pixels=by_pixels,
        feature_plane=principal_components(features, 2)[0],
        pixel_plane=principal_components(pixels, 2)[0],
        scores=_scores(slices, by_features, by_pixels),
        patients=len({each.patient for each in slices}),
    )


def _scores(slices: Sequence[LabelledSlice], features: Groups, pixels: Groups) -> dict[str, Agreement]:
    """Return the agreement of both clusterings with the truth, over the slices with labels."""
    known = [n for n, each in enumerate(slices) if each.truth is not None]
    truth = np.array([TRUTHS.index(slices[n].truth or "") for n in known], np.int64)
    patients = [slices[n].patient for n in known]
    feature_tables, pixel_tables = (contingency_tables(truth, each[known], patients) for each in (features, pixels))
    return {
        "features": agreement(feature_tables),
        "pixels": agreement(pixel_tables),
        "difference": agreement_difference(feature_tables, pixel_tables),
    }


def _write(
    folder: Path, slices: Sequence[LabelledSlice], clustering: Clustering, picture: Callable[[int], Pixels]
) -> None:
    rows: list[Row] = [
        {
            "case": each.case,
            "z": each.z,
            "truth": each.truth,
            "cluster_by_features": int(clustering.features[n]) + 1,
            "cluster_by_pixels": int(clustering.pixels[n]) + 1,
        }
        for n, each in enumerate(slices)
    ]
    write_csv(folder / "clusters.csv", rows)
    write_png(clusters_figure(clustering, picture), folder / "clusters.png")
    cases = {each.case for each in slices}
    flat: dict[str, Value] = {"slices": len(slices), "cases": len(cases), "patients": clustering.patients}
    flat |= {
        f"{name}/adjusted_rand{end}": value
        for name, score in clustering.scores.items()
        for end, value in zip(("", "_low", "_high"), score, strict=True)
    }
    write_json_whole(folder / "clusters.json", flat)
