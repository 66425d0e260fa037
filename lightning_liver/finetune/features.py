"""Features of one part of a network, kept while it is applied."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lightning_liver.finetune.parts import parts, select
from lightning_liver.types.tensors import Batch


class Features:
    """Output of one part of a network, kept while the network is applied.

    Args:
        part: its name; the last part that a pattern such as encoder.* matches.
    """

    muted: ClassVar[bool] = False  # while a term applies the network to other images than the batch's

    def __init__(self, network: nn.Module, part: str) -> None:
        self.now: Tensor | None = None
        self.listening = False
        known = parts(network)
        self.handle = known[select(known, [part], option="finetune: part")[-1]].register_forward_hook(self._keep)

    def __call__(self) -> Tensor:
        assert self.now is not None, "the network was not applied"
        kept, self.now = self.now, None
        return kept

    def __deepcopy__(self, memo: Any) -> "Features":
        """deepcopy copies the hooks of a network, such as a teacher's; give the copy its own empty buffer."""
        copy = Features.__new__(Features)
        copy.now, copy.listening = None, False
        return copy

    def _keep(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if self.listening or not Features.muted:
            self.now = output if isinstance(output, Tensor) else output[-1]


def channels_of(network: nn.Module, part: str, example: Tensor) -> int:
    """Return the number of channels of a part's output, by applying the network to an empty image."""
    features, training = Features(network, part), network.training
    with torch.no_grad():
        network.eval()(example)
    network.train(training)
    features.handle.remove()
    return int(features().shape[1])


def on_companion(task: Any, batch: Batch, domain: str = "target", features: Features | None = None) -> Any:
    """Apply the network to the batch's images of another domain; only `features` keeps its output.

    Batch norm uses the statistics of these images and does not add them to the running ones, of labelled slices.

    Args:
        domain: target or source.
    """
    norms = [m for m in task.network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]
    tracked = [norm.track_running_stats for norm in norms]
    Features.muted = True
    if features:
        features.listening = True
    for norm in norms:
        norm.track_running_stats = False
    try:
        return task.network(batch[domain])
    finally:
        Features.muted = False
        if features:
            features.listening = False
        for norm, before in zip(norms, tracked, strict=True):
            norm.track_running_stats = before
