"""Keep the answers of the source."""

from typing import Any

from pydantic import validate_call
from torch.nn.functional import logsigmoid

from lightning_liver.finetune.terms.base import Frozen, Start, Term, finest
from lightning_liver.types.options import Checked, NonNegative, Positive
from lightning_liver.types.tensors import Batch, Masks, Scalar


def distillation(logits: Masks, wanted: Masks, *, temperature: float) -> Scalar:
    """Return the mean over batch, class and pixel of KL(wanted || logits) of two Bernoulli distributions.

    Both logits are divided by the temperature. Equal logits cost 0. Its gradient is that of the modified cross-entropy
    of Li and Hoiem, from which it differs by the entropy of `wanted`. Hinton et al. multiply by the square of the
    temperature, so that gradients keep their size; Li and Hoiem do not, nor does this.

    Args:
        logits, wanted: of the network and of its teacher, (batch, cls, height, width).
        temperature: 1 compares probabilities; higher ones weigh small probabilities more and shrink the gradient.

    Source: Li and Hoiem 2016, arXiv:1606.09282, equations 2 and 3, for each class on its own, since classes overlap
    here; Hinton et al. 2015, arXiv:1503.02531, section 2.
    """
    student, teacher = logits.float() / temperature, wanted.float() / temperature
    share = teacher.sigmoid()
    present = share * (logsigmoid(teacher) - logsigmoid(student))
    absent = (1 - share) * (logsigmoid(-teacher) - logsigmoid(-student))
    return (present + absent).mean()


class Conservation(Term):
    """Distillation against the network's own start on the same input, times `weight`.

    Source: Li and Hoiem 2016, arXiv:1606.09282 (learning without forgetting), with temperature 2 and weight 1.
    """

    needs_teacher = True

    @validate_call(config=Checked)
    def __init__(self, *, weight: NonNegative, temperature: Positive, start: Start) -> None:
        super().__init__()
        self.before, self.weight, self.temperature = Frozen(start.network), weight, temperature

    def forward(self, task: Any, batch: Batch, logits: Any) -> Scalar:
        old = finest(self.before(batch["image"]))
        return self.weight * distillation(finest(logits), old, temperature=self.temperature)
