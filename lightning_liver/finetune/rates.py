"""Learning rates by part."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from lightning_liver.finetune.parts import parts


def scales(names: Sequence[str], *, scale: float, decay: float) -> dict[str, float]:
    """Return each part's learning-rate multiplier: `scale` next to the logits, times `decay` for each part further.

    Source: discriminative fine-tuning of Howard and Ruder 2018, arXiv:1801.06146, section 3.2, who divide by 2.6.
    """
    return {name: scale * decay**place for place, name in enumerate(reversed(names))}


def groups(task: Any, scale_of: Mapping[str, float], order: Iterable[str], **options: float) -> list[dict[str, Any]]:
    """Return the optimizer groups of all that trains: first what is outside the network (second heads), then the parts.

    Args:
        task: a module with the network as `network`.
        order: of the parts.
        options: of the optimizer, for the parts alone.
    """
    of_network = {id(parameter) for parameter in task.network.parameters()}
    others = [p for p in task.parameters() if p.requires_grad and id(p) not in of_network]
    known = parts(task.network)
    made = [group(known[name], name, scale_of[name], **options) for name in order]
    return ([{"params": others, "name": "terms", "scale": 1.0}] if others else []) + [g for g in made if g["params"]]


def group(part: nn.Module, name: str, scale: float, **options: float) -> dict[str, Any]:
    """Return the optimizer group of the parameters of a part that train, with options of the optimizer."""
    trained = [p for p in part.parameters() if p.requires_grad]
    return {"params": trained, "name": name, "scale": scale, **options}
