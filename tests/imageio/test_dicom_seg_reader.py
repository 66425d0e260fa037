"""DICOM segmentations written by highdicom, on the scan of a small CT series."""

import itertools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import RLELossless, generate_uid

from lightning_liver.errors import LiverError
from lightning_liver.imageio.corrected_mask import read_corrected_mask
from lightning_liver.imageio.dicom import read_series
from lightning_liver.imageio.dicom_seg_reader import read_dicom_seg
from lightning_liver.volume import Volume, from_canonical
from tests.imageio.dicom_files import AXIAL, SHAPE, STEP_MM, rotated
from tests.imageio.test_dicom_seg import SAGITTAL, series
from tests.optional import needs

needs("highdicom")
import highdicom  # noqa: E402
from highdicom.seg import Segmentation, SegmentDescription  # noqa: E402

from lightning_liver.imageio.dicom_seg import write_segmentation  # noqa: E402

TISSUE = codes.SCT.Tissue
NAMED = (("liver", TISSUE), ("Liver tumor", TISSUE))


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Callable[[tuple[float, ...]], tuple[Path, Volume]]:
    """Return the folder and the volume of a series with an orientation."""
    made: dict[tuple[float, ...], tuple[Path, Volume]] = {}

    def scan(along: tuple[float, ...] = AXIAL) -> tuple[Path, Volume]:
        if along not in made:
            folder = series(tmp_path_factory.mktemp("scan") / "series", along)
            made[along] = folder, read_series(folder)
        return made[along]

    return scan


def stored_labels(seed: int = 0) -> np.ndarray:
    """Return labels (k, j, i) of the series, with empty slices at both ends and in between."""
    labels = np.random.default_rng(seed).integers(0, 3, SHAPE).astype(np.uint8)
    labels[[0, 2, -1]] = 0
    return labels


def as_canonical(labels: np.ndarray, volume: Volume) -> np.ndarray:
    """Return labels (k, j, i) in the volume's order, found by the numbers of its voxels."""
    places = np.arange(labels.size).reshape(volume.hu.shape)
    found = np.empty(volume.hu.shape, np.uint8)
    found[np.unravel_index(from_canonical(places, volume.affine).ravel(), found.shape)] = labels.ravel()
    return found


def written(
    path: Path,
    folder: Path,
    pixels: Any,
    *,
    kind: str = "BINARY",
    segments: Sequence[tuple[str, Any]] = NAMED,
    **options: Any,
) -> Path:
    sources = [pydicom.dcmread(file) for file in folder.iterdir()]
    for source in sources:
        for name in ("StudyID", "AccessionNumber", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"):
            setattr(source, name, "")
        source.ReferringPhysicianName, source.SliceThickness = "", STEP_MM
    described = [
        SegmentDescription(number, label, codes.SCT.Organ, code, highdicom.seg.SegmentAlgorithmTypeValues.MANUAL)
        for number, (label, code) in enumerate(segments, start=1)
    ]
    uids = generate_uid(), 1, generate_uid(), 1
    Segmentation(sources, pixels, kind, described, *uids, "m", "m", "1", "1", **options).save_as(path)
    return path


def as_volume(volume: Volume, labels: np.ndarray) -> Any:
    affine = np.diag((-1.0, -1.0, 1.0, 1.0)) @ volume.affine[:, [2, 1, 0, 3]]
    uid = "1.2.4"
    return highdicom.Volume(labels, affine, "PATIENT", frame_of_reference_uid=uid)


Scans = Callable[..., tuple[Path, Volume]]


@pytest.mark.parametrize("along", [AXIAL, SAGITTAL, rotated(0.1, -0.2, 0.3)], ids=["axial", "sagittal", "oblique"])
@pytest.mark.parametrize("empty", [False, True])
def test_what_liver_predict_writes_is_read(tmp_path: Path, scans: Scans, along: tuple[float, ...], empty: bool) -> None:
    folder, volume = scans(along)
    labels = stored_labels() * (not empty)
    expected = as_canonical(labels, volume)
    write_segmentation(tmp_path / "m.dcm", expected, volume.affine, folder)
    found = read_corrected_mask(tmp_path / "m.dcm", volume)
    assert (found.dtype, found.flags.c_contiguous) == (np.uint8, True)
    np.testing.assert_array_equal(found, expected)


TURNS = [(order, flips) for order in ((0, 1, 2), (0, 2, 1)) for flips in itertools.product((1, -1), repeat=3)]


@pytest.mark.parametrize(("order", "flips"), TURNS[::3])
def test_a_turned_and_cropped_segmentation_is_read(
    tmp_path: Path, scans: Scans, order: tuple[int, ...], flips: tuple[int, ...]
) -> None:
    folder, volume = scans()
    labels = stored_labels(1)
    labels[:, :2], labels[..., -3:] = 0, 0
    box = as_volume(volume, labels)[1:4, 2:, :-3].permute_spatial_axes(order)
    for axis in np.flatnonzero(np.array(flips) < 0):
        box = box.flip_spatial(int(axis))
    written(tmp_path / "m.dcm", folder, box)
    np.testing.assert_array_equal(read_dicom_seg(tmp_path / "m.dcm", volume), as_canonical(labels, volume))


@pytest.mark.parametrize(
    ("kind", "syntax"),
    [
        ("BINARY", None),
        ("FRACTIONAL", None),
        ("LABELMAP", None),
        ("FRACTIONAL", RLELossless),
        ("LABELMAP", RLELossless),
    ],
)
def test_each_type_of_segmentation_is_read(tmp_path: Path, scans: Scans, kind: str, syntax: str | None) -> None:
    folder, volume = scans()
    labels = stored_labels(2)
    options = {"transfer_syntax_uid": syntax} if syntax else {}
    written(tmp_path / "m.dcm", folder, as_volume(volume, labels), kind=kind, **options)
    np.testing.assert_array_equal(read_dicom_seg(tmp_path / "m.dcm", volume), as_canonical(labels, volume))


def test_half_a_voxel_is_inside_and_tumour_lies_over_liver(tmp_path: Path, scans: Scans) -> None:
    folder, volume = scans()
    fractions = np.random.default_rng(3).choice([0, 0.2, 0.49, 0.5, 0.51, 1], (*SHAPE, 2))
    box = highdicom.Volume(
        fractions,
        as_volume(volume, stored_labels()).affine,
        "PATIENT",
        frame_of_reference_uid="1.2.4",
        channels={"SegmentNumber": [1, 2]},
    )
    written(tmp_path / "m.dcm", folder, box, kind="FRACTIONAL", max_fractional_value=100)
    expected = np.where(fractions[..., 1] >= 0.5, 2, fractions[..., 0] >= 0.5).astype(np.uint8)
    np.testing.assert_array_equal(read_dicom_seg(tmp_path / "m.dcm", volume), as_canonical(expected, volume))


@pytest.mark.parametrize(
    "segments",
    [
        (("Segment_1", codes.SCT.Neoplasm), ("Segment_2", codes.SCT.Liver)),
        (("Segment_2", TISSUE), ("Segment_1", TISSUE)),
        (("HCC", codes.SCT.Lesion), ("a", codes.SCT.Liver)),
    ],
    ids=["codes", "numbers", "both"],
)
def test_segments_go_by_codes_else_by_names(
    tmp_path: Path, scans: Scans, segments: tuple[tuple[str, Any], ...]
) -> None:
    folder, volume = scans()
    labels = stored_labels(4)
    written(tmp_path / "m.dcm", folder, as_volume(volume, np.array([0, 2, 1], np.uint8)[labels]), segments=segments)
    np.testing.assert_array_equal(read_dicom_seg(tmp_path / "m.dcm", volume), as_canonical(labels, volume))


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_another_segment_is_refused_by_name_unless_it_is_empty(tmp_path: Path, scans: Scans, kind: str) -> None:
    folder, volume = scans()
    labels = stored_labels(5)
    segments = (*NAMED, ("Left kidney", codes.SCT.Kidney))
    path = written(tmp_path / "m.dcm", folder, as_volume(volume, labels), kind=kind, segments=segments)
    np.testing.assert_array_equal(read_dicom_seg(path, volume), as_canonical(labels, volume))
    labels[1, 2, 3] = 3
    written(path, folder, as_volume(volume, labels), kind=kind, segments=segments)
    with pytest.raises(LiverError, match=r"m\.dcm: segment 'Left kidney' .* rename it to liver or tumour"):
        read_dicom_seg(path, volume)


@pytest.mark.parametrize("chosen", [[1, 3], [1]])
def test_frames_on_some_slices_lie_on_these(tmp_path: Path, scans: Scans, chosen: list[int]) -> None:
    folder, volume = scans()
    labels = np.zeros(SHAPE, np.uint8)
    labels[chosen, 2:5, 3:6] = 1
    write_segmentation(tmp_path / "m.dcm", as_canonical(labels, volume), volume.affine, folder)
    np.testing.assert_array_equal(read_dicom_seg(tmp_path / "m.dcm", volume), as_canonical(labels, volume))


def shared(image: Dataset, sequence: str) -> Dataset:
    return image.SharedFunctionalGroupsSequence[0][sequence].value[0]


def shift(image: Dataset, z_mm: float, x_mm: float = 0.0, first: int = 0) -> None:
    for frame in image.PerFrameFunctionalGroupsSequence[first:]:
        x, y, z = frame.PlanePositionSequence[0].ImagePositionPatient
        frame.PlanePositionSequence[0].ImagePositionPatient = [x + x_mm, y, z + z_mm]


def stretch(image: Dataset, factor: float) -> None:
    for frame in image.PerFrameFunctionalGroupsSequence:
        x, y, z = frame.PlanePositionSequence[0].ImagePositionPatient
        frame.PlanePositionSequence[0].ImagePositionPatient = [x, y, z * factor]
    shared(image, "PixelMeasuresSequence").SpacingBetweenSlices = STEP_MM * factor


def put(image: Dataset, sequence: str, **values: Any) -> None:
    for name, value in values.items():
        setattr(shared(image, sequence), name, value)


EDITS: dict[str, tuple[Callable[[Dataset], object], str]] = {
    "spacing": (
        lambda image: put(image, "PixelMeasuresSequence", PixelSpacing=[1.5, 0.625]),
        r"the mask's spacing is 0.625 x 1.5 x 2.5 mm, its scan's 0.625 x 0.75 x 2.5 mm \(i, j, k\)",
    ),
    "thick": (lambda image: stretch(image, 2), "the mask's spacing is 0.625 x 0.75 x 5 mm"),
    "thin": (lambda image: stretch(image, 0.5), "the mask's spacing is 0.625 x 0.75 x 1.25 mm"),
    "shift": (lambda image: shift(image, 1.0), r"the mask lies 0 x 0 x 1 mm \(i, j, k\) off the nearest voxels"),
    "outside": (lambda image: shift(image, 50.0), "labelled voxels lie outside the scan, by up to "),
    "far": (lambda image: shift(image, 1e7, first=3), "the mask has 9 x 7 x 40000.. voxels"),
    "rotation": (
        lambda image: put(image, "PlaneOrientationSequence", ImageOrientationPatient=list(rotated(0, 0, 0.3))),
        "the mask's axes are rotated",
    ),
    "uneven": (lambda image: shift(image, 0.0, 3.0, first=3), "its slices lie 3 mm off a grid with steps of 2.5 mm"),
    "no unit": (
        lambda image: put(image, "PlaneOrientationSequence", ImageOrientationPatient=[1, 1, 0, 0, 1, 0]),
        "no pair of unit vectors",
    ),
    "rows": (lambda image: setattr(image, "Rows", 60000), "the mask has 9 x 60000 x 1 voxels"),
    "frames": (lambda image: setattr(image, "NumberOfFrames", 10**8), "100000000 frames, at most"),
    "one more": (lambda image: setattr(image, "NumberOfFrames", 99), "99 frames, but positions for "),
    "no pixels": (lambda image: delattr(image, "PixelData"), "damaged"),
    "short": (lambda image: setattr(image, "PixelData", image.PixelData[:10]), "damaged"),
    "no place": (
        lambda image: delattr(image.PerFrameFunctionalGroupsSequence[1], "PlanePositionSequence"),
        "frame 2 has no PlanePositionSequence",
    ),
    "no segment": (lambda image: setattr(image, "SegmentSequence", []), "segment 1 is not described"),
    "contradiction": (
        lambda image: setattr(image.SegmentSequence[0], "SegmentLabel", "tumour"),
        "segment 'tumour' is liver by its code and tumour by its name",
    ),
    "a report": (
        lambda image: setattr(image, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.88.33"),
        "a DICOM file of another kind .Comprehensive SR Storage, SEG.; give a DICOM segmentation",
    ),
}


@pytest.fixture(scope="module")
def whole(scans: Scans, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, volume = scans()
    path = tmp_path_factory.mktemp("whole") / "m.dcm"
    write_segmentation(path, as_canonical(np.maximum(stored_labels(), 1), volume), volume.affine, folder)
    return path


@pytest.mark.parametrize("edit", EDITS)
def test_what_is_no_mask_of_the_scan_is_refused(tmp_path: Path, scans: Scans, whole: Path, edit: str) -> None:
    image = pydicom.dcmread(whole)
    change, match = EDITS[edit]
    change(image)
    image.save_as(tmp_path / "edited.dcm")
    with pytest.raises(LiverError, match=match) as caught:
        read_dicom_seg(tmp_path / "edited.dcm", scans()[1])
    assert str(tmp_path / "edited.dcm") in str(caught.value)


def test_a_segmentation_of_no_frames_is_empty(tmp_path: Path, scans: Scans, whole: Path) -> None:
    image = pydicom.dcmread(whole)
    for name in ("PixelData", "PerFrameFunctionalGroupsSequence", "SegmentSequence"):
        delattr(image, name)
    image.NumberOfFrames = 0
    image.save_as(tmp_path / "m.dcm")
    assert not read_dicom_seg(tmp_path / "m.dcm", scans()[1]).any()


@pytest.mark.parametrize("fraction", [0.02, 0.3, 0.7, 0.99])
def test_a_cut_file_is_refused(tmp_path: Path, scans: Scans, whole: Path, fraction: float) -> None:
    content = whole.read_bytes()
    (tmp_path / "m.dcm").write_bytes(content[: int(len(content) * fraction)])
    with pytest.raises(LiverError, match=r"m\.dcm: "):
        read_dicom_seg(tmp_path / "m.dcm", scans()[1])


def test_reading_is_quiet(
    tmp_path: Path, scans: Scans, whole: Path, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    image = pydicom.dcmread(whole)
    with pydicom.config.disable_value_validation():
        image.PatientID = "A" * 70
        image.save_as(tmp_path / "m.dcm")
    recwarn.clear()
    with caplog.at_level(logging.INFO):
        caplog.clear()
        read_dicom_seg(tmp_path / "m.dcm", scans()[1])
    assert not caplog.records
    assert not recwarn.list
