"""Every command that reads a run folder: nothing in it is executed, and what is refused is named."""

import inspect
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

import lightning_liver as ll
from lightning_liver.build import build
from lightning_liver.config import identity, is_allowed, read_config
from lightning_liver.errors import LiverError
from tests.apps.commands import call, called, run, small_run
from tests.conftest import write_scan
from tests.payloads import mark_of, payloads

Payload = dict[str, Any]
IDENTITY = "torch.nn.Identity"

# where a payload may stand -> the config around it, and the group that is built
PLACES: dict[str, tuple[str, Callable[[Payload], Any]]] = {
    "model": ("model", lambda payload: payload),
    "loss": ("loss", lambda payload: payload),
    "optimizer": ("optimizer", lambda payload: payload | {"_partial_": True}),
    "data.source": ("data", lambda payload: {"source": payload}),
    "trainer.devices": (
        "trainer",
        lambda payload: {"_target_": "lightning_liver.training.trainer.TrainerOptions", "devices": payload},
    ),
    "logger.mine": ("logger", lambda payload: {"mine": payload | {"_partial_": True}}),
    "callbacks.mine": ("callbacks", lambda payload: {"mine": payload}),
    "finetune.terms.first.options": (
        "finetune",
        lambda payload: {
            "_target_": "lightning_liver.finetune.strategy.Strategy",
            "terms": {"first": {"options": payload}},
        },
    ),
    "model._args_.0": ("model", lambda payload: {"_target_": "torch.nn.Sequential", "_args_": [payload]}),
    "model.layers.0": ("model", lambda payload: {"_target_": IDENTITY, "layers": [payload]}),
    "model.config": ("model", lambda payload: {"_target_": "hydra.utils.instantiate", "config": payload}),
    "model.path": ("model", lambda payload: {"_target_": "hydra.utils.get_method", "path": payload["_target_"]}),
    "model.pointer": ("model", lambda payload: "${elsewhere}"),
}


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which payloads leave their mark."""
    monkeypatch.syspath_prepend(tmp_path / "stranger")
    yield tmp_path / "stranger"
    sys.modules.pop("stranger_module", None)


def build_all(node: Any) -> None:
    """Build every node of a config that names a target."""
    if isinstance(node, DictConfig) and "_target_" in node:
        build(node)
    elif isinstance(node, DictConfig):
        for name in node:
            build_all(node[name])


def test_every_payload_leaves_its_mark_where_it_is_called(stranger: Path) -> None:
    for name, payload in payloads(stranger).items():
        arguments = payload.get("_args_", [])
        given = {key: value for key, value in payload.items() if not key.startswith("_")}
        plain = [Path(each["_args_"][0]) if isinstance(each, dict) else each for each in arguments]
        get_object(payload["_target_"])(*plain, **given)
        assert mark_of(stranger).exists(), name
        mark_of(stranger).unlink()
        sys.modules.pop("stranger_module", None)


@pytest.mark.parametrize("place", PLACES)
def test_no_payload_is_built_wherever_it_stands(stranger: Path, place: str) -> None:
    group, wrapped = PLACES[place]
    saved = stranger.with_suffix(".yaml")
    for name, payload in payloads(stranger).items():
        saved.write_text(yaml.safe_dump({group: wrapped(payload), "elsewhere": payload}))
        with pytest.raises(LiverError) as refusal:
            build_all(read_config(saved)[group])
        saved.write_text(yaml.safe_dump({"model": {"_target_": IDENTITY, "_recursive_": False, "layers": payload}}))
        build(read_config(saved).model)  # which gets it as a mapping
        assert not mark_of(stranger).exists(), name
        assert group in str(refusal.value)
        assert payload["_target_"] in str(refusal.value) or "hydra.utils" in str(refusal.value) or "pointer" in place


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scans, a complete run, and its export as a hub folder."""
    root = tmp_path_factory.mktemp("doors")
    for number in range(20, 25):
        write_scan(root / "scans", number)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIVER_CACHE", str(root / "cache"))
        assert called("train", *small_run(root / "scans", "run"), folder=root) == 0
        assert called("export", "run=run", "format=hub", "output=hub", folder=root) == 0
    return root


SCANS = ("data=lits", "data.root=scans")
CPU = ("trainer=cpu", "trainer.threads=1")
# door -> the command, and the places of the run's config that it builds
DOORS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "predict": ("predict", ("run=run", "input=scans", "output=masks", *CPU), ("model",)),
    "evaluate": ("evaluate", ("run=run", *CPU), ("model", "data.source", "data.prepare", "loss", "optimizer")),
    "view": ("view", ("run=run", "browser=false", "port=0"), ("model", "data.source")),
    "export": ("export", ("run=run", "output=out"), ("model",)),
    "audit": ("audit", ("run=run", *SCANS, "data.workers=0", "output=audited"), ("model",)),
    "cluster": ("cluster", ("run=run", *SCANS), ("model",)),
    "resume": ("train", ("resume=run",), ("model", "callbacks.mine", "logger.mine", "trainer.devices", "augment")),
    "finetune.source_data": (
        "train",
        (
            *small_run(Path("scans"), "tuned", "finetune=multitask_source"),
            "finetune.source=run",
            "finetune.source_data=run",
        ),
        ("data.source",),
    ),
}
READERS = {  # doors that build nothing
    "report": ("report", ("run=run",)),
    "methods": ("report", ("run=run", "--methods")),
    "runs": ("runs", (".",)),
    "compare": ("compare", ("run",)),
    "finetune.source": ("train", (*small_run(Path("scans"), "tuned", "finetune=full"), "finetune.source=run")),
}


@pytest.fixture
def folder(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run, with the scans, to be spoilt."""
    monkeypatch.setenv("LIVER_CACHE", str(trained / "cache"))
    shutil.copytree(trained / "run", tmp_path / "run")
    shutil.copytree(trained / "hub", tmp_path / "hub")
    (tmp_path / "scans").symlink_to(trained / "scans")
    return tmp_path


def spoil(run: Path, good: str, changes: dict[str, Any]) -> None:
    """Write the config of a run with other options than the good ones."""
    path = run / ".hydra" / "config.yaml"
    config = OmegaConf.create(good)
    for place, payload in changes.items():
        OmegaConf.update(config, place, payload, force_add=True)
    OmegaConf.save(config, path)


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS)
def test_no_payload_runs_behind_a_door(
    folder: Path, stranger: Path, capfd: pytest.CaptureFixture[str], door: str
) -> None:
    app, arguments, places = DOORS[door]
    good = (folder / "run" / ".hydra" / "config.yaml").read_text()
    for n, (name, payload) in enumerate(payloads(stranger).items()):
        place = places[n % len(places)]
        spoil(folder / "run", good, {place: payload})
        shutil.rmtree(folder / "tuned", ignore_errors=True)
        code, output = call(app, *arguments, folder=folder, capfd=capfd)
        assert code == 2, f"{door} {name}: {output}"
        assert f"{place}._target_={payload['_target_']}" in output, name
        assert "Traceback" not in output
        assert not mark_of(stranger).exists(), name


@pytest.mark.slow
@pytest.mark.parametrize("door", READERS)
def test_what_only_reads_a_config_builds_nothing_of_it(
    folder: Path, stranger: Path, capfd: pytest.CaptureFixture[str], door: str
) -> None:
    app, arguments = READERS[door]
    good = (folder / "run" / ".hydra" / "config.yaml").read_text()
    spoil(folder / "run", good, {f"model.{n}": each for n, each in enumerate(payloads(stranger).values())})
    code, output = call(app, *arguments, folder=folder, capfd=capfd)
    assert code == 0, output
    assert not mark_of(stranger).exists()


@pytest.mark.slow
def test_python_builds_no_payload_either(folder: Path, stranger: Path) -> None:
    good = (folder / "run" / ".hydra" / "config.yaml").read_text()
    for name, payload in payloads(stranger).items():
        spoil(folder / "run", good, {"model": payload})
        with pytest.raises(LiverError, match=f"model._target_={payload['_target_']}"):
            ll.load_run(folder / "run")
        content = json.loads((folder / "hub" / "config.json").read_text())
        (folder / "hub" / "config.json").write_text(json.dumps({**content, "model": payload}))
        with pytest.raises(LiverError, match=f"model._target_='{payload['_target_']}'"):
            ll.load_run(folder / "hub")
        assert not mark_of(stranger).exists(), name


@pytest.mark.slow
def test_a_stranger_s_run_is_refused_by_a_process(folder: Path, stranger: Path) -> None:
    good = (folder / "run" / ".hydra" / "config.yaml").read_text()
    spoil(folder / "run", good, {"model": payloads(stranger)["os.system"]})
    for app, arguments, _ in (DOORS["predict"], DOORS["resume"]):
        code, output = run(app, *arguments, folder=folder)
        assert code == 2
        assert "model._target_=os.system" in output
    assert not mark_of(stranger).exists()


@pytest.mark.slow
@pytest.mark.parametrize("file", ["config.yaml", "hydra.yaml", "overrides.yaml"])
def test_objects_of_python_in_yaml_are_refused(
    folder: Path, stranger: Path, capfd: pytest.CaptureFixture[str], file: str
) -> None:
    payloads(stranger)
    path = folder / "run" / ".hydra" / file
    path.write_text(f"evil: !!python/object/apply:os.system ['touch {mark_of(stranger)}']\n" + path.read_text())
    for app, arguments in (READERS["report"], READERS["compare"], DOORS["evaluate"][:2], DOORS["resume"][:2]):
        code, output = call(app, *arguments, folder=folder, capfd=capfd)
        assert code == 2 or file != "config.yaml", output
        assert "Traceback" not in output
        assert not mark_of(stranger).exists()


def hostile(place: str) -> dict[str, dict[str, Any]]:
    """Options of allowed functions that would write into a folder elsewhere."""
    phantoms = {"_target_": "lightning_liver.data.phantom.cases", "root": place, "count": 1, "seed": 0, "matrix": 32}
    lightning = "pytorch_lightning"
    return {
        "store": {"data.prepare.store": place},
        "phantoms": {"data.source": phantoms | {"tumour_fraction": 0.01, "workers": 0, "confined": False}},
        "borrowed": {"augment": "${data.prepare}"},
        "csv": {"logger": {"csv": {"_target_": f"{lightning}.loggers.CSVLogger", "_partial_": True, "name": place}}},
        "tensorboard": {
            "logger": {
                "mine": {"_target_": f"{lightning}.loggers.TensorBoardLogger", "_partial_": True, "version": "../../x"}
            }
        },
        "mlflow": {
            "logger": {
                "mlflow": {
                    "_target_": "lightning_liver.training.loggers.mlflow",
                    "_partial_": True,
                    "experiment_name": "liver",
                    "tracking_uri": "http://127.0.0.1:1",
                }
            }
        },
        "checkpoint": {"callbacks.mine": {"_target_": f"{lightning}.callbacks.ModelCheckpoint", "dirpath": place}},
        "exception": {
            "callbacks.mine": {"_target_": f"{lightning}.callbacks.OnExceptionCheckpoint", "_args_": [place]}
        },
        "spikes": {
            "callbacks.mine": {"_target_": f"{lightning}.callbacks.SpikeDetection", "exclude_batches_path": place}
        },
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", hostile(""))
def test_a_resumed_run_writes_into_no_other_folder(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    place = tmp_path / "mine"
    place.mkdir()
    (place / "metrics.csv").write_text("mine")
    good = (folder / "run" / ".hydra" / "config.yaml").read_text()
    for option, value in hostile(str(place))[kind].items():
        spoil(folder / "run", good, {option: value})
    (folder / "run" / "metrics.json").unlink()
    state = json.loads((folder / "run" / "chosen.json").read_text())
    config = identity(OmegaConf.load(folder / "run" / ".hydra" / "config.yaml")) if kind != "borrowed" else "any"
    (folder / "run" / "chosen.json").write_text(json.dumps(state | {"config": config}))
    code, output = call("train", "resume=run", folder=folder, capfd=capfd)
    assert code == 2, output
    assert "Traceback" not in output
    assert "expected" in output
    assert [path.name for path in place.iterdir()] == ["metrics.csv"]
    assert (place / "metrics.csv").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.parametrize("name", [".hydra/evil", "checkpoints/evil", "pictures"])
@pytest.mark.parametrize("door", ["resume", "report"])
def test_nothing_is_written_through_links_out_of_a_run(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], door: str, name: str
) -> None:
    link = folder / "run" / name
    if link.is_dir():
        shutil.rmtree(link)
    link.symlink_to(tmp_path)
    app, arguments = {"resume": ("train", ("resume=run",)), "report": READERS["report"]}[door]
    code, output = call(app, *arguments, folder=folder, capfd=capfd)
    assert code == 2
    assert f"{name}: expected no link out of the folder" in output


_PLACE = re.compile(r"(^|_)(path|dir|dirpath|file|filename|url|uri|repo)(_(?!rate)|$)")


@pytest.mark.parametrize("module", ["torch.nn", "torch.optim", "torch.optim.lr_scheduler", "monai.networks.nets",
                                    "segmentation_models_pytorch", "pytorch_lightning.callbacks"])  # fmt: skip
def test_classes_that_a_stranger_may_name_take_no_place(module: str) -> None:
    library = pytest.importorskip(module)
    allowed = [name for name in dir(library) if is_allowed(f"{module}.{name}", "model")]
    assert allowed
    reaching = []
    for made in (getattr(library, name) for name in allowed):
        with suppress(TypeError, ValueError):  # of no signature
            reaching += [f"{made}: {each}" for each in inspect.signature(made).parameters if _PLACE.search(each)]
    assert not reaching
