"""python -m experiments.speed.slices --write

Prints how long one slice at random takes from the store, beside a memory map of raw int16, both warm, and how many
bytes each has on the disk.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from experiments.speed.command import parser_of, publish
from experiments.speed.full_size import write_scan
from experiments.speed.machine import machine
from experiments.speed.rounds import Work, middle_and_range, seconds_a_call
from lightning_liver.build import prepared
from lightning_liver.config import compose
from lightning_liver.data.store import Store
from lightning_liver.tables import Row, text_table

COMMAND = "make bench-slices"
STORE, MAP = "our store", "memory map of int16"
SLOWER, SMALLER = 1.5, 0.5
PLACES = 997  # that are drawn, once
OPEN = 8  # cases of a data set: more would not stay open in the store, nor in the memory of a small machine


def store_of(scans: Path, folder: Path) -> Store:
    """The scans of a folder on their own grids."""
    given = ["data=lits", f"data.root={scans}", f"data.store={folder}", "data.spacing_mm=null", "data.skip_bad=true"]
    return prepared(compose("train", given).data)


def raw_maps(store: Store, names: Sequence[str], folder: Path) -> dict[str, np.ndarray]:
    """The same HU as raw files, mapped."""
    folder.mkdir()
    maps = {}
    for name in names:
        shape = store.cases[name].shape
        with (folder / name).open("wb") as file:
            for z in range(shape[0]):
                file.write(store.read(name, "hu", z).astype(np.int16).tobytes())
        maps[name] = np.memmap(folder / name, np.int16, "r", shape=shape)
    return maps


def readers(store: Store, names: Sequence[str], maps: Mapping[str, np.ndarray]) -> dict[str, Work]:
    """Both read the slice that a seed says, into memory of its own."""
    rng = np.random.default_rng(0)
    places = [(name, int(rng.integers(store.cases[name].shape[0]))) for name in rng.choice(names, PLACES).tolist()]

    def of_store(seed: int) -> np.ndarray:
        name, z = places[seed % PLACES]
        return store.read(name, "hu", z)

    def of_map(seed: int) -> np.ndarray:
        name, z = places[seed % PLACES]
        return np.array(maps[name][z])

    return {STORE: of_store, MAP: of_map}


def measured(store: Store, names: Sequence[str], work: Path, given: Namespace) -> tuple[list[Row], list[str]]:
    """A row a way of reading, and each target as a ratio of the same round."""
    maps = raw_maps(store, names, work)
    size = {
        STORE: sum(store.path(name, "hu").stat().st_size for name in names),
        MAP: sum((work / name).stat().st_size for name in names),
    }
    taken = seconds_a_call(readers(store, names, maps), rounds=given.rounds, calls=given.calls)
    return rows(taken, size), verdict(taken, size)


def rows(taken: Mapping[str, Sequence[float]], size: Mapping[str, int]) -> list[Row]:
    made: list[Row] = []
    for name, seconds in taken.items():
        median, spread = middle_and_range([1000 * one for one in seconds], 3)
        made.append({"reading from": name, "ms a slice": median, "range": spread, "MB": size[name] / 1e6})
    return made


def verdict(taken: Mapping[str, Sequence[float]], size: Mapping[str, int]) -> list[str]:
    ratio, spread = middle_and_range([a / b for a, b in zip(taken[STORE], taken[MAP], strict=True)], 2)
    share = size[STORE] / size[MAP]
    return [
        f"time over that of a memory map: {ratio:.2f} ({spread}), target <= {SLOWER:g}: {_word(ratio <= SLOWER)}",
        f"bytes over those of int16: {share:.1%}, target <= {SMALLER:.0%}: {_word(share <= SMALLER)}",
    ]


def section(title: str, scans: Path, work: Path, given: Namespace) -> str:
    store = store_of(scans, work / "store")
    names = list(store.cases)[:OPEN]
    table, lines = measured(store, names, work / "raw", given)
    what = (
        f"{title}, {len(names)} of them; one thread; median of {given.rounds} rounds of {given.calls} and their range"
    )
    return "\n\n".join([what, text_table(table), "\n".join(lines)])


def main() -> None:
    parser = _parser()
    given = parser.parse_args()
    sections = [machine(("numpy", "blosc2"))]
    with TemporaryDirectory() as place:
        work = Path(place)
        write_scan(work / "scans", 0, slices=given.slices)
        for name in ("made", "given"):
            (work / name).mkdir()
        sections.append(section(f"Made scans, 512x512x{given.slices}", work / "scans", work / "made", given))
        if given.data:
            sections.append(section("Given scans", given.data, work / "given", given))
    text = "\n\n".join(sections)
    publish(text, parser, given, command=COMMAND, name="slices")


def _word(held: bool) -> str:
    return "pass" if held else "FAIL"


def _parser() -> ArgumentParser:
    parser = parser_of(__doc__)
    parser.add_argument("--data", type=Path, help="a folder of scans as data.root has it, beside the made one")
    parser.add_argument("--slices", type=int, default=500, help="of the made scan (%(default)s)")
    parser.add_argument("--rounds", type=int, default=9, help="over both (%(default)s)")
    parser.add_argument("--calls", type=int, default=200, help="slices in a round (%(default)s)")
    return parser


if __name__ == "__main__":
    main()
