"""Answers to mistyped, renamed and missing options and choices, with the nearest that exists."""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any

from hydra.errors import ConfigCompositionException, MissingConfigException
from omegaconf import DictConfig

from lightning_liver.config import RENAMED
from lightning_liver.help import options

# Options of earlier versions, of lightning-hydra-template and of Lightning's Trainer that something else stands for.
NOT_OPTIONS = {
    "ckpt_path": "a run is named by its folder; continue it with resume=RUN, score it with liver-evaluate run=RUN",
    "trainer.patience": "early stopping is a callback; callbacks=early_stopping callbacks.early_stopping.patience=N",
    "trainer.callbacks": "callbacks are a group; use callbacks=early_stopping, or a yaml of your own",
    "trainer.logger": "loggers are a group; use logger=csv, or logger=[tensorboard,wandb] for several",
    "trainer.max_time": "it would end the training, but not the schedule of the learning rate; use trainer.max_minutes",
    "trainer.val_check_interval": "checkpoints are whole epochs; shorten the epoch with data.slices_per_epoch",
    "trainer.overfit_batches": "use debug=overfit, or data.overfit=true with a small data.slices_per_epoch",
    "trainer.limit_predict_batches": "liver-predict segments whole scans; name fewer of them with input=",
    "trainer.enable_checkpointing": "the test needs the best checkpoint, and resume= the last one; leave it out",
    "trainer.barebones": "a run folder needs checkpoints and curves; leave it out, and use logger=none callbacks=none",
    "trainer.default_root_dir": "the run folder is Hydra's; use hydra.run.dir=FOLDER",
    "trainer.use_distributed_sampler": "the samplers divide the slices among processes themselves; leave it out",
    "trainer.reload_dataloaders_every_n_epochs": "each epoch draws new slices as it is; leave it out",
    "trainer.plugins": "an object cannot be typed; name trainer.precision and trainer.strategy, or add a callback",
    "trainer.enable_autolog_hparams": "every logger gets the hyper-parameters; logger=none is without",
    "trainer.model_registry": "checkpoints stay in the run folder; liver-export hands a network on",
}


_RENAMED_CHOICES = {  # of earlier versions, and of lightning-hydra-template
    "trainer=debug": "debug=overfit",
    "debug=fdr": "debug=fast_dev_run",
    "debug=profiler": "debug=profile",
    "logger=many_loggers": "logger=many",
}


def proposal(typed: str, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" for the nearest name or for one that ends in what was typed, "" if there is none."""
    names = sorted(set(known))
    same_end = [name for name in names if name.endswith(f".{typed}")]
    near = [*same_end, *get_close_matches(typed, names, 1)]
    return f"; did you mean {near[0]}?" if near else ""


def answer(error: BaseException) -> str | None:
    """Return the answer to a wrong option or choice, None for any other error."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        return _wrong_choice(error.missing_cfg_file, error.options)
    if missing := re.search(r"Missing mandatory value: ([\w.]+)", str(error)):
        name = re.sub(r"\..*\.", ".", missing[1])  # data.source.root only passes data.root on
        meaning = options.meaning(name)
        return f"{name}: expected a value{f' ({meaning})' * bool(meaning)}; give {name}=..."
    typed = re.match(r"Could not override '([^']+)'", str(error))
    if not typed or not isinstance(error, ConfigCompositionException):
        return None
    parent: Any = getattr(error.__cause__, "parent_node", None)
    return no_such_option(typed[1], names_of(parent._get_root(), "") if isinstance(parent, DictConfig) else ())


def no_such_option(typed: str, present: Iterable[str]) -> str:
    """Return the answer to an option that does not exist: its other name, the choices that have it, or the nearest.

    Args:
        present: dotted names of the options and groups of the command's config.
    """
    if typed in NOT_OPTIONS:
        return f"{typed}: {NOT_OPTIONS[typed]}"
    for old, new in RENAMED.items():
        if f"{typed}.".startswith(f"{old}."):
            return f"{typed}: this option has another name now; use {new}{typed.removeprefix(old)}"
    if having := options.choices_with(typed):
        return f"{typed}: no such option of the present choice; it is an option of {', '.join(having)}"
    known = [name for name in (*present, *options.all_groups()) if name != typed]  # another command has it
    group = typed.partition(".")[0]
    of_choices = [name for choice in options.choices(group) for name, _, _ in choice.options] if group in known else []
    if (near := get_close_matches(typed, [*known, *of_choices], 1)) and near[0] not in known:
        return f"{typed}: no such option; did you mean {near[0]}, of {', '.join(options.choices_with(near[0]))}?"
    return f"{typed}: no such option{proposal(typed, known) or '; --help lists the options'}"


def _wrong_choice(typed: str, known: Iterable[str]) -> str:
    group, _, choice = typed.rpartition("/")
    if new := _RENAMED_CHOICES.get(f"{group}={choice}"):
        return f"{group}={choice}: this choice has another name here; use {new}"
    names = [name for name in known if not name.startswith("base")]
    near = proposal(choice, names).replace("mean ", f"mean {group}=")
    return f"{group}={choice}: expected one of {', '.join(names)}{near}"


def names_of(node: Any, prefix: str) -> Iterator[str]:
    """Yield the dotted names of groups and options, without those that only pass on another option."""
    for key in map(str, node):
        value = node._get_node(key)
        if key.startswith("_") or (isinstance(value, DictConfig) and value._is_none()):
            continue
        if not options.POINTER.fullmatch(str(value._value())):
            yield prefix + key
        if isinstance(value, DictConfig) and not value._is_interpolation():
            yield from names_of(value, f"{prefix}{key}.")
