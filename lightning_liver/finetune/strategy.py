"""Fine-tuning strategies: what is copied, what trains when and how fast, and the extra terms of the loss."""

from collections.abc import Callable, Sequence
from dataclasses import field
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from pytorch_lightning.callbacks import Callback
from torch import nn

from lightning_liver.errors import LiverError
from lightning_liver.finetune.freezing import (
    Freezing,
    UnfreezeEpochs,
    by_unfreeze_epoch,
    freeze,
    from_the_top,
    frozen_for,
)
from lightning_liver.finetune.parts import Named, parts, select
from lightning_liver.finetune.rates import group, groups, scales
from lightning_liver.finetune.statistics import norms
from lightning_liver.types.options import Count, Positive, PositiveFraction

Groups = Callable[[Any], list[dict[str, Any]]]  # task -> parameter groups of the optimizer, each with its `scale`


class Phases(NamedTuple):
    """Optimizer groups of a run, None for a single one, and the callbacks that unfreeze parts."""

    groups: Groups | None
    callbacks: Sequence[Callback]


@dataclass(frozen=True, config=ConfigDict(arbitrary_types_allowed=True, extra="forbid"))
class Strategy:
    """Options of conf/finetune; each yaml is one strategy.

    Args:
        source: run folder, checkpoint, state_dict or safetensors to start from; not read with `pretrain`, and None for
            strategies without a source.
        copied: the first so many parts of the network, or parts by name; None is all of them.
        frozen: parts that do not train at first, in the same way; None is none.
        frozen_epochs: number of epochs for which they stay frozen; None is for good.
        unfreeze_every: epochs after which more parts train, from the logits to the image; None trains all at once.
        unfreeze_at_once: how many parts at a time.
        lr_scale: learning-rate multiplier of the part next to the logits.
        lr_decay: learning-rate multiplier from each part to the one before it.
        source_data: a run folder; its test cases are scored before and after, to measure forgetting.
        target_root: a folder of scans whose masks are not used, laid out as LiTS is.
        pretrain: options of pre-training on slices without masks.
        source_optional: True also starts from random weights.
        terms: extra terms of the loss by name, made with `start`; see lightning_liver.finetune.terms.
        target_sampling: matched draws slices of target_root in the proportions of labelled ones; None, evenly.

    Raises:
        pydantic.ValidationError, LiverError: options out of range, or that contradict each other.
    """

    source: str | None
    copied: Named | None
    frozen: Named | None
    frozen_epochs: Count | None
    unfreeze_every: Count | None
    unfreeze_at_once: Count
    lr_scale: Positive
    lr_decay: PositiveFraction
    source_data: str | None
    target_root: str | None
    pretrain: Any
    source_optional: bool
    terms: dict[str, Callable[..., Any]] = field(default_factory=dict)
    target_sampling: Literal["matched"] | None = None  # of earlier runs, which did not have the option

    trains: ClassVar[bool] = True  # False: only batch-norm statistics change

    def __post_init__(self) -> None:
        if self.source is None and self.pretrain is None and not self.source_optional:
            raise LiverError(
                "finetune.source=null: expected a run folder, a checkpoint, a state_dict or a safetensors file"
            )
        if self.frozen is not None and self.unfreeze_every is not None:
            raise LiverError(
                "finetune.frozen and finetune.unfreeze_every contradict each other: leave one of them null"
            )
        if self.frozen_epochs is not None and self.frozen is None:
            raise LiverError(f"finetune.frozen_epochs={self.frozen_epochs}: expected finetune.frozen, too; name parts")
        if self.unfreeze_at_once > 1 and self.unfreeze_every is None:
            raise LiverError(
                f"finetune.unfreeze_at_once={self.unfreeze_at_once}: expected finetune.unfreeze_every, too; give it"
            )

    @property
    def copied_source(self) -> str | None:
        """Source whose weights the run starts from; None from random weights and with `pretrain`."""
        return self.source if self.pretrain is None else None

    def check(self, network: nn.Module) -> None:
        """Refuse names and numbers of parts that the network does not have."""
        names = list(parts(network))
        if self.copied is not None:
            select(names, self.copied, option="finetune.copied")
        self.unfreeze_epochs(names)

    def phases(self, network: nn.Module) -> Phases:
        """Freeze what does not train at first; return the groups of all parts, and what unfreezes them."""
        names = list(parts(network))
        epochs, factors = self.unfreeze_epochs(names), scales(names, scale=self.lr_scale, decay=self.lr_decay)
        options = {"weight_decay": 0.0} if self.names_of_terms("replaces_weight_decay") else {}
        freeze(network, {name for name, first in epochs.items() if first > 0})
        return Phases(
            partial(groups, scale_of=factors, order=by_unfreeze_epoch(epochs), **options),
            [Freezing(epochs, lambda part, name: group(part, name, factors[name], **options))],
        )

    def names_of_terms(self, attribute: str) -> list[str]:
        """Return the names of the terms whose class sets an attribute, such as needs_teacher."""
        classes = {name: make.func if isinstance(make, partial) else make for name, make in self.terms.items()}
        return sorted(name for name, class_ in classes.items() if getattr(class_, attribute, False))

    def unfreeze_epochs(self, names: Sequence[str]) -> UnfreezeEpochs:
        """Return the epoch from which each part of a network trains."""
        if self.unfreeze_every is not None:
            return from_the_top(names, every=self.unfreeze_every, at_once=self.unfreeze_at_once)
        if self.frozen is not None:
            return frozen_for(names, self.frozen, epochs=self.frozen_epochs)
        return dict.fromkeys(names, 0)


_ALL_PARTS_ALIKE: dict[str, Any] = {
    "copied": None,
    "frozen": None,
    "frozen_epochs": None,
    "unfreeze_every": None,
    "unfreeze_at_once": 1,
    "lr_scale": 1.0,
    "lr_decay": 1.0,
    "pretrain": None,
}


class Scratch(Strategy):
    """Training from random weights: nothing is copied or frozen, and the optimizer has a single group.

    It accepts the options that a sweep over strategies sets for all of them, and ignores them.
    """

    def __init__(self, *, source: str | None, source_data: str | None, target_root: str | None) -> None:
        super().__init__(source=None, source_data=None, target_root=None, source_optional=True, **_ALL_PARTS_ALIKE)

    def check(self, network: nn.Module) -> None:
        """Accept every network."""

    def phases(self, network: nn.Module) -> Phases:
        """Return a single group, in which all trains."""
        return Phases(None, ())


class AdaBN(Strategy):
    """The source's network with batch-norm statistics of the target; no weight is trained.

    Args:
        source, source_data, target_root, target_sampling: as of Strategy; source and target_root are needed.

    Source: Li et al. 2016, arXiv:1603.04779.
    """

    trains = False

    def __init__(
        self,
        *,
        source: str | None,
        source_data: str | None,
        target_root: str | None,
        target_sampling: Literal["matched"] | None,
    ) -> None:
        super().__init__(
            source=source,
            source_data=source_data,
            target_root=target_root,
            source_optional=False,
            target_sampling=target_sampling,
            **_ALL_PARTS_ALIKE,
        )

    def check(self, network: nn.Module) -> None:
        """Refuse a network without batch norm, which would stay the source's."""
        if not norms(network):
            raise LiverError(
                "finetune=adabn: expected a network with batch normalisation; choose such a model and its source, "
                "as model=unet_small"
            )

    def phases(self, network: nn.Module) -> Phases:
        """Return a single group, which is never trained."""
        return Phases(None, ())
