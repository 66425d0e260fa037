"""How many steps a budget in minutes holds."""

import math

from hypothesis import given
from hypothesis import strategies as st

from lightning_liver.training.callbacks import affordable_steps, left_s

SECONDS = st.floats(0.001, 100)


def cost(steps: int, step_s: float, validation_s: float, every: int) -> float:
    """Told one validation at a time: after every so many steps, and after the last."""
    return steps * step_s + math.ceil(steps / every) * validation_s


@given(st.floats(-10, 1000), SECONDS, st.floats(0, 100), st.integers(1, 50))
def test_so_many_steps_fit_and_no_more(seconds: float, step_s: float, validation_s: float, every: int) -> None:
    steps = affordable_steps(seconds, step_s=step_s, validation_s=validation_s, validate_every=every)
    slack = 1e-6 * (1 + abs(seconds))
    assert steps == 1 or cost(steps, step_s, validation_s, every) <= seconds + slack
    assert cost(steps + 1, step_s, validation_s, every) > seconds - slack


def test_ten_minutes() -> None:
    """Three epochs of 120 steps and their validations take 567 s of 600 s: 33 s are left, less 9 s to validate."""
    assert affordable_steps(600, step_s=1.5, validation_s=9, validate_every=120) == 360 + 16


def test_what_the_start_took_is_gone_and_steps_that_are_done_are_paid_for() -> None:
    """A validation of 10 s, a first step that compiled for 61 s, then five of one second."""
    marks = [110.0, 171.0, 172.0, 173.0, 174.0, 175.0, 176.0]
    assert left_s(100.0, marks, 600.0, batch_s=1.0) == 600 - 10 - 60
    assert left_s(100.0, [100.0, 101.0], 600.0, batch_s=1.0) == 600
