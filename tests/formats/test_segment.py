"""The scripts that go with an export label scans as lightning_liver does."""

from dataclasses import asdict

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lightning_liver.data.slices import Normalization
from lightning_liver.formats.standalone.segment import post_process, segment
from lightning_liver.inference.network import TrainedNetwork
from lightning_liver.inference.postprocess import PostProcess
from lightning_liver.inference.predict_volume import VolumeOptions, predict_volume
from lightning_liver.inference.tta import flips_for
from lightning_liver.volume import Volume, canonical_spacing_mm, from_canonical, to_canonical
from tests.inference.marked import Brighter

SPACING_MM = (3.0, 1.5, 2.0)
steps = st.builds(PostProcess, st.booleans(), st.booleans(), st.booleans(), st.sampled_from([0.0, 10.0, 20.0, 100.0]))
volumes = arrays(np.uint8, st.tuples(*[st.integers(1, 6)] * 3), elements=st.sampled_from([0, 0, 1, 1, 2]))


@given(volumes, steps)
def test_post_processing_is_that_of_the_house(labels: np.ndarray, chosen: PostProcess) -> None:
    before = labels.copy()
    assert np.array_equal(post_process(labels, SPACING_MM, asdict(chosen)), chosen(labels, SPACING_MM))
    assert np.array_equal(labels, before)


@pytest.mark.parametrize("codes", ["LPS", "RAS", "PIR", "SAL"])
@pytest.mark.parametrize("flips", [False, True])
def test_a_scan_is_labelled_voxel_for_voxel_as_by_the_house(codes: str, flips: bool) -> None:
    """Padding, orientation of the file, mirrored views and decision; tests/apps/test_export.py has context and grid."""
    noise = np.random.default_rng(0).integers(-300, 400, (9, 17, 13)).astype(np.int16)
    base = nib.Nifti1Image(noise, np.diag([2.0, 1.5, 3.0, 1.0]))
    target = nib.orientations.axcodes2ornt(tuple(codes))
    image = base.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(base.affine), target))
    network = Brighter(dropout=0.0, liver=0.5, tumour=0.7)
    normalization, chosen = Normalization((-160.0, 240.0), 0, 0.0, 1.0), PostProcess(True, True, True, 10.0)
    trained = TrainedNetwork(network.eval(), normalization, None, 8)
    affine = image.affine
    hu = to_canonical(np.asarray(image.dataobj).T, affine)
    zooms = tuple(float(mm) for mm in image.header.get_zooms())
    volume = Volume(np.ascontiguousarray(hu), canonical_spacing_mm(zooms, affine), affine)
    options = VolumeOptions.masks_alone(
        thresholds=(0.4, 0.6),
        post_process=chosen,
        batch_size=4,
        flips=flips_for(flips),
        autocast=None,
        device=torch.device("cpu"),
    )
    expected = from_canonical(predict_volume(volume, [trained], options).labels, affine).T
    model = {
        "orientation": "LPS",
        "hu_range": [-1024, 3071],
        "spacing_mm": None,
        "window_hu": [-160.0, 240.0],
        "mean": 0.0,
        "std": 1.0,
        "context": 0,
        "multiple": 8,
        "classes": ["liver", "tumour"],
        "flips": flips,
        "thresholds": {"liver": 0.4, "tumour": 0.6},
        "postprocess": asdict(chosen),
    }
    with torch.inference_mode():
        made = segment(lambda images: network(torch.from_numpy(images)).numpy(), image, model)
    assert np.array_equal(made, expected)
    assert len(np.unique(made)) == 3
