"""Packages that a test can do without."""

import importlib

import pytest

OPTIONAL = ("highdicom", "mlflow", "monai", "ray", "segmentation_models_pytorch", "submitit", "wandb")


def needs(package: str) -> None:
    """Skip where an optional package is missing or does not import, as with a torchvision made for another torch."""
    if package not in OPTIONAL:
        return
    try:
        importlib.import_module(package)
    except Exception as error:
        pytest.skip(f"{package}, an optional extra, does not import: {error}")
