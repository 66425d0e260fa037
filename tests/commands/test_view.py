"""Masks of other tools in the viewer, and options that do not belong together."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from lightning_liver import config
from lightning_liver.commands.view import masks_of_folder, view
from lightning_liver.data import sources
from lightning_liver.data.prepare import prepare
from lightning_liver.data.store import Store
from lightning_liver.errors import LiverError
from tests.conftest import write_scan


@pytest.fixture
def store(scans: Path, tmp_path: Path) -> Store:
    cases = sources.lits(scans, patients=None)
    return prepare(cases, store=tmp_path / "store", spacing_mm=2.0, workers=0, skip_bad=False)


def labels(store: Store, case: str) -> np.ndarray:
    return np.stack([store.read(case, "labels", z) for z in range(store.cases[case].shape[0])])


def test_masks_are_brought_to_the_stores_grid(scans: Path, store: Store) -> None:
    read = masks_of_folder(scans, store, "20")
    for case in ("20", "23"):
        assert store.cases[case].shape != store.cases[case].native_shape
        np.testing.assert_array_equal(read(case), labels(store, case))


@pytest.mark.parametrize("name", ["segmentation-20.nii.gz", "20-segmentation.nii.gz", "volume-20-segmentation.nii.gz"])
def test_masks_are_found_by_the_names_of_several_tools(scans: Path, store: Store, tmp_path: Path, name: str) -> None:
    (tmp_path / "masks").mkdir()
    shutil.copy(scans / "segmentation-20.nii.gz", tmp_path / "masks" / name)
    read = masks_of_folder(tmp_path / "masks", store, "20")
    np.testing.assert_array_equal(read("20"), labels(store, "20"))
    with pytest.raises(LiverError, match="no mask of case 21"):
        read("21")


def test_a_mask_of_another_scan_is_refused(scans: Path, store: Store, tmp_path: Path) -> None:
    write_scan(tmp_path / "other", 20, shape=(9, 40, 48))
    with pytest.raises(LiverError, match="the pair that belongs together"):
        masks_of_folder(tmp_path / "other", store, "20")("20")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), r"run=null: expected a run folder, or workspace=.*; give run=\.\.\. or workspace="),
        (("run=a", "workspace=b"), r"run=a workspace=b: expected one of them; leave one out"),
        (("workspace=b", "predictions=c"), r"predictions=c: expected null with workspace="),
        (("workspace=b", "trust=[mine]"), r"trust=\['mine'\]: expected \[\] with workspace="),
        (("workspace=nowhere",), r"workspace=nowhere: no such folder; give a workspace"),
        (("workspace=.",), r"workspace=\.: expected a workspace with a workspace.json"),
    ],
)
def test_a_run_or_a_workspace_is_shown_with_its_own_options(
    arguments: tuple[str, ...], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LiverError, match=told):
        view(config.compose("view", arguments), tmp_path)
