"""liver-report run=RUN_FOLDER"""

from lightning_liver.apps.main import Job, command


@command("report")
def main() -> Job:
    """Make the report.html of a run again, from the files of its folder."""
    from lightning_liver.commands.report import report

    return report


if __name__ == "__main__":
    main()
