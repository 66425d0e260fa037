"""liver-view run=RUN_FOLDER case=N"""

from lightning_liver.apps.main import launch


def main() -> None:
    """Show a test case of a run in the browser: the volume with truth, prediction and errors; Ctrl-C ends it."""
    launch("view", "lightning_liver.commands.view.view")
