"""python -m tests.fuzz mutations=20000 [kinds=nifti,store] [first=0]: a campaign, counted in tests/fuzz/campaign.csv.

Each part of 2500 mutations runs in a process of its own, so that a crash of the interpreter is counted, too.
"""

import csv
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.campaign import answering
from tests.fuzz.kinds import KINDS

TABLE = Path(__file__).parent / "campaign.csv"
_PART = 2500


def campaign(kind: str, seeds: range) -> tuple[Counter[str], dict[int, str]]:
    """Return the counts of a kind, and its failures by seed."""
    counts: Counter[str] = Counter()
    failures: dict[int, str] = {}
    context = multiprocessing.get_context("spawn")
    for first in range(seeds.start, seeds.stop, _PART):
        part = range(first, min(first + _PART, seeds.stop))
        folder, answer = tempfile.mkdtemp(prefix="fuzz-"), context.Queue()
        process = context.Process(target=answering, args=(kind, part, folder, answer))
        process.start()
        found = None
        while found is None and (process.is_alive() or not answer.empty()):
            try:
                found = answer.get(timeout=1)
            except Exception:  # nothing yet
                continue
        process.join()
        shutil.rmtree(folder, ignore_errors=True)
        some, wrong = found or (Counter(failed=len(part)), {first: f"the process ended with {process.exitcode}"})
        counts.update(some)
        failures |= wrong
        print(f"{kind} {part.stop}: {dict(counts)}", flush=True)
        for seed, why in wrong.items():
            print(f"  seed {seed}: {why}", flush=True)
    return counts, failures


def main() -> None:
    options = dict(argument.split("=", 1) for argument in sys.argv[1:])
    first, number = int(options.get("first", 0)), int(options.get("mutations", 1000))
    rows = {row["kind"]: row for row in csv.DictReader(TABLE.open())} if TABLE.exists() else {}
    for kind in options.get("kinds", ",".join(KINDS)).split(","):
        begun = time.monotonic()
        counts, _ = campaign(kind, range(first, first + number))
        numbers = {name: counts[name] for name in ("read", "refused", "failed")}
        rows[kind] = {"kind": kind, "mutations": number, **numbers, "seconds": round(time.monotonic() - begun)}
        with TABLE.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[kind]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows[name] for name in KINDS if name in rows)


if __name__ == "__main__":
    main()
