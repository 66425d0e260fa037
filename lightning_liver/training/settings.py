"""Trainer options: device, precision, length. Without Lightning, whose import takes seconds; prediction needs them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Annotated, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass

from lightning_liver.config import budget_of
from lightning_liver.errors import LiverError
from lightning_liver.machine import threads as available_threads
from lightning_liver.types.options import Closed, Count, Natural, Positive

Accelerator = Literal["auto", "cpu", "gpu", "cuda", "mps"]
Clipping = Literal["norm", "value"]
Profiler = Literal["simple", "advanced", "pytorch"]
Limit = Annotated[int, Field(ge=0, strict=True)] | Annotated[float, Field(ge=0, le=1, strict=True)]
STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_true")  # of Lightning, one process for each device
Precision = Literal["auto", "32-true", "16-mixed", "bf16-mixed", "bf16-true", "64-true"]


@dataclass(frozen=True, config=Closed)
class TrainerOptions:
    """Options of the trainer, checked before anything is prepared.

    Args:
        accelerator, devices, num_nodes, strategy, sync_batchnorm: as Lightning has them; "auto" takes what is there.
        deterministic, benchmark, detect_anomaly, inference_mode: as Lightning has them.
        precision: as Lightning has it, or "auto".
        channels_last: memory format; None is the faster one: channels last on CUDA, elsewhere see memory_format.py.
        compile: the network in training steps, by torch.compile; "auto" does so on a GPU where it can, None does not.
        threads: of the processor; None is all that are available, divided among the runs of a parallel sweep.
        max_epochs: unless max_steps or max_minutes says otherwise.
        max_steps: optimizer steps of the whole run; the last epoch may be a short one.
        max_minutes: wall-clock budget for training and validating, see callbacks.Budget.
        min_epochs, min_steps: before which no callback ends the run.
        limit_train_batches: of an epoch, a number or a fraction.
        limit_val_batches, limit_test_batches: the same; whole cases are left out, at least one stays, see limited().
        fast_dev_run: one epoch of so many batches, see shortened().
        gradient_clip_val, gradient_clip_algorithm: largest norm, or value, of the gradient; None does not clip.
        check_val_every_n_epoch: epochs from one validation to the next.
        num_sanity_val_steps: batches validated before training; None is none, or all of them for max_minutes.
        profiler: writes its table to the run folder.
    """

    accelerator: Accelerator
    devices: int | str | list[int]
    strategy: str
    precision: Precision
    channels_last: bool | None
    compile: bool | Literal["auto"] | None
    threads: Count | None
    max_epochs: Count
    max_steps: Count | None
    max_minutes: Positive | None
    min_epochs: Count | None
    min_steps: Count | None
    limit_train_batches: Limit | None
    limit_val_batches: Limit | None
    limit_test_batches: Limit | None
    fast_dev_run: bool | Natural
    accumulate_grad_batches: Count
    gradient_clip_val: Positive | None
    gradient_clip_algorithm: Clipping | None
    check_val_every_n_epoch: Count
    num_sanity_val_steps: Annotated[int, Field(ge=-1)] | None
    log_every_n_steps: Count
    deterministic: bool | Literal["warn"]
    benchmark: bool | None
    detect_anomaly: bool
    inference_mode: bool
    profiler: Profiler | None
    num_nodes: Count
    sync_batchnorm: bool
    enable_progress_bar: bool
    enable_model_summary: bool

    @property
    def budget(self) -> str:
        """The option that ends the run."""
        return budget_of(vars(self))


def check_trainer(options: TrainerOptions) -> None:
    """Refuse values and combinations that cannot work.

    Raises:
        LiverError: the message says why.
    """
    refusals = {
        "trainer.max_steps cannot be combined with trainer.max_minutes: both end the run; give one": (
            options.max_steps is not None and options.max_minutes is not None
        ),
        f"trainer.min_epochs={options.min_epochs}: expected at most trainer.max_epochs={options.max_epochs}": (
            options.budget == "max_epochs" and (options.min_epochs or 0) > options.max_epochs
        ),
        f"trainer.min_steps={options.min_steps}: expected at most trainer.max_steps={options.max_steps}": (
            options.max_steps is not None and (options.min_steps or 0) > options.max_steps
        ),
        "trainer.limit_train_batches=0: expected a batch at least; liver-evaluate tests a run without training it": (
            options.limit_train_batches == 0
        ),
        "trainer.limit_val_batches=0: expected a batch at least, as validation chooses the best weights; "
        "trainer.check_val_every_n_epoch makes it rarer, and data.val_slices quicker": options.limit_val_batches == 0,
        f"trainer.num_sanity_val_steps={options.num_sanity_val_steps}: expected null with trainer.max_minutes, which "
        "times a whole validation before training": (
            options.max_minutes is not None and options.num_sanity_val_steps not in (None, -1)
        ),
        "trainer.gradient_clip_algorithm: expected a trainer.gradient_clip_val to clip at; give one": (
            options.gradient_clip_algorithm is not None and options.gradient_clip_val is None
        ),
        "trainer.sync_batchnorm=true: expected GPUs, since torch synchronises batch norm on them alone; take "
        "model.norm=none or leave it out": (options.sync_batchnorm and _is_cpu(options.accelerator)),
        f"trainer.strategy={options.strategy}: expected one of {', '.join(STRATEGIES)}; take auto": (
            options.strategy not in STRATEGIES
        ),
    }
    if refused := [reason for reason, is_so in refusals.items() if is_so]:
        raise LiverError("\n".join(refused))


def _is_cpu(accelerator: str) -> bool:
    return accelerator == "cpu" or (accelerator == "auto" and available_accelerator() == "cpu")


def limit_of(batches: int, limit: float | None) -> int:
    """Return so many of some batches: all, a number or a fraction of them."""
    if limit is None:
        return batches
    return min(limit, batches) if isinstance(limit, int) else int(batches * limit)


def first_cases(cases: Sequence[str], batches: Mapping[str, int], limit: float | None) -> tuple[str, ...]:
    """Return the first cases that have at most so many batches in all, at least one case unless the limit is 0.

    A score is of whole volumes, so a limit leaves out cases and not slices.

    Args:
        batches: number of batches of each case.
        limit: number or fraction of the batches of all cases; None takes all.
    """
    most = limit_of(sum(batches[name] for name in cases), limit)
    sums = accumulate(batches[name] for name in cases)
    kept = [name for name, total in zip(cases, sums, strict=True) if total <= most]
    return tuple(cases[: max(len(kept), 0 if limit == 0 else 1)])


def shortened(options: TrainerOptions) -> TrainerOptions:
    """Return the options with those that trainer.fast_dev_run stands for: an epoch of so many batches.

    Unlike with Lightning alone, checkpoints, tables and the report are written, so that these are tried, too.
    """
    batches = int(options.fast_dev_run)
    if not batches:
        return options
    limits = dict.fromkeys(("limit_train_batches", "limit_val_batches", "limit_test_batches"), batches)
    lengths = {"max_epochs": 1, "max_steps": None, "max_minutes": None, "min_epochs": None, "min_steps": None}
    return replace(options, **lengths, **limits)  # type: ignore[arg-type]


def resolve_auto(options: TrainerOptions) -> TrainerOptions:
    """Return the options with every "auto" replaced by the best choice for this machine.

    Raises:
        LiverError: a GPU was asked for and none is here.
    """
    accelerator = _accelerator(options.accelerator)
    precision = options.precision if options.precision != "auto" else _precision(accelerator)
    threads = options.threads if options.threads is not None or accelerator != "cpu" else available_threads()
    channels_last = True if options.channels_last is None and accelerator == "cuda" else options.channels_last
    return replace(options, accelerator=accelerator, precision=precision, channels_last=channels_last, threads=threads)


def available_accelerator() -> Accelerator:
    """Return the fastest kind of device that torch sees here."""
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def _accelerator(wanted: Accelerator) -> Accelerator:
    here = available_accelerator()
    if wanted in ("auto", "cpu", here) or (wanted == "gpu" and here != "cpu"):
        return "cpu" if wanted == "cpu" else here
    raise LiverError(f"trainer.accelerator={wanted}: torch sees no such device here. Use trainer=cpu or trainer=auto.")


def _precision(accelerator: Accelerator) -> Precision:
    """Return bfloat16 where the hardware has it, else half precision on CUDA, else float32."""
    if accelerator == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    return "bf16-mixed" if accelerator == "cpu" and _cpu_has_bf16() else "32-true"


def _cpu_has_bf16() -> bool:
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # private, so they may be gone one day
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
