"""python -m lightning_liver.apps.summary model=unet"""

from lightning_liver.apps.main import Job, command


@command("summary")
def main() -> Job:
    """Print the layer table of a model and write it to the run folder."""
    from lightning_liver.commands.summary import summarise

    return summarise


if __name__ == "__main__":
    main()
