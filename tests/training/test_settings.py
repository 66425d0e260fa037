"""Options of the trainer: Lightning's names, what cannot be combined, and limits that keep cases whole."""

from dataclasses import fields, replace
from inspect import signature

import pytest
import pytorch_lightning as pl

from lightning_liver.build import build
from lightning_liver.config import compose
from lightning_liver.errors import LiverError
from lightning_liver.help.mistakes import NOT_OPTIONS, no_such_option
from lightning_liver.training.settings import TrainerOptions, check_trainer, first_cases, limit_of, shortened
from tests.training.test_run_state import OPTIONS

OURS = {"max_minutes", "threads", "compile", "channels_last"}


def test_every_argument_of_lightnings_trainer_is_an_option_or_answered() -> None:
    arguments = signature(pl.Trainer.__init__).parameters.keys() - {"self"}
    names = {field.name for field in fields(TrainerOptions)}
    answered = {name.removeprefix("trainer.") for name in NOT_OPTIONS}
    assert arguments - names <= answered
    assert not names & answered
    assert names - arguments == OURS


def test_options_have_lightnings_own_defaults_but_for_a_few() -> None:
    """Which a user who knows Lightning has to be told: conf/trainer/base.yaml does."""
    cfg = compose("train", []).trainer
    parameters = signature(pl.Trainer.__init__).parameters
    own = {name for name in cfg if name in parameters and cfg[name] not in (parameters[name].default, None)}
    assert own == {"devices", "precision", "max_epochs", "gradient_clip_val", "log_every_n_steps", "deterministic"} | {
        *("enable_progress_bar", "enable_model_summary")
    }


@pytest.mark.parametrize("old", ["gradient_clip", "validate_every", "log_every", "progress"])
def test_old_name_is_answered_with_lightnings(old: str) -> None:
    new = no_such_option(f"trainer.{old}", ()).rpartition("use ")[2]
    assert new.removeprefix("trainer.") in signature(pl.Trainer.__init__).parameters


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"max_steps": 3, "max_minutes": 2.0}, "both end the run"),
        ({"min_epochs": 11}, "at most trainer.max_epochs=10"),
        ({"min_steps": 4, "max_steps": 3}, "at most trainer.max_steps=3"),
        ({"limit_train_batches": 0}, "expected a batch at least"),
        ({"limit_val_batches": 0.0}, "chooses the best weights"),
        ({"max_minutes": 2.0, "num_sanity_val_steps": 2}, "times a whole validation"),
        ({"gradient_clip_val": None, "gradient_clip_algorithm": "value"}, "gradient_clip_val"),
        ({"strategy": "foo"}, "expected one of auto, ddp"),
        ({"sync_batchnorm": True}, "expected GPUs"),
    ],
)
def test_combination_that_cannot_work_says_why(wrong: dict[str, object], why: str) -> None:
    check_trainer(OPTIONS)
    with pytest.raises(LiverError, match=why):
        check_trainer(replace(OPTIONS, **wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize("typed", ["limit_train_batches=1.5", "limit_val_batches=-1", "fast_dev_run=-1", "profiler=a"])
def test_value_out_of_range_is_refused(typed: str) -> None:
    with pytest.raises(LiverError, match=f"trainer.{typed.partition('=')[0]}"):
        build(compose("train", [f"trainer.{typed}"]).trainer)


def test_unknown_option_is_refused_where_options_are_built() -> None:
    with pytest.raises(LiverError, match=r"trainer\.max_epoch=3"):
        build(compose("train", ["+trainer.max_epoch=3"]).trainer)


@pytest.mark.parametrize(("limit", "left"), [(None, 10), (3, 3), (30, 10), (0.25, 2), (1.0, 10), (1, 1), (0, 0)])
def test_limit_is_a_number_or_a_fraction(limit: float | None, left: int) -> None:
    assert limit_of(10, limit) == left


@pytest.mark.parametrize(
    ("limit", "kept"),
    [(None, "abc"), (9, "abc"), (8, "ab"), (4, "a"), (1, "a"), (0.6, "ab"), (0.01, "a"), (0, ""), (0.0, "")],
)
def test_limit_leaves_out_whole_cases_and_keeps_one(limit: float | None, kept: str) -> None:
    assert first_cases("abc", {"a": 3, "b": 2, "c": 4}, limit) == tuple(kept)


def test_fast_run_is_one_epoch_of_so_many_batches() -> None:
    assert shortened(OPTIONS) == OPTIONS
    timed = replace(OPTIONS, fast_dev_run=2, max_minutes=3.0, min_epochs=2)
    short = shortened(timed)
    assert (short.budget, short.max_epochs, short.min_epochs) == ("max_epochs", 1, None)
    assert short.limit_train_batches == short.limit_val_batches == short.limit_test_batches == 2
    assert shortened(replace(OPTIONS, fast_dev_run=True)).limit_train_batches == 1
