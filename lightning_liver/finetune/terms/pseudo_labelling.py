"""Pseudo-labels: confident answers of the source on slices without masks."""

from typing import Any, Literal

from pydantic import validate_call
from torch.nn.functional import binary_cross_entropy_with_logits

from lightning_liver.finetune.features import on_companion
from lightning_liver.finetune.statistics import use_statistics
from lightning_liver.finetune.terms.base import Frozen, Start, Term, finest
from lightning_liver.types.options import Checked, Confidence, NonNegative
from lightning_liver.types.tensors import Batch, Scalar


class PseudoLabels(Term):
    """Binary cross-entropy on the unlabelled target against the answers of the network as it started, times `weight`.

    The mean is over classes and pixels where its probability is at least `confidence` or at most 1 - confidence; 0
    where it is confident of nothing.

    Args:
        confidence: probability of the likelier answer from which it counts.
        statistics: batch-norm statistics with which the teacher answers: the source's, or the target's.

    Source: Lee 2013, "Pseudo-Label", ICML workshop on challenges in representation learning, with a fixed teacher.
    """

    needs_target = True
    needs_teacher = True

    @validate_call(config=Checked)
    def __init__(
        self,
        *,
        weight: NonNegative,
        confidence: Confidence,
        start: Start,
        statistics: Literal["source", "target"] = "source",  # of earlier runs, which did not have the option
    ) -> None:
        super().__init__()
        self.teacher, self.weight, self.confidence = Frozen(start.network), weight, confidence
        if statistics == "target" and start.target:
            use_statistics(self.teacher.network, start.target)

    def forward(self, task: Any, batch: Batch, logits: Any) -> Scalar:
        believed = finest(self.teacher(batch["target"])).float().sigmoid()
        sure = (believed >= self.confidence) | (believed <= 1 - self.confidence)
        loss = binary_cross_entropy_with_logits(
            finest(on_companion(task, batch)).float(), (believed > 0.5).float(), reduction="none"
        )
        return self.weight * (loss * sure).sum() / sure.sum().clamp(min=1)
