"""liver-export run=RUN_FOLDER format=onnx"""

from lightning_liver.apps.main import launch


def main() -> None:
    """Write the network of a run as a file that runs without this package, checked against the original."""
    launch("export", "lightning_liver.commands.export.export")
