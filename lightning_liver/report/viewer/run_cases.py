"""Test cases of a run in the viewer: scan, truth, prediction and errors on the grid of the store."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from threading import Lock

import numpy as np
from jaxtyping import Int16
from nibabel.affines import apply_affine

from lightning_liver.data.store import CaseRecord, Store
from lightning_liver.report.cases import representative_slice
from lightning_liver.report.mistakes import mistakes
from lightning_liver.report.viewer.pages import ShownCases
from lightning_liver.report.viewer.server import Answer
from lightning_liver.report.viewer.volumes import Labels, mask, scan
from lightning_liver.runs.contents import Line, number
from lightning_liver.types import STRUCTURES
from lightning_liver.volume import canonical_affine

Predict = Callable[[str], Labels]

reading = Lock()  # two threads must not read an array of the store at once


def run_cases(
    store: Store,
    cases: Sequence[str],
    predict: Predict,
    *,
    run: str,
    first: str,
    window_hu: tuple[float, float],
    scores: Sequence[Line],
    lesions: Sequence[Line] = (),
) -> ShownCases:
    """Return cases of a run for the viewer.

    Args:
        cases: names of the cases to choose from.
        predict: returns the predicted labels of a case on the store's grid; called once for each requested case.
        run: its name.
        first: the case shown first.
        window_hu: of the network.
        scores, lesions: lines of cases.csv and lesions.csv.
    """
    masks = _Masks(store, predict)
    entries = [_entry(store.cases[case], scores, lesions) for case in cases]
    return ShownCases(
        source={"run": run},
        names=cases,
        first=first,
        window_hu=window_hu,
        entries=lambda: entries,
        scan=partial(_scan, store),
        layers={"truth": masks.truth, "prediction": masks.prediction, "error": masks.error},
    )


class _Masks:
    """Masks of cases; each prediction is made once, since it takes time."""

    def __init__(self, store: Store, predict: Predict) -> None:
        self.store, self.predict = store, predict
        self.known: dict[str, Labels] = {}
        self.predicting = Lock()

    def truth(self, case: str) -> Answer:
        return self._answer(case, _truth(self.store, case))

    def prediction(self, case: str) -> Answer:
        return self._answer(case, self._predicted(case))

    def error(self, case: str) -> Answer:
        return self._answer(case, mistakes(_truth(self.store, case), self._predicted(case)))

    def _answer(self, case: str, labels: Labels) -> Answer:
        return mask(labels, self.store.cases[case].spacing_mm)

    def _predicted(self, case: str) -> Labels:
        with self.predicting:
            if case not in self.known:
                self.known[case] = self.predict(case)
            return self.known[case]


def _scan(store: Store, case: str) -> Answer:
    record = store.cases[case]
    return scan(_slices(store, record), record.shape, record.spacing_mm)


def _slices(store: Store, record: CaseRecord) -> Iterator[Int16[np.ndarray, "y x"]]:
    for z in range(record.shape[0]):
        with reading:
            pixels = store.read(record.name, "hu", z)
        yield pixels


def _truth(store: Store, case: str) -> Labels:
    with reading:
        return np.stack([store.read(case, "labels", z) for z in range(store.cases[case].shape[0])])


def _entry(record: CaseRecord, scores: Sequence[Line], lesions: Sequence[Line]) -> Mapping[str, object]:
    dice = {line["structure"]: number(line["dice"]) for line in scores if line["case"] == record.name}
    return {
        "name": record.name,
        "patient": record.patient,
        "slices": record.shape[0],
        "spacing_mm": record.spacing_mm,
        "representative_slice": representative_slice(record),
        "dice": {structure: dice.get(structure) for structure in STRUCTURES},
        "lesions": [_lesion(record, line) for line in lesions if line["case"] == record.name],
    }


def _lesion(record: CaseRecord, line: Line) -> Mapping[str, object]:
    """Return a line of the list of lesions; its place (x, y, z) as voxels of the store's grid, if it is known."""
    place_mm = [number(line.get(f"{axis}_ras_mm")) for axis in "xyz"]
    place = None
    if None not in place_mm:
        to_mm = canonical_affine(np.array(record.affine), record.native_shape)
        native = apply_affine(np.linalg.inv(to_mm), np.array(place_mm, float))
        scale = np.array(record.shape[::-1]) / np.array(record.native_shape[::-1])
        place = ((native + 0.5) * scale - 0.5).round(2).tolist()
    return {
        "kind": line["kind"],
        "number": line["lesion"],
        "diameter_mm": number(line["diameter_mm"]),
        "detected": line["detected_0"] == "1",
        "place": place,
    }
