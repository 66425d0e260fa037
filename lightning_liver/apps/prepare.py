"""liver-prepare data=lits data.root=$HOME/lits"""

from lightning_liver.apps.main import launch


def main() -> None:
    """Bring the store of a data set up to date."""
    launch("prepare", "lightning_liver.commands.prepare.prepare")
