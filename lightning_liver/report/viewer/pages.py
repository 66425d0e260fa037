"""The viewer's page and its data: the list of cases, and the scan and three masks of each case."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.resources import files
from threading import Lock

import numpy as np
from nibabel.affines import apply_affine

from lightning_liver.data.store import CaseRecord, Store
from lightning_liver.errors import LiverError
from lightning_liver.report.cases import representative_slice
from lightning_liver.report.mistakes import mistakes
from lightning_liver.report.viewer.server import Answer, Routes, whole
from lightning_liver.report.viewer.volumes import Labels, mask, scan, truth
from lightning_liver.runs.contents import Line, number
from lightning_liver.types import STRUCTURES
from lightning_liver.volume import canonical_affine

Predict = Callable[[str], Labels]

BUNDLE = "niivue.js"
_PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/viewer.css": ("viewer.css", "text/css; charset=utf-8"),
    "/viewer.js": ("viewer.js", "text/javascript; charset=utf-8"),
    f"/{BUNDLE}": (BUNDLE, "text/javascript; charset=utf-8"),
}


def routes(
    store: Store,
    cases: Sequence[str],
    predict: Predict,
    *,
    run: str,
    first: str,
    window_hu: tuple[float, float],
    scores: Sequence[Line],
    lesions: Sequence[Line] = (),
) -> Routes:
    """Return the paths of the viewer and their answers.

    Args:
        cases: names of the cases to choose from.
        predict: returns the predicted labels of a case on the store's grid; called once for each requested case.
        first: the case shown first.
        window_hu: of the network.
        scores, lesions: lines of cases.csv and lesions.csv.

    Raises:
        LiverError: NiiVue is not installed.
    """
    pages = {path: partial(whole, kind, _file(name)) for path, (name, kind) in _PAGE.items()}
    listed = [_case(store.cases[case], n, scores, lesions) for n, case in enumerate(cases)]
    about = {"run": run, "first": cases.index(first), "window_hu": window_hu, "cases": listed}
    case_list = partial(whole, "application/json", json.dumps(about).encode())
    masks = _Masks(store, predict)
    volumes = {
        f"/case/{n}/{name}": partial(make, case)
        for n, case in enumerate(cases)
        for name, make in (
            ("scan.nii", partial(scan, store)),
            ("truth.nii.gz", masks.truth),
            ("prediction.nii.gz", masks.prediction),
            ("error.nii.gz", masks.error),
        )
    }
    return {**pages, "/cases.json": case_list, **volumes}


class _Masks:
    """Masks of cases; each prediction is made once, since it takes time."""

    def __init__(self, store: Store, predict: Predict) -> None:
        self.store, self.predict = store, predict
        self.known: dict[str, Labels] = {}
        self.predicting = Lock()

    def truth(self, case: str) -> Answer:
        return mask(self.store.cases[case], truth(self.store, case))

    def prediction(self, case: str) -> Answer:
        return mask(self.store.cases[case], self._predicted(case))

    def error(self, case: str) -> Answer:
        return mask(self.store.cases[case], mistakes(truth(self.store, case), self._predicted(case)))

    def _predicted(self, case: str) -> Labels:
        with self.predicting:
            if case not in self.known:
                self.known[case] = self.predict(case)
            return self.known[case]


def _case(record: CaseRecord, place: int, scores: Sequence[Line], lesions: Sequence[Line]) -> Mapping[str, object]:
    dice = {line["structure"]: number(line["dice"]) for line in scores if line["case"] == record.name}
    return {
        "name": record.name,
        "patient": record.patient,
        "slices": record.shape[0],
        "spacing_mm": record.spacing_mm,
        "representative_slice": representative_slice(record),
        "dice": {structure: dice.get(structure) for structure in STRUCTURES},
        "lesions": [_lesion(record, line) for line in lesions if line["case"] == record.name],
        "path": f"/case/{place}/",
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


def _file(name: str) -> bytes:
    try:
        return (files(__package__ or "") / "page" / name).read_bytes()
    except FileNotFoundError:
        raise LiverError(
            f"the viewer needs NiiVue, but {name} is missing, which a build of the package downloads; install again "
            "with access to npm: pip install -e . in a checkout, or another wheel of lightning-liver"
        ) from None
