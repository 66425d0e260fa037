"""File names of a run folder, once for all that write or read one. Imports nothing of the package."""

from pathlib import Path


class RunFolder:
    """Paths of what a run folder may hold; none of it need exist.

    Evaluation writes the same tables into its own folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

        # written by Hydra, before anything else
        self.hydra = path / ".hydra"
        self.config = self.hydra / "config.yaml"  # by which a run folder is known
        self.hydra_config = self.hydra / "hydra.yaml"
        self.overrides = self.hydra / "overrides.yaml"
        self.hydra_kept = path / ".hydra.kept"  # of the run as it began

        # held, chosen and built before training
        self.lock = path / ".lock"
        self.holder = path / ".holder"  # host and process that holds the lock
        self.chosen = path / "chosen.json"
        self.split = path / "split.json"
        self.model = path / "model.txt"
        self.transfer = path / "transfer.txt"
        self.pretraining = path / "pretraining"
        self.pretrained = self.pretraining / "network.pt"
        self.last_pretraining = self.pretraining / "last.ckpt"

        # while it trains
        self.checkpoints = path / "checkpoints"
        self.best = self.checkpoints / "best.ckpt"
        self.last = self.checkpoints / "last.ckpt"
        self.epochs = self.checkpoints / "epochs"  # of callbacks=last_epochs
        self.scalars = path / "scalars.csv"
        self.tensorboard = path / "tensorboard"  # of logger=tensorboard

        # scores of validation and test cases
        self.decision = path / "decision.json"
        self.data = path / "data.csv"
        self.cases = path / "cases.csv"
        self.lesions = path / "lesions.csv"
        self.losses = path / "losses.csv"
        self.calibration = path / "calibration.csv"
        self.pictures = path / "pictures"
        self.timing = path / "timing.json"
        self.environment = path / "environment.json"
        self.warnings = path / "warnings.json"
        self.differs = path / "differs.json"
        self.report = path / "report.html"
        self.metrics = path / "metrics.json"  # written last: where it is, the run is complete


NAMES = RunFolder(Path())  # relative to any run folder, for messages and patterns
