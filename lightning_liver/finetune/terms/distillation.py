"""Keep the answers of the source."""

from typing import Any

from pydantic import validate_call
from torch.nn.functional import logsigmoid

from lightning_liver.finetune.terms.base import Frozen, Start, Term, finest
from lightning_liver.types.options import Checked, NonNegative, Positive
from lightning_liver.types.tensors import Batch, Masks, Scalar


def distillation(logits: Masks, wanted: Masks, *, temperature: float) -> Scalar:
    """Return the mean over batch, class and pixel of KL(wanted || logits) of two Bernoulli distributions.

    Both logits are divided by the temperature and the mean is multiplied by its square, so that gradients keep their
    size. Equal logits cost 0.

    Source: Hinton et al. 2015, arXiv:1503.02531, section 2, for each class on its own, since classes overlap here.
    """
    student, teacher = logits.float() / temperature, wanted.float() / temperature
    share = teacher.sigmoid()
    present = share * (logsigmoid(teacher) - logsigmoid(student))
    absent = (1 - share) * (logsigmoid(-teacher) - logsigmoid(-student))
    return temperature**2 * (present + absent).mean()


class Conservation(Term):
    """Distillation against the network's own start on the same input, times `weight`.

    Source: Li and Hoiem 2016, arXiv:1606.09282 (learning without forgetting), whose temperature is 2.
    """

    needs_teacher = True

    @validate_call(config=Checked)
    def __init__(self, *, weight: NonNegative, temperature: Positive, start: Start) -> None:
        super().__init__()
        self.before, self.weight, self.temperature = Frozen(start.network), weight, temperature

    def forward(self, task: Any, batch: Batch, logits: Any) -> Scalar:
        old = finest(self.before(batch["image"]))
        return self.weight * distillation(finest(logits), old, temperature=self.temperature)
