"""liver-evaluate run=RUN_FOLDER, liver-evaluate truth=DIR predictions=DIR"""

from lightning_liver.apps.main import launch


def main() -> None:
    """Score a run on its test cases or, with data=..., on scans that it never saw; or masks of any tool."""
    launch("evaluate", "lightning_liver.commands.evaluate.evaluate")
