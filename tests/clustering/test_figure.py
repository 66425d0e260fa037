from pathlib import Path

import numpy as np
import pytest

from lightning_liver.clustering.figure import EXAMPLES, Clustering, clusters_figure, clusters_text, typical_slices
from tests.report.figure_parts import MOST_BYTES, cut, parts, size_and_corner, texts


def clustering(difference: tuple[float | None, float | None, float | None], clusters: int = 3) -> Clustering:
    rng = np.random.default_rng(0)
    groups = np.arange(90) % clusters
    return Clustering(
        description="encoder.4, 256 channels",
        truth=[("tumour", "liver", "neither")[n % 3] for n in range(90)],
        features=groups,
        pixels=rng.permutation(groups),
        feature_plane=5 * np.eye(clusters, 2)[groups] + rng.standard_normal((90, 2)),
        pixel_plane=rng.standard_normal((90, 2)),
        scores={"features": (0.5, 0.4, 0.6), "pixels": (0.1, None, None), "difference": difference},
        patients=7,
    )


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        ((0.4, 0.1, 0.6), "features agree with the truth better than"),
        ((-0.4, -0.6, -0.1), "raw pixels agree with the truth better than"),
        ((0.1, -0.1, 0.3), "cannot tell whether clusters by features or"),
        ((0.1, None, None), "Too few patients"),
        ((None, None, None), "Too few patients"),
    ],
)
def test_verdict_follows_the_interval(difference: tuple[float, float, float], verdict: str) -> None:
    text = clusters_text(clustering(difference))
    assert verdict in text
    assert "90 slices of 7 patients" in text
    assert "1 by features" in text


@pytest.mark.parametrize("clusters", [2, 3, 8])
def test_figure_shows_every_slice_and_typical_ones_of_each_cluster(clusters: int, tmp_path: Path) -> None:
    shown = clustering((0.4, 0.1, 0.6), clusters)
    figure = clusters_figure(shown, lambda n: np.full((20, 30), n / 90))
    for kind in ("tumour", "liver", "neither"):
        assert sum(len(each.get_offsets()) for each in parts(figure, kind)) == 2 * 30
    assert len(parts(figure, "example")) == EXAMPLES * clusters
    assert "by features: adjusted Rand index 0.50 (0.40 to 0.60)" in texts(figure)
    assert "by raw pixels: adjusted Rand index 0.10" in texts(figure)
    assert f"cluster {clusters}" in texts(figure)
    assert not cut(figure)
    size, corner = size_and_corner(figure, tmp_path)
    assert size < MOST_BYTES
    assert corner[:3] == (255, 255, 255)


def test_typical_slices_are_of_the_cluster_and_near_its_middle() -> None:
    plane = np.array([[0, 0], [9, 9], [1, 0], [0.4, 0.1], [9, 8]], float)
    assert typical_slices(plane, np.array([0, 1, 0, 0, 1]), 0)[0] == 3
    assert set(typical_slices(plane, np.array([0, 1, 0, 0, 1]), 1)) == {1, 4}
