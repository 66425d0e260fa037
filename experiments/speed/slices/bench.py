"""Time to read a random slice from the store, beside a memory map of raw int16.

Both are warm. Also prints the bytes of both on the disk.
"""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from experiments.speed.command import add_counts, parser_of, publish
from experiments.speed.machine import machine
from experiments.speed.phantoms import write_scan
from experiments.speed.rounds import Work, judged, judged_ratio, ratios, seconds_a_call, time_rows
from lightning_liver.build import prepared
from lightning_liver.config import compose
from lightning_liver.data.store import Store
from lightning_liver.tables import Row, text_table

STORE, MAP = "our store", "memory map of int16"
SLOWDOWN, COMPRESSION = 1.5, 0.5
PLACES = 997  # slices drawn, once for both
CASES = 8  # at most: more would not stay open in the store, nor in the memory of a small machine


def store_of(scans: Path, folder: Path) -> Store:
    """Prepare the scans of a folder on their own grids."""
    given = ["data=lits", f"data.root={scans}", f"data.store={folder}", "data.spacing_mm=null", "data.skip_bad=true"]
    return prepared(compose("train", given).data)


def raw_maps(store: Store, names: Sequence[str], folder: Path) -> dict[str, np.ndarray]:
    """Write the same HU as raw files and map them into memory."""
    folder.mkdir()
    maps: dict[str, np.ndarray] = {}
    for name in names:
        shape = store.cases[name].shape
        with (folder / name).open("wb") as file:
            for z in range(shape[0]):
                file.write(store.read(name, "hu", z).astype(np.int16).tobytes())
        maps[name] = np.memmap(folder / name, np.int16, "r", shape=shape)
    return maps


def readers(store: Store, names: Sequence[str], maps: Mapping[str, np.ndarray]) -> dict[str, Work]:
    """Return functions that copy the slice drawn by a seed into new memory."""
    rng = np.random.default_rng(0)
    places = [(name, int(rng.integers(store.cases[name].shape[0]))) for name in rng.choice(names, PLACES).tolist()]

    def of_store(seed: int) -> np.ndarray:
        name, z = places[seed % PLACES]
        return store.read(name, "hu", z)

    def of_map(seed: int) -> np.ndarray:
        name, z = places[seed % PLACES]
        return np.array(maps[name][z])

    return {STORE: of_store, MAP: of_map}


def compare(store: Store, names: Sequence[str], work: Path, given: Namespace) -> tuple[list[Row], list[str]]:
    """Return a row per way of reading, and the verdicts."""
    maps = raw_maps(store, names, work)
    size = {
        STORE: sum(store.path(name, "hu").stat().st_size for name in names),
        MAP: sum((work / name).stat().st_size for name in names),
    }
    taken = seconds_a_call(readers(store, names, maps), rounds=given.rounds, calls=given.calls)
    return rows(taken, size), verdict(taken, size)


def rows(taken: Mapping[str, Sequence[float]], size: Mapping[str, int]) -> list[Row]:
    """Return a row per way of reading: median over rounds and range, megabytes on the disk."""
    timed = time_rows(taken, "reading from", "ms a slice", scale=1000, digits=3)
    return [{**row, "MB": size[str(row["reading from"])] / 1e6} for row in timed]


def verdict(taken: Mapping[str, Sequence[float]], size: Mapping[str, int]) -> list[str]:
    """Judge time by ratios of the same round, and bytes."""
    fraction = size[STORE] / size[MAP]
    return [
        judged_ratio("time over that of a memory map", ratios(taken[STORE], taken[MAP]), "<=", SLOWDOWN, 2),
        judged(f"bytes over those of int16: {fraction:.1%}", fraction, "<=", COMPRESSION, "{:.0%}"),
    ]


def section(title: str, scans: Path, work: Path, given: Namespace) -> str:
    store = store_of(scans, work / "store")
    names = list(store.cases)[:CASES]
    table, lines = compare(store, names, work / "raw", given)
    title += f", {len(names)} of them; one thread; median of {given.rounds} rounds of {given.calls} and their range"
    return "\n\n".join([title, text_table(table), "\n".join(lines)])


def main(arguments: Sequence[str]) -> None:
    parser = parser_of("slices", __doc__)
    parser.add_argument("--data", type=Path, help="folder of scans, as data.root takes it, beside the synthetic scan")
    add_counts(
        parser,
        slices=(500, "slices of the synthetic scan"),
        rounds=(9, "rounds over both"),
        calls=(200, "slices read in a round"),
    )
    given = parser.parse_args(arguments)
    sections = [machine(("numpy", "blosc2"))]
    with TemporaryDirectory() as place:
        work = Path(place)
        write_scan(work / "scans", 0, slices=given.slices)
        for name in ("synthetic", "given"):
            (work / name).mkdir()
        title = f"Synthetic scans, 512x512x{given.slices}"
        sections.append(section(title, work / "scans", work / "synthetic", given))
        if given.data:
            sections.append(section("Given scans", given.data, work / "given", given))
    publish("\n\n".join(sections), parser, given)
