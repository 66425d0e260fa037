"""liver-prepare data=lits data.root=$HOME/lits"""

from lightning_liver.apps.main import Job, command


@command("prepare")
def main() -> Job:
    """Bring the store of a data set up to date."""
    from lightning_liver.commands.prepare import prepare

    return prepare


if __name__ == "__main__":
    main()
