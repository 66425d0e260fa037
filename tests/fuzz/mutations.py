"""Damage of files: the same seed makes the same damage."""

import re

import numpy as np

_NUMBERS = tuple(
    number.to_bytes(width, order, signed=True)
    for width in (2, 4, 8)
    for number in (0, 1, -1, 2 ** (8 * width - 1) - 1, -(2 ** (8 * width - 1)), 512, 30000)
    for order in ("little", "big")
)
_TOKENS = [
    *b"NaN,-Infinity,1e999,-1,0,1.5,true,null,[],{},{}{},[[]],'',abc,2001-99-99,${x,&a,*a,!!python/none,,".split(b","),
    b"${oc.env:HOME}",
    b"9" * 400,
    b"9" * 5000,
    b'"' * 3,
    b"[" * 3000,
    b'{"a":' * 3000,
    b"- " * 3000,
    b"\x00",
    b"\xff",
    b"\n\n",
]
_TOKEN = re.compile(rb'-?[\w.]+|"[^"]*"|[\[\]{}:,]')
_WHOLE = (
    b"",
    b"\n",
    b"[]",
    b"[1]",
    b"{}",
    b"null",
    b"1",
    b'"a"',
    b"\x00" * 64,
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"[" * 200000,
)
_HEAD = 400  # bytes in which most headers lie


def mutated(data: bytes, seed: int, *, text: bool) -> bytes:
    """Return a file's bytes after one to three changes.

    Args:
        text: change tokens, lines and encodings, too.
    """
    rng = np.random.default_rng(seed)
    for _ in range(rng.integers(1, 4)):
        data = (_text if text and rng.random() < 0.7 else _bytes)(data, rng)
    return data


def _bytes(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    limit = min(len(data), _HEAD) if rng.random() < 0.5 else len(data)
    place = int(rng.integers(limit + 1))
    length = int(rng.choice([1, 2, 4, 16, 300]))
    match int(rng.integers(9)):
        case 0 if data:
            changed[min(place, len(data) - 1)] ^= 1 << int(rng.integers(8))
        case 1:
            changed[place : place + length] = rng.bytes(min(length, len(data) - place))
        case 2:
            changed[place : place + length] = bytes([int(rng.choice([0, 255]))]) * min(length, len(data) - place)
        case 3:
            del changed[place:]
        case 4:
            del changed[place : place + length]
        case 5:
            changed[place:place] = rng.bytes(length)
        case 6:
            changed[place:place] = changed[place : place + length]
        case 7:
            number = _NUMBERS[int(rng.integers(len(_NUMBERS)))]
            changed[place : place + len(number)] = number
        case _:
            other = int(rng.integers(len(data) + 1))
            changed[place : place + length] = changed[other : other + length]
    return bytes(changed)


def _text(data: bytes, rng: np.random.Generator) -> bytes:
    lines, tokens = data.splitlines(keepends=True), [*_TOKEN.finditer(data)]
    token = _TOKENS[int(rng.integers(len(_TOKENS)))]
    match int(rng.integers(9)):
        case 0:
            return _WHOLE[int(rng.integers(len(_WHOLE)))] if rng.random() < 0.3 else b"\xef\xbb\xbf" + data
        case 1:
            return data.decode(errors="replace").encode("utf-16") if rng.random() < 0.3 else b"[" + data + b"]"
        case 2 if lines:
            del lines[int(rng.integers(len(lines)))]
            return b"".join(lines)
        case 3 if lines:
            return b"".join([*lines, lines[int(rng.integers(len(lines)))]])
        case 4 if lines:
            return b"".join(lines[place] for place in rng.permutation(len(lines)))
        case 5 if len(tokens) > 1:
            first, second = (tokens[int(n)] for n in sorted(rng.choice(len(tokens), 2, replace=False)))
            between = data[first.end() : second.start()]
            return data[: first.start()] + second[0] + between + first[0] + data[second.end() :]
        case _ if tokens:
            old = tokens[int(rng.integers(len(tokens)))]
            quoted = b'"' + token + b'"' if rng.random() < 0.2 else token
            return data[: old.start()] + quoted + data[old.end() :]
    return data
