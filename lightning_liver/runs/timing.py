"""timing.json: seconds of the stages of a run and the speed of its training."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path

from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.status import json_of
from lightning_liver.tables import write_json_whole


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Contents of timing.json; None is unknown, as in runs of earlier versions.

    Args:
        prepare_s, fit_s, test_s: seconds of preparing data and components, of training, of testing. Of a continued run,
            those of its last part.
        slices_per_s: speed of training, None without a step.
        wait_share: fraction of the training time spent waiting for data, None without a step.
    """

    prepare_s: float | None = None
    fit_s: float | None = None
    test_s: float | None = None
    slices_per_s: float | None = None
    wait_share: float | None = None

    def total_s(self, *, with_preparation: bool) -> float | None:
        """Return the seconds of the whole run; None if those of a stage are unknown."""
        stages = [self.prepare_s, self.fit_s, self.test_s] if with_preparation else [self.fit_s, self.test_s]
        known = [seconds for seconds in stages if seconds is not None]
        return sum(known) if len(known) == len(stages) else None


def write_timing(run: Path, timing: Timing) -> None:
    """Write timing.json into a run folder."""
    write_json_whole(RunFolder(run).timing, asdict(timing))


def read_timing(run: Path) -> Timing:
    """Read timing.json of a run folder; all is unknown without that file.

    Raises:
        LiverError: the file is damaged.
    """
    found = json_of(RunFolder(run).timing) or {}
    return Timing(**{field.name: found.get(field.name) for field in fields(Timing)})
