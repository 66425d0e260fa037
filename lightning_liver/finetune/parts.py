"""Parts of a network, from the image to the logits, which are copied, frozen and unfrozen as a whole."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from torch import nn

from lightning_liver.errors import LiverError

Named = int | Sequence[str]  # number of first parts, or names with wildcards


def parts(network: nn.Module) -> dict[str, nn.Module]:
    """Return the parts by name, in the order of the network's definition; each member of a ModuleList is a part.

    Our U-Net has encoder.0 (full resolution) to encoder.4, decoder.0 (deepest) to decoder.3, head. A module that only
    reuses parameters of earlier parts is not a part.

    Raises:
        LiverError: a parameter lies in no part, or in two.
    """
    found: dict[str, nn.Module] = {}
    seen: set[int] = set()
    for name, child in network.named_children():
        members = child.named_children() if isinstance(child, nn.ModuleList) else [("", child)]
        for member, module in members:
            own = {id(parameter) for parameter in module.parameters()}
            if own - seen:
                if own & seen:
                    raise LiverError(f"finetune: {name} of the model shares weights with a part before it")
                found[f"{name}.{member}".rstrip(".")] = module
            seen |= own
    if loose := [name for name, parameter in network.named_parameters() if id(parameter) not in seen]:
        raise LiverError(f"finetune: {', '.join(loose)} of the model lies in no module: put it into one")
    return found


def select(names: Iterable[str], wanted: Named, *, option: str) -> list[str]:
    """Return the first `wanted` names, or those that match one of the patterns, in their own order.

    Raises:
        LiverError: more than there are, or a pattern that no name matches.
    """
    known = list(names)
    if isinstance(wanted, int):
        if not 1 <= wanted <= len(known):
            raise LiverError(f"{option}={wanted}: the network has {len(known)} parts: {', '.join(known)}")
        return known[:wanted]
    for pattern in wanted:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise LiverError(f"{option}: no part of the network is called {pattern}; it has {', '.join(known)}")
    return [name for name in known if any(fnmatchcase(name, pattern) for pattern in wanted)]
