"""A fine-tuning strategy: what is copied, what trains when and how fast, and what else the loss asks for."""

from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from lightning_liver.errors import LiverError
from lightning_liver.finetune.freezing import UnfreezeEpochs, from_the_top, frozen_for
from lightning_liver.finetune.parts import Named
from lightning_liver.finetune.rates import scales
from lightning_liver.types import Count, Positive


@dataclass(frozen=True, config=ConfigDict(arbitrary_types_allowed=True))
class Strategy:
    """Options of conf/finetune; each yaml is one strategy.

    Args:
        source: run folder, checkpoint, state_dict or safetensors to start from; None where `pretrain` makes the start,
            or the strategy does without. With `pretrain` it is not read.
        copied: the first so many parts of the network, or parts by name; None is all.
        frozen: parts that do not train at first, in the same way; None is none.
        frozen_epochs: for how long; None is for good.
        unfreeze_every: epochs after which more parts train, from the logits to the image; None trains all at once.
        unfreeze_at_once: how many parts at a time.
        lr_scale: factor of the learning rate next to the logits.
        lr_decay: factor from each part to the one before it.
        source_data: a run folder; its test cases are scored before and after, which shows what was forgotten.
        target_root: a folder of scans whose masks are not used, laid out as LiTS is.
        pretrain: makes the start from slices without masks.
        source_optional: random weights are a start, too.
        terms: name -> what makes an extra term of the loss, see lightning_liver.finetune.terms.

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
    lr_decay: Annotated[float, Field(gt=0, le=1)]
    source_data: str | None
    target_root: str | None
    pretrain: Any
    source_optional: bool
    terms: dict[str, Callable[..., Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.source is None and self.pretrain is None and not self.source_optional:
            raise LiverError(
                "finetune.source is needed: a run folder, a checkpoint, a state_dict or a safetensors file"
            )
        if self.frozen is not None and self.unfreeze_every is not None:
            raise LiverError(
                "finetune.frozen and finetune.unfreeze_every contradict each other: leave one of them null"
            )
        if self.frozen_epochs is not None and self.frozen is None:
            raise LiverError("finetune.frozen_epochs says how long, but finetune.frozen names no part")
        if self.unfreeze_at_once > 1 and self.unfreeze_every is None:
            raise LiverError("finetune.unfreeze_at_once says how many, but finetune.unfreeze_every not how often")

    def thaw(self, names: Sequence[str]) -> UnfreezeEpochs:
        """Of every part of a network, the epoch from which it trains."""
        if self.unfreeze_every is not None:
            return from_the_top(names, every=self.unfreeze_every, at_once=self.unfreeze_at_once)
        if self.frozen is not None:
            return frozen_for(names, self.frozen, epochs=self.frozen_epochs)
        return dict.fromkeys(names, 0)

    def scales(self, names: Sequence[str]) -> dict[str, float]:
        """Of every part the factor of the learning rate."""
        return scales(names, scale=self.lr_scale, decay=self.lr_decay)
