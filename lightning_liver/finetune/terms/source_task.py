"""The source's task, learnt beside the target's."""

from typing import Any

from pydantic import validate_call

from lightning_liver.finetune.features import on_companion
from lightning_liver.finetune.terms.base import Start, Term
from lightning_liver.types.options import Checked, NonNegative
from lightning_liver.types.tensors import Batch, Scalar


class SourceTask(Term):
    """The run's own loss on labelled slices of the source, by the same network and head, times `weight`.

    Each batch has as many slices of the source as of the run's own data. Batch norm uses the statistics of either.

    Source: multitask learning of Caruana 1997, doi:10.1023/A:1007379606734, with all layers shared, since both tasks
    have the same classes; "joint training" of Li and Hoiem 2016, arXiv:1606.09282.
    """

    needs_source_data = True

    @validate_call(config=Checked)
    def __init__(self, *, weight: NonNegative, start: Start) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, task: Any, batch: Batch, logits: Any) -> Scalar:
        loss: Scalar = task.compute_loss(on_companion(task, batch, "source"), batch["source_labels"])
        return self.weight * loss
