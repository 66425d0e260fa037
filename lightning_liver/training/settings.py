"""Trainer options: device, precision, length. Without Lightning, whose import takes seconds; prediction needs them."""

from dataclasses import replace
from typing import Literal

import torch
from pydantic.dataclasses import dataclass

from lightning_liver.errors import LiverError
from lightning_liver.machine import threads as available_threads
from lightning_liver.types.options import Closed, Count, Positive

Accelerator = Literal["auto", "cpu", "gpu", "cuda", "mps"]
Precision = Literal["auto", "32-true", "16-mixed", "bf16-mixed", "bf16-true", "64-true"]


@dataclass(frozen=True, config=Closed)
class TrainerOptions:
    """Options of the trainer, checked before anything is prepared.

    Args:
        accelerator, devices, strategy, deterministic: as Lightning has them; "auto" takes what is there.
        precision: as Lightning has it, or "auto".
        channels_last: memory format; None is the faster one: channels last on CUDA, elsewhere see memory_format.py.
        compile: the network in training steps, by torch.compile; "auto" does so on a GPU where it can, None does not.
        threads: of the processor; None is all that are available, divided among the runs of a parallel sweep.
        max_epochs: unless max_minutes says otherwise.
        max_minutes: wall-clock budget for training and validating, see Budget.
        gradient_clip: largest norm of the gradient; None does not clip.
        patience: validations without a better Dice before training stops; None never stops early.
        validate_every: epochs.
        log_every: steps.
        progress: show bars.
    """

    accelerator: Accelerator
    devices: int | str | list[int]
    strategy: str
    precision: Precision
    channels_last: bool | None
    compile: bool | Literal["auto"] | None
    threads: Count | None
    max_epochs: Count
    max_minutes: Positive | None
    gradient_clip: Positive | None
    patience: Count | None
    validate_every: Count
    log_every: Count
    deterministic: bool | Literal["warn"]
    progress: bool


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
