"""Terms against closed forms on a tiny network."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lightning_liver.finetune import terms
from lightning_liver.finetune.features import on_companion
from lightning_liver.finetune.self_taught import patches
from lightning_liver.finetune.statistics import statistics_of
from lightning_liver.finetune.terms.base import progress_of
from lightning_liver.finetune.terms.discriminator import reversal_strength, reverse_gradient
from lightning_liver.finetune.terms.distillation import distillation
from tests.finetune.tiny import Task, Tiny, batch, start

pytestmark = pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")


def test_distillation_of_equal_outputs_costs_nothing_and_pulls_nowhere() -> None:
    logits = torch.randn(2, 2, 5, 5, requires_grad=True)
    cost = distillation(logits, logits.detach().clone(), temperature=2.0)
    assert float(cost.detach()) == pytest.approx(0, abs=1e-7)
    cost.backward()
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) < 1e-7


@given(st.floats(-8, 8), st.floats(-8, 8), st.floats(0.5, 5))
def test_distillation_is_the_divergence_of_two_coins(student: float, teacher: float, temperature: float) -> None:
    q, p = (1 / (1 + math.exp(-z / temperature)) for z in (student, teacher))
    expected = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    ours = distillation(
        torch.full((1, 2, 3, 3), student, dtype=torch.float64),
        torch.full((1, 2, 3, 3), teacher, dtype=torch.float64),
        temperature=temperature,
    )
    assert float(ours) == pytest.approx(expected, abs=2e-5, rel=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 3.5])
def test_distillation_has_the_gradient_of_learning_without_forgetting(temperature: float) -> None:
    """Equations 2 and 3 of Li and Hoiem, -sum y1 log y2 with y1, y2 = y^(1/T) / sum y^(1/T), of class and rest."""
    logits, wanted = (torch.randn(1, 2, 3, 4, generator=torch.Generator().manual_seed(n)).double() for n in (0, 1))

    def modified(values: np.ndarray) -> np.ndarray:
        labels = np.stack([1 / (1 + np.exp(-values)), 1 / (1 + np.exp(values))])
        powers = labels ** (1 / temperature)
        return powers / powers.sum(axis=0)

    def cross_entropy(values: np.ndarray) -> float:
        return float(-(modified(wanted.numpy()) * np.log(modified(values))).sum(axis=0).mean())

    expected, step = np.zeros(logits.shape), 1e-5
    for place in np.ndindex(*logits.shape):
        moved = np.zeros(logits.shape)
        moved[place] = step
        expected[place] = (cross_entropy(logits.numpy() + moved) - cross_entropy(logits.numpy() - moved)) / (2 * step)
    ours = logits.float().requires_grad_()
    distillation(ours, wanted.float(), temperature=temperature).backward()
    np.testing.assert_allclose(ours.grad.numpy(), expected, atol=1e-7)


def test_conservation_costs_nothing_before_a_step_and_something_after() -> None:
    network = Tiny().eval()
    term = terms.conservation(weight=0.5, temperature=2.0, start=start(network))
    given_ = batch()
    assert float(term(Task(network), given_, network(given_["image"]))) == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        network.head.bias += 1
    assert float(term(Task(network), given_, network(given_["image"]))) > 0.0025


def test_a_teacher_never_trains() -> None:
    network = Tiny()
    term = terms.conservation(weight=1.0, temperature=2.0, start=start(network))
    term.train()
    before = {name: value.clone() for name, value in term.before.network.state_dict().items()}
    for seed in range(3):
        images = batch(seed=seed)["image"]
        term(Task(network), {"image": images}, network(images)).backward()
    assert not any(parameter.requires_grad for parameter in term.parameters())
    for name, value in term.before.network.state_dict().items():
        assert torch.equal(value, before[name]), "batch statistics stand still too"


def test_weight_conservation_has_the_gradient_of_its_equation() -> None:
    """alpha (w - w0) of what was copied, beta v of what was not."""
    network = Tiny()
    copied = frozenset(name for name, _ in network.named_parameters() if not name.startswith("head"))
    term = terms.conservation_weights(alpha=0.3, beta=0.02, start=start(network, copied))
    origin = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += torch.randn_like(parameter)
    term(Task(network), {}, None).backward()
    for name, parameter in network.named_parameters():
        expected = 0.3 * (parameter - origin[name]) if name in copied else 0.02 * parameter
        torch.testing.assert_close(parameter.grad, expected)


def test_weight_conservation_is_half_the_sum_of_squares() -> None:
    network = Tiny()
    term = terms.conservation_weights(alpha=0.3, beta=5.0, start=start(network))
    assert float(term(Task(network), {}, None)) == 0
    with torch.no_grad():
        network.head.bias += torch.tensor([1.0, 2.0])
    assert float(term(Task(network), {}, None)) == pytest.approx(0.3 * 5 / 2)


def test_a_reversed_gradient_is_turned_round_and_the_value_is_not() -> None:
    features = torch.tensor([1.0, -2.0], requires_grad=True)
    reversed_ = reverse_gradient(features, 0.25)
    torch.testing.assert_close(reversed_, features)
    (reversed_ * torch.tensor([3.0, 5.0])).sum().backward()
    torch.testing.assert_close(features.grad, -0.25 * torch.tensor([3.0, 5.0]))


def test_reversal_grows_from_nothing_to_almost_one() -> None:
    strengths = [reversal_strength(p) for p in np.linspace(0, 1, 11)]
    assert strengths[0] == 0
    assert strengths[-1] == pytest.approx((1 - math.exp(-10)) / (1 + math.exp(-10)))
    assert strengths == sorted(strengths)


def test_the_discriminator_learns_while_the_network_unlearns() -> None:
    """The gradient of the features is minus the strength times what the discriminator's loss gives without reversal."""
    network = Tiny().eval()
    term = terms.domain_adversarial(weight=1.0, part="encoder.*", hidden=8, start=start(network))
    given_ = batch()

    def gradients(step: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        network.zero_grad()
        term.zero_grad()
        network(given_["image"])
        term(Task(network, step), given_, None).backward()
        own = [p.grad.clone() for p in term.discriminator.parameters() if p.grad is not None]
        encoder = [p.grad.clone() for p in network.encoder.parameters() if p.grad is not None]
        return own, encoder

    own, nothing = gradients(0)
    assert all(float(g.abs().max()) == 0 for g in nothing), "strength 0 at the beginning"
    same, reversed_ = gradients(50)
    for one, other in zip(own, same, strict=True):
        torch.testing.assert_close(one, other)
    honest = nn.functional.binary_cross_entropy_with_logits
    network.zero_grad()
    pooled = []
    for name in ("image", "target"):
        network(given_[name])
        pooled.append(term.features().mean(dim=(-2, -1)))
    answer = term.discriminator(torch.cat(pooled))[:, 0]
    honest(answer, torch.tensor([0.0] * 4 + [1.0] * 4)).backward()
    direct = [p.grad for p in network.encoder.parameters() if p.grad is not None]
    for turned, straight in zip(reversed_, direct, strict=True):
        torch.testing.assert_close(turned, -reversal_strength(0.5) * straight)


def test_pseudo_labels_are_those_that_the_teacher_is_sure_of() -> None:
    class Fixed(nn.Module):
        """Says what it is told to, through one weight."""

        def __init__(self) -> None:
            super().__init__()
            self.only = nn.Conv2d(1, 2, 1)
            nn.init.ones_(self.only.weight)
            nn.init.zeros_(self.only.bias)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.only(images)
            return logits

    network = Fixed()
    term = terms.pseudo_labels(weight=2.0, confidence=0.9, start=start(network))
    target = torch.tensor([[[[5.0, 1.0], [-5.0, 0.1]]]])
    sure = [5.0, 5.0]  # pixels 5 and -5 in both classes, on the right side each
    expected = 2.0 * np.mean([math.log(1 + math.exp(-z)) for z in sure])
    assert float(term(Task(network), {"target": target}, None)) == pytest.approx(expected, rel=1e-4)
    unsure = torch.zeros(1, 1, 2, 2)
    assert float(term(Task(network), {"target": unsure}, None)) == 0


def test_source_task_is_the_runs_own_loss_on_the_sources_slices() -> None:
    """In a network in training mode its running statistics stay those of the target."""
    network = Tiny().train()
    asked: list[torch.Tensor] = []

    class Losing(Task):
        def compute_loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            asked.extend([logits, labels])
            return logits.mean()

    own, other = batch(seed=0), batch(seed=1)
    given_ = own | {"source": other["image"], "source_labels": other["labels"]}
    before = {name: value.clone() for name, value in network.state_dict().items()}
    loss = terms.source_task(weight=0.5, start=start(network))(Losing(network), given_, None)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    torch.testing.assert_close(asked[0], network(other["image"]))
    assert torch.equal(asked[1], other["labels"])
    assert float(loss) == pytest.approx(0.5 * float(asked[0].mean()))
    assert not list(terms.source_task(weight=0.5, start=start(network)).parameters()), "no head of its own"


def test_the_teacher_of_pseudo_labels_answers_with_the_targets_statistics() -> None:
    network = Tiny()
    target = {name: value + 1 for name, value in statistics_of(network).items()}
    made = {
        which: terms.pseudo_labels(weight=1.0, confidence=0.9, start=start(network)._replace(target=target), **options)
        for which, options in (("target", {"statistics": "target"}), ("source", {}))
    }
    assert torch.equal(made["target"].teacher.network.encoder[0][1].running_mean, torch.ones(3))
    assert torch.equal(made["source"].teacher.network.encoder[0][1].running_mean, torch.zeros(3))
    assert torch.equal(network.encoder[0][1].running_mean, torch.zeros(3))


def test_tumour_presence_asks_of_every_slice() -> None:
    network = Tiny().eval()
    term = terms.tumour_presence(weight=1.0, part="encoder.*", start=start(network))
    given_ = batch()
    given_["labels"][0] = 1
    network(given_["image"])
    nn.init.zeros_(term.head.weight)
    nn.init.constant_(term.head.bias, 2.0)
    expected = (math.log(1 + math.exp(2)) + 3 * math.log(1 + math.exp(-2))) / 4
    assert float(term(Task(network), given_, None)) == pytest.approx(expected, rel=1e-5)


def test_reconstruction_is_the_mean_squared_error() -> None:
    network = Tiny().eval()
    term = terms.reconstruction(weight=3.0, part="encoder.*", start=start(network))
    given_ = batch()
    network(given_["image"])
    nn.init.zeros_(term.head.weight)
    nn.init.zeros_(term.head.bias)
    assert float(term(Task(network), given_, None)) == pytest.approx(3 * float((given_["image"] ** 2).mean()), rel=1e-5)
    assert {name for name, p in term.named_parameters() if p.requires_grad} == {"head.weight", "head.bias"}


def test_terms_do_not_hear_each_others_target_passes() -> None:
    """Whatever order they come in, each sees the features of the batch's own images."""
    network = Tiny()
    given_ = batch()
    made = {
        "presence": terms.tumour_presence(weight=1.0, part="encoder.*", start=start(network)),
        "domain": terms.domain_adversarial(weight=1.0, part="encoder.*", hidden=8, start=start(network)),
        "pseudo": terms.pseudo_labels(weight=1.0, confidence=0.6, start=start(network)),
    }
    values = {}
    for order in (("presence", "domain", "pseudo"), ("pseudo", "domain", "presence"), ("domain", "presence", "pseudo")):
        logits = network(given_["image"])
        values[order] = {name: float(made[name](Task(network, 50), given_, logits)) for name in order}
    first, *others = values.values()
    for other in others:
        assert other == pytest.approx(first, rel=1e-5)


def test_target_images_leave_the_running_statistics_alone() -> None:
    network = Tiny().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    on_companion(Task(network), batch())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    network(batch()["image"])
    assert not torch.equal(network.state_dict()["encoder.0.1.running_mean"], before["encoder.0.1.running_mean"])


def test_patches_cover_their_share_in_whole_squares() -> None:
    covered = patches(torch.zeros(200, 3, 32, 40), share=0.6, side=8)
    assert covered.shape == (200, 1, 32, 40)
    assert float(covered.float().mean()) == pytest.approx(0.6, abs=0.03)
    blocks = covered.reshape(200, 4, 8, 5, 8).float().mean(dim=(2, 4))
    assert set(blocks.unique().tolist()) == {0.0, 1.0}
    assert patches(torch.zeros(1, 1, 9, 9), share=0.5, side=8).shape == (1, 1, 9, 9)


def test_progress_counts_the_steps_of_a_budget_where_lightning_knows_no_end() -> None:
    task = Task(nn.Identity())
    task.global_step = 25
    assert progress_of(task) == 0.25
    task.trainer.estimated_stepping_batches = math.inf  # type: ignore[assignment]
    assert progress_of(task) == 0.0, "as long as the budget in minutes is not fixed"
    task.planned_steps = lambda: 50  # type: ignore[method-assign]
    assert progress_of(task) == 0.5
