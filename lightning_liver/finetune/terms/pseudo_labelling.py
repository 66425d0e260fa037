"""Pseudo-labels: confident answers of the source on slices without masks."""

from typing import Any

from pydantic import validate_call
from torch.nn.functional import binary_cross_entropy_with_logits

from lightning_liver.finetune.features import on_target
from lightning_liver.finetune.terms.base import Frozen, Start, Term, finest
from lightning_liver.types.options import Checked, Confidence, NonNegative
from lightning_liver.types.tensors import Batch, Scalar


class PseudoLabels(Term):
    """Binary cross-entropy on the unlabelled target against the answers of the network as it started, times `weight`.

    The mean is over classes and pixels where its probability is at least `confidence` or at most 1 - confidence; 0
    where it is confident of nothing.

    Source: Lee 2013, "Pseudo-Label", ICML workshop on challenges in representation learning, with a fixed teacher.
    """

    needs_target = True
    needs_teacher = True

    @validate_call(config=Checked)
    def __init__(self, *, weight: NonNegative, confidence: Confidence, start: Start) -> None:
        super().__init__()
        self.teacher, self.weight, self.confidence = Frozen(start.network), weight, confidence

    def forward(self, task: Any, batch: Batch, logits: Any) -> Scalar:
        believed = finest(self.teacher(batch["target"])).float().sigmoid()
        sure = (believed >= self.confidence) | (believed <= 1 - self.confidence)
        loss = binary_cross_entropy_with_logits(
            finest(on_target(task, batch)).float(), (believed > 0.5).float(), reduction="none"
        )
        return self.weight * (loss * sure).sum() / sure.sum().clamp(min=1)
