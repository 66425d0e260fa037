"""Which tensor of a source belongs to which of a network, and whether it fits there."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from torch import Tensor, nn

from lightning_liver.finetune.parts import parts

Kind = Literal["copied", "reshaped", "left out", "new"]
Shape = tuple[int, ...]

_WRAPPERS = ("module.", "_orig_mod.", "model.", "network.", "net.", "backbone.", "encoder.")
_ADDED = ("", "encoder.", "encoder.model.")  # bare encoders for ours, and for timm's in segmentation-models-pytorch
_NO_PART = "(no part)"
_PLAIN_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_LAYERS = (*_PLAIN_CONVOLUTIONS, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear)


class Renaming(NamedTuple):
    """How a name of the source becomes one of the network: without `removed` in front, then with `added`."""

    removed: str
    added: str

    def __str__(self) -> str:
        said = [f"without {self.removed}"] * bool(self.removed) + [f"with {self.added}"] * bool(self.added)
        return " and ".join(said)


@dataclass(frozen=True)
class TensorMatch:
    """What becomes of a tensor of the network.

    Args:
        name, part, shape: of the tensor in the network.
        learnable: a parameter, not a buffer such as a running mean.
        kind: "left out" is in the source, but does not fit; "new" is not, or was not wanted. Both stay as they are.
        source: its name there, "" for none.
        source_shape: None for none.
        why: it was reshaped or left out.
    """

    name: str
    part: str
    shape: Shape
    learnable: bool
    kind: Kind
    source: str = ""
    source_shape: Shape | None = None
    why: str = ""

    @property
    def moves(self) -> bool:
        return self.kind in ("copied", "reshaped")


def best_renaming(network: nn.Module, weights: Mapping[str, Tensor]) -> Renaming:
    """The change of names under which most parameters find their place, of equals the shortest."""
    removed = sorted(
        {prefix for name in weights for prefix in _wrappers(name)}, key=lambda prefix: (len(prefix), prefix)
    )
    changes = [Renaming(prefix, added) for prefix in removed or [""] for added in _ADDED]

    def found(change: Renaming) -> int:
        fates = match(network, weights, renamed(weights, change), None)
        return sum(fate.moves and fate.learnable for fate in fates)

    return max(changes, key=found)


def _wrappers(name: str) -> list[str]:
    """Every prefix of a name that is made of wrappers, from none to all of them."""
    found = [""]
    while following := next((word for word in _WRAPPERS if name.removeprefix(found[-1]).startswith(word)), None):
        found.append(found[-1] + following)
    return found


def renamed(weights: Mapping[str, Tensor], change: Renaming) -> dict[str, str]:
    """Name in the network -> name in the source."""
    removed, added = change
    return {added + name.removeprefix(removed): name for name in weights if name.startswith(removed)}


def match(
    network: nn.Module, weights: Mapping[str, Tensor], sources: Mapping[str, str], wanted: Collection[str] | None
) -> tuple[TensorMatch, ...]:
    """What becomes of every tensor of the network, in its order; `sources` gives its name in the weights.

    Args:
        wanted: parts whose tensors may move; None is all, and what is in no part.
    """
    learnable = {name for name, _ in network.named_parameters(remove_duplicate=False)}
    known, ends = list(parts(network)), _ends(network)
    found = []
    for name, tensor in network.state_dict().items():
        if not isinstance(tensor, Tensor):  # a layer's extra state
            continue
        fate = TensorMatch(name, _part(name, known), tuple(tensor.shape), name in learnable, "new")
        if name in sources and (wanted is None or fate.part in wanted):
            source = weights[sources[name]]
            kind, why = _rule(name, tensor, source, ends)
            fate = replace(fate, kind=kind, source=sources[name], source_shape=tuple(source.shape), why=why)
        found.append(fate)
    return _buffers_with_their_layers(found)


def _part(name: str, known: Collection[str]) -> str:
    return max((part for part in known if name.startswith(f"{part}.")), key=len, default=_NO_PART)


def _ends(network: nn.Module) -> tuple[str | None, str | None]:
    """Names of the first convolution and of the last layer; None for one that is not reshaped."""
    layers = [(name, module) for name, module in network.named_modules() if isinstance(module, _LAYERS)]
    first = next(((name, module) for name, module in layers if isinstance(module, _PLAIN_CONVOLUTIONS)), (None, None))
    last = layers[-1] if layers else (None, None)
    plain = isinstance(last[1], (*_PLAIN_CONVOLUTIONS, nn.Linear))
    return (
        first[0] if getattr(first[1], "groups", 1) == 1 else None,
        last[0] if plain and getattr(last[1], "groups", 1) == 1 else None,
    )


def _rule(name: str, tensor: Tensor, source: Tensor, ends: tuple[str | None, str | None]) -> tuple[Kind, str]:
    shape, given = tuple(tensor.shape), tuple(source.shape)
    layer, _, which = name.rpartition(".")
    if source.is_floating_point() != tensor.is_floating_point():
        return "left out", f"{source.dtype} for {tensor.dtype}".replace("torch.", "")
    if given == shape:
        return "copied", ""
    if len(given) != len(shape) or 0 in given:
        return "left out", "another shape"
    if layer == ends[0] and which == "weight" and (given[0], *given[2:]) == (shape[0], *shape[2:]):
        return "reshaped", f"sum of {given[1]} input channels, divided by {shape[1]}"
    if layer == ends[1] and given[1:] == shape[1:]:
        return "reshaped", f"the first {min(given[0], shape[0])} of {given[0]} output channels"
    return "left out", "another shape"


def _buffers_with_their_layers(fates: list[TensorMatch]) -> tuple[TensorMatch, ...]:
    lacking = {_layer(fate) for fate in fates if fate.kind == "left out" or (fate.kind == "new" and fate.learnable)}
    return tuple(
        replace(fate, kind="left out", why="goes with its layer")
        if fate.kind == "copied" and not fate.learnable and _layer(fate) in lacking
        else fate
        for fate in fates
    )


def _layer(fate: TensorMatch) -> str:
    return fate.name.rpartition(".")[0]
