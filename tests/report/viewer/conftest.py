"""A store of five small scans, and a prediction that is the truth moved by two voxels to the left."""

from pathlib import Path

import numpy as np
import pytest

from lightning_liver.data import sources
from lightning_liver.data.prepare import prepare
from lightning_liver.data.store import Store


@pytest.fixture
def store(scans: Path, tmp_path: Path) -> Store:
    cases = sources.lits(scans, patients=None)
    return prepare(cases, store=tmp_path / "store", spacing_mm=2.0, workers=0, skip_bad=False)


def stacked(store: Store, case: str, kind: str) -> np.ndarray:
    """Return a whole volume of a store, (z, y, x)."""
    return np.stack([store.read(case, kind, z) for z in range(store.cases[case].shape[0])])  # type: ignore[arg-type]


def moved(store: Store, case: str) -> np.ndarray:
    return np.roll(stacked(store, case, "labels"), 2, axis=2)
