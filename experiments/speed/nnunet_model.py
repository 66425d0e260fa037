"""PYTHON nnunet_model.py FOLDER MATRIX WIDTH SPACING_MM

Run by the environment of nnU-Net: a model folder as its training leaves it, with random weights, so that
nnUNetv2_predict can be timed. Prints the FLOPs of a slice.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch.utils.flop_counter import FlopCounterMode

LEVELS = 5
FAR = 100.0  # the bias of the background's logits: what random weights find is noise, and dear to write
DATASET = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1, "tumour": 2}, "file_ending": ".nii.gz"}
INTENSITY = {"mean": 100.0, "median": 100.0, "std": 40.0, "min": -160.0, "max": 240.0}
INTENSITY |= {"percentile_00_5": -20.0, "percentile_99_5": 200.0}


def architecture(width: int) -> dict[str, Any]:
    """nnU-Net's plain U-Net, as its planner writes it, with `width` channels at full resolution."""
    options = {
        "n_stages": LEVELS,
        "features_per_stage": [width * 2**level for level in range(LEVELS)],
        "conv_op": "torch.nn.modules.conv.Conv2d",
        "kernel_sizes": [[3, 3]] * LEVELS,
        "strides": [[1, 1]] + [[2, 2]] * (LEVELS - 1),
        "n_conv_per_stage": [2] * LEVELS,
        "n_conv_per_stage_decoder": [2] * (LEVELS - 1),
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    return {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": options,
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def plans(matrix: int, width: int, spacing_mm: float) -> dict[str, Any]:
    """What the planner would write for scans of this grid, resampling included."""

    def resampling(order: int) -> dict[str, Any]:
        return {"is_seg": False, "order": order, "order_z": 0, "force_separate_z": None}

    configuration = {
        "data_identifier": "nnUNetPlans_2d",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 12,
        "patch_size": [matrix, matrix],
        "median_image_size_in_voxels": [float(matrix)] * 2,
        "spacing": [spacing_mm] * 2,
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resampling(3),
        "resampling_fn_seg_kwargs": resampling(1) | {"is_seg": True},
        "resampling_fn_probabilities_kwargs": resampling(1),
        "architecture": architecture(width),
        "batch_dice": True,
    }
    return {
        "dataset_name": "Dataset501_CT",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [2.0, spacing_mm, spacing_mm],
        "original_median_shape_after_transp": [100, matrix, matrix],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"2d": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": INTENSITY},
    }


def main(folder: Path, matrix: int, width: int, spacing_mm: float) -> None:
    made = plans(matrix, width, spacing_mm)
    arguments = made["configurations"]["2d"]["architecture"]
    torch.manual_seed(0)
    network = get_network_from_plans(*arguments.values(), 1, 3, deep_supervision=False)
    torch.nn.init.constant_(network.decoder.seg_layers[-1].bias[:1], FAR)
    (folder / "fold_0").mkdir(parents=True)
    for name, content in (("plans.json", made), ("dataset.json", DATASET | {"numTraining": 1})):
        (folder / name).write_text(json.dumps(content))
    trained = {
        "network_weights": network.state_dict(),
        "trainer_name": "nnUNetTrainer",
        "init_args": {"configuration": "2d"},
        "inference_allowed_mirroring_axes": (0, 1),
    }
    torch.save(trained, folder / "fold_0" / "checkpoint_final.pth")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 1, matrix, matrix))
    print(counter.get_total_flops())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
