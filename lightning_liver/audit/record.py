"""Record of an audit beside the store of its scans, by which a training warns of pairs that its split crosses."""

import json
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from lightning_liver.audit.pairs import Pair
from lightning_liver.data.address import address_of, is_mirrored
from lightning_liver.data.splits import Split
from lightning_liver.data.store import Store
from lightning_liver.files import write_whole
from lightning_liver.machine import cache_folder
from lightning_liver.readers import parsing, read_json

_RECORD = "audit.json"
_CURE = "run liver-audit again, or delete it"


class CrossingPair(NamedTuple):
    """A pair that a split crosses: cases with their parts, and what was seen."""

    first: str
    first_part: str
    second: str
    second_part: str
    kind: str
    text: str


class AuditRecord(NamedTuple):
    """Pairs of an audit.

    Args:
        made: time of the audit, to the minute.
        folder: its output.
    """

    made: str
    folder: str
    pairs: Sequence[CrossingPair]


def record_path(store: Store) -> Path:
    """Return the place of the record, one for all pixel spacings of a source; of a store at an address a local one."""
    place = store.folder.parent
    if is_mirrored(place):
        return cache_folder() / "audits" / re.sub(r"[^A-Za-z0-9.-]+", "-", address_of(place)) / _RECORD
    return place / _RECORD


def write_record(store: Store, pairs: Sequence[Pair], folder: Path) -> None:
    """Write the pairs of an audit beside the store, each with the files that it was found in.

    Args:
        folder: output of the audit.
    """
    kept = [
        {
            "cases": {name: _file_of(store, name) for name in (pair.first, pair.second)},
            "kind": pair.kind,
            "text": pair.text,
        }
        for pair in pairs
    ]
    made = datetime.now().strftime("%Y-%m-%d %H:%M")
    content = {"made": made, "folder": str(folder.resolve()), "pairs": kept}
    path = record_path(store)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(content, indent=1) + "\n")


def crossing_pairs(store: Store, split: Split) -> AuditRecord | None:
    """Return the pairs of the last audit of these scans that lie in two parts of a split; None without an audit.

    Pairs of files that have changed since then are left out.

    Raises:
        LiverError: the record is damaged.
    """
    path = record_path(store)
    if not path.is_file():
        return None
    part_of = {name: part for part, names in split.to_dict().items() for name in names}
    content = read_json(path, _CURE)
    with parsing(path, _CURE):
        found = []
        for pair in content["pairs"]:
            (first, first_file), (second, second_file) = pair["cases"].items()
            is_same = all(_file_of(store, name) == file for name, file in ((first, first_file), (second, second_file)))
            if is_same and first in part_of and second in part_of and part_of[first] != part_of[second]:
                found.append(
                    CrossingPair(first, part_of[first], second, part_of[second], str(pair["kind"]), str(pair["text"]))
                )
        return AuditRecord(str(content["made"]), str(content["folder"]), found)


def _file_of(store: Store, name: str) -> Any:
    """Return path, size and time of a case's scan; None for a case that is not there."""
    record = store.cases.get(name)
    return None if record is None else list(record.fingerprint["volume"])
