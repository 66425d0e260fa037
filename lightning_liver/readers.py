"""Readers of the text files of run folders and stores: a damaged file is a mistake that names it.

Everything that a run folder or a store holds as text is read here, so that no damage ends in a traceback. A byte order
mark is accepted.
"""

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import yaml

from lightning_liver.errors import LiverError, explain, first_line

AGAIN = "copy it again, or remove the run's folder and run it again"

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, in most builds of PyYAML
_DEEPEST = 100  # mappings and lists below each other
_LONGEST = 100_000  # values of a YAML file, whose aliases can stand for any number
_LARGEST_INT = 2**63
_LONGEST_CELL = 2**31 - 1  # room for thousands of cases
_INDENTS = re.compile(r"^[ \t?:-]*", re.MULTILINE)

_DAMAGE = (
    ValueError,  # also of JSON and of UTF-8
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    csv.Error,
    yaml.YAMLError,
)


@contextmanager
def parsing(
    path: Path, cure: str = AGAIN, also: tuple[type[Exception], ...] = (), line: int | None = None
) -> Iterator[None]:
    """Name the file if what is read from it within is not what was expected.

    Args:
        cure: what the user may do, for the message.
        also: further errors that mean a damaged file.
        line: of the file, that is parsed.

    Raises:
        LiverError: the file is missing, unreadable or damaged.
    """
    try:
        yield
    except LiverError:
        raise
    except OSError as error:
        raise LiverError(f"{path}: cannot be read ({error.strerror or error}); {cure}") from error
    except (*_DAMAGE, *also) as error:
        place = path if line is None else f"{path}, line {line}"
        raise LiverError(f"{place}: damaged ({_reason(error)}); {cure}") from error


def read_text(path: Path, cure: str = AGAIN) -> str:
    """Read a text in UTF-8.

    Raises:
        LiverError: the file is missing, unreadable or damaged.
    """
    with parsing(path, cure):
        return path.read_text(encoding="utf-8-sig")


def read_json(path: Path, cure: str = AGAIN) -> dict[str, Any]:
    """Read the object in a JSON file. NaN, infinity and integers of more than 64 bits count as damage.

    Raises:
        LiverError: the file is missing, unreadable or damaged, or holds something else.
    """
    text = read_text(path, cure)
    with parsing(path, cure):
        return _mapping(json.loads(text, parse_constant=_refuse_constant), is_json=True)


def read_yaml(path: Path, cure: str = AGAIN) -> dict[str, Any]:
    """Read the mapping in a YAML file; an empty file has none.

    Raises:
        LiverError: the file is missing, unreadable or damaged, or holds something else.
    """
    return parse_yaml(read_text(path, cure), path, cure)


def parse_yaml(
    text: str, path: Path, cure: str = AGAIN, load: Callable[[str], Any] = lambda text: yaml.load(text, _Loader)
) -> dict[str, Any]:
    """Return the mapping in the YAML text of a file.

    Args:
        load: another parser.

    Raises:
        LiverError: the text is damaged, or holds something else.
    """
    with parsing(path, cure):
        _refuse_deep(text)
        tree = load(text)
        return _mapping({} if tree is None else tree, is_json=False)


def read_rows(path: Path, columns: Sequence[str], cure: str = AGAIN, *, ragged: bool = False) -> list[dict[str, str]]:
    """Read the rows of a CSV file with a header. A file without any line has no row.

    Args:
        columns: that it must have.
        ragged: leave out rows with more or fewer cells than columns, such as one that a killed process began.

    Raises:
        LiverError: the file is missing, unreadable or damaged, lacks a column, or a row has not a cell for each.
    """
    header, rows = read_table(path, columns, cure, ragged=ragged)
    return [dict(zip(header, cells, strict=True)) for _, cells in rows]


def read_table(
    path: Path, columns: Sequence[str], cure: str = AGAIN, *, ragged: bool = False
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Read the header of a CSV file and its rows, as read_rows does, each with the number of its line."""
    csv.field_size_limit(_LONGEST_CELL)
    rows = []
    with parsing(path, cure), path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, strict=not ragged)
        filled = filter(None, lines)
        header = next(filled, [])
        with parsing(path, cure, line=1):
            if header and (missing := [name for name in columns if name not in header]):
                raise ValueError(f"no column {', '.join(missing)}")
        for cells in filled:
            if len(cells) == len(header):
                rows.append((lines.line_num, cells))
            elif not ragged:
                with parsing(path, cure, line=lines.line_num):
                    raise ValueError(f"{len(cells)} cells under {len(header)} columns")
    return header, rows


def _mapping(tree: Any, *, is_json: bool) -> dict[str, Any]:
    """Return a tree that is a mapping with names for keys, neither too deep nor too large."""
    if not isinstance(tree, Mapping):
        raise ValueError(f"a mapping is expected, not a {type(tree).__name__}")
    level: list[Any] = [tree]
    count = 0
    for _ in range(_DEEPEST):
        below: list[Any] = []
        for each in level:
            inner = list(each.values()) if isinstance(each, dict) else each
            count += len(inner)
            if count > _LONGEST and not is_json:
                raise ValueError(f"more than {_LONGEST} values")
            if isinstance(each, dict) and not all(isinstance(key, str | int) for key in each):
                raise ValueError("a key that is no name")
            for value in inner:
                if isinstance(value, dict | list):
                    below.append(value)
                else:
                    _check_number(value, finite=is_json)
        if not below:
            return dict(tree)
        level = below
    raise ValueError(f"more than {_DEEPEST} levels")


def _check_number(value: Any, *, finite: bool) -> None:
    if isinstance(value, int) and abs(value) >= _LARGEST_INT:
        raise ValueError("an integer of more than 64 bits")
    if finite and isinstance(value, float) and not abs(value) < float("inf"):
        raise ValueError("a number that is not finite")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _refuse_deep(text: str) -> None:
    """Refuse YAML that is nested so deeply that libyaml would crash the process."""
    depth, most = 0, text.count("[") + text.count("{") + max(map(len, _INDENTS.findall(text)))
    for event in yaml.parse(text, _Loader) if most > _DEEPEST * _DEEPEST else ():
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            depth += 1
        if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise ValueError(f"more than {_DEEPEST} levels")


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return f"more than {_DEEPEST} levels"
    if hasattr(error, "error_count"):  # of pydantic
        return first_line(explain(error))[:200]  # type: ignore[arg-type]
    if isinstance(error, KeyError):
        return f"no entry {first_line(error)}"
    return first_line(error)[:200]
