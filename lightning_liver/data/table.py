"""Cases listed in a CSV of one's own: any folders, names and patients."""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from os.path import commonpath
from pathlib import Path
from typing import NamedTuple
from warnings import warn

from lightning_liver.data.sources import Case
from lightning_liver.data.splits import PARTS
from lightning_liver.errors import LiverError, LiverWarning

COLUMNS = ("image", "mask", "patient", "split")
_NIFTI = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)
_MOST_LISTED = 10


class _Row(NamedTuple):
    """A line of the table; an empty cell is ""."""

    line: int
    image: str
    mask: str
    patient: str
    split: str


def cases(table: str | Path) -> list[Case]:
    """Return the cases of a CSV with the columns image, mask, patient, split, in its order; only image is needed.

    Paths are relative to the table's folder. A case is named as its image, with its folders where two images have the
    same name. A row without a patient is a patient of its own. If any row has a split, rows without one are left out.

    Raises:
        LiverError: a table that is missing, unreadable, empty or without the column image; rows that have no image, the
            same image, a wrong split, or one patient in two parts.
    """
    path = Path(table).expanduser()
    rows = _read(path)
    _refuse(path, [*_wrong_cells(rows), *_repeated(path.parent, rows), *_patients_in_two_parts(rows)])
    named = any(row.split for row in rows)
    if named and (left_out := [row.line for row in rows if not row.split]):
        warn(f"{path}: rows without a split are left out: lines {_list(left_out)}", LiverWarning, stacklevel=2)
    names = _names([path.parent / row.image for row in rows])
    kept = [(row, name) for row, name in zip(rows, names, strict=True) if row.split or not named]
    return [_case(path, row, name) for row, name in kept]


def _case(table: Path, row: _Row, name: str) -> Case:
    image, mask = table.parent / row.image, table.parent / row.mask if row.mask else None
    missing = next((each for each in (image, mask) if each is not None and not each.is_file()), None)
    problem = None if missing is None else f"{table}, line {row.line}: there is no file {missing}; correct its path"
    return Case(name, row.patient or name, image, mask, problem, row.split or None, patient_known=bool(row.patient))


def _read(path: Path) -> list[_Row]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        first = text.partition("\n")[0]
        delimiter = max(",;\t", key=first.count)
        lines = csv.reader(text.splitlines(), delimiter=delimiter, strict=True)
        table = [(lines.line_num, [cell.strip() for cell in row]) for row in lines]
    except OSError as error:
        raise LiverError(f"{path}: cannot be read ({error.strerror}); give data.table, a CSV file") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise LiverError(f"{path}: expected a CSV in UTF-8 ({error}); save it as one") from None
    header = [name.lower() for name in table[0][1]] if table else []
    _check_header(path, header)
    filled = [(line, cells) for line, cells in table[1:] if any(cells)]
    if not filled:
        raise LiverError(f"{path}: expected a row for each scan below the header; there is none")
    _refuse(
        path, [(line, f"expected {len(header)} cells, found {len(c)}") for line, c in filled if len(c) != len(header)]
    )
    places = [header.index(name) if name in header else None for name in COLUMNS]
    return [_Row(line, *("" if place is None else cells[place] for place in places)) for line, cells in filled]


def _check_header(path: Path, header: Sequence[str]) -> None:
    near = {name: get_close_matches(name, COLUMNS, 1, 0.8) for name in header if name not in COLUMNS}
    if mistyped := next((name for name in near if near[name]), None):
        raise LiverError(f"{path}: expected the column {near[mistyped][0]}, found {mistyped}; correct the header")
    if "image" not in header:
        raise LiverError(
            f"{path}: expected a header with the column image, and if known mask, patient and split; found "
            f"{', '.join(header)!r}"
        )
    if twice := [name for name, count in Counter(header).items() if count > 1 and name in COLUMNS]:
        raise LiverError(f"{path}: the column {twice[0]} is there twice; remove one of them")


def _wrong_cells(rows: Iterable[_Row]) -> Iterable[tuple[int, str]]:
    for row in rows:
        if not row.image:
            yield row.line, "expected an image, a path relative to the table"
        for kind, file in (("image", row.image), ("mask", row.mask)):
            if file and not _NIFTI.search(file):
                yield row.line, f"{kind}={file}: expected a name that ends in .nii or .nii.gz"
        if row.split not in ("", *PARTS):
            yield row.line, f"split={row.split}: expected {', '.join(PARTS)} or nothing"


def _repeated(folder: Path, rows: Iterable[_Row]) -> Iterable[tuple[int, str]]:
    first: dict[Path, int] = {}
    for row in rows:
        image = (folder / row.image).resolve()
        if row.image and first.setdefault(image, row.line) != row.line:
            yield row.line, f"image={row.image} is that of line {first[image]}, too; keep one of them"


def _patients_in_two_parts(rows: Iterable[_Row]) -> Iterable[tuple[int, str]]:
    first: dict[str, _Row] = {}
    for row in rows:
        if row.patient and row.split and (other := first.setdefault(row.patient, row)).split != row.split:
            yield row.line, f"patient {row.patient} is in {row.split}, and in {other.split} in line {other.line}"


def _refuse(path: Path, wrong: Sequence[tuple[int, str]]) -> None:
    if wrong:
        listed = [f"{path}, line {line}: {text}" for line, text in wrong[:_MOST_LISTED]]
        more = [f"and {len(wrong) - _MOST_LISTED} more"] * (len(wrong) > _MOST_LISTED)
        raise LiverError("\n".join([*listed, *more]))


def _names(images: Sequence[Path]) -> list[str]:
    """Return a name for each image: that of its file; where several have it, with the folders that differ."""
    names = [_plain(_NIFTI.sub("", image.name)) for image in images]
    alike: Mapping[str, list[int]] = defaultdict(list)
    for n, name in enumerate(names):
        alike[name].append(n)
    for group in (each for each in alike.values() if len(each) > 1):
        folder = commonpath([images[n].parent.resolve() for n in group])
        for n in group:
            names[n] = _plain(_NIFTI.sub("", str(images[n].resolve().relative_to(folder))))
    counts = Counter(names)
    return [name if counts[name] == 1 else f"{name}-{n + 1}" for n, name in enumerate(names)]


def _plain(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "case"


def _list(lines: Sequence[int]) -> str:
    more = f" and {len(lines) - _MOST_LISTED} more" if len(lines) > _MOST_LISTED else ""
    return ", ".join(map(str, lines[:_MOST_LISTED])) + more
