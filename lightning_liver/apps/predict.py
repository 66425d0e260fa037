"""liver-predict run=RUN_FOLDER input=SCAN_OR_FOLDER output=DIR"""

from lightning_liver.apps.main import Job, command


@command("predict")
def main() -> Job:
    """Write masks for NIfTI files or DICOM series, on their own grids."""
    from lightning_liver.commands.predict import predict

    return predict


if __name__ == "__main__":
    main()
