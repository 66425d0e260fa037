"""The folder of the configs, their resolvers, and the identity of a run. Imports Hydra alone: --help stays quick."""

import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from omegaconf.grammar_parser import parse

from lightning_liver.errors import LiverError
from lightning_liver.machine import cache_folder
from lightning_liver.readers import parse_yaml, parsing, read_text

# What an option is for; every other one changes what a run learns. An entry stands for the options below it, too.
COMMAND = ("resume", "results", "report", "estimate", "trial", "trust")  # what the command does beside the run
OUTPUT = (
    "logger",
    "tags",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
    "trainer.profiler",
    "callbacks.learning_rate_monitor",
    "callbacks.rich_progress_bar",
    "hydra",
)
PLACES = (  # where scans lie, and how many processes read them
    "data.root",
    "data.table",
    "data.patients",
    "data.store",
    "data.workers",
    "data.num_workers",
    "data.prepare",
    "data.source",
    "data.skip_bad",
    "finetune.source_data",
    "finetune.target_root",
)
REPEATS = ("seed", "data.fold")  # repeat a configuration, do not make another one
SCORING, MEASURED = ("scores",), ("test_losses",)  # how the test is scored, and what else it measures
BUDGETS = ("max_epochs", "max_steps", "max_minutes")
BUDGET = tuple(f"trainer.{name}" for name in BUDGETS)

# A run folder may be used again with other values of these. Its metrics.json must hold what is measured.
REUSED_WITH_OTHER = (*COMMAND, *OUTPUT, *PLACES, *SCORING, *BUDGET)
# Runs that differ in these alone are of one configuration. Other scoring rules or another budget make another one.
SAME_CONFIGURATION = (*COMMAND, *OUTPUT, *PLACES, *REPEATS, *MEASURED)
# A study's folder is found again by a command line that differs in these.
_SAME_STUDY = (*COMMAND, *OUTPUT, *PLACES, *SCORING)

# Version of what options mean: 2 since augment=basic moves in mm and the known repeats of LiTS are one patient. Earlier
# runs are not compared with present ones.
VERSION = 2
GROUPED = ("lightning_liver.data.sources.lits", "lightning_liver.data.sources.msd")  # sources with known repeats

SCRATCH = "lightning_liver.finetune.strategy.Scratch"  # reads none of the options of finetune

# Options that earlier runs lack, with the value that gives the same result: it counts as absent.
FIRST_VALUES: dict[str, object] = {
    "data.phantom_version": 1,
    "trainer.max_steps": None,
    "trainer.min_epochs": None,
    "trainer.min_steps": None,
    "trainer.limit_train_batches": None,
    "trainer.limit_val_batches": None,
    "trainer.limit_test_batches": None,
    "trainer.fast_dev_run": False,
    "trainer.accumulate_grad_batches": 1,
    "trainer.gradient_clip_algorithm": None,
    "trainer.num_sanity_val_steps": None,
    "trainer.benchmark": None,
    "trainer.detect_anomaly": False,
    "trainer.inference_mode": True,
    "trainer.profiler": None,
    "trainer.num_nodes": 1,
    "trainer.sync_batchnorm": False,
    "trainer.enable_model_summary": False,
}

_ONE_PROCESS = {"devices": 1, "num_nodes": 1, "strategy": "auto"}

START_FOLDER = Path.cwd()  # where the command was typed
# Of these only what is named here and in conf/ is built from the config of a run folder, which may be a stranger's.
_LIBRARIES = re.compile(
    r"(torch\.nn|torch\.optim|torch\.optim\.lr_scheduler|monai\.networks\.nets|segmentation_models_pytorch"
    r"|pytorch_lightning\.callbacks)\.[A-Z]\w*"
)
# Classes of these that write to a folder or read from an address that their options name
_REACHING_OUT = re.compile(
    r"pytorch_lightning\.callbacks\.(\w*Checkpoint|SpikeDetection)|monai\.networks\.nets\.((?i:hovernet)|Transchex)"
)
_ADDRESSES = {"lightning_liver.training.loggers.mlflow": "tracking_uri"}  # options with a server that gets pictures
_WRITING = (  # into the folder of an option
    "lightning_liver.data.prepare.prepare",
    "lightning_liver.data.phantom.cases",
)
_STORE = "data.store"  # may be trusted: such folders are then written wherever they are
_REFUSED = "lightning_liver.config.refuse"
_ENVIRONMENT = "oc.env"  # a resolver that may be trusted; others could name code
_BORROWED = {"test_losses": ("loss",)}  # groups whose objects are those of another one, too

# Earlier names of the options of a group, with the present ones; no other group has an option of either name.
_RENAMED = {
    "data": {"loaders": "num_workers", "shares": "sampling"},
    "trainer": {
        "gradient_clip": "gradient_clip_val",
        "validate_every": "check_val_every_n_epoch",
        "log_every": "log_every_n_steps",
        "progress": "enable_progress_bar",
    },
}
RENAMED = {f"{group}.{old}": f"{group}.{new}" for group, names in _RENAMED.items() for old, new in names.items()}

# trainer.patience=N of earlier runs, which is callbacks.early_stopping now
_EARLY_STOPPING = {
    "_target_": "pytorch_lightning.callbacks.EarlyStopping",
    "monitor": "val/mean/dice_per_case",
    "mode": "max",
}


def folder() -> Path:
    """Return conf/ of the wheel or of the checkout."""
    package = Path(__file__).parent
    return next(path for path in (package / "conf", package.parent / "conf") if path.is_dir())


def compose(name: str, overrides: Sequence[str], *, return_hydra_config: bool = False) -> DictConfig:
    """Compose the config of a command line, on request with Hydra's own part: for notebooks, loops and tests.

    It may be called within a command, whose state in Hydra it restores.
    """
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    _store_losses(overrides)
    try:
        with hydra.initialize_config_dir(str(folder()), version_base="1.3"):
            return hydra.compose(name, list(overrides), return_hydra_config=return_hydra_config)
    finally:
        GlobalHydra.instance().hydra = outer  # another instance than before: Hydra puts a copy back
        _store_losses(sys.argv[1:])


def losses(*folders: Path) -> list[str]:
    """Return the names of conf/loss, and of loss/ in further folders, but those that wrap another loss."""
    paths = [path for each in (folder(), *folders) for path in (each / "loss").glob("*.yaml")]
    return sorted({path.stem for path in paths if "/loss@" not in path.read_text()})


def _store_losses(arguments: Sequence[str]) -> None:
    """Store the config that test_losses=all points to, for the folders that a command line names."""
    typed = re.findall(r"(?:^|\n)(?:--config-dir|-cd)[=\n](.+)|file://([^\],'\"\n]+)", "\n".join(arguments))
    names = losses(*(Path(first or second) for first, second in typed))
    ConfigStore.instance().store("every_loss", {"defaults": [{f"/loss@{name}": name} for name in names]})


_store_losses(sys.argv[1:])


def identity(cfg: DictConfig) -> str:
    """Return a hash of every option that affects the result.

    Paths, numbers of processes and the budget may differ when a run folder is used again. An option that is null
    or has its first value counts as absent, and a renamed option counts under its first name: earlier runs keep their
    names. Runs on LiTS without data.patients do not, as they were split before its known repeats were one patient.
    """
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    if (plain.get("finetune") or {}).get("_target_") in (None, SCRATCH):
        plain.pop("finetune", None)
    kept = _without(plain, REUSED_WITH_OTHER)
    if trainer := kept.get("trainer"):  # any number of processes may go on with a run, whose samples stay the same
        trainer |= {name: value for name, value in _ONE_PROCESS.items() if name in trainer}
    if groups_repeats(plain["data"]):
        kept["data"]["patients"] = "known repeats"
    for group, names in _RENAMED.items():
        kept[group] = _renamed_value(kept[group], {new: old for old, new in names.items()})
    stopping = (kept.get("callbacks") or {}).get("early_stopping") or {}
    if {**stopping, "patience": None} == {**_EARLY_STOPPING, "patience": None}:
        kept["trainer"]["patience"] = kept["callbacks"].pop("early_stopping")["patience"]
    return hashlib.sha256(json.dumps(_without_nulls(kept), sort_keys=True, default=str).encode()).hexdigest()[:16]


def groups_repeats(data: Mapping[str, Any]) -> bool:
    """Return True if the known repeats of LiTS decide the patients of a data config."""
    source = data.get("source") or {}
    return source.get("_target_") in GROUPED and source.get("patients") is None


def read_config(path: Path, trust: Sequence[str] = ()) -> DictConfig:
    """Read the config that a run saved, with the options of earlier versions under their present names.

    The run may be a stranger's. What its config names by `_target_` can be built if conf/ names it, too, or if it is a
    class of torch.nn, torch.optim and their like; anything else raises LiverError when it is built.

    What writes prepared scans or phantoms gets the option `confined`: into the cache, or where such files are already.

    Args:
        trust: modules of which everything may be built; oc.env lets values of the environment be read, data.store lets
            prepared scans be written anywhere.

    Raises:
        LiverError: the file is missing or not a config, or a value calls a resolver that is not ours, such as oc.env,
            or points to a part that is built.
    """
    with parsing(path, also=(OmegaConfBaseException,)):
        config = OmegaConf.create(_guarded(read_options(path), path, frozenset(trust)))
        for node in _pointers(config):
            if _names_target(node._maybe_dereference_node(throw_on_resolution_failure=False)):
                raise LiverError(
                    f"{path}: {node._get_full_key('')}: expected a value, not the part of another group, since a run "
                    "folder may come from a stranger; write the part itself"
                )
        return config


def read_options(path: Path) -> dict[str, Any]:
    """Read the config that a run saved as plain containers, to compare it; read_config is for building from it.

    Raises:
        LiverError: the file is missing or not a config.
    """
    with parsing(path, also=(OmegaConfBaseException, AssertionError)):  # OmegaConf asserts a mapping, a list or a text
        # and reads numbers as Hydra wrote them: 1e-4 is one
        present = renamed(
            parse_yaml(read_text(path), path, load=lambda text: OmegaConf.to_container(OmegaConf.create(text)))
        )
        if present.get("trainer"):
            later = {name.partition(".")[2]: v for name, v in FIRST_VALUES.items() if name.startswith("trainer.")}
            present["trainer"] = later | present["trainer"]
        return present


def is_library(target: str) -> bool:
    """Return whether a `_target_` is of a package that conf/ names, and therefore never of the user's own files."""
    return target.partition(".")[0] in {"torch", *(name.partition(".")[0] for name in _targets_of(""))}


@cache
def _targets_of(group: str) -> frozenset[str]:
    """Return what the yamls of a group of conf/ name by `_target_`; without a group, those of all groups."""
    files = [file for name in (group, *_BORROWED.get(group, ())) for file in (folder() / name).rglob("*.yaml")]
    return frozenset(name for file in files for name in re.findall(r"\b_target_: *([\w.]+)", file.read_text()))


def _guarded(value: Any, path: Path, trust: frozenset[str], place: str = "") -> Any:
    """Return a config in which every `_target_` that is not allowed raises LiverError when it is built."""
    if isinstance(value, dict):
        target = value.get("_target_")
        address = value.get(_ADDRESSES.get(str(target), "")) if _module(target) not in trust else None
        if target is not None and (address or not is_allowed(target, place.partition(".")[0], trust)):
            message = f"{path}: {place}._target_={target}: {_refusal(str(target))}".replace("${", "$ {")
            return {"_target_": _REFUSED, "message": message}
        inner = {name: _guarded(each, path, trust, f"{place}.{name}".lstrip(".")) for name, each in value.items()}
        return inner | ({"confined": _STORE not in trust} if target in _WRITING else {})
    if isinstance(value, list):
        return [_guarded(each, path, trust, f"{place}.{n}") for n, each in enumerate(value)]
    allowed = {*_RESOLVERS, *({_ENVIRONMENT} & trust)}
    if isinstance(value, str) and (foreign := _resolvers(value) - allowed):
        cure = f"write its value, or add 'trust=[{_ENVIRONMENT}]'" if foreign == {_ENVIRONMENT} else "write its value"
        raise LiverError(
            f"{path}: {place}={value}: expected no call of {min(foreign)}, since a run folder may come from a "
            f"stranger; {cure}"
        )
    return value


def is_allowed(target: object, group: str, trust: frozenset[str] = frozenset()) -> bool:
    """Return True if a stranger's config may name this in a group of conf/."""
    ours = _targets_of(group) if group.isidentifier() else frozenset()  # a path would be another folder
    known = isinstance(target, str) and (target in ours or _is_harmless(target))
    return known or _module(target) in trust


def _is_harmless(target: str) -> bool:
    return _LIBRARIES.fullmatch(target) is not None and _REACHING_OUT.fullmatch(target) is None


def _pointers(node: Any) -> Iterator[Any]:
    """Yield the interpolations of a config."""
    if node._is_interpolation():
        yield node
    elif OmegaConf.is_config(node) and not node._is_none():
        for key in node if OmegaConf.is_dict(node) else range(len(node)):
            yield from _pointers(node._get_node(key))


def _names_target(node: Any) -> bool:
    trees: list[Any] = [OmegaConf.to_container(node)] if OmegaConf.is_config(node) else []
    while trees:
        tree = trees.pop()
        if isinstance(tree, dict) and "_target_" in tree:
            return True
        trees += tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return False


def _refusal(target: str) -> str:
    if target in _ADDRESSES or _REACHING_OUT.fullmatch(target):
        return (
            "expected nothing that reads or writes where its options say, since a run folder may come from a stranger; "
            f"if you know and trust these, add 'trust=[{_module(target)}]'"
        )
    expected = "expected code of this package or of torch.nn, since a run folder may come from a stranger"
    known = is_library(target) or target.partition(".")[0] in sys.stdlib_module_names
    if known or not re.fullmatch(r"\w+(\.\w+)+", target):
        return f"{expected}; do not use a folder that names this"
    return f"{expected}; if you know and trust this code, add 'trust=[{_module(target)}]'"


def _module(target: object) -> str:
    return str(target).rpartition(".")[0]


def _resolvers(text: str) -> set[str]:
    """Return the names of the resolvers that a value calls."""
    if "${" not in text:
        return set()
    found: set[str] = set()
    nodes: list[Any] = [parse(text)]
    while nodes:
        node = nodes.pop()
        if type(node).__name__ == "InterpolationResolverContext":
            found.add(node.resolverName().getText())
        nodes += getattr(node, "children", None) or []
    return found


def refuse_other_code(cfg: DictConfig) -> None:
    """Raise LiverError for what read_config did not allow, before any of a whole config is built."""
    trees: list[Any] = [OmegaConf.to_container(cfg)]
    while trees:
        tree = trees.pop()
        if isinstance(tree, dict) and tree.get("_target_") == _REFUSED:
            refuse(tree["message"])
        trees += tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()


def refuse(message: str) -> None:
    """Raise LiverError: what a run folder names in its place is not built."""
    raise LiverError(message)


def renamed(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Give the options of data and trainer their present names, in a config, nested or with dotted names."""
    present = {}
    for name, value in tree.items():
        names = _RENAMED.get(name.split(".")[0], {})
        present[_renamed_name(name, names)] = _renamed_value(value, names) if names else value
    return _with_early_stopping(present)


def _with_early_stopping(tree: dict[str, Any]) -> dict[str, Any]:
    """Replace trainer.patience by the callback that it was; null was none."""
    dotted = tree.pop("trainer.patience", None)
    if dotted is not None:
        stopping = _EARLY_STOPPING | {"patience": dotted}
        tree |= {f"callbacks.early_stopping.{name}": value for name, value in stopping.items()}
    if isinstance(trainer := tree.get("trainer"), dict) and (patience := trainer.pop("patience", None)) is not None:
        others = tree.get("callbacks") or {}
        tree["callbacks"] = {**others, "early_stopping": _EARLY_STOPPING | {"patience": patience}}
    return tree


def _renamed_name(name: str, names: Mapping[str, str]) -> str:
    return ".".join(names.get(part, part) for part in name.split("."))


def _renamed_value(value: Any, names: Mapping[str, str]) -> Any:
    """Rename the keys of a mapping, and the option that an interpolation points to."""
    if isinstance(value, Mapping):
        return {_renamed_name(str(name), names): _renamed_value(each, names) for name, each in value.items()}
    pointer = re.fullmatch(r"\$\{\.\.(\w+)\}", value) if isinstance(value, str) else None
    return f"${{..{names.get(pointer[1], pointer[1])}}}" if pointer else value


def budget_of(trainer: Mapping[Any, Any] | DictConfig) -> str:
    """Return the option of the trainer that ends a run: max_minutes or max_steps if it is given, else max_epochs."""
    return next((name for name in ("max_minutes", "max_steps") if trainer.get(name) is not None), "max_epochs")


def is_one_of(option: str, options: Sequence[str]) -> bool:
    """Return whether a dotted name is among some options, or below one of them."""
    return any(option == each or option.startswith(f"{each}.") for each in options)


def is_first_value(option: str, value: object) -> bool:
    """Return whether the value of an option stands for its absence from earlier runs."""
    return (option, value) in FIRST_VALUES.items()


def _without(tree: Mapping[str, Any], options: Sequence[str], above: str = "") -> dict[str, Any]:
    return {
        name: _without(value, options, f"{above}{name}.") if isinstance(value, Mapping) else value
        for name, value in tree.items()
        if not is_one_of(f"{above}{name}", options) and not is_first_value(f"{above}{name}", value)
    }


def _without_nulls(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    pruned = {name: _without_nulls(value) for name, value in tree.items()}
    return {name: value for name, value in pruned.items() if value is not None and value != {}}


def job_names(task: Sequence[str], sweep_dir: str) -> list[str]:
    """Return Hydra's overrides by which each job of a sweep is named and finds its folder.

    A job, perhaps on another machine, knows its own overrides and those of Hydra, not the command line of the sweep.

    Args:
        task: overrides of the sweep, without those of Hydra itself.
        sweep_dir: folder of the sweep.
    """
    alike = [each.get_key_element() for each in _parsed(task) if not each.is_sweep_override()]
    return [f"hydra.sweep.dir={typed(sweep_dir)}", f"hydra.job.config.override_dirname.exclude_keys={typed(alike)}"]


def sweep_dir(whole: DictConfig, task: Sequence[str]) -> str:
    """Return the folder of a sweep with the given overrides, of which `whole` may lack those with several values."""
    with open_dict(whole):
        whole.hydra.overrides.task = list(task)
    return str(whole.hydra.sweep.dir)


def values_of(overrides: Sequence[str]) -> dict[str, Any]:
    """Return the values of a command line's options by their dotted names."""
    return {override.key_or_group: override.value() for override in _parsed(overrides)}


def _parsed(overrides: Sequence[str]) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(overrides))


def _study(default: str, *, _root_: DictConfig) -> str:
    """Return the experiment that is swept, else a name by which the same command finds its folder again."""
    given = map(str, _root_.hydra.overrides.task)
    arguments = sorted(argument for argument in given if "=" in argument and not _is_of_same_study(argument))
    names = [argument.partition("=")[2] for argument in arguments if argument.startswith("experiment=")]
    return names[-1] if names else f"{default}-{_digest(' '.join(arguments))}"


def _is_of_same_study(argument: str) -> bool:
    return is_one_of(argument.partition("=")[0], _SAME_STUDY)


def _job(overrides: ListConfig, alike: ListConfig, *, _root_: DictConfig) -> str:
    """Return a readable name and a hash that distinguishes jobs, without signs that need quotes on a command line.

    Args:
        alike: names of the overrides that all jobs share.
    """
    own = OmegaConf.create({name: value for name, value in _root_.items() if name != "hydra"})
    named = [(override, *override.partition("=")[::2]) for override in map(str, overrides)]
    differing = [
        f"{name}={_without_folders(value)}" if value else override
        for override, name, value in named
        if name not in (*alike, "trial")
    ]
    readable = re.sub(r"[^A-Za-z0-9.+-]+", "-", "_".join(differing).replace("=", "-"))
    return f"{readable[:80].strip('-') or 'run'}-{identity(own)[:8]}"


def _without_folders(value: str) -> str:
    """Return the last part of a path with a hash of all; any other value as it is."""
    name = re.split("[/\"']+", value.rstrip("/\"'"))[-1]
    return f"{name}-{_digest(value)}" if "/" in value else value


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _cached(name: str) -> str:
    return str(cache_folder() / name)


def cache_of(root: str) -> str:
    """Return the place of the store of a folder of scans."""
    if "://" in root:
        return _cached(f"{Path(root).name}-{_digest(root)}")
    path = Path(root).expanduser().resolve()
    return _cached(f"{path.name}-{_digest(str(path))}")


def _folder_of(file: str) -> str:
    return str(Path(file).expanduser().parent)


def _given(name: str, value: object) -> str:
    """Return `-name-value` for a folder's name, "" for null: a new option leaves earlier folders their names."""
    return "" if value is None else f"-{name}-" + re.sub(r"[^A-Za-z0-9.]+", "-", str(value)).strip("-")


def _after_first(name: str, number: int) -> str:
    """Return `-name-number` for a folder's name, "" for 1: the folders of the first version have no number."""
    return "" if number == 1 else f"-{name}-{number}"


def _channels(context: int) -> int:
    return 2 * context + 1


_RESOLVERS: dict[str, Callable[..., object]] = {
    "cached": _cached,
    "cache_of": cache_of,
    "folder_of": _folder_of,
    "given": _given,
    "after_first": _after_first,
    "channels": _channels,
    "study": _study,
    "job": _job,
}
for _name, _resolver in _RESOLVERS.items():
    OmegaConf.register_new_resolver(_name, _resolver, replace=True)


def without_hash(run: str) -> str:
    """Return the readable part of the name of a sweep's job, equal for runs of other versions of its options."""
    return re.sub(r"-[0-9a-f]{8}$", "", run)


def typed(value: Any) -> str:
    """Return a plain value as it is typed: numbers, text, lists, mappings, true, false and null."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{typed(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(typed, value)) + "]"
    if isinstance(value, str):
        return QuotedString(value, Quote.single).with_quotes()
    return "null" if value is None else str(value).lower()
