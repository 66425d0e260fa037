"""liver-report run=RUN_FOLDER"""

from lightning_liver.apps.main import launch


def main() -> None:
    """Make the report.html of a run again, from the files of its folder."""
    launch("report", "lightning_liver.commands.report.report")
