"""Tables of a batch of predicted scans: summary.csv with a row a scan, lesions.csv with a row a lesion."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from lightning_liver.errors import LiverError
from lightning_liver.imageio.scans import Scan
from lightning_liver.metrics.lesion_places import LesionPlace
from lightning_liver.metrics.volumetry import Volumetry
from lightning_liver.readers import parsing, read_rows
from lightning_liver.run_folder import NAMES
from lightning_liver.tables import write_csv

SUMMARY, LESIONS = "summary.csv", NAMES.lesions.name
_CURE = "remove it, which forgets the scans in it, or give another output"
PREDICTED, FAILED = "predicted", "failed"

_FACTS = ("case", "status", "patient_id", "date", "series", "series_uid")
_COLUMNS = (*_FACTS, *Volumetry._fields, "remarks", "path", "mask", "model")
_LESION_COLUMNS = ("case", *(field.name for field in fields(LesionPlace)))


class Batch:
    """Rows of the scans in an output folder, those of earlier calls included; written after every scan.

    Args:
        output: the folder.
        model: of the rows that are added, as in their column.
    """

    def __init__(self, output: Path, model: str) -> None:
        self.output, self.model = output, model
        with parsing(output / SUMMARY, _CURE):
            self.scans = {row["case"]: _present(row) for row in _read(output / SUMMARY)}
        self.lesions: dict[str, list[dict[str, Any]]] = {}
        for row in _read(output / LESIONS):
            self.lesions.setdefault(row["case"], []).append(row)

    def has(self, scan: Scan) -> bool:
        """Return True for a scan that was predicted and has a mask."""
        row = self.scans.get(scan.name)
        return row is not None and row["status"] == PREDICTED and (self.output / scan.mask).exists()

    def refuse_others(self, scans: Sequence[Scan]) -> None:
        """Refuse to write over the mask of another scan that has the same name.

        Raises:
            LiverError: an earlier call predicted a scan of the same name from another path.
        """
        for scan in scans:
            row = self.scans.get(scan.name, {})
            if self.has(scan) and row.get("path") and Path(row["path"]).resolve() != scan.path.resolve():
                raise LiverError(
                    f"output={self.output}: {scan.mask} there is of {row['path']}, not of {scan.path.absolute()}; give "
                    "another output, or move that mask away"
                )

    def add(self, scan: Scan, found: Mapping[str, Any], lesions: Sequence[LesionPlace], remarks: Sequence[str]) -> None:
        """Add a predicted scan and its lesions, in place of earlier rows."""
        self._add(scan, {"status": PREDICTED, "mask": scan.mask, "remarks": " | ".join(remarks), **found})
        self.lesions[scan.name] = [{"case": scan.name, **asdict(lesion)} for lesion in lesions]
        self._write()

    def add_failed(self, scan: Scan, reason: str) -> None:
        """Add a scan that could not be predicted, in place of earlier rows."""
        self._add(scan, {"status": FAILED, "remarks": reason})
        self.lesions.pop(scan.name, None)
        self._write()

    def _add(self, scan: Scan, found: Mapping[str, Any]) -> None:
        own = {"case": scan.name, **scan.facts()._asdict(), "path": str(scan.path.absolute()), "model": self.model}
        self.scans[scan.name] = {**own, **found}

    def _write(self) -> None:
        write_csv(self.output / SUMMARY, list(self.scans.values()), _COLUMNS)
        lesions = [row for case in self.scans for row in self.lesions.get(case, ())]
        write_csv(self.output / LESIONS, lesions, _LESION_COLUMNS)


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [row for row in read_rows(path, ("case",), _CURE) if row["case"]]


def _present(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of an earlier version, which had predicted scans alone and the burden as a fraction, as of now."""
    burden = row.pop("burden", None)
    return {"status": PREDICTED} | ({"burden_percent": 100 * float(burden)} if burden else {}) | row
