"""Main effects of several options that differ at once."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import linregress, t

from lightning_liver.comparison.effects import effects, effects_text
from lightning_liver.comparison.results import gather
from lightning_liver.errors import LiverError
from lightning_liver.runs.settings import levels
from lightning_liver.sweep.design import plackett_burman
from tests.report.run_folders import write_run

PATIENTS = {"A": 0.5, "B": 0.3, "C": 0.8}
GAINS = {"loss": 0.1, "data.size": -0.05, "augment": 0.0}


Table = dict[str, dict[int, dict[str, float]]]


def laid_out(
    random: np.random.Generator | None = None, luck: float = 0.0, rest: float = 0.0, gains: Mapping[str, float] = GAINS
) -> tuple[Table, dict[str, dict[str, str]]]:
    """Return scores of two seeds of a design: a mean of each patient plus the effects of the options, luck and rest."""
    random = random or np.random.default_rng(0)
    rows = enumerate(plackett_burman(len(gains)).tolist())
    chosen = {f"c{n}": {o: "ab"[second] for o, second in zip(gains, row, strict=True)} for n, row in rows}
    table: Table = {}
    for name, own in chosen.items():
        for seed in range(2):
            lucky = luck * random.standard_normal() + sum(gains[o] for o in gains if own[o] == "b")
            scores = {p: base + lucky + rest * random.standard_normal() for p, base in PATIENTS.items()}
            table.setdefault(name, {})[seed] = scores
    return table, chosen


def test_known_effects_are_recovered_with_the_better_level() -> None:
    table, chosen = laid_out()
    found = {each.option: each for each in effects(table, chosen)}
    assert [each.option for each in effects(table, chosen)][:2] == ["loss", "data.size"], "the largest first"
    assert found["loss"].gain.mean == pytest.approx(0.1)
    assert (found["loss"].better, found["loss"].worse, found["loss"].agree) == ("b", "a", "3 of 3")
    assert found["data.size"].gain.mean == pytest.approx(0.05)
    assert (found["data.size"].better, found["data.size"].worse) == ("a", "b")
    assert found["augment"].gain.mean == pytest.approx(0, abs=1e-9)


def test_effect_of_one_option_is_a_linear_regression_over_runs() -> None:
    runs = {"p": 0.2, "q": 0.25, "r": 0.5, "s": 0.45}
    table = {name: {0: {"A": y - 0.1, "B": y + 0.1}} for name, y in runs.items()}
    chosen = {name: {"loss": "ab"[name in "rs"]} for name in table}
    (found,) = effects(table, chosen)
    line = linregress([0, 0, 1, 1], list(runs.values()))
    half = t.ppf(0.975, 2) * line.stderr
    assert found.gain == pytest.approx((line.slope, line.slope - half, line.slope + half))
    assert found.p == pytest.approx(line.pvalue)


def test_intervals_have_their_nominal_coverage() -> None:
    random, held = np.random.default_rng(1), 0
    for _ in range(200):
        (loss,) = [each for each in effects(*laid_out(random, 0.03, 0.05)) if each.option == "loss"]
        sign = 1 if loss.better == "b" else -1
        low, high = sorted(sign * (end or 0.0) for end in loss.gain[1:])
        held += low <= 0.1 <= high
    assert held >= 180


@pytest.mark.parametrize("luck", [0.0, 0.02, 0.05])
def test_options_that_do_nothing_seldom_have_an_effect(luck: float) -> None:
    random, nothing = np.random.default_rng(2), dict.fromkeys(GAINS, 0.0)
    alarms = sum(min(each.p for each in effects(*laid_out(random, luck, 0.03, nothing))) <= 0.05 for _ in range(300))
    assert alarms <= 26, "5 % of 300 studies, and chance"


def test_patients_of_some_runs_alone_do_not_count() -> None:
    table, chosen = laid_out()
    del table["c0"][1]["C"]
    found = {each.option: each for each in effects(table, chosen)}
    assert found["loss"].agree == "2 of 2"
    assert found["loss"].gain.mean == pytest.approx(0.1)


def test_as_many_options_as_runs_are_refused() -> None:
    table, chosen = laid_out()
    with pytest.raises(LiverError, match="more runs than options"):
        effects({name: {0: seeds[0]} for name, seeds in table.items()}, chosen)


def test_options_that_always_change_together_are_refused() -> None:
    table, chosen = laid_out()
    for own in chosen.values():
        own["data.size"] = own["loss"]
    with pytest.raises(LiverError, match="cannot tell"):
        effects(table, chosen)


def test_a_third_level_is_refused_by_name() -> None:
    table, chosen = laid_out()
    chosen["c0"]["loss"] = "c"
    with pytest.raises(LiverError, match="loss has a, b, c"):
        effects(table, chosen)


def test_a_group_is_one_option_and_a_list_is_shown_as_it_is() -> None:
    dice = {"loss._target_": "x.dice", "loss.smooth": 1.0, "data.window_hu": [-160, 240], "seed": 0}
    focal = {"loss._target_": "x.focal", "loss.gamma": 2.0, "data.window_hu": [-60, 180], "seed": 0}
    assert levels([dice, focal]) == {"loss": ["dice", "focal"], "data.window_hu": ["[-160, 240]", "[-60, 180]"]}


def test_effects_of_run_folders_are_shown(tmp_path: Path) -> None:
    for n, (size, context) in enumerate([(96, 0), (96, 1), (128, 0), (128, 1)]):
        for fold, (patient, base) in enumerate(PATIENTS.items()):
            scores = {(patient, f"case-{fold}"): base + 0.1 * (size == 128)}
            write_run(tmp_path / f"{n}-{fold}", "dice", scores, data={"size": size, "context": context, "fold": fold})
    text = effects_text(gather([tmp_path]), ("tumour",))
    (line,) = [line for line in text.splitlines() if line.startswith("data.size")]
    assert line.split()[1:4] == ["128", "96", "0.100"]
    assert "4 configurations" in text
