"""From the weights of a source to a network: what is copied, reshaped and left out, known before training starts."""

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
    """Made by `plan`; changes no network before `apply`.

    Args:
        fates: of every tensor of the network, in its order.
        values: name in the network -> what is written, from its first output channel on.
        renaming: from names of the source to names of the network.
        unused: tensors of the source that the network has no place for, with their shapes.
    """

    fates: tuple[TensorMatch, ...]
    values: Mapping[str, Tensor]
    renaming: Renaming
    unused: Mapping[str, Shape]

    @property
    def copied(self) -> frozenset[str]:
        """Names of the parameters that come from the source, wholly or in part."""
        return frozenset(fate.name for fate in self.fates if fate.moves and fate.learnable)

    def apply(self, network: nn.Module) -> None:
        """Write into the network that was planned for, or its like; what the table does not say stays bit for bit."""
        state = network.state_dict()
        with torch.no_grad():
            for name, value in self.values.items():
                target = state[name]
                (target if target.shape == value.shape else target[: len(value)]).copy_(value)

    def table(self) -> str:
        """Tensors by part, each that was reshaped or left out with both shapes, and what the source has besides."""
        named = [
            {
                "tensor": fate.name,
                "": fate.kind,
                "in the source": _said(fate.source_shape),
                "in the network": _said(fate.shape),
                "why": fate.why,
            }
            for fate in self.fates
            if fate.kind in ("reshaped", "left out")
        ]
        renamed = f"Names of the source {self.renaming}." if any(self.renaming) else ""
        return "\n\n".join(filter(None, [text_table(self._counts()), text_table(named), renamed, self._besides()]))

    def _counts(self) -> list[Row]:
        names = dict.fromkeys(fate.part for fate in self.fates)
        by_part = {name: Counter(fate.kind for fate in self.fates if fate.part == name) for name in names}
        return [_count(name, kinds) for name, kinds in by_part.items()] + [
            _count("all tensors", Counter(fate.kind for fate in self.fates))
        ]

    def _besides(self) -> str:
        if not self.unused:
            return ""
        shown = [f"{name} {_said(shape)}" for name, shape in list(self.unused.items())[:_SHOWN]]
        more = f" and {len(self.unused) - _SHOWN} more" if len(self.unused) > _SHOWN else ""
        return f"Not used of the source: {', '.join(shown)}{more}"


def plan(network: nn.Module, weights: Mapping[str, Tensor], *, parts: Collection[str] | None) -> Transfer:
    """What of `weights` goes where in the network, by these rules:

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
    fates = match(network, weights, sources, _wanted(network, parts))
    placed = {sources[name] for name in network.state_dict() if name in sources}
    transfer = Transfer(
        fates=fates,
        values={fate.name: _value(weights[fate.source], fate.shape) for fate in fates if fate.moves},
        renaming=renaming,
        unused={name: tuple(tensor.shape) for name, tensor in weights.items() if name not in placed},
    )
    _refuse_if_nothing_fits(transfer, parts)
    _refuse_if_not_finite(transfer)
    return transfer


def _wanted(network: nn.Module, names: Collection[str] | None) -> list[str] | None:
    return None if names is None else select(parts_of(network), list(names), option="finetune.copied")


def _value(source: Tensor, shape: Shape) -> Tensor:
    """The source itself; with its input channels divided among those of `shape`; or the output channels of both."""
    if source.shape[1:] == shape[1:]:
        return source[: shape[0]] if shape else source
    return (source.double().sum(dim=1, keepdim=True) / shape[1]).expand(shape)


def _refuse_if_nothing_fits(transfer: Transfer, parts: Collection[str] | None) -> None:
    fitting = [fate for fate in transfer.fates if fate.name in transfer.copied]
    if any(len(fate.shape) > 1 for fate in fitting):
        return
    where = "the network" if parts is None else f"its parts {', '.join(parts)}"
    raise LiverError(
        f"finetune.source: none of its weights fits {where}. Choose the model=, with the options, that they were "
        f"trained in, or another source.\n\n{transfer.table()}"
    )


def _refuse_if_not_finite(transfer: Transfer) -> None:
    for fate in transfer.fates:
        if fate.name in transfer.copied and not transfer.values[fate.name].isfinite().all():
            raise LiverError(
                f"finetune.source: {fate.source} has values that are not finite, as where training diverged: take an "
                f"earlier checkpoint, or another source.\n\n{transfer.table()}"
            )


def _count(part: str, kinds: Counter[Kind]) -> Row:
    order: tuple[Kind, ...] = ("copied", "reshaped", "left out", "new")
    return {"part": part, **{kind: kinds[kind] for kind in order}}


def _said(shape: Shape | None) -> str:
    return "x".join(map(str, shape)) or "one number" if shape is not None else ""
