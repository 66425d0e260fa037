"""liver-active data=lits data.root=$HOME/lits strategy=entropy"""

from lightning_liver.apps.main import Job, command


@command("active")
def main() -> Job:
    """Train in rounds, asking for the labels that a strategy chooses: simulated with the masks of a data set."""
    from lightning_liver.commands.active import active

    return active


if __name__ == "__main__":
    main()
