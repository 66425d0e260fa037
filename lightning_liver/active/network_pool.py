"""Pool of scans that one or several trained networks measure, case by case."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from tqdm import tqdm

from lightning_liver.active.pool import Candidate, Features, OtherFeatures, Scores
from lightning_liver.inference.features import find_part, pool_features
from lightning_liver.inference.label_maps import whole_slice_logits
from lightning_liver.inference.network import TrainedNetwork
from lightning_liver.inference.predict_volume import VolumeOptions, slice_uncertainty
from lightning_liver.inference.uncertainty import Kind
from lightning_liver.volume import Volume

Reader = Callable[[], Volume]
OfSlices = Float[np.ndarray, "slice channel"]


class NetworkPool:
    """Pool of scans on disk, which are read one at a time.

    Args:
        candidates: in their order.
        labelled: what is labelled already, for the features.
        readers: of each case.
        networks: the members of an ensemble, or one; features are of the first.
        options: of the masks; kind and passes are set where an uncertainty is asked for.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        labelled: Sequence[Candidate],
        readers: Mapping[str, Reader],
        networks: Sequence[TrainedNetwork],
        options: VolumeOptions,
    ) -> None:
        self.candidates, self._labelled = candidates, labelled
        self._readers, self._networks, self._options = readers, networks, options

    def uncertainty(self, kind: Kind, *, passes: int = 0) -> Scores:
        """Return the mean uncertainty of each candidate's voxels; of several networks, or `passes` with dropout."""
        options = replace(self._options, uncertainty=kind, passes=passes)
        measure = partial(slice_uncertainty, networks=self._networks, options=options)
        slices = self._of_cases(self.candidates, lambda volume: measure(volume)[:, None], kind.replace("_", " "))
        return _means(self.candidates, slices)[:, 0]

    def features(self, part: str) -> tuple[Features, OtherFeatures]:
        """Return the mean pooled output of a part of the network over each candidate's slices, and of the labelled.

        Raises:
            LiverError: no part matches, or its output is not one map for each channel.
        """
        name = find_part(self._networks[0].network, part)
        measure = partial(_slice_features, trained=self._networks[0], part=name, options=self._options)
        slices = self._of_cases([*self.candidates, *self._labelled], measure, "features")
        return _means(self.candidates, slices), _means(self._labelled, slices)

    def _of_cases(
        self, candidates: Sequence[Candidate], measure: Callable[[Volume], OfSlices], what: str
    ) -> dict[str, OfSlices]:
        """Return (slice, value) of each case."""
        cases = list(dict.fromkeys(case for each in candidates for case in each.cases))
        bar = tqdm(cases, desc=what, unit="case", dynamic_ncols=True, disable=None)
        return {case: measure(self._readers[case]()) for case in bar}


def _means(candidates: Sequence[Candidate], slices: Mapping[str, OfSlices]) -> Features:
    """Return the mean over each candidate's slices; slices of one case have equally many voxels."""
    means = [
        np.concatenate([slices[case] for case in each.cases]).mean(axis=0)
        if each.z is None
        else slices[each.cases[0]][each.z]
        for each in candidates
    ]
    return np.stack(means) if means else np.zeros((0, next(iter(slices.values())).shape[1] if slices else 0))


def _slice_features(volume: Volume, *, trained: TrainedNetwork, part: str, options: VolumeOptions) -> OfSlices:
    apply = partial(whole_slice_logits, trained.network, multiple=trained.multiple)
    rows = [
        pool_features(
            trained.network,
            part,
            trained.images(volume, range(start, min(start + options.batch_size, len(volume.hu)))).to(options.device),
            apply,
        )
        for start in range(0, len(volume.hu), options.batch_size)
    ]
    return torch.cat(rows).double().cpu().numpy()
