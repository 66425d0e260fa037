"""Transfer of weights from a source to a network: what is copied, reshaped and left out, planned before training."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lightning_liver.errors import LiverError
from lightning_liver.finetune.matching import Kind, Renaming, Shape, TensorMatch, best_renaming, match, renamed
from lightning_liver.finetune.parts import parts as parts_of
from lightning_liver.finetune.parts import select
from lightning_liver.tables import Row, text_table

_SHOWN = 20  # tensors that nothing asked for; an encoder's source may have hundreds


@dataclass(frozen=True)
class Transfer:
    """Planned transfer of weights; no network changes before `apply`.

    Args:
        matches: match of every tensor of the network, in its order.
        values: new values by name in the network, from the first output channel on.
        renaming: from names of the source to names of the network.
        unused: tensors of the source that the network has no place for, with their shapes.
    """

    matches: tuple[TensorMatch, ...]
    values: Mapping[str, Tensor]
    renaming: Renaming
    unused: Mapping[str, Shape]

    @property
    def copied(self) -> frozenset[str]:
        """Names of the parameters that come from the source, wholly or in part."""
        return frozenset(one.name for one in self.matches if one.moves and one.learnable)

    def apply(self, network: nn.Module) -> None:
        """Write into the network of the plan, or one like it; all other values stay bit for bit."""
        state = network.state_dict()
        with torch.no_grad():
            for name, value in self.values.items():
                target = state[name]
                (target if target.shape == value.shape else target[: len(value)]).copy_(value)

    def table(self) -> str:
        """Return a table of tensors by part, those reshaped or left out with both shapes, and the source's unused ones."""
        named = [
            {
                "tensor": one.name,
                "": one.kind,
                "in the source": _said(one.source_shape),
                "in the network": _said(one.shape),
                "why": one.why,
            }
            for one in self.matches
            if one.kind in ("reshaped", "left out")
        ]
        renamed = f"Names of the source {self.renaming}." if any(self.renaming) else ""
        return "\n\n".join(filter(None, [text_table(self._counts()), text_table(named), renamed, self._besides()]))

    def _counts(self) -> list[Row]:
        names = dict.fromkeys(one.part for one in self.matches)
        by_part = {name: Counter(one.kind for one in self.matches if one.part == name) for name in names}
        return [_count(name, kinds) for name, kinds in by_part.items()] + [
            _count("all tensors", Counter(one.kind for one in self.matches))
        ]

    def _besides(self) -> str:
        if not self.unused:
            return ""
        shown = [f"{name} {_said(shape)}" for name, shape in list(self.unused.items())[:_SHOWN]]
        more = f" and {len(self.unused) - _SHOWN} more" if len(self.unused) > _SHOWN else ""
        return f"Not used of the source: {', '.join(shown)}{more}"


def plan(network: nn.Module, weights: Mapping[str, Tensor], *, parts: Collection[str] | None) -> Transfer:
    """Plan which of `weights` go where in the network, by these rules:

    - Names must be equal, after one change for all of them: wrappers in front (module., model., network., net.,
      backbone., encoder., and torch.compile's _orig_mod.) are removed, as many as fit best, and encoder. or
      encoder.model. may be added, for the weights of a bare encoder. The change under which most parameters find their
      place is taken, of equals the shortest; then names without the removed wrapper are not used.
    - A tensor of equal shape is copied.
    - The first convolution may have another number of input channels: its weights are summed over those of the source
      and divided evenly among those of the network. Equal channels (neighbouring slices) give the same answer then.
    - The last layer may have another number of output channels: they are taken as they come (liver, tumour), as many as
      both have; others keep their initialisation.
    - A tensor of any other shape, or integers for real numbers, is left out.
    - Buffers (running means) go with their layer: they are left out unless all its parameters come from the source.

    First and last are meant in the order in which the network defines its layers; groups of channels are not reshaped.

    Args:
        parts: names or patterns of lightning_liver.finetune.parts whose tensors are wanted; None is the whole network.

    Raises:
        LiverError: nothing fits, that is no tensor of at least two axes (a bias may fit by chance), or a weight is not
            finite. With the table.
    """
    renaming = best_renaming(network, weights)
    sources = renamed(weights, renaming)
    matches = match(network, weights, sources, _wanted(network, parts))
    placed = {sources[name] for name in network.state_dict() if name in sources}
    transfer = Transfer(
        matches=matches,
        values={one.name: _value(weights[one.source], one.shape) for one in matches if one.moves},
        renaming=renaming,
        unused={name: tuple(tensor.shape) for name, tensor in weights.items() if name not in placed},
    )
    _refuse_if_nothing_fits(transfer, parts)
    _refuse_if_not_finite(transfer)
    return transfer


def _wanted(network: nn.Module, names: Collection[str] | None) -> list[str] | None:
    return None if names is None else select(parts_of(network), list(names), option="finetune.copied")


def _value(source: Tensor, shape: Shape) -> Tensor:
    """Return the source, with input channels divided among those of `shape`, or with the output channels of both."""
    if source.shape[1:] == shape[1:]:
        return source[: shape[0]] if shape else source
    return (source.double().sum(dim=1, keepdim=True) / shape[1]).expand(shape)


def _refuse_if_nothing_fits(transfer: Transfer, parts: Collection[str] | None) -> None:
    fitting = [one for one in transfer.matches if one.name in transfer.copied]
    if any(len(one.shape) > 1 for one in fitting):
        return
    where = "the network" if parts is None else f"its parts {', '.join(parts)}"
    raise LiverError(
        f"finetune.source: none of its weights fits {where}. Choose the model=, with the options, that they were "
        f"trained in, or another source.\n\n{transfer.table()}"
    )


def _refuse_if_not_finite(transfer: Transfer) -> None:
    for one in transfer.matches:
        if one.name in transfer.copied and not transfer.values[one.name].isfinite().all():
            raise LiverError(
                f"finetune.source: {one.source} has values that are not finite, as where training diverged: take an "
                f"earlier checkpoint, or another source.\n\n{transfer.table()}"
            )


def _count(part: str, kinds: Counter[Kind]) -> Row:
    order: tuple[Kind, ...] = ("copied", "reshaped", "left out", "new")
    return {"part": part, **{kind: kinds[kind] for kind in order}}


def _said(shape: Shape | None) -> str:
    return "x".join(map(str, shape)) or "one number" if shape is not None else ""
