"""Report of a loop: its answers and scores as the rounds of report.html, and the pictures of what was asked for."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from lightning_liver.active.curve import RoundScore
from lightning_liver.active.loop_state import Correction
from lightning_liver.inference.uncertainty import Kind
from lightning_liver.metrics.correction_effort import CorrectionEffort
from lightning_liver.report.asked_case import write_asked_case
from lightning_liver.report.html.loop import AskedCase, LoopRound, write_loop_page
from lightning_liver.report.numbers import significant_text
from lightning_liver.run_folder import NAMES
from lightning_liver.types import STRUCTURES
from lightning_liver.volume import Volume

Key = tuple[int, str, int | None]  # round, case and slice
Bytes = UInt8[np.ndarray, "z y x"]


class Reason(NamedTuple):
    """Describe how a strategy chooses, as the rest of a sentence, and its score with the unit."""

    words: str
    score: str = "Score"
    unit: str = ""


REASONS = {
    "random": Reason("at random"),
    "entropy": Reason("by the highest mean entropy of the predicted probability", "Mean entropy", "bits"),
    "margin": Reason(
        "by the highest mean of 1 - |2p - 1|, where the probabilities of the two answers are closest", "Mean margin"
    ),
    "variance": Reason("by the highest mean variance of the probability over passes with dropout", "Mean variance"),
    "bald": Reason(
        "by the highest mean mutual information of prediction and weights, over passes with dropout",
        "Mean information",
        "bits",
    ),
    "disagreement": Reason("by the highest mean disagreement of several networks", "Mean information", "bits"),
    "core_set": Reason(
        "so that the labelled cover the features of the pool best; the score is the distance from the nearest labelled",
        "Distance",
    ),
    "suggestive": Reason("among the most uncertain, as those that together represent the pool best", "Mean variance"),
}
_FIRST = "Chosen before any training, at random."


def write_picture(
    folder: Path,
    key: Key,
    score: float | None,
    volume: Volume,
    *,
    proposal: Bytes | None,
    uncertainty: Bytes | None,
    answer: Bytes | None,
    strategy: str,
    kind: Kind,
    window_hu: tuple[float, float],
) -> None:
    """Draw a case that was asked for into the folder `pictures` of a loop.

    Args:
        score: by which it was chosen; None where there is none.
        uncertainty: a byte for 0 to SCALE; None without a network, as the proposal.
        answer: None before the correction.
        kind: of the uncertainty.
    """
    number, case, z = key
    reason = REASONS.get(strategy, Reason(""))
    why = "" if score is None else f", {reason.score.lower()} {significant_text(score)} {reason.unit}".rstrip()
    path = _picture(folder, key)
    path.parent.mkdir(exist_ok=True)
    write_asked_case(
        path,
        volume.hu,
        uncertainty,
        proposal,
        answer,
        volume.spacing_mm,
        title=f"Case {case}: asked for in round {number}{why}",
        window_hu=window_hu,
        kind=kind if uncertainty is not None else None,
        z=z,
    )


def pictures_of(folder: Path, keys: Iterable[Key]) -> dict[Key, Path]:
    """Return the pictures of a loop that are there."""
    return {key: path for key in keys if (path := _picture(folder, key)).is_file()}


def _picture(folder: Path, key: Key) -> Path:
    number, case, z = key
    return folder / NAMES.pictures / f"{number}-{case}{'' if z is None else f'-slice-{z + 1}'}.png"


def write_loop_report(
    folder: Path,
    points: Sequence[RoundScore],
    answers: Sequence[Sequence[Correction]],
    *,
    title: str,
    strategy: str,
    waiting: Sequence[tuple[str, int | None, float | None]] = (),
    next_step: str | None = None,
    pictures: Mapping[Key, Path] | None = None,
    minutes: Mapping[Key, float] | None = None,
    first: str = _FIRST,
) -> Path:
    """Write report.html into the folder of a loop and return it.

    Args:
        points: of the trained rounds.
        answers: of each round, also of one that is not trained yet.
        title: name of the loop.
        strategy: name of the yaml or function.
        waiting: case, slice and score of what the round after the last trained one asks for and has no answer yet.
        next_step: what the reader can do now.
        pictures: files of report.asked_case by round, case and slice.
        minutes: between proposal and correction.
        first: sentence on how the first round was chosen.

    Raises:
        LiverError: it cannot be written.
    """
    pictures, minutes, scores = pictures or {}, minutes or {}, {point.round: point for point in points}
    reason = REASONS.get(strategy, Reason(f"by the strategy {strategy}"))
    asked = [
        [_answered(answer, (number, answer.case, answer.z), pictures, minutes) for answer in of_round]
        for number, of_round in enumerate(answers, start=1)
    ]
    if waiting:
        number = len(points) + 1
        asked += [[]] * (number - len(asked))
        left = [_unanswered(*each, picture=pictures.get((number, *each[:2]))) for each in waiting]
        asked[number - 1] = [*asked[number - 1], *left]
    rounds = []
    for number, of_round in enumerate(asked, start=1):
        spent = RoundScore.of(number, answers[:number], {})
        with_network = "" if strategy == "random" else f" with the network of round {number - 1},"
        why = first if number == 1 else f"Chosen{with_network} {reason.words}."
        effort = CorrectionEffort(spent.slices_changed, spent.voxels, spent.contour_mm)
        rounds.append(
            LoopRound(
                number,
                why,
                (reason.score, reason.unit),
                of_round,
                spent.cases,
                spent.slices,
                effort,
                _dice_of(scores.get(number)),
            )
        )
    return write_loop_page(folder, rounds, title=title, strategy=strategy, next_step=next_step)


def _dice_of(point: RoundScore | None) -> dict[str, float | None] | None:
    return None if point is None else {structure: getattr(point, structure) for structure in STRUCTURES}


def _answered(answer: Correction, key: Key, pictures: Mapping[Key, Path], minutes: Mapping[Key, float]) -> AskedCase:
    return AskedCase(
        answer.case,
        answer.z,
        answer.score,
        answer.slices_shown,
        CorrectionEffort(answer.slices, answer.voxels, answer.contour_mm),
        {"liver": answer.dice_liver, "tumour": answer.dice_tumour},
        minutes.get(key),
        pictures.get(key),
    )


def _unanswered(case: str, z: int | None, score: float | None, *, picture: Path | None) -> AskedCase:
    return AskedCase(case, z, score, None, None, {}, None, picture)
