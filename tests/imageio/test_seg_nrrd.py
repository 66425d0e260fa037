"""Label maps in NRRD and segmentations of 3D Slicer, with nibabel's reading of the same voxels as an oracle."""

import gzip
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_liver.errors import LiverError
from lightning_liver.imageio.seg_nrrd import read_seg_nrrd
from lightning_liver.volume import Volume
from tests.imageio.nifti_files import AFFINES, LPS, ORIENTATIONS, SHAPE, labels_of
from tests.imageio.nrrd_files import BOTH, SPACES, Seg, canonical, cropped, scan_at, write_nrrd

# As 3D Slicer wrote one: y towards the front, and no value before the first voxel
SAVED = """NRRD0004
# Complete NRRD file format specification at:
# http://teem.sourceforge.net/nrrd/format.html
type: unsigned char
dimension: 3
space: left-posterior-superior
sizes: 2 2 1
space directions: (0.7,0,0) (0,-0.8,0) (0,0,2.5)
kinds: domain domain domain
encoding: gzip
space origin: (1.4,4,5)
Segment0_Color:=0.517647 0.87451 0.392157
Segment0_Extent:=0 1 0 1 0 0
Segment0_ID:=Segment_1
Segment0_LabelValue:=1
Segment0_Layer:=0
Segment0_Name:=Liver
Segment0_Tags:=TerminologyEntry:Segmentation category and type~SCT^85756007^Tissue~^^~^^|
Segment1_LabelValue:=2
Segment1_Layer:=0
Segment1_Name:=Liver tumor
Segmentation_ContainedRepresentationNames:=Binary labelmap|

"""
EDIT = {
    "own order": lambda labels: (labels, BOTH),
    "other values": lambda labels: (np.array([0, 7, 3], np.int16)[labels], (Seg("Tumor", 3), Seg("Liver", 7))),
    "real numbers": lambda labels: (labels.astype(np.float64) * 1.001, BOTH),
    "by number": lambda labels: (labels, (Seg("Segment_1", 1), Seg("Segment_2", 2))),
    "plain": lambda labels: (labels.astype(np.uint16), ()),
    "layers": lambda labels: (np.stack([labels > 0, labels > 1]).astype(np.uint8), (Seg("liver"), Seg("HCC", 1, 1))),
    "tumour first": lambda labels: (
        np.stack([labels > 1, labels > 0]) * np.uint8(1),
        (Seg("lesion"), Seg("Liver", 1, 1)),
    ),
    "two tumours": lambda labels: (
        np.stack([labels > 0, (labels > 1) * 5, labels > 1]).astype(np.int32),
        (Seg("tumor 2", 1, 2), Seg("tumor 1", 5, 1), Seg("liver", 1, 0), Seg("spleen", 4, 1)),
    ),
}


@settings(max_examples=settings.default.max_examples // 2)
@given(
    scan=st.sampled_from(AFFINES),
    orientation=st.sampled_from(ORIENTATIONS),
    edit=st.sampled_from(sorted(EDIT)),
    space=st.sampled_from(sorted(SPACES)),
    encoding=st.sampled_from(["gzip", "raw", "bzip2"]),
    density=st.sampled_from([0.0, 0.02, 0.3]),
    seed=st.integers(0, 2**32),
)
def test_a_turned_and_cropped_mask_is_read_as_nibabel_places_it(
    tmp_path_factory: pytest.TempPathFactory,
    scan: np.ndarray,
    orientation: tuple[tuple[int, ...], tuple[int, ...]],
    edit: str,
    space: str,
    encoding: str,
    density: float,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    labels = (rng.integers(1, 3, SHAPE) * (rng.random(SHAPE) < density)).astype(np.uint8)
    image = nib.Nifti1Image(labels, scan)
    box = cropped(image.as_reoriented(np.array(orientation).T))
    voxels, segments = EDIT[edit](np.asarray(box.dataobj))
    path = tmp_path_factory.getbasetemp() / "mask.seg.nrrd"
    write_nrrd(path, voxels, box.affine, segments, space=space, encoding=encoding)
    found = read_seg_nrrd(path, scan_at(scan, SHAPE))
    assert (found.dtype, found.flags.c_contiguous) == (np.uint8, True)
    np.testing.assert_array_equal(found, canonical(image))


@pytest.fixture
def scan() -> Volume:
    return scan_at(LPS, SHAPE)


def written(folder: Path, segments: tuple[Seg, ...] = BOTH, labels: np.ndarray | None = None, **options) -> Path:
    return write_nrrd(folder / "m.seg.nrrd", labels_of() if labels is None else labels, LPS, segments, **options)


def replaced(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    return path


def refused(path: Path, match: str, scan: Volume) -> None:
    with pytest.raises(LiverError, match=match) as caught:
        read_seg_nrrd(path, scan)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_file_of_slicer_is_read(tmp_path: Path, newline: str) -> None:
    path = tmp_path / "m.seg.nrrd"
    path.write_bytes(SAVED.replace("\n", newline).encode() + gzip.compress(bytes([1, 2, 0, 1])))
    affine = np.diag([-0.7, -0.8, 2.5, 1.0])
    expected = np.zeros((7, 6, 5), np.uint8)
    expected[2, 5, 2:4], expected[2, 4, 3] = (1, 2), 1
    np.testing.assert_array_equal(read_seg_nrrd(path, scan_at(affine, SHAPE)), expected)


def test_before_4_11_each_segment_had_a_layer_and_no_value(tmp_path: Path, scan: Volume) -> None:
    labels = labels_of()
    left_out = {f"Segment{number}_{name}": None for number in (0, 1) for name in ("LabelValue", "Layer")}
    path = written(tmp_path, BOTH, np.stack([labels > 0, labels > 1]).astype(np.uint8), fields=left_out)
    np.testing.assert_array_equal(read_seg_nrrd(path, scan), canonical(nib.Nifti1Image(labels, LPS)))


@pytest.mark.parametrize("segments", [(), (Seg("liver"), Seg("tumour", 2))])
def test_a_single_empty_voxel_is_an_empty_mask_wherever_it_lies(
    tmp_path: Path, scan: Volume, segments: tuple[Seg, ...]
) -> None:
    path = write_nrrd(tmp_path / "m.seg.nrrd", np.zeros((1, 1, 1), np.uint8), np.eye(4), segments)
    found = read_seg_nrrd(path, scan)
    assert (found.shape, found.any()) == (scan.hu.shape, False)


def test_a_segment_of_another_name_is_refused_by_it_unless_it_is_empty(tmp_path: Path, scan: Volume) -> None:
    segments = (*BOTH, Seg("Left kidney", 3))
    read_seg_nrrd(written(tmp_path, segments), scan)
    labels = labels_of()
    labels[0, 0, 0] = 3
    refused(
        written(tmp_path, segments, labels), "segment 'Left kidney' .* rename it to liver or tumour, or remove", scan
    )


def test_voxels_of_no_segment_are_refused(tmp_path: Path, scan: Volume) -> None:
    refused(written(tmp_path, (Seg("liver"),)), "layer 0 has the value 2, which is no segment's", scan)


@pytest.mark.parametrize(
    ("value", "dtype", "match"),
    [
        (3, np.uint8, "labels are 0 background, 1 liver, 2 tumour, but the mask also has 3; map them"),
        (-1, np.int16, "the mask also has -1"),
        (0.5, np.float32, "the mask also has 0.5; resample the mask by nearest neighbour"),
        (np.nan, np.float64, "the mask also has nan"),
    ],
)
def test_other_labels_of_a_plain_map_are_named(
    tmp_path: Path, scan: Volume, value: float, dtype: type, match: str
) -> None:
    labels = labels_of().astype(dtype)
    labels[1, 2, 3] = value
    refused(written(tmp_path, (), labels), match, scan)


def test_geometry_is_checked(tmp_path: Path, scan: Volume) -> None:
    path = write_nrrd(tmp_path / "m.nrrd", labels_of(), LPS @ np.diag([1, 1, 2, 1]))
    refused(path, "the mask's spacing is 0.7 x 0.8 x 5 mm", scan)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"space": None, "space dimension": 3}, r"its header says no place \(space missing\); export it with the scan"),
        ({"space": None, "space directions": None, "space origin": None}, "its header says no place"),
        ({"space origin": None}, "no space directions or space origin"),
        ({"Segment1_Layer": "1"}, "segment 'tumour' is in layer 1 of 1"),
        ({"Segment1_LabelValue": "1"}, "segment 'tumour' has the voxels of another one"),
        ({"Segment1_LabelValue": "two"}, "damaged .*two.*save it again"),
        ({"encoding": "ascii"}, "its voxels are in the encoding ascii"),
    ],
)
def test_a_header_that_says_too_little_is_refused(
    tmp_path: Path, scan: Volume, fields: dict[str, object], match: str
) -> None:
    refused(written(tmp_path, **({"encoding": "ascii"} if "encoding" in fields else {"fields": fields})), match, scan)


@pytest.mark.parametrize("field", ["data file: /etc/hostname", "datafile: LIST", "Data File: x.raw", "byte skip: -1"])
def test_voxels_in_another_file_are_not_followed(tmp_path: Path, scan: Volume, field: str) -> None:
    path = replaced(written(tmp_path), b"encoding:", field.encode() + b"\nencoding:")
    refused(path, "its voxels are elsewhere .* save it again, as one", scan)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (b"sizes: 5 6 7", b"sizes: 5 6 100000000", "the mask has 5 x 6 x 100000000 voxels, its scan 5 x 6 x 7"),
        (b"sizes: 5 6 7", b"sizes: 100000000 100000000 100000000", "the mask has 100000000 x"),
        (b"sizes: 5 6 7", b"sizes: 5 6 1e400", "a mask without voxels|the mask has"),
        (b"sizes: 5 6 7", b"sizes: 5 6 0", "a mask without voxels"),
        (b"sizes: 5 6 7", b"sizes: 5 6 8", "fewer voxels than its header promises"),
        (b"sizes: 5 6 7", b"sizes: 5 6 6", "more voxels than its header promises"),
        (b"sizes: 5 6 7", b"sizes: 5 42", "2-D .5 x 42., 3-D is needed"),
        (b"dimension: 3", b"dimension: 4", "damaged|-D"),
        (b"type: uint8", b"type: block", "numbers are needed|damaged"),
        (b"type: uint8", b"type: short", "damaged .*endian"),
        (b"type: uint8", b"content: x", "damaged .*type"),
        (b"encoding: gzip", b"encoding: zip", "its voxels are in the encoding zip"),
        (b"encoding: gzip", b"encoding: bzip2", "damaged|cannot be read"),
        (b"space origin: (", b"space origin: ", "damaged"),
        (b"NRRD0005", b"NRRD0009", "damaged .*version"),
        (b"NRRD0005", b"MRRD0005", "not an NRRD file"),
    ],
)
def test_a_damaged_header_is_refused(tmp_path: Path, scan: Volume, old: bytes, new: bytes, match: str) -> None:
    refused(replaced(written(tmp_path), old, new), match, scan)


def test_layers_are_the_first_axis_and_not_too_many(tmp_path: Path, scan: Volume) -> None:
    last = {"space directions": np.vstack([LPS[:3, :3], np.full(3, np.nan)]), "kinds": ["domain"] * 3 + ["list"]}
    refused(
        written(tmp_path, labels=np.ones((5, 6, 7, 2), np.uint8), fields=last), "layers as the first of 4 axes", scan
    )
    refused(written(tmp_path, labels=np.ones((65, 5, 6, 7), np.uint8)), "65 layers, 1 to 64 are read", scan)
    refused(written(tmp_path, (), np.ones((2, 5, 6, 7), np.uint8)), "2 layers without segments", scan)


def test_cut_and_changed_bytes_are_refused(tmp_path: Path, scan: Volume) -> None:
    path = written(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    refused(path, "damaged|cannot be read", scan)
    path.write_bytes(whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:])  # the checksum
    refused(path, "damaged|cannot be read", scan)
    path.write_bytes(whole[:100])
    refused(path, "its header does not end", scan)
    path.write_bytes(b"NRRD0005\n" + b"x" * (2 << 20))
    refused(path, "its header does not end within 1048576 bytes", scan)
    path.write_bytes(b"")
    refused(path, "not an NRRD file", scan)
    refused(tmp_path / "none.nrrd", "cannot be read", scan)
    refused(tmp_path, "cannot be read", scan)


def test_voxels_that_unpack_without_end_take_no_memory(tmp_path: Path, scan: Volume) -> None:
    path = written(tmp_path)
    header = path.read_bytes().partition(b"\n\n")[0]
    path.write_bytes(header + b"\n\n" + gzip.compress(bytes(50_000_000), 1))
    tracemalloc.start()
    try:
        refused(path, "more voxels than its header promises", scan)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
