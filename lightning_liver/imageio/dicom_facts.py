"""Facts of a DICOM series for tables: patient, date, series."""

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from lightning_liver.imageio.dicom_files import is_slice_file, list_entries, read_dicom

_TAGS = ["PatientID", "StudyDate", "SeriesDate", "AcquisitionDate", "SeriesInstanceUID", "SeriesDescription"]
_DATES = ("AcquisitionDate", "SeriesDate", "StudyDate")  # the first that is known


class SeriesFacts(NamedTuple):
    """Facts of a series; empty where unknown, as of a NIfTI file.

    Args:
        date: as YYYY-MM-DD, of the acquisition, else of the series, else of the study.
        series: its description.
    """

    patient_id: str = ""
    date: str = ""
    series: str = ""
    series_uid: str = ""


def series_facts(folder: Path) -> SeriesFacts:
    """Return the facts that the first slice in a folder tells; none where it cannot be read."""
    try:
        path = next(path for path in list_entries(folder) if is_slice_file(path))
        header = read_dicom(path, stop_before_pixels=True, specific_tags=_TAGS)
        dates = (_date(str(header.get(name) or "")) for name in _DATES)
        names = ("PatientID", "SeriesDescription", "SeriesInstanceUID")
        patient, series, uid = (str(header.get(name) or "").strip() for name in names)
        return SeriesFacts(patient, next(filter(None, dates), ""), series, uid)
    except Exception:  # on damaged files pydicom raises many kinds of exceptions; reading the scan tells what is wrong
        return SeriesFacts()


def _date(text: str) -> str:
    try:
        return datetime.strptime(text, "%Y%m%d").date().isoformat()
    except ValueError:
        return ""
