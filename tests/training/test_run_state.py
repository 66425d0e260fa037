from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from lightning_liver.errors import LiverError, Pruned
from lightning_liver.machine import threads
from lightning_liver.training import settings as training
from lightning_liver.training.run_state import RunState, locked
from lightning_liver.training.settings import TrainerOptions, resolve_auto

OPTIONS = TrainerOptions(
    accelerator="cpu",
    devices=1,
    strategy="auto",
    precision="auto",
    channels_last=None,
    compile=None,
    threads=None,
    max_epochs=10,
    max_steps=None,
    max_minutes=None,
    min_epochs=None,
    min_steps=None,
    limit_train_batches=None,
    limit_val_batches=None,
    limit_test_batches=None,
    fast_dev_run=False,
    accumulate_grad_batches=1,
    gradient_clip_val=1.0,
    gradient_clip_algorithm=None,
    check_val_every_n_epoch=1,
    num_sanity_val_steps=None,
    log_every_n_steps=10,
    deterministic=False,
    benchmark=None,
    detect_anomaly=False,
    inference_mode=True,
    profiler=None,
    num_nodes=1,
    sync_batchnorm=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)


@pytest.mark.parametrize(("has_bf16", "precision"), [(True, "bf16-mixed"), (False, "32-true")])
def test_processor_trains_in_bfloat16_where_it_has_it(
    has_bf16: bool, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_cpu_has_bf16", lambda: has_bf16)
    settled = resolve_auto(OPTIONS)
    assert settled.precision == precision
    assert settled.threads == threads()
    assert resolve_auto(replace(OPTIONS, precision="32-true", threads=1)).precision == "32-true"


@pytest.mark.parametrize(("has_bf16", "precision"), [(True, "bf16-mixed"), (False, "16-mixed")])
def test_card_trains_in_what_it_has(has_bf16: bool, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: has_bf16)
    settled = resolve_auto(replace(OPTIONS, accelerator="gpu"))
    assert (settled.accelerator, settled.precision, settled.threads) == ("cuda", precision, None)
    assert resolve_auto(replace(OPTIONS, accelerator="auto")).accelerator == "cuda"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_missing_card_is_reported_before_anything_is_prepared() -> None:
    with pytest.raises(LiverError, match="trainer=cpu"):
        resolve_auto(replace(OPTIONS, accelerator="cuda"))


def bound(folder: Path, options: TrainerOptions = OPTIONS, config: str = "a") -> TrainerOptions:
    """The options of a run whose folder is used (again), once its config was found valid."""
    state = RunState(folder)
    options = state.bind(options, config)
    state.record()
    return options


def test_a_run_keeps_what_it_chose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_cpu_has_bf16", lambda: True)
    first = bound(tmp_path)
    monkeypatch.setattr(training, "_cpu_has_bf16", lambda: False)
    monkeypatch.setattr(training, "available_threads", lambda: 64)
    assert bound(tmp_path) == first
    assert RunState(tmp_path).steps is None


def test_a_run_continues_compiled_or_not_as_it_began(tmp_path: Path) -> None:
    asked = replace(OPTIONS, compile="auto")
    bound(tmp_path, asked)
    assert bound(tmp_path, asked).compile == "auto", "as long as nothing was chosen"
    RunState(tmp_path).record(compile=True)
    assert bound(tmp_path, asked).compile is True


def test_a_longer_budget_reopens_a_run(tmp_path: Path) -> None:
    bound(tmp_path)
    RunState(tmp_path).record(fitted=True)
    bound(tmp_path)
    assert RunState(tmp_path).is_fitted
    bound(tmp_path, replace(OPTIONS, max_epochs=20))
    assert not RunState(tmp_path).is_fitted
    assert RunState(tmp_path).budget == {"max_epochs": 20, "max_steps": None, "max_minutes": None}
    with pytest.raises(LiverError, match="may only grow"):
        bound(tmp_path, replace(OPTIONS, max_epochs=15))


def test_a_run_is_complete_once_it_is_fitted_and_has_metrics(tmp_path: Path) -> None:
    state = RunState(tmp_path)
    state.bind(OPTIONS, "a")
    state.complete({"steps": 3.0})
    assert not state.is_complete
    state.record(fitted=True)
    assert RunState(tmp_path).is_complete
    assert RunState(tmp_path).metrics() == {"steps": 3.0}
    state.reopen()
    assert not RunState(tmp_path).is_complete


def test_a_run_that_was_pruned_says_why(tmp_path: Path) -> None:
    RunState(tmp_path).raise_if_pruned()
    RunState(tmp_path).record(pruned="worse than the median")
    with pytest.raises(Pruned, match="worse than the median"):
        RunState(tmp_path).raise_if_pruned()


def test_more_minutes_hold_more_steps_in_proportion(tmp_path: Path) -> None:
    timed = replace(OPTIONS, max_minutes=10)
    bound(tmp_path, timed)
    RunState(tmp_path).record(steps=40)
    bound(tmp_path, timed)
    assert RunState(tmp_path).steps == 40
    bound(tmp_path, replace(timed, max_minutes=15))
    assert RunState(tmp_path).steps == 60
    with pytest.raises(LiverError, match="epochs, steps or minutes"):
        bound(tmp_path, OPTIONS)


def test_a_folder_holds_one_run_only(tmp_path: Path) -> None:
    bound(tmp_path)
    with pytest.raises(LiverError, match=r"hydra\.run\.dir"):
        bound(tmp_path, config="b")


def test_a_folder_of_a_run_that_never_began_takes_another_one(tmp_path: Path) -> None:
    """As after a mistake in an option, which is mended."""
    RunState(tmp_path).bind(OPTIONS, "a")
    assert bound(tmp_path, config="b") == resolve_auto(OPTIONS)


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(LiverError, match="another process"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


@pytest.mark.parametrize(
    "wrong",
    [{"precision": "fp16"}, {"max_epochs": 0}, {"max_minutes": -1}, {"max_minutes": float("inf")}, {"devices": None}],
)
def test_options_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        replace(OPTIONS, **wrong)


@pytest.mark.parametrize(
    "change", [{"accelerator": None}, {"max_epochs": "ten"}, {"threads": []}, {"config": 1}, {"max_epochs": None}]
)
def test_choices_that_no_run_writes_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    state = RunState(tmp_path)
    state.bind(OPTIONS, "a")
    state.record(fitted=False, **change)
    with pytest.raises(LiverError, match=r"chosen\.json: damaged|another config|resume it with the one"):
        RunState(tmp_path).bind(OPTIONS, "a")
