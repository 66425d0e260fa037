"""Matching of the tensors of a source to those of a network."""

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
    """Change from a name of the source to one of the network: `removed` is taken off its front, `added` put there."""

    removed: str
    added: str

    def __str__(self) -> str:
        said = [f"without {self.removed}"] * bool(self.removed) + [f"with {self.added}"] * bool(self.added)
        return " and ".join(said)


@dataclass(frozen=True)
class TensorMatch:
    """Source of a tensor of the network.

    Args:
        name, part, shape: of the tensor in the network.
        learnable: a parameter, not a buffer such as a running mean.
        kind: "left out" is in the source but does not fit; "new" is not in it, or not wanted. Both keep their values.
        source: name in the source, "" for none.
        source_shape: None for none.
        why: reason for "reshaped" and "left out".
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
    """Return the change of names that matches most parameters, the shortest of equals."""
    removed = sorted(
        {prefix for name in weights for prefix in _wrappers(name)}, key=lambda prefix: (len(prefix), prefix)
    )
    changes = [Renaming(prefix, added) for prefix in removed or [""] for added in _ADDED]

    def found(change: Renaming) -> int:
        matches = match(network, weights, renamed(weights, change), None)
        return sum(one.moves and one.learnable for one in matches)

    return max(changes, key=found)


def _wrappers(name: str) -> list[str]:
    """Return every prefix of a name that consists of wrappers, from none to all of them."""
    found = [""]
    while following := next((word for word in _WRAPPERS if name.removeprefix(found[-1]).startswith(word)), None):
        found.append(found[-1] + following)
    return found


def renamed(weights: Mapping[str, Tensor], change: Renaming) -> dict[str, str]:
    """Return the name in the source by name in the network."""
    removed, added = change
    return {added + name.removeprefix(removed): name for name in weights if name.startswith(removed)}


def match(
    network: nn.Module, weights: Mapping[str, Tensor], sources: Mapping[str, str], wanted: Collection[str] | None
) -> tuple[TensorMatch, ...]:
    """Match every tensor of the network, in its order; `sources` gives its name in the weights.

    Args:
        wanted: parts whose tensors may be copied; None is all, also tensors outside the parts.
    """
    learnable = {name for name, _ in network.named_parameters(remove_duplicate=False)}
    known, ends = list(parts(network)), _ends(network)
    found = []
    for name, tensor in network.state_dict().items():
        if not isinstance(tensor, Tensor):  # a layer's extra state
            continue
        one = TensorMatch(name, _part(name, known), tuple(tensor.shape), name in learnable, "new")
        if name in sources and (wanted is None or one.part in wanted):
            source = weights[sources[name]]
            kind, why = _rule(name, tensor, source, ends)
            one = replace(one, kind=kind, source=sources[name], source_shape=tuple(source.shape), why=why)
        found.append(one)
    return _buffers_with_their_layers(found)


def _part(name: str, known: Collection[str]) -> str:
    return max((part for part in known if name.startswith(f"{part}.")), key=len, default=_NO_PART)


def _ends(network: nn.Module) -> tuple[str | None, str | None]:
    """Return the names of the first convolution and of the last layer; None for one that cannot be reshaped."""
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


def _buffers_with_their_layers(matches: list[TensorMatch]) -> tuple[TensorMatch, ...]:
    lacking = {_layer(one) for one in matches if one.kind == "left out" or (one.kind == "new" and one.learnable)}
    return tuple(
        replace(one, kind="left out", why="goes with its layer")
        if one.kind == "copied" and not one.learnable and _layer(one) in lacking
        else one
        for one in matches
    )


def _layer(one: TensorMatch) -> str:
    return one.name.rpartition(".")[0]
