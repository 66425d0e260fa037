"""liver-augment-preview data=lits data.root=$HOME/lits"""

from lightning_liver.apps.main import Job, command


@command("augment_preview")
def main() -> Job:
    """Draw the policies of conf/augment on a few slices, or with augment=NAME the draws of one."""
    from lightning_liver.commands.augment_preview import preview

    return preview


if __name__ == "__main__":
    main()
