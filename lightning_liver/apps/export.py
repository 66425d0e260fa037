"""liver-export run=RUN_FOLDER format=onnx"""

from lightning_liver.apps.main import Job, command


@command("export")
def main() -> Job:
    """Write the network of a run as a file that runs without this package, checked against the original."""
    from lightning_liver.commands.export import export

    return export


if __name__ == "__main__":
    main()
