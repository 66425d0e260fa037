"""Extra terms of the loss: what a fine-tuned network should keep, or learn beside the masks.

A term is called with (task, batch, logits) and returns a scalar; it is made of what the network starts as.
"""

import math
from copy import deepcopy
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import ConfigDict, Field, validate_call
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid, mse_loss

from lightning_liver.finetune.features import Batch, Features, channels_of, on_target
from lightning_liver.types import Count, Images, Masks, NonNegative, Positive, Scalar

Checked = ConfigDict(arbitrary_types_allowed=True)


class Start(NamedTuple):
    """What fine-tuning begins with.

    Args:
        network: with the weights of the source.
        copied: names of its parameters that came from the source, wholly or in part.
        example: (1, channel, height, width), an empty image of the training's size.
    """

    network: nn.Module
    copied: frozenset[str]
    example: Tensor


class Frozen(nn.Module):
    """A copy of a network that never trains, whatever is done to the module that it is in."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = deepcopy(network).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "Frozen":
        return self

    @torch.no_grad()
    def forward(self, images: Images) -> Any:
        return self.network(images)


def distillation(logits: Masks, wanted: Masks, *, temperature: float) -> Scalar:
    """Mean over batch, class and pixel of the divergence of two Bernoulli distributions, KL(wanted || logits).

    Both logits are divided by the temperature and the mean is multiplied by its square, so that gradients keep their
    size. Equal logits cost 0.

    Source: Hinton et al. 2015, arXiv:1503.02531, section 2, for each class on its own, since classes overlap here.
    """
    student, teacher = logits.float() / temperature, wanted.float() / temperature
    share = teacher.sigmoid()
    present = share * (logsigmoid(teacher) - logsigmoid(student))
    absent = (1 - share) * (logsigmoid(-teacher) - logsigmoid(-student))
    return temperature**2 * (present + absent).mean()


class Conservation(nn.Module):
    """Stay near what the network said before: weight * distillation against its own start, on the same input.

    Source: Li and Hoiem 2016, arXiv:1606.09282 (learning without forgetting), whose temperature is 2.
    """

    def __init__(self, network: nn.Module, *, weight: float, temperature: float) -> None:
        super().__init__()
        self.before, self.weight, self.temperature = Frozen(network), weight, temperature

    def forward(self, task: Any, batch: Batch, logits: Any) -> Scalar:
        old = finest(self.before(batch["image"]))
        return self.weight * distillation(finest(logits), old, temperature=self.temperature)


@validate_call(config=Checked)
def conservation(*, weight: NonNegative, temperature: Positive, start: Start) -> Conservation:
    """See Conservation."""
    return Conservation(start.network, weight=weight, temperature=temperature)


class WeightConservation(nn.Module):
    """Stay near the weights of the start: (alpha sum |w - w0|^2 + beta sum |v|^2) / 2.

    w are the weights that came from the source, wholly or in part, with their start w0; v are those that did not. Batch
    norm's scale and shift count as weights, its running statistics do not. It takes the place of weight decay.

    Source: L2-SP of Li et al. 2018, arXiv:1802.01483, equation 4.
    """

    def __init__(self, network: nn.Module, *, alpha: float, beta: float, copied: frozenset[str]) -> None:
        super().__init__()
        self.alpha, self.beta = alpha, beta
        self.names = [name for name, _ in network.named_parameters() if name in copied]
        self.start = nn.ParameterList(
            [parameter.detach().clone() for name, parameter in network.named_parameters() if name in copied]
        ).requires_grad_(False)

    def forward(self, task: Any, batch: Batch, logits: Any) -> Scalar:
        now = dict(task.network.named_parameters())
        moved = sum(((now[name] - start) ** 2).sum() for name, start in zip(self.names, self.start, strict=True))
        new = sum((parameter**2).sum() for name, parameter in now.items() if name not in self.names)
        return (self.alpha * torch.as_tensor(moved) + self.beta * torch.as_tensor(new)).float() / 2


@validate_call(config=Checked)
def conservation_weights(*, alpha: NonNegative, beta: NonNegative, start: Start) -> WeightConservation:
    """See WeightConservation."""
    return WeightConservation(start.network, alpha=alpha, beta=beta, copied=start.copied)


class TumourPresence(nn.Module):
    """A second head: does the slice show a tumour? Binary cross-entropy of a linear layer on pooled features."""

    def __init__(self, network: nn.Module, *, weight: float, part: str, example: Tensor) -> None:
        super().__init__()
        self.weight, self.features = weight, Features(network, part)
        self.head = nn.Linear(channels_of(network, part, example), 1)

    def forward(self, task: Any, batch: Batch, logits: Any) -> Scalar:
        answer = self.head(self.features().mean(dim=(-2, -1)))[:, 0]
        present = _shows_tumour(batch["labels"])
        if "partner_labels" in batch:  # the batch is blended, and so is the answer
            share = batch["share"][0]
            present = share * present + (1 - share) * _shows_tumour(batch["partner_labels"])
        return self.weight * binary_cross_entropy_with_logits(answer.float(), present)


def _shows_tumour(labels: Tensor) -> Tensor:
    return (labels == 2).flatten(1).any(dim=1).float()


class Reconstruction(nn.Module):
    """A second head: the image itself, by a 1x1 convolution of features at full resolution; mean squared error."""

    def __init__(self, network: nn.Module, *, weight: float, part: str, example: Tensor) -> None:
        super().__init__()
        self.weight, self.features = weight, Features(network, part)
        self.head = nn.Conv2d(channels_of(network, part, example), example.shape[1], kernel_size=1)

    def forward(self, task: Any, batch: Batch, logits: Any) -> Scalar:
        return self.weight * mse_loss(self.head(self.features()).float(), batch["image"].float())


@validate_call(config=Checked)
def tumour_presence(*, weight: NonNegative, part: str, start: Start) -> TumourPresence:
    """See TumourPresence. part: whose features the head gets."""
    return TumourPresence(start.network, weight=weight, part=part, example=start.example)


@validate_call(config=Checked)
def reconstruction(*, weight: NonNegative, part: str, start: Start) -> Reconstruction:
    """See Reconstruction. part: whose features the head gets; it has to be at full resolution."""
    return Reconstruction(start.network, weight=weight, part=part, example=start.example)


class _Reversal(torch.autograd.Function):
    """The identity, whose gradient is turned round and scaled."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return -ctx.strength * gradients[0], None


def reverse_gradient(features: Tensor, strength: float) -> Tensor:
    """features, with a gradient of -strength times what comes in. Source: Ganin et al. 2016, arXiv:1505.07818."""
    reversed_: Tensor = _Reversal.apply(features, strength)  # type: ignore[no-untyped-call]
    return reversed_


def reversal_strength(progress: float) -> float:
    """2 / (1 + exp(-10 progress)) - 1, from 0 to almost 1. Source: Ganin et al. 2016, section 5.2.2."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


class DomainAdversarial(nn.Module):
    """Features from which a discriminator cannot tell labelled slices from those of the unlabelled target.

    The discriminator, two layers on pooled features of one part, learns to tell them; the gradient that reaches the
    network is reversed, at a strength that grows with training. Weight times the mean cross-entropy of both domains.

    Source: Ganin et al. 2016, arXiv:1505.07818.
    """

    def __init__(self, network: nn.Module, *, weight: float, part: str, hidden: int, example: Tensor) -> None:
        super().__init__()
        self.weight, self.features = weight, Features(network, part)
        width = channels_of(network, part, example)
        self.discriminator = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, task: Any, batch: Batch, logits: Any) -> Scalar:
        ours = self.features().mean(dim=(-2, -1))
        on_target(task, batch, self.features)
        theirs = self.features().mean(dim=(-2, -1))
        strength = reversal_strength(progress_of(task))
        answer = self.discriminator(reverse_gradient(torch.cat([ours, theirs]), strength))[:, 0].float()
        domain = torch.cat([torch.zeros(len(ours)), torch.ones(len(theirs))]).to(answer)
        return self.weight * binary_cross_entropy_with_logits(answer, domain)


@validate_call(config=Checked)
def domain_adversarial(*, weight: NonNegative, part: str, hidden: Count, start: Start) -> DomainAdversarial:
    """See DomainAdversarial. part: whose features must not tell; hidden: width of the discriminator."""
    return DomainAdversarial(start.network, weight=weight, part=part, hidden=hidden, example=start.example)


class PseudoLabels(nn.Module):
    """Learn on the unlabelled target what the network as it started is sure of there.

    Binary cross-entropy against its answers, over classes and pixels where its probability is at least `confidence`
    or at most 1 - confidence; 0 where it is sure of nothing.

    Source: Lee 2013, "Pseudo-Label", ICML workshop on challenges in representation learning, with a fixed teacher.
    """

    def __init__(self, network: nn.Module, *, weight: float, confidence: float) -> None:
        super().__init__()
        self.teacher, self.weight, self.confidence = Frozen(network), weight, confidence

    def forward(self, task: Any, batch: Batch, logits: Any) -> Scalar:
        believed = finest(self.teacher(batch["target"])).float().sigmoid()
        sure = (believed >= self.confidence) | (believed <= 1 - self.confidence)
        cost = binary_cross_entropy_with_logits(
            finest(on_target(task, batch)).float(), (believed > 0.5).float(), reduction="none"
        )
        return self.weight * (cost * sure).sum() / sure.sum().clamp(min=1)


@validate_call(config=Checked)
def pseudo_labels(
    *, weight: NonNegative, confidence: Annotated[float, Field(gt=0.5, lt=1)], start: Start
) -> PseudoLabels:
    """See PseudoLabels."""
    return PseudoLabels(start.network, weight=weight, confidence=confidence)


def finest(logits: Any) -> Masks:
    """The logits at full resolution of a network that gives several."""
    last: Tensor = logits if isinstance(logits, Tensor) else logits[-1]
    return last


def progress_of(task: Any) -> float:
    """How much of training is over, 0 to 1."""
    steps = task.trainer.estimated_stepping_batches
    return min(task.global_step / steps, 1.0) if math.isfinite(steps) and steps > 0 else 0.0


domain_adversarial.needs_target = pseudo_labels.needs_target = True  # type: ignore[attr-defined]
conservation.needs_teacher = pseudo_labels.needs_teacher = True  # type: ignore[attr-defined]
