"""Clusters of slices as text and as a figure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec, GridSpecBase
from matplotlib.lines import Line2D

from lightning_liver.report.drawing import FAINT, INK, RULE, SIZE, SMALL
from lightning_liver.report.numbers import number_text, range_text
from lightning_liver.tables import Row, text_table

# Okabe and Ito, "Color Universal Design" (2008): distinguishable for the colour-blind.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#222222")
MARKERS = {"tumour": "^", "liver": "o", "neither": "x", "unknown": "."}
EXAMPLES = 6  # slices shown of each cluster

_NAMES = {"features": "features", "pixels": "raw pixels", "difference": "difference"}
Plane = Float[np.ndarray, "slice component"]
Score = tuple[float | None, float | None, float | None]  # adjusted Rand index and the ends of its interval


@dataclass(frozen=True)
class Clustering:
    """Truth and clusters of slices; clusters count from 0.

    Args:
        description: of the features.
        truth: of each slice: tumour, liver, neither or unknown.
        features, pixels: cluster of each slice.
        feature_plane, pixel_plane: its first two principal components.
        scores: adjusted Rand index of features, of pixels, and their difference.
        patients: their number.
    """

    description: str
    truth: Sequence[str]
    features: Int[np.ndarray, " slice"]
    pixels: Int[np.ndarray, " slice"]
    feature_plane: Plane
    pixel_plane: Plane
    scores: Mapping[str, Score]
    patients: int


def clusters_text(shown: Clustering) -> str:
    """Return the contents of the clusters, their agreement with the truth, and the verdict."""
    scores: list[Row] = [
        {"by": _NAMES[name], "adjusted Rand index": score[0], "low": score[1], "high": score[2]}
        for name, score in shown.scores.items()
    ]
    return (
        f"{len(shown.truth)} slices of {shown.patients} patients. Features: {shown.description}.\n\n"
        f"{text_table(_contents(shown))}\n\n{text_table(scores)}\n"
        f"(low to high: 95 % interval over patients)\n\n{_verdict(shown.scores['difference'])}"
    )


def clusters_figure(shown: Clustering, picture: Callable[[int], Float[np.ndarray, "y x"]]) -> Figure:
    """Draw the planes of the first two principal components, and typical slices of each cluster by features.

    Args:
        picture: index of a slice -> the slice, windowed to [0, 1].
    """
    clusters = int(shown.features.max()) + 1
    figure = Figure(figsize=(13, max(7.6, 1.5 * clusters + 1.4)), facecolor="white", layout="constrained")
    grid = GridSpec(1, 2, figure, width_ratios=(4, 8))
    planes = grid[0].subgridspec(2, 1)
    for row, (name, groups, plane) in enumerate(
        (("features", shown.features, shown.feature_plane), ("pixels", shown.pixels, shown.pixel_plane))
    ):
        axes = figure.add_subplot(planes[row])
        _scatter(axes, plane, groups, shown.truth)
        axes.set_title(f"by {_NAMES[name]}: adjusted Rand index {_score(shown.scores[name])}", fontsize=SIZE, color=INK)
    strips = grid[1].subgridspec(clusters, EXAMPLES)
    for cluster in range(clusters):
        _strip(figure, strips, cluster, shown, picture)
    figure.suptitle("Clusters of slices and their truth", fontsize=11, weight="bold", color=INK)
    caption = f"Right: the slices nearest to the centre of each cluster by features. Features: {shown.description}."
    figure.supxlabel(caption, fontsize=SMALL, color=FAINT)
    figure.legend(handles=_legend(shown, clusters), loc="outside right upper", fontsize=SMALL, frameon=False)
    return figure


def typical_slices(plane: Plane, groups: Int[np.ndarray, " slice"], cluster: int) -> list[int]:
    """Return the slices nearest to the centre of a cluster, the nearest first; at most EXAMPLES."""
    members = np.flatnonzero(groups == cluster)
    distances = np.linalg.norm(plane[members] - plane[members].mean(axis=0), axis=1)
    return [int(members[n]) for n in np.argsort(distances, kind="stable")[:EXAMPLES]]


def _contents(shown: Clustering) -> list[Row]:
    truth = np.asarray(shown.truth)
    kinds = [kind for kind in MARKERS if kind in set(shown.truth)]
    return [
        {"cluster": f"{cluster + 1} by {_NAMES[name]}"}
        | {kind: int(((groups == cluster) & (truth == kind)).sum()) for kind in kinds}
        for name, groups in (("features", shown.features), ("pixels", shown.pixels))
        for cluster in range(int(groups.max()) + 1)
    ]


def _verdict(score: Score) -> str:
    _, low, high = score
    if low is None or high is None:
        return "Too few patients with masks for an interval: the data cannot tell whether features do better."
    if low > 0:
        return "Clusters by features agree with the truth better than clusters by raw pixels."
    if high < 0:
        return "Clusters by raw pixels agree with the truth better than clusters by features."
    return "The data cannot tell whether clusters by features or by raw pixels agree with the truth better."


def _score(score: Score) -> str:
    value, low, high = score
    ends = range_text(low, high, 2)
    return number_text(value, 2) + (f" ({ends})" if ends else "")


def _scatter(axes: Axes, plane: Plane, groups: Int[np.ndarray, " slice"], truth: Sequence[str]) -> None:
    kinds = np.asarray(truth)
    for cluster in range(int(groups.max()) + 1):
        for kind, marker in MARKERS.items():
            x, *rest = plane[(groups == cluster) & (kinds == kind)].T
            y = rest[0] if rest else np.zeros_like(x)
            axes.scatter(x, y, s=18, c=COLOURS[cluster], marker=marker, alpha=0.7, linewidths=0.9, gid=kind)
    axes.set_xlabel("first principal component", fontsize=SMALL, color=FAINT)
    axes.set_ylabel("second", fontsize=SMALL, color=FAINT)
    axes.tick_params(labelsize=SMALL, colors=FAINT, length=2)
    for side in axes.spines.values():
        side.set_color(RULE)


def _strip(
    figure: Figure, strips: GridSpecBase, cluster: int, shown: Clustering, picture: Callable[[int], np.ndarray]
) -> None:
    for place, n in enumerate(typical_slices(shown.feature_plane, shown.features, cluster)):
        axes = figure.add_subplot(strips[cluster, place])
        axes.imshow(picture(n), cmap="gray", vmin=0, vmax=1, gid="example")
        axes.set(xticks=[], yticks=[])
        axes.set_title(shown.truth[n], fontsize=SMALL, color=FAINT, pad=2)
        for side in axes.spines.values():
            side.set(color=COLOURS[cluster], linewidth=2)
        if place == 0:
            axes.set_ylabel(f"cluster {cluster + 1}", fontsize=SIZE, color=COLOURS[cluster])


def _legend(shown: Clustering, clusters: int) -> list[Line2D]:
    kinds = [kind for kind in MARKERS if kind in set(shown.truth)]
    shapes = [Line2D([], [], ls="", marker=MARKERS[kind], color=INK, label=kind, markersize=5) for kind in kinds]
    colours = [Line2D([], [], lw=4, color=COLOURS[c], label=f"cluster {c + 1}") for c in range(clusters)]
    return shapes + colours
