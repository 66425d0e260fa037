"""liver-audit data=lits data.root=$HOME/lits"""

from lightning_liver.apps.main import Job, command


@command("audit")
def main() -> Job:
    """Look at a data set before anyone trains on it."""
    from lightning_liver.commands.audit import audit

    return audit


if __name__ == "__main__":
    main()
