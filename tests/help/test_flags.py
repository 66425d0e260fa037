"""Flags of other tools are answered with the options of this one."""

import pytest

from lightning_liver.errors import LiverError
from lightning_liver.help.flags import refuse_flags


@pytest.mark.parametrize(
    ("command", "typed", "told"),
    [
        (
            "predict",
            "-i scan.nii.gz -o masks",
            "-i: options are typed as OPTION=VALUE, without dashes; type input=",
        ),
        ("predict", "run=r input=a -o masks", "type output=masks"),
        ("predict", "--output=masks", "type output=masks"),
        ("predict", "--input scan.nii", "type input=scan.nii"),
        ("predict", "--inptu scan.nii", "type input=scan.nii"),
        ("predict", "-m outputs/a", "type run=outputs/a"),
        ("predict", "--preview", "type preview=VALUE"),
        ("train", "--loss focal", "type loss=focal"),
        ("train", "--epochs 3", "type trainer.max_epochs=3"),
        ("export", "--format bundle", "type format=bundle"),
        ("predict", "--unheard-of", "type OPTION=VALUE"),
    ],
)
def test_flags_of_other_tools_are_answered_with_the_option(command: str, typed: str, told: str) -> None:
    with pytest.raises(LiverError) as refused:
        refuse_flags(command, typed.split())
    assert told in str(refused.value)


@pytest.mark.parametrize(
    "typed",
    [
        "-m loss=bce,dice seed=0,1",
        "loss=focal -m",
        "--help data",
        "-h loss=focal",
        "--cfg job",
        "-c job --package loss",
        "--config-dir mine/conf loss=powered_error",
        "--config-dir=mine/conf",
        "--info",
        "-i plugins",
        "--info defaults-tree",
        "-sc install=bash",
        "data.window_hu=[-160,240] +a=-i ~loss",
        "--multirun +experiment=losses",
    ],
)
def test_flags_of_hydra_are_left_to_hydra(typed: str) -> None:
    refuse_flags("train", typed.split())
