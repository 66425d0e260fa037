"""Sentences about patients, said only as far as the run knows whose its scans are."""

from lightning_liver.data.splits import PARTS
from lightning_liver.report.numbers import counted
from lightning_liver.runs.contents import Contents

_PHANTOM = "phantom"


def is_phantom(contents: Contents) -> bool:
    """Return True if the cases are simulated phantoms."""
    return _PHANTOM in str(contents.settings.get("data.source._target_", contents.choices.get("data", "")))


def patients_are_known(contents: Contents) -> bool:
    """Return True if the source says of every case of the split whose it is; runs of earlier versions do not record it.

    A case whose patient is unknown counts as its own patient, though the same patient may have another case.
    """
    return is_phantom(contents) or _known(contents) == _used(contents) > 0


def separation(contents: Contents, *, past: bool = False) -> str:
    """Say whether a patient can be in two parts of the split."""
    if patients_are_known(contents):
        return f"no patient {'was' if past else 'is'} in two parts"
    known, used = _known(contents), _used(contents)
    if not used:
        return "whether a patient is in two parts is not recorded"
    whose = f"the patient is given for {known} of {counted(used, 'scan')}" if known else "no patients are given"
    return f"{whose}, so that a patient with several scans may be in two parts"


def _used(contents: Contents) -> int:
    return sum(line["part"] in PARTS for line in contents.data or ())


def _known(contents: Contents) -> int:
    return sum(line["part"] in PARTS and line.get("patient_known") == "True" for line in contents.data or ())
