"""Annotations are checked while testing, and little scans to work on."""

import jaxtyping
from jaxtyping import install_import_hook

import tests.typecheck

_hook = install_import_hook("lightning_liver", f"{tests.typecheck.__name__}.check")
_hook.__enter__()

import functools  # noqa: E402
import os  # noqa: E402
from collections.abc import Iterator, Sequence  # noqa: E402
from copy import deepcopy  # noqa: E402
from pathlib import Path  # noqa: E402

import hypothesis  # noqa: E402
import nibabel as nib  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from omegaconf import DictConfig  # noqa: E402

from lightning_liver import config  # noqa: E402

_compose = functools.cache(config.compose)


@functools.wraps(config.compose)
def compose(name: str, overrides: Sequence[str], *, return_hydra_config: bool = False) -> DictConfig:
    """Compose a command line once for all tests that ask for it."""
    return deepcopy(_compose(name, tuple(overrides), return_hydra_config=return_hydra_config))


config.compose = compose

# a busy machine is not a failure
hypothesis.settings.register_profile("fast", deadline=None, max_examples=40)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=200)


def pytest_configure(config: pytest.Config) -> None:
    """Draw more examples where the slow tests run, too."""
    hypothesis.settings.load_profile("fast" if config.option.markexpr == "not slow" else "thorough")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test prepares goes with the test."""
    monkeypatch.setenv("LIVER_CACHE", str(tmp_path / "cache"))


def write_scan(root: Path, number: int, *, shape: tuple[int, int, int] = (12, 40, 48), spacing_mm: float = 1.5) -> None:
    """volume-N and segmentation-N, LPS: a box of liver with a box of tumour whose places depend on the number.

    shape is (z, y, x); the slices are 3 mm apart.
    """
    rng = np.random.default_rng(number)
    hu = rng.normal(-20, 10, shape)
    labels = np.zeros(shape, np.uint8)
    y, x = rng.integers(3, 9, 2)
    labels[2:-2, y : y + 24, x : x + 20] = 1
    labels[4:-4, y + 6 : y + 14, x + 5 : x + 13] = 2
    hu += 120 * (labels == 1) + 60 * (labels == 2)
    affine = np.diag([-spacing_mm, -spacing_mm, 3.0, 1])
    root.mkdir(parents=True, exist_ok=True)
    for name, voxels in (("volume", np.rint(hu).astype(np.int16)), ("segmentation", labels)):
        nib.save(nib.Nifti1Image(voxels.transpose(2, 1, 0), affine), root / f"{name}-{number}.nii.gz")


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder of five little scans, 20 to 24: no known repeats among them."""
    for number in range(20, 25):
        write_scan(tmp_path / "scans", number)
    return tmp_path / "scans"


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Annotations are not checked, as for users: what the code itself refuses shows."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def real_scans() -> Path:
    """The folder of real scans, which are in no repository."""
    root = Path(os.environ.get("LIVER_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not root.is_dir():
        pytest.skip("no real scans: neither $LIVER_DATA nor ../shared/data is there")
    return root
