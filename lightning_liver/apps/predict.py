"""liver-predict run=RUN_FOLDER input=SCAN_OR_FOLDER output=DIR"""

from lightning_liver.apps.main import launch


def main() -> None:
    """Write masks for NIfTI files or DICOM series, on their own grids."""
    launch("predict", "lightning_liver.commands.predict.predict")
