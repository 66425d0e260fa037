"""A network small enough to write its gradients down."""

import torch
from torch import Tensor, nn

from lightning_liver.finetune.terms.base import Start


class Tiny(nn.Module):
    """Two encoder parts, one with batch norm, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3)), nn.Conv2d(3, 4, 1)]
        )
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.relu(self.encoder[1](torch.relu(self.encoder[0](images)))))
        return logits


class Task:
    """As much of a task as terms look at."""

    class _Trainer:
        estimated_stepping_batches = 100

    def planned_steps(self) -> int | None:
        """Steps that a budget in steps or minutes holds; None with one in epochs."""
        return None

    def __init__(self, network: nn.Module, step: int = 0) -> None:
        self.network, self.global_step, self.trainer = network, step, self._Trainer()


def start(network: nn.Module, copied: frozenset[str] | None = None) -> Start:
    names = frozenset(name for name, _ in network.named_parameters())
    return Start(network, names if copied is None else copied, torch.zeros(1, 1, 16, 16))


def batch(count: int = 4, seed: int = 0) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return {
        "image": torch.randn(count, 1, 16, 16, generator=rng),
        "target": torch.randn(count, 1, 16, 16, generator=rng),
        "labels": torch.randint(0, 3, (count, 16, 16), generator=rng).to(torch.uint8),
    }
