"""Write a model folder of nnU-Net, with random weights: nnunet_model FOLDER MATRIX WIDTH SPACING_MM.

Prints the GFLOP of a slice. Runs in the environment of nnU-Net, to time nnUNetv2_predict.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

from experiments.speed.flops import gigaflops
from experiments.speed.nnunet import NAME, write_dataset

LEVELS = 5
FAR = 100.0  # bias of the background's logits: else random weights find noise, which is slow to write
INTENSITY = {"mean": 100.0, "median": 100.0, "std": 40.0, "min": -160.0, "max": 240.0}
INTENSITY |= {"percentile_00_5": -20.0, "percentile_99_5": 200.0}


def architecture(width: int) -> dict[str, Any]:
    """Return nnU-Net's plain U-Net, as its planner writes it, with `width` channels at full resolution."""
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
    """Return what the planner would write for scans on this grid, resampling included."""

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
        "dataset_name": NAME,
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
    planned = plans(matrix, width, spacing_mm)
    arguments = planned["configurations"]["2d"]["architecture"]
    torch.manual_seed(0)
    network = get_network_from_plans(*arguments.values(), 1, 3, deep_supervision=False)
    torch.nn.init.constant_(network.decoder.seg_layers[-1].bias[:1], FAR)
    (folder / "fold_0").mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(planned))
    write_dataset(folder, cases=1)
    trained = {
        "network_weights": network.state_dict(),
        "trainer_name": "nnUNetTrainer",
        "init_args": {"configuration": "2d"},
        "inference_allowed_mirroring_axes": (0, 1),
    }
    torch.save(trained, folder / "fold_0" / "checkpoint_final.pth")
    print(gigaflops(network, matrix))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
