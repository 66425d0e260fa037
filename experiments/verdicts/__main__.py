"""Print the tables of this study and write them into its README.md."""

from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path

from experiments.verdicts.simulation import (
    DISTRIBUTIONS,
    TESTS,
    Design,
    bootstrap_p,
    coverage,
    crossed_p,
    family_wise,
    planned_power,
    rejections,
    student_interval,
)
from lightning_liver.comparison.readme import MarkedBlock, write_block
from lightning_liver.metrics.intervals import mean_interval

README = Path(__file__).parent / "README.md"
PATIENTS, SEEDS, LUCK = (5, 8, 16, 26), (2, 3, 5), (0.0, 0.02, 0.05)
GAIN = 0.06
POWERED = (5, 3), (8, 2), (8, 3), (16, 2), (16, 3), (16, 5), (26, 3), (26, 5)
STUDIES, BOOTSTRAPPED, GAINED, FAMILIES = 1000, 300, 300, 200
FAMILY = (8, 2, 0.02), (8, 3, 0.05), (16, 3, 0.02), (26, 5, 0.0), (16, 2, 0.05), (16, 3, 0.05), (26, 5, 0.05)
CONFIGURATIONS = 12
SIZES, SAMPLES = (3, 4, 5, 6, 8, 10, 12, 16, 20, 26), 10_000
HEAD = ["patients", "seeds", "SD of luck"]


class Tables(MarkedBlock):
    """Block of a README whose text is Markdown."""

    def markdown(self) -> str:
        return f"    {self.command}\n\n{self.text}"


def markdown_table(title: str, head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table under its title."""
    head = list(head)
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return f"{title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def false_alarms() -> str:
    """Return the table of false alarms, with the worst cell of each test in its last row."""
    cells = [Design(*cell) for cell in product(PATIENTS, SEEDS, LUCK)]
    found = [
        [rejections(cell, test, BOOTSTRAPPED if test is bootstrap_p else STUDIES, seed) for test in TESTS.values()]
        for seed, cell in enumerate(cells)
    ]
    rows = [[*cell[:3], *map(percent, row)] for cell, row in zip(cells, found, strict=True)]
    worst = [percent(max(row[n] for row in found)) for n in range(len(TESTS))]
    title = f"False alarms, % of {STUDIES} studies without a difference ({BOOTSTRAPPED} for the bootstrap):"
    return markdown_table(title, [*HEAD, *TESTS], [*rows, ["worst", "", "", *worst]])


def power() -> str:
    """Return the table of power."""
    cells = [Design(*size, luck, GAIN) for size, luck in product(POWERED, LUCK)]
    rows = [
        [*cell[:3], *(percent(rejections(cell, test, GAINED, seed)) for test in TESTS.values())]
        for seed, cell in enumerate(cells)
    ]
    return markdown_table(f"Power, % of {GAINED} studies with a gain of {GAIN}:", [*HEAD, *TESTS], rows)


def families() -> str:
    """Return the table of family-wise false alarms."""
    rows = [
        [*cell, percent(family_wise(Design(*cell, configurations=CONFIGURATIONS), FAMILIES, seed))]
        for seed, cell in enumerate(FAMILY)
    ]
    title = (
        f"Any false alarm among all pairs of {CONFIGURATIONS} configurations after Holm's correction, "
        f"% of {FAMILIES} studies:"
    )
    return markdown_table(title, [*HEAD, "crossed"], rows)


def plans() -> str:
    """Return the table of planned and simulated power."""
    rows = []
    for seed, cell in enumerate(Design(*size, luck) for size, luck in product(POWERED, LUCK)):
        planned, gain = planned_power(cell)
        found = rejections(cell._replace(gain=gain), crossed_p, STUDIES, seed)
        rows.append([*cell[:3], f"{gain:.3f}", percent(planned), percent(found)])
    title = f"Power for the smallest difference that --plan names, planned and in {STUDIES} simulated studies, %:"
    return markdown_table(title, [*HEAD, "gain", "planned", "simulated"], rows)


def intervals() -> str:
    """Return the table of coverage, ours and Student's in each cell."""
    rows = [
        [
            patients,
            *(
                " / ".join(
                    percent(coverage(interval, distribution, patients, SAMPLES, seed))
                    for interval in (mean_interval, student_interval)
                )
                for seed, distribution in enumerate(DISTRIBUTIONS.values())
            ),
        ]
        for patients in SIZES
    ]
    title = f"95 % intervals that contain the true mean, % of {SAMPLES} samples, ours / Student's t:"
    return markdown_table(title, ["patients", *DISTRIBUTIONS], rows)


def main() -> None:
    """Print each table when it is done, then write all of them."""
    made: tuple[Callable[[], str], ...] = (false_alarms, power, families, plans, intervals)
    texts = []
    for table in made:
        texts.append(table())
        print(texts[-1], end="\n\n", flush=True)
    write_block(README, Tables("python -m experiments.verdicts", "\n\n".join(texts)), "verdicts")


if __name__ == "__main__":
    main()
