"""Describe where a loop with an expert stands, in words and tables."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from lightning_liver.active.curve import RoundScore, curve_table
from lightning_liver.active.workspace import STATES, Places, PoolCase, WorkspaceState
from lightning_liver.config import START_FOLDER, typed
from lightning_liver.tables import text_table

_PLAIN = re.compile(r"[\w./@+-]+", re.ASCII)


def described(state: WorkspaceState, places: Places, points: Sequence[RoundScore], rounds: int) -> str:
    """Return the cases of each state, the corrections, the learning curve, and what comes next.

    Args:
        rounds: the trainings that are wanted.
    """
    patients = len({case.patient for case in state.cases.values()})
    lines = [f"{len(state.cases)} cases of {patients} patients in {state.pool}"]
    for each in STATES:
        names = state.names(each)
        lines.append(f"  {each}: {len(names)}{f' ({listed(names)})' if names else ''}")
    if rows := [row for name in state.names("corrected", "accepted") if (row := _row(name, state.cases[name]))]:
        lines += ["", text_table(rows)]
    if points:
        lines += ["", curve_table(points), "", shown(places.folder / "curve.png")]
    return "\n".join([*lines, "", next_step(state, places, rounds)])


def _row(name: str, case: PoolCase) -> Mapping[str, Any] | None:
    if case.answer is None:
        return None
    return {
        "case": name,
        "round": case.round,
        "part": case.part or "",
        "Dice liver": case.answer.dice_liver,
        "Dice tumour": case.answer.dice_tumour,
        "voxels changed": case.answer.voxels,
        "slices changed": case.answer.slices,
        "contour cm": round(case.answer.contour_mm / 10),
        "minutes": minutes(case),
    }


def minutes(case: PoolCase) -> float | None:
    """Return the minutes between proposal and correction; None where a clock or a copied file says otherwise."""
    if case.proposed_at is None or case.corrected_at is None:
        return None
    passed = datetime.fromisoformat(case.corrected_at) - datetime.fromisoformat(case.proposed_at)
    return round(passed.total_seconds() / 60, 1) if passed.total_seconds() >= 0 else None


def next_step(state: WorkspaceState, places: Places, rounds: int) -> str:
    """Return what to do next, towards so many trainings."""
    where = as_typed(f"workspace={shown(places.folder)}")
    proposed = state.names("proposed")
    if proposed and all(state.cases[name].proposed_at for name in proposed):
        has_masks = places.proposal(proposed[0]).is_file()
        what = f"correct {listed(proposed)}" if has_masks else f"draw liver and tumours of {listed(proposed)}"
        begin = f", their proposed masks in {shown(places.shown)}" * has_masks
        return (
            f"Next: {what}. The scans are in {shown(places.studies)}{begin}; save to {shown(places.final)}\n"
            f"Then: liver-active action=accept {where}"
        )
    if state.names("corrected") and not proposed:
        return f"Next: liver-active action=accept {where}"
    if not proposed and not state.names("unlabelled"):
        return "All cases are labelled."
    if not proposed and state.rounds >= rounds:
        return f"All {rounds} rounds are trained. For another: liver-active action=propose {where} rounds={rounds + 1}"
    return f"Next: liver-active action=propose {where}"


def as_typed(option: str) -> str:
    """Return an option as a shell and Hydra take it, quoted if its value has other signs than those of a plain path."""
    name, _, value = option.partition("=")
    return option if _PLAIN.fullmatch(value) else f'"{name}={typed(value)}"'


def shown(path: Path) -> str:
    """Return a path as short as it can be typed here."""
    return str(path.relative_to(START_FOLDER)) if path.is_relative_to(START_FOLDER) else str(path)


def listed(names: Sequence[str], most: int = 10) -> str:
    """Return names with commas, the first ones of many."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
