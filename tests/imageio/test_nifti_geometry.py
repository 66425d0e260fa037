import itertools
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from lightning_liver.errors import LiverError, LiverWarning
from lightning_liver.imageio import nifti_geometry as geometry
from lightning_liver.imageio.nifti import read_header, read_labels, read_volume, write_labels
from tests.imageio.nifti_files import (
    LPS,
    ORIENTATIONS,
    SPACING_MM,
    UNIT,
    affine_of,
    canonical_labels,
    labels_of,
    numbers,
    oblique,
    oracle,
    refused,
    save,
    volume_at,
)


@pytest.mark.parametrize("spacing", [(0.7, 0, 2.5), (0.7, -0.8, 2.5), (0.7, np.nan, 2.5), (0.7, np.inf, 2.5)])
def test_invalid_spacing_is_refused(tmp_path, spacing):
    refused(save(tmp_path / "v.nii", numbers(), pixdim=spacing, sform_code=0), "spacing")
    refused(save(tmp_path / "v.nii", numbers(), UNIT, pixdim=spacing), "spacing")


@pytest.mark.parametrize("spacing", [(0.7, np.nan, 2.5), (0.7, np.inf, 2.5)])
def test_spacing_that_is_not_finite_is_refused_beside_a_good_sform(tmp_path, spacing):
    refused(save(tmp_path / "v.nii", numbers(), pixdim=spacing), "spacing")


@pytest.mark.parametrize("spacing", [(0.7, 0, 2.5), (0.7, -0.8, 2.5), (0, 0, 0)])
def test_zero_or_negative_pixdim_beside_a_good_sform_is_a_warning(tmp_path, spacing):
    with pytest.warns(LiverWarning, match="pixdim is zero or negative; the sform's is used"):
        volume = read_volume(save(tmp_path / "v.nii", numbers(), pixdim=spacing))
    np.testing.assert_allclose(volume.affine, LPS, atol=1e-6)
    assert volume.spacing_mm == pytest.approx(SPACING_MM[::-1])
    np.testing.assert_array_equal(volume.hu, oracle(save(tmp_path / "o.nii", numbers())))


@pytest.mark.parametrize("row", [[0, 0, 0, 5], [-0.7, 0, 0, 5], [np.nan, 0, 2.5, 0], [0, 0, 2.5, np.inf]])
def test_affine_that_is_singular_or_not_finite_is_refused(tmp_path, row):
    refused(save(tmp_path / "v.nii", numbers(), srow_z=row), "singular or not finite")


def test_qform_without_a_rotation_is_refused(tmp_path):
    refused(save(tmp_path / "v.nii", numbers(), sform_code=0, qform_code=1, quatern_b=3), "qform gives no rotation")


def test_qform_is_used_without_a_sform(tmp_path):
    path = save(tmp_path / "v.nii", numbers(), oblique(0.3, 0.2, 0.1), sform_code=0, srow_x=0)
    np.testing.assert_allclose(read_volume(path).affine, oblique(0.3, 0.2, 0.1), atol=1e-5)


def test_qfac_of_zero_means_one(tmp_path):
    path = save(tmp_path / "v.nii", numbers(), np.diag([*SPACING_MM, 1]), sform_code=0)
    block = bytearray(path.read_bytes())
    block[76:80] = bytes(4)
    path.write_bytes(block)
    np.testing.assert_allclose(read_volume(path).affine, nib.load(path).affine)


def test_pixdim_is_used_without_sform_and_qform(tmp_path):
    path = save(tmp_path / "v.nii", numbers(), sform_code=0, qform_code=0, pixdim=SPACING_MM)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.affine, nib.load(path).affine)
    assert volume.spacing_mm == pytest.approx(SPACING_MM[::-1])


def test_identity_affine_with_good_pixdim_takes_pixdim_with_one_warning(tmp_path):
    path = save(tmp_path / "volume-1.nii", numbers(), UNIT, pixdim=SPACING_MM)
    with pytest.warns(LiverWarning, match=f"volume-1.nii: {geometry.PIXDIM_TRUSTED}$") as seen:
        volume = read_volume(path)
    assert len(seen) == 1
    np.testing.assert_allclose(volume.affine, np.diag([*SPACING_MM, 1]), rtol=1e-6)
    assert volume.spacing_mm == pytest.approx(SPACING_MM[::-1])


def test_mirrored_identity_with_good_pixdim_keeps_its_directions(tmp_path):
    with pytest.warns(LiverWarning, match=geometry.PIXDIM_TRUSTED):
        volume = volume_at(tmp_path, np.diag([-1, -1, 1, 1]), pixdim=SPACING_MM)
    np.testing.assert_allclose(volume.affine, np.diag([-0.7, -0.8, 2.5, 1]), rtol=1e-6)


def test_isotropic_millimetre_volume_gives_no_warning(tmp_path):
    assert volume_at(tmp_path, UNIT).spacing_mm == (1, 1, 1)


@pytest.mark.parametrize(("factor", "warned"), [(1.009, False), (1.02, True)])
def test_affine_wins_over_another_pixdim_with_a_warning_beyond_one_percent(tmp_path, factor, warned):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        volume = volume_at(tmp_path, LPS, pixdim=np.multiply(SPACING_MM, [1, factor, 1]))
    assert [geometry.PIXDIM_DISAGREES in str(w.message) for w in seen] == [True] * warned
    assert volume.spacing_mm == pytest.approx(SPACING_MM[::-1])


def test_reading_a_header_gives_no_warning(tmp_path):
    path = save(tmp_path / "v.nii", numbers(), UNIT, pixdim=SPACING_MM)
    assert read_header(path).spacing_mm == pytest.approx(SPACING_MM[::-1])


@pytest.mark.parametrize("affine", [LPS, affine_of((2, 0, 1), (-1, 1, -1))])
def test_mask_of_another_spacing_is_refused_with_both(tmp_path, affine):
    other = affine @ np.diag([1, 1, 2.53 / 2.5, 1])
    with pytest.raises(LiverError, match=r"spacing is 0\.7 x 0\.8 x 2\.53 mm, its volume's 0\.7 x 0\.8 x 2\.5 mm"):
        read_labels(save(tmp_path / "s.nii", labels_of(), other), volume_at(tmp_path, affine))


def test_mask_spacing_off_by_a_hundredth_is_accepted(tmp_path):
    mask = save(tmp_path / "s.nii", labels_of(), LPS @ np.diag([1, 1, 2.509 / 2.5, 1]))
    np.testing.assert_array_equal(read_labels(mask, volume_at(tmp_path)), canonical_labels(LPS, tmp_path))


@pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=3)))
def test_mask_with_an_uninformative_header_takes_the_volumes_with_one_warning(tmp_path, signs):
    volume = volume_at(tmp_path)
    mask = save(tmp_path / "s.nii", labels_of(), np.diag([*signs, 1]))
    with pytest.warns(LiverWarning, match=f"s.nii: {geometry.MASK_SAYS_NOTHING}$") as seen:
        labels = read_labels(mask, volume)
    assert len(seen) == 1
    np.testing.assert_array_equal(labels, canonical_labels(LPS, tmp_path))


def test_mask_with_an_unusable_header_takes_the_volumes_with_a_warning(tmp_path):
    mask = save(tmp_path / "s.nii", labels_of(), pixdim=0, sform_code=0)
    with pytest.warns(LiverWarning, match=geometry.MASK_SAYS_NOTHING):
        labels = read_labels(mask, volume_at(tmp_path))
    np.testing.assert_array_equal(labels, canonical_labels(LPS, tmp_path))


def test_mask_of_an_isotropic_millimetre_volume_gives_no_warning(tmp_path):
    mask = save(tmp_path / "s.nii", labels_of(), UNIT)
    np.testing.assert_array_equal(read_labels(mask, volume_at(tmp_path, UNIT)), canonical_labels(UNIT, tmp_path))


def test_mask_and_volume_with_the_same_identity_and_pixdim_need_one_warning(tmp_path):
    with pytest.warns(LiverWarning, match=geometry.PIXDIM_TRUSTED):
        volume = volume_at(tmp_path, UNIT, pixdim=SPACING_MM)
    labels = read_labels(save(tmp_path / "s.nii", labels_of(), UNIT, pixdim=SPACING_MM), volume)
    np.testing.assert_array_equal(labels, canonical_labels(UNIT, tmp_path))


@pytest.mark.parametrize(
    ("volume_affine", "mask_affine"), [(LPS, LPS * [-1, -1, 1, 1]), (UNIT, np.diag([-1, -1, 1, 1]))]
)
def test_mask_of_another_orientation_takes_the_volumes_with_a_warning(tmp_path, volume_affine, mask_affine):
    volume = volume_at(tmp_path, volume_affine)
    mask = save(tmp_path / "s.nii", labels_of(), mask_affine)
    with pytest.warns(LiverWarning, match=f"s.nii: {geometry.MASK_ORIENTED_OTHERWISE}$"):
        labels = read_labels(mask, volume)
    np.testing.assert_array_equal(labels, canonical_labels(volume_affine, tmp_path))


def turned(path: Path, voxels: np.ndarray, affine: np.ndarray, axes: str, *, moved_mm: float = 0.0) -> Path:
    """Write a mask as another program turns it, voxels and header alike."""
    image = nib.Nifti1Image(voxels, affine)
    turn = ornt_transform(io_orientation(affine), axcodes2ornt(tuple(axes)))
    written = image.as_reoriented(turn)
    shifted = written.affine.copy()
    shifted[0, 3] += moved_mm
    nib.save(nib.Nifti1Image(np.asarray(written.dataobj), shifted), path)
    return path


CODES = ["".join(nib.aff2axcodes(affine_of(*orientation))) for orientation in ORIENTATIONS]


@pytest.mark.parametrize("axes", [code for code in CODES if code != "LPS"])
@pytest.mark.parametrize("affine", [affine_of((0, 1, 2), (-1, -1, 1)), oblique(0.1, -0.2, 0.15)])
def test_mask_saved_turned_follows_its_own_header(tmp_path, axes, affine):
    labels = labels_of()
    mask = turned(tmp_path / "s.nii", labels, affine, axes)
    if nib.aff2axcodes(affine) == tuple(axes):
        pytest.skip("not turned")
    with pytest.warns(LiverWarning, match=f"s.nii: {geometry.MASK_TURNED}$"):
        found = read_labels(mask, volume_at(tmp_path, affine))
    np.testing.assert_array_equal(found, canonical_labels(affine, tmp_path))


def test_mask_turned_about_a_cube_follows_its_own_header(tmp_path):
    shape, affine = (6, 6, 6), affine_of((0, 1, 2), (-1, -1, 1))
    labels = (np.random.default_rng(0).random(shape) < 0.3).astype(np.uint8)
    mask = turned(tmp_path / "s.nii", labels, affine, "SAR")
    wanted = oracle(save(tmp_path / "oracle.nii", labels, affine))
    with pytest.warns(LiverWarning, match=geometry.MASK_TURNED):
        np.testing.assert_array_equal(read_labels(mask, volume_at(tmp_path, affine, shape)), wanted)


@pytest.mark.parametrize("axes", ["LPS", "RAS"])
def test_place_of_a_mask_is_told_in_millimetres_and_refused_if_far(tmp_path, axes):
    affine = affine_of((0, 1, 2), (-1, -1, 1))
    volume, wanted = volume_at(tmp_path, affine), canonical_labels(affine, tmp_path)
    for moved_mm, told in ((0.3, None), (4.2, "up to 4.2 mm away"), (-30, "up to 30.0 mm away")):
        mask = turned(tmp_path / "s.nii", labels_of(), affine, axes, moved_mm=moved_mm)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            np.testing.assert_array_equal(read_labels(mask, volume), wanted)
        texts = [str(each.message) for each in seen]
        assert any(geometry.MASK_TURNED in text for text in texts) == (axes == "RAS")
        assert [text for text in texts if "away" in text] == [text for text in texts if told and told in text]
        assert bool(told) == any("away" in text for text in texts)
    mask = turned(tmp_path / "s.nii", labels_of(), affine, axes, moved_mm=75)
    with pytest.raises(LiverError, match="places it 75 mm away from its volume"):
        read_labels(mask, volume)


def test_mask_without_an_origin_takes_the_volumes_with_a_warning(tmp_path):
    affine = affine_of((0, 1, 2), (-1, -1, 1))
    far = affine.copy()
    far[:3, 3] = (300, 200, -700)
    without = affine.copy()
    without[:3, 3] = 0
    mask = save(tmp_path / "s.nii", labels_of(), without)
    with pytest.warns(LiverWarning, match=f"s.nii: {geometry.MASK_SAYS_NO_ORIGIN}$"):
        np.testing.assert_array_equal(read_labels(mask, volume_at(tmp_path, far)), canonical_labels(far, tmp_path))


def test_turned_mask_of_another_shape_is_refused(tmp_path):
    affine = affine_of((0, 1, 2), (-1, -1, 1))
    mask = turned(tmp_path / "s.nii", labels_of((5, 6, 8)), affine, "PLS")
    with pytest.raises(LiverError, match="give the pair that belongs together"):
        read_labels(mask, volume_at(tmp_path, affine))


def forms_of(path: Path) -> dict[str, object]:
    header = nib.load(path).header
    return {name: np.asarray(header[name]).tolist() for name in geometry.FORMS}


@pytest.mark.parametrize("name", ["m.nii", "m.nii.gz"])
@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize("sform", [affine_of((0, 1, 2), (-1, -1, 1)), oblique(0.1, 0.2, 0.3) + 5 * np.eye(4, k=3)])
def test_sform_and_qform_that_disagree_are_told_and_written_back_as_they_were(tmp_path, name, endianness, sform):
    other = dict(zip(("srow_x", "srow_y", "srow_z"), sform, strict=False)) | {"sform_code": 4, "qform_code": 2}
    path = save(tmp_path / "v.nii", numbers(), oblique(0.1, 0.2, 0.3), endianness=endianness, **other)
    with pytest.warns(LiverWarning, match=f"v.nii: {geometry.FORMS_DISAGREE}$") as seen:
        volume = read_volume(path)
    assert len(seen) == 1
    np.testing.assert_allclose(volume.affine, nib.load(path).header.get_sform(), atol=1e-5)
    labels = np.zeros(volume.hu.shape, np.uint8)
    labels[0, 0, 0] = 1
    write_labels(tmp_path / name, labels, volume.affine, volume.forms)
    assert forms_of(tmp_path / name) == forms_of(path)
    np.testing.assert_array_equal(oracle(tmp_path / name), labels)
    np.testing.assert_array_equal(read_labels(tmp_path / name, volume), labels)


def test_qform_that_only_lacks_the_shear_of_the_sform_is_written_back_without_a_warning(tmp_path):
    path = save(tmp_path / "v.nii", numbers(), oblique(0.1, 0.0, 0.0, shear=0.5))
    volume = read_volume(path)
    write_labels(tmp_path / "m.nii", np.zeros(volume.hu.shape, np.uint8), volume.affine, volume.forms)
    assert forms_of(tmp_path / "m.nii") == forms_of(path)


def test_forms_that_agree_need_no_copy(tmp_path):
    assert volume_at(tmp_path).forms is None
