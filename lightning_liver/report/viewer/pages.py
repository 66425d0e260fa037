"""The viewer's page and its data: the list of cases, and the scan and the masks of each case."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files

from lightning_liver.errors import LiverError
from lightning_liver.report.viewer.server import Answer, Routes, whole

BUNDLE = "niivue.js"
_PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/viewer.css": ("viewer.css", "text/css; charset=utf-8"),
    "/viewer.js": ("viewer.js", "text/javascript; charset=utf-8"),
    f"/{BUNDLE}": (BUNDLE, "text/javascript; charset=utf-8"),
}


@dataclass(frozen=True)
class ShownCases:
    """Cases that the viewer shows.

    Args:
        source: what they belong to and its name, as {"run": "focal"}.
        names: of the cases to choose from.
        first: the case shown first.
        window_hu: of the network; None is the abdomen's.
        entries: returns what the page lists of each case, whenever it is opened: name, patient and dice of each
            structure (or null); optionally lesions, the slice to begin with, state and round, notes for layers, and for
            absent layers the reason.
        scan: returns the scan of a case.
        layers: return a mask or a map of a case on the grid of its scan. The page has colours and a key for each name,
            and draws them in this order.
    """

    source: Mapping[str, str]
    names: Sequence[str]
    first: str
    window_hu: tuple[float, float] | None
    entries: Callable[[], Sequence[Mapping[str, object]]]
    scan: Callable[[str], Answer]
    layers: Mapping[str, Callable[[str], Answer]]


def routes(shown: ShownCases) -> Routes:
    """Return the paths of the viewer and their answers.

    Raises:
        LiverError: NiiVue is not installed.
    """
    pages = {path: partial(whole, kind, _file(name)) for path, (name, kind) in _PAGE.items()}
    files_of_case = {"scan.nii": shown.scan} | {f"{name}.nii.gz": make for name, make in shown.layers.items()}
    volumes = {
        f"{_path(n)}{name}": partial(make, case)
        for n, case in enumerate(shown.names)
        for name, make in files_of_case.items()
    }
    return {**pages, "/cases.json": partial(_case_list, shown), **volumes}


def _case_list(shown: ShownCases) -> Answer:
    about = {
        **shown.source,
        "first": shown.names.index(shown.first),
        "window_hu": shown.window_hu,
        "layers": list(shown.layers),
        "cases": [{**entry, "path": _path(n)} for n, entry in enumerate(shown.entries())],
    }
    return whole("application/json", json.dumps(about).encode())


def _path(n: int) -> str:
    return f"/case/{n}/"


def _file(name: str) -> bytes:
    try:
        return (files(__package__ or "") / "page" / name).read_bytes()
    except FileNotFoundError:
        raise LiverError(
            f"the viewer needs NiiVue, but {name} is missing, which a build of the package downloads; install again "
            "with access to npm: pip install -e . in a checkout, or another wheel of lightning-liver"
        ) from None
