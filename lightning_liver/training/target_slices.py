"""Proportions in which slices of finetune.target_root are drawn, which have no masks."""

import logging
from collections.abc import Collection, Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import nn

from lightning_liver.data.datamodule import SliceDataModule
from lightning_liver.data.sampling import Companion, Kind, Pools
from lightning_liver.data.store import CaseRecord, Store
from lightning_liver.finetune.statistics import use_statistics
from lightning_liver.inference.label_maps import label_maps, whole_slice_logits
from lightning_liver.training.domain_statistics import target_statistics

log = logging.getLogger(__name__)

LEAST_LIVER_MM2 = 400.0  # a disc of 2.3 cm; smaller islands are as often mistakes of a network in another domain
_HEIGHTS = (0.05, 0.95)  # quantiles of the heights at which labelled slices show liver


def matched(data: SliceDataModule, store: Store, network: nn.Module | None, multiple: int, device: str) -> Companion:
    """Return slices of the target, to be drawn in the proportions in which data.sampling draws labelled ones.

    Without masks, a slice of the target counts as one with liver if the source's network finds liver in it. A slice
    that would be drawn for its tumour is drawn for its liver: in another domain, too few tumours are found. Without
    such a network, a slice counts as one with liver if it lies as high in its scan as training slices with liver do. If
    no slice counts, all are drawn alike.

    Args:
        network: with all weights of a source; None without.
        multiple: height and width that the network accepts are multiples of this.
    """
    evenly = Companion.evenly(store)
    if network is not None:
        data.target = evenly
        shown, by = found_liver(network, data, multiple, device), "the source's network finds liver in them"
    else:
        labelled = [data.store.cases[name] for name in data.split.train]
        shown, by = (
            at_liver_height(labelled, list(store.cases.values())),
            "they lie as high as training slices with liver",
        )
    count, total = sum(map(len, shown.values())), sum(record.shape[0] for record in store.cases.values())
    log.info(f"Slices of finetune.target_root that count as liver: {count} of {total}; {by}")
    if not count:
        log.warning("finetune.target_sampling: no slice of finetune.target_root counts as liver; all are drawn alike")
        return evenly
    kinds: dict[Kind, Mapping[str, np.ndarray]] = {"tumour": shown, "liver": shown, "any": evenly.pools.kinds["any"]}
    return Companion(store, Pools(kinds), data.options.sampling)


@torch.no_grad()
def found_liver(network: nn.Module, data: SliceDataModule, multiple: int, device: str) -> dict[str, np.ndarray]:
    """Return the slices of each target case in which a network finds at least LEAST_LIVER_MM2 of liver.

    It predicts with batch-norm statistics of the target, from slices drawn evenly. Cases without any are left out.
    """
    assert data.target is not None, "the run has no target"
    teacher = deepcopy(network).eval().to(device)
    use_statistics(teacher, target_statistics(network, data, device))
    names, records = list(data.target.store.cases), data.target.store.cases
    found: dict[str, list[int]] = {}
    for batch in data.target_slices():
        logits: Any = whole_slice_logits(teacher, batch["image"].to(device), multiple=multiple)
        pixels = (label_maps(logits) > 0).sum(dim=(1, 2)).tolist()
        for case, z, count in zip(batch["case"].tolist(), batch["z"].tolist(), pixels, strict=True):
            if count * _pixel_mm2(records[names[case]]) >= LEAST_LIVER_MM2:
                found.setdefault(names[case], []).append(z)
    return {name: np.sort(np.array(places)) for name, places in found.items()}


def at_liver_height(labelled: Collection[CaseRecord], target: Collection[CaseRecord]) -> dict[str, np.ndarray]:
    """Return the slices of each target case whose relative height is one at which labelled cases show liver.

    Heights run from 0 at the lowest slice to 1 at the highest; the range leaves out 5 % of slices at both ends.
    """
    heights = np.concatenate([_heights(record)[np.array(record.liver_pixels) > 0] for record in labelled])
    if not len(heights):
        return {}
    low, high = np.quantile(heights, _HEIGHTS)
    shown = {record.name: np.flatnonzero((_heights(record) >= low) & (_heights(record) <= high)) for record in target}
    return {name: places for name, places in shown.items() if len(places)}


def _heights(record: CaseRecord) -> np.ndarray:
    return (np.arange(record.shape[0]) + 0.5) / record.shape[0]


def _pixel_mm2(record: CaseRecord) -> float:
    return record.spacing_mm[1] * record.spacing_mm[2]
