"""liver-view run=RUN_FOLDER case=N"""

from lightning_liver.apps.main import Job, command


@command("view")
def main() -> Job:
    """Show a case of a run or of a workspace in the browser: the volume with masks and errors; Ctrl-C ends it."""
    from lightning_liver.commands.view import view

    return view


if __name__ == "__main__":
    main()
