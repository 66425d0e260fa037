"""Text files of runs and stores: what is damaged is named, and nothing of it ends in a traceback."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lightning_liver.errors import LiverError
from lightning_liver.readers import parsing, read_json, read_rows, read_table, read_text, read_yaml

_LETTERS = b"bcdefghij"
NO_MAPPING = {
    "a list": b"[1, 2]",
    "a number": b"1",
    "a text": b'"a"',
    "null": b"null",
    "cut": b'{"a": [1,',
    "not UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "deep lists": b'{"a": ' + b"[" * 200_000,
    "deep mappings": b'{"a":' * 100_000,
    "many levels": b'{"a": ' + b"[" * 150 + b"]" * 150 + b"}",
    "a huge integer": b'{"a": ' + b"9" * 5000 + b"}",
    "an integer of more than 64 bits": b'{"a": ' + b"9" * 20 + b"}",
}
NO_JSON = {"empty": b"", "NaN": b'{"a": NaN}', "infinity": b'{"a": -Infinity}', "too large": b'{"a": 1e999}'}
NO_YAML = {
    "deep blocks": b"- " * 100_000,
    "values without end": b"a: &a [*a]",
    "a thousand millions": b"a: &a [1]\n"
    + b"".join(b"%c: &%c [%s]\n" % (n, n, b"*%c," % (n - 1) * 9) for n in _LETTERS),
    "no date": b"a: 2001-99-99",
    "an object": b"a: !!python/object/apply:os.getcwd []",
    "a mapping for a key": b"? {a: 1}\n: 2",
    "a control character": b"a: \x00",
}


def check(read: Callable[[Path], object], content: bytes, folder: Path) -> None:
    path = folder / "chosen.json"
    path.write_bytes(content)
    with pytest.raises(LiverError) as told:
        read(path)
    assert str(told.value).startswith(f"{path}: damaged (")
    assert str(told.value).endswith("run it again")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("damage", [*NO_MAPPING, *NO_JSON])
def test_damaged_json_is_named(damage: str, tmp_path: Path) -> None:
    check(read_json, {**NO_MAPPING, **NO_JSON}[damage], tmp_path)


@pytest.mark.parametrize("damage", [name for name in (*NO_MAPPING, *NO_YAML) if name != "null"])
def test_damaged_yaml_is_named(damage: str, tmp_path: Path) -> None:
    """libyaml ends the process where lists are nested 50,000 levels deep."""
    check(read_yaml, {**NO_MAPPING, **NO_YAML}[damage], tmp_path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"case,dice\n1\n", "line 2: damaged (1 cells under 2 columns)"),
        (b"case,dice\n1,0.5\n2,0.5,3\n", "line 3: damaged (3 cells under 2 columns)"),
        (b"case\n1\n", "line 1: damaged (no column dice)"),
        (b"case,dice\n\xff,1\n", "damaged ("),
        (b'case,dice\n"1,0.5\n', "damaged ("),
        ("case,dice\n1,2\n".encode("utf-16"), "damaged ("),
    ],
)
def test_damaged_table_is_named_with_the_line(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    path.write_bytes(content)
    with pytest.raises(LiverError) as error:
        read_rows(path, ("case", "dice"))
    assert str(path) in str(error.value)
    assert told in str(error.value)


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\xef\xbb\xbfcase,dice\r\n1,0.5\r\n\r\n")
    assert read_rows(path, ("case", "dice")) == [{"case": "1", "dice": "0.5"}]
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(path) == read_yaml(path) == {"a": 1}
    assert read_text(path) == '{"a": 1}'


def test_whole_files_are_read_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "file"
    content = {"a": [1, None, {"b": -0.5}], "c": {"d": True, "e": "\u00e9"}, "f": 2**63 - 1}
    path.write_text(json.dumps(content))
    assert read_json(path) == read_yaml(path) == content
    path.write_text("")
    assert read_yaml(path) == {}
    assert read_rows(path, ("case",)) == []
    path.write_text("\na,a\n1,2\n")
    assert read_table(path, ("a",)) == (["a", "a"], [(3, ["1", "2"])])
    path.write_text("case,dice\n1,0.5\n2,0.\n3\n")
    assert read_rows(path, ("case",), ragged=True) == [{"case": "1", "dice": "0.5"}, {"case": "2", "dice": "0."}]


def test_missing_file_is_named_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(LiverError, match=r"gone\.json: cannot be read \(No such file.*\); look elsewhere"):
        read_json(tmp_path / "gone.json", "look elsewhere")


def test_what_is_missing_in_a_whole_file_is_damage_too() -> None:
    with (
        pytest.raises(LiverError, match=r"a\.json: damaged \(no entry 'b'\); run again"),
        parsing(Path("a.json"), "run again"),
    ):
        {}["b"]
    with pytest.raises(LiverError, match=r"^mine$"), parsing(Path("a.json")):
        raise LiverError("mine")
