"""Shared types. The modules beside this one are separate so that options are checked without importing torch."""

Metrics = dict[str, float | None]

STRUCTURES = ("liver", "tumour")  # the classes, in channel order
