"""Places where out-of-fold predictions and labels disagree most, so that an expert looks at ten and not at all scans.

A run predicts its own test cases, which it neither trained on nor chose its weights by; the runs of a cross-validation
together predict every case. Several runs that tested a case predict it together.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from operator import add
from pathlib import Path

import blosc2
import numpy as np
import torch
from jaxtyping import Bool, UInt8
from scipy import ndimage
from tqdm import tqdm

from lightning_liver.audit.confident import Confidence, Labels, Probabilities, class_probabilities, confident_classes
from lightning_liver.audit.finding import Finding
from lightning_liver.audit.mask_picture import Mark, PixelBox, draw_mask
from lightning_liver.data.store import CaseRecord, Store
from lightning_liver.errors import LiverError
from lightning_liver.inference.fusion import fuse
from lightning_liver.inference.network import TrainedNetwork
from lightning_liver.inference.postprocess import PostProcess
from lightning_liver.inference.predict_volume import VolumeOptions, predict_volume
from lightning_liver.inference.thresholds import HALF
from lightning_liver.inference.tta import flips_for
from lightning_liver.metrics.components import ZYX, Box, Components, box_of, components, largest_slices
from lightning_liver.metrics.lesion_matching import overlaps
from lightning_liver.metrics.voxel_counts import SpacingMm, voxel_ml
from lightning_liver.run_folder import NAMES, RunFolder
from lightning_liver.runs.trained import read_run, tested_cases, tested_decision
from lightning_liver.volume import Volume

log = logging.getLogger(__name__)

BATCH = 8  # slices at once
MARGIN_MM = 20.0  # of background around liver, labelled or predicted, that is compared
SLAB_MM = 60.0  # of slices above and below the labelled liver that are predicted
CONFIDENT = 0.5  # fraction of a lesion whose label is doubted, from which on the lesion is
RIM_MM = 3.0  # by which the edges of liver may differ
REGION_ML = 2.0  # of liver, beyond the rim, that is doubted
TUMOUR_ML = 0.05  # of a tumour; less is not looked at
OUTLIER_Z = 3.5  # robust standard deviations, as Iglewicz and Hoaglin 1993
FEWEST_CASES = 6  # for outliers

KINDS: Mapping[str, str] = {  # and what the text calls them
    "unlabelled_tumour": "an unlabelled tumour",
    "doubted_tumour": "a labelled tumour",
    "unlabelled_liver": "unlabelled liver",
    "doubted_liver": "labelled liver",
    "doubted_case": "a case",
}


@dataclass(frozen=True)
class OutOfFold:
    """A run's network and the cases that it may judge."""

    run: Path
    network: TrainedNetwork
    cases: tuple[str, ...]
    flips: bool


@dataclass(frozen=True)
class Compared:
    """Labels and probabilities of a case around its liver.

    Args:
        packed: bytes of Probabilities, compressed: most are 0 or 255.
        box: on the store's grid.
    """

    record: CaseRecord
    box: Box
    labels: Labels
    packed: bytes

    def probabilities(self) -> Probabilities:
        found: np.ndarray = np.frombuffer(blosc2.decompress2(self.packed), np.uint8)
        return found.reshape(2, *self.labels.shape)


def cross_validation(folder: Path) -> list[Path]:
    """Return the run folders of `run=`: itself, or the complete runs in the folder of a sweep over data.fold.

    Raises:
        LiverError: there is none.
    """
    if RunFolder(folder).config.is_file():
        return [folder]
    inside = sorted(path.parent.parent for path in folder.glob(f"*/{NAMES.config}"))
    complete = [run for run in inside if RunFolder(run).metrics.is_file()]
    if not complete:
        raise LiverError(
            f"run={folder}: expected a run folder, or that of a finished cross-validation, as python train.py -m "
            "data.fold=0,1,2,3,4 makes"
        )
    if len(complete) < len(inside):
        log.warning(f"{folder}: {len(inside) - len(complete)} of {len(inside)} runs are not complete, and left out")
    return complete


def disagreements(
    store: Store, runs: Sequence[Path], *, trust: Sequence[str] = (), device: torch.device | None = None
) -> list[Finding]:
    """Predict the test cases of runs and return where the labels are doubted, in the order of KINDS, the worst first.

    Args:
        store: with these cases; its pixel spacing may be another than the runs'.
        runs: folders of one run, or of a cross-validation.
        trust: modules of other code from which a run may be built, see config.read_config.
        device: that predicts; None is an accelerator of CUDA, if there is one, else the processor.

    Raises:
        LiverError: a folder is no run, or no test case is in the store with a mask.
    """
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    judges = [_judge(store, run, trust) for run in runs]
    names = [name for name in store.labelled() if any(name in judge.cases for judge in judges)]
    if not names:
        raise LiverError(
            f"run={' '.join(map(str, runs))}: expected test cases with a mask in data.root; give the data set that it "
            "was trained on"
        )
    compared = [
        case
        for name in tqdm(names, desc="predict", unit="case", dynamic_ncols=True)
        if (case := _compare(store, name, [judge for judge in judges if name in judge.cases], device))
    ]
    return doubted(store, compared)


def doubted(store: Store, compared: Sequence[Compared]) -> list[Finding]:
    """Return where labels are doubted, by the thresholds of all cases together; see disagreements."""
    if not compared:
        return []
    confidence = reduce(add, (Confidence.of(case.probabilities(), case.labels) for case in compared))
    thresholds = confidence.thresholds()
    log.info(f"Mean probability of the label: {', '.join(f'{mean:.2f}' for mean in thresholds)} (0, 1, 2)")
    judged = [_judged(store, case, thresholds) for case in compared]
    findings = [finding for case in judged for finding in case.findings]
    findings += _doubted_cases(store, judged)
    order = list(KINDS)
    return sorted(findings, key=lambda each: (order.index(each.kind), -each.score))


def _judge(store: Store, run: Path, trust: Sequence[str]) -> OutOfFold:
    trained = read_run(run, trust=trust)
    fuse(trained.network)
    cases = tuple(name for name in tested_cases(run) if name in store.cases)
    return OutOfFold(run, trained, cases, tested_decision(run, trained).flips)


def _compare(store: Store, name: str, judges: Sequence[OutOfFold], device: torch.device) -> Compared | None:
    """Predict a case around its labelled liver; None where neither its mask nor the networks have any."""
    record = store.cases[name]
    slab = _slab(record)
    hu, labels = (np.stack([store.read(name, kind, z) for z in slab]) for kind in ("hu", "labels"))
    volume = Volume(hu, record.spacing_mm, np.array(record.affine))
    networks = [replace(judge.network, network=judge.network.network.to(device)) for judge in judges]
    found = predict_volume(volume, networks, _options(judges, device))
    box = box_of(labels, found.labels)
    if box is None:
        return None
    box = _wider(box, hu.shape, record.spacing_mm)
    probabilities = np.stack([each[box] for each in found.probabilities.values()])
    packed = blosc2.compress2(probabilities.tobytes(), typesize=1)
    z, y, x = box
    return Compared(record, (slice(z.start + slab.start, z.stop + slab.start), y, x), labels[box].copy(), packed)


def _options(judges: Sequence[OutOfFold], device: torch.device) -> VolumeOptions:
    masks = VolumeOptions.masks_alone(
        thresholds=HALF,
        post_process=PostProcess(),
        batch_size=BATCH,
        flips=flips_for(any(judge.flips for judge in judges)),
        autocast=None,
        device=device,
    )
    return replace(masks, probabilities=True)


def _slab(record: CaseRecord) -> range:
    """Return the slices around the labelled liver; all of them where none is labelled."""
    used, margin = np.flatnonzero(record.liver_pixels), round(SLAB_MM / record.spacing_mm[0])
    if not used.size:
        return range(record.shape[0])
    return range(max(int(used[0]) - margin, 0), min(int(used[-1]) + margin + 1, record.shape[0]))


def _wider(box: Box, shape: tuple[int, ...], spacing_mm: SpacingMm) -> Box:
    margins = [round(MARGIN_MM / mm) for mm in spacing_mm]
    z, y, x = (
        slice(max(side.start - margin, 0), min(side.stop + margin, n))
        for side, margin, n in zip(box, margins, shape, strict=True)
    )
    return z, y, x


@dataclass(frozen=True)
class _Judged:
    """Findings of a case, and the volume of labels that are doubted anywhere as a fraction of the liver's."""

    name: str
    findings: Sequence[Finding]
    fraction: float
    worst_z: int


def _judged(store: Store, case: Compared, thresholds: np.ndarray) -> _Judged:
    classes = class_probabilities(case.probabilities())
    sure, labels = confident_classes(classes, thresholds), case.labels
    predicted = classes.argmax(axis=0).astype(np.uint8)
    own = np.take_along_axis(classes, labels[None].astype(np.int64), axis=0)[0]
    wrong = (sure >= 0) & (sure != labels)
    margin = np.where(wrong, np.take_along_axis(classes, sure.clip(0)[None].astype(np.int64), axis=0)[0] - own, 0)
    scene = _Scene(store, case, labels, predicted, sure, margin)
    liver = max(int((labels > 0).sum()), int((predicted > 0).sum()), 1)
    worst = case.box[0].start + int(wrong.sum(axis=(1, 2)).argmax())
    findings = [*scene.unlabelled_tumours(), *scene.doubted_tumours(), *scene.liver_regions()]
    return _Judged(case.record.name, findings, float(margin.sum() / liver), worst)


@dataclass(frozen=True)
class _Scene:
    """Arrays of a case in its box.

    Args:
        sure: the confident class, -1 for none.
        margin: by how much it is more probable than the label, 0 where it is the label.
    """

    store: Store
    case: Compared
    labels: Labels
    predicted: Labels
    sure: np.ndarray
    margin: np.ndarray

    @property
    def ml(self) -> float:
        return float(voxel_ml(self.case.record.spacing_mm))

    def unlabelled_tumours(self) -> Iterator[Finding]:
        """Yield predicted tumours in labelled liver that meet no labelled one, most of whose voxels are confidently so.

        Outside of the labelled liver most are mistakes of the network, and liver without a label is told by itself.
        """
        mine, theirs = (components(each == 2, ZYX) for each in (self.predicted, self.labels))
        met = overlaps(mine, theirs, self.labels.shape).shared.sum(axis=1) > 0
        for n in np.flatnonzero(~np.asarray(met).ravel()).tolist():
            inside = tuple(mine.part(n + 1).T)
            in_liver = float((self.labels[inside] == 1).mean()) >= CONFIDENT
            if in_liver and self._is_doubted(inside, self.sure[inside] == 2):
                text = "the network sees a tumour that has no label"
                yield self._finding("unlabelled_tumour", text, mine, n, inside, lowest=2)

    def doubted_tumours(self) -> Iterator[Finding]:
        """Yield labelled tumours most of whose voxels are confidently something else."""
        theirs = components(self.labels == 2, ZYX)
        for n in range(len(theirs.voxels)):
            inside = tuple(theirs.part(n + 1).T)
            other = (self.sure[inside] == 0) | (self.sure[inside] == 1)
            if self._is_doubted(inside, other):
                what = "liver" if (self.sure[inside] == 1).sum() * 2 >= other.sum() else "neither liver nor tumour"
                text = f"the network sees {what} where a tumour is labelled"
                yield self._finding("doubted_tumour", text, theirs, n, inside, lowest=2)

    def liver_regions(self) -> Iterator[Finding]:
        """Yield regions beyond a rim that are labelled liver and confidently not, or the other way round."""
        for kind, text, region in (
            ("unlabelled_liver", "the network sees liver that has no label", (self.sure >= 1) & (self.labels == 0)),
            ("doubted_liver", "the network sees no liver where it is labelled", (self.sure == 0) & (self.labels > 0)),
        ):
            parts = components(self._without_rim(region), ZYX)
            for n in np.flatnonzero(parts.voxels * self.ml >= REGION_ML).tolist():
                yield self._finding(kind, text, parts, n, tuple(parts.part(n + 1).T), lowest=1)

    def _is_doubted(self, inside: tuple[np.ndarray, ...], sure: Bool[np.ndarray, " n"]) -> bool:
        return len(inside[0]) * self.ml >= TUMOUR_ML and float(sure.mean()) >= CONFIDENT

    def _without_rim(self, region: Bool[np.ndarray, "z y x"]) -> Bool[np.ndarray, "z y x"]:
        """Return what is left of a region after an opening by RIM_MM in plane."""
        steps = max(1, round(RIM_MM / self.case.record.spacing_mm[1]))
        cross = ndimage.generate_binary_structure(2, 1)[None]
        opened: np.ndarray = ndimage.binary_opening(region, cross, iterations=steps)
        return opened

    def _finding(
        self, kind: str, what: str, parts: Components, n: int, inside: tuple[np.ndarray, ...], *, lowest: int
    ) -> Finding:
        z = int(largest_slices(parts)[n])
        ml, sure = len(inside[0]) * self.ml, float(self.margin[inside].mean())
        y, x = (self.case.box[axis].start for axis in (1, 2))
        own = inside[0] == z
        frame = (
            int(inside[1][own].min()) + y,
            int(inside[2][own].min()) + x,
            int(inside[1][own].max()) + y + 1,
            int(inside[2][own].max()) + x + 1,
        )
        return _finding(
            self.store,
            self.case.record,
            kind,
            f"{what}: {ml:.1f} ml, more probable by {sure:.0%} on average",
            float(self.margin[inside].sum()) * self.ml,
            self.case.box[0].start + z,
            frame,
            self._plane(z, lowest),
        )

    def _plane(self, z: int, lowest: int) -> Bool[np.ndarray, "y x"]:
        """Return what is predicted in a slice of the box, on the store's grid."""
        whole = np.zeros(self.case.record.shape[1:], bool)
        whole[self.case.box[1:]] = self.predicted[z] >= lowest
        return whole


def _finding(
    store: Store,
    record: CaseRecord,
    kind: str,
    text: str,
    score: float,
    z: int,
    box: PixelBox | None,
    second: Bool[np.ndarray, "y x"] | None,
) -> Finding:
    draw: Callable[[], UInt8[np.ndarray, "y x rgb"]] = partial(
        draw_mask, store, record.name, z, Mark(box), second=second
    )
    return Finding(kind, "look", (record.name,), text, score, z=z, draw=draw)


def _doubted_cases(store: Store, judged: Sequence[_Judged]) -> Iterator[Finding]:
    """Yield cases whose labels are doubted far more than those of the others."""
    if len(judged) < FEWEST_CASES:
        return
    values = np.array([case.fraction for case in judged])
    middle = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - middle)))
    for case, value in zip(judged, values.tolist(), strict=True):
        if value > middle + OUTLIER_Z * max(spread, 0.1 * middle, 1e-3):
            text = f"doubted labels are {value:.1%} of its liver, {middle:.1%} in the median case"
            yield _finding(store, store.cases[case.name], "doubted_case", text, value, case.worst_z, None, None)
