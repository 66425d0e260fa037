import math

import pytest
import torch
from pydantic import ValidationError

from lightning_liver.training.schedules import constant, cosine, polynomial


def rates(make: object, total: float, steps: int, **options: float) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer, lambda: total, **options)  # type: ignore[operator]
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_cosine_is_the_formula_after_a_linear_warm_up() -> None:
    seen = rates(cosine, 110, 111, warmup_steps=10, final=0.1)
    assert seen[:10] == pytest.approx([(n + 1) / 11 for n in range(10)])
    expected = [0.1 + 0.45 * (1 + math.cos(math.pi * n / 100)) for n in range(101)]
    assert seen[10:] == pytest.approx(expected)


def test_polynomial_ends_at_zero() -> None:
    seen = rates(polynomial, 20, 21, warmup_steps=0, power=0.9)
    assert seen == pytest.approx([(1 - n / 20) ** 0.9 for n in range(21)])


def test_constant_stays() -> None:
    assert rates(constant, 20, 21, warmup_steps=2)[2:] == [1.0] * 19


def test_a_length_that_is_not_known_yet_leaves_the_rate_high() -> None:
    assert rates(cosine, math.inf, 30, warmup_steps=5, final=0.0)[5:] == [1.0] * 25


def test_a_run_shorter_than_the_warm_up_only_warms_up() -> None:
    assert rates(cosine, 5, 5, warmup_steps=50, final=0.0) == pytest.approx([(n + 1) / 51 for n in range(5)])


@pytest.mark.parametrize(("make", "wrong"), [(cosine, {"final": 2}), (polynomial, {"power": 0}), (constant, {})])
def test_options_out_of_range_are_refused(make: object, wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        rates(make, 5, 1, warmup_steps=-1 if not wrong else 0, **wrong)
