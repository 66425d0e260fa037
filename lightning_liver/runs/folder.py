"""Former place of lightning_liver.run_folder, for modules that still name it."""

from lightning_liver.run_folder import RunFolder

__all__ = ["RunFolder"]
