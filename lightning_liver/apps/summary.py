"""python -m lightning_liver.apps.summary model=unet"""

from lightning_liver.apps.main import launch


def main() -> None:
    """Print the layer table of a model and write it to the run folder."""
    launch("summary", "lightning_liver.commands.summary.summarise")


if __name__ == "__main__":
    main()
