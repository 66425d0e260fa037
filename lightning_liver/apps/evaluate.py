"""liver-evaluate run=RUN_FOLDER"""

from lightning_liver.apps.main import launch


def main() -> None:
    """Score the network of a run on its test cases, or with data=... on scans that it never saw."""
    launch("evaluate", "lightning_liver.evaluation.evaluate")
