"""Scripts that go with an exported network: masks of NIfTI files, without lightning_liver."""

from .files import segment_files

__all__ = ["segment_files"]
