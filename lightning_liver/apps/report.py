"""liver-report run=RUN_FOLDER"""

import sys

from lightning_liver.apps.main import Job, command

_METHODS = "--methods"


def main() -> None:
    """Make the report.html of a run again, from the files of its folder; with --methods describe a run or a study."""
    if _METHODS not in sys.argv:
        return _report()
    sys.argv.remove(_METHODS)
    return _methods()


@command("report")
def _report() -> Job:
    from lightning_liver.commands.report import report

    return report


@command("report")
def _methods() -> Job:
    from lightning_liver.commands.report import methods

    return methods


if __name__ == "__main__":
    main()
