"""Kinds of files that are damaged: how one is made, and how it is read.

A kind is a class that is made with an empty folder. `damage` damages one of its files. `read` reads them: it returns
or raises LiverError. Whatever else it raises, a wrong pixel included, is a failure.
"""

import csv
import json
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import safetensors.torch
import torch
import yaml
from hydra.utils import instantiate

from lightning_liver.active.loop_state import LoopState, read_state
from lightning_liver.commands.batch import LESIONS, SUMMARY, Batch
from lightning_liver.comparison.results import NAME as RESULTS
from lightning_liver.comparison.results import read_results, write_results
from lightning_liver.comparison.runs import read_runs
from lightning_liver.data import sources
from lightning_liver.data.prepare import prepare
from lightning_liver.data.slices import KEPT_AS
from lightning_liver.data.store import Store, forget_open_arrays, open_store, read_record
from lightning_liver.errors import LiverError
from lightning_liver.finetune.source import read_weights
from lightning_liver.formats.hub import CONFIG, WEIGHTS
from lightning_liver.imageio.corrected_mask import read_corrected_mask
from lightning_liver.imageio.dicom import read_series
from lightning_liver.imageio.nifti import read_labels, read_volume
from lightning_liver.imageio.scans import find_scans
from lightning_liver.report.html.report import write_report
from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.checkpoints import read_training
from lightning_liver.runs.contents import read_contents
from lightning_liver.runs.differences import differences
from lightning_liver.runs.hub import read_hub
from lightning_liver.runs.listing import is_listed
from lightning_liver.runs.overview import training_runs
from lightning_liver.runs.scores import read_losses
from lightning_liver.runs.settings import read_choices, read_settings
from lightning_liver.runs.status import status_of
from lightning_liver.runs.trained import read_run, tested_cases, tested_decision
from lightning_liver.sweep.fair_table import ContenderResult, FairResult, fair_text, read_fair, write_fair
from lightning_liver.training.run_state import RunState
from tests.conftest import write_scan
from tests.fuzz.mutations import mutated
from tests.imageio.dicom_files import write_enhanced, write_segmentation_of, write_series
from tests.imageio.nifti_files import LPS, SHAPE, labels_of
from tests.imageio.nrrd_files import Seg, scan_at, write_nrrd
from tests.report.html.whole_run import DECISION, write_whole_run

GROUPS: dict[str, Any] = {
    "model": {
        "_target_": "lightning_liver.models.unet.UNet",
        "in_channels": 1,
        "classes": 2,
        "base_channels": 2,
        "depth": 1,
        "norm": "batch",
        "dropout": 0.0,
    },
    "loss": {"_target_": "lightning_liver.losses.region.dice", "_partial_": True, "smooth": 1.0, "class_weights": None},
    "optimizer": {"_target_": "torch.optim.AdamW", "_partial_": True, "lr": 0.005, "weight_decay": 0.01},
    "scheduler": {"_target_": "lightning_liver.training.schedules.constant", "_partial_": True, "warmup_steps": 5},
    "inference": {"multiple": 2, "flips": False, "thresholds": None, "postprocess": {"largest_liver": True}},
    "data": {"root": "x", "spacing_mm": 1.5, "window_hu": [-100, 200], "fold": 0, "eval_batch_size": 4},
    "trainer": {"max_epochs": 3, "max_steps": None, "max_minutes": None, "precision": "32-true"},
    "seed": 0,
}  # of the config of a run


class Files:
    """Damage of one file of a folder at a time; the others are as they were."""

    text = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.make()
        self.contents = {path: path.read_bytes() for path in self.targets()}
        self.damaged: Path | None = None

    def make(self) -> None:
        raise NotImplementedError

    def targets(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def damage(self, seed: int) -> Path:
        if self.damaged is not None:
            self.damaged.parent.mkdir(parents=True, exist_ok=True)
            self.damaged.write_bytes(self.contents[self.damaged])
        paths = list(self.contents)
        self.damaged = paths[np.random.default_rng([seed, 1]).integers(len(paths))]
        self.damaged.write_bytes(self.change(self.contents[self.damaged], seed))
        return self.damaged

    def change(self, data: bytes, seed: int) -> bytes:
        return mutated(data, seed, text=self.text)

    def read(self) -> None:
        raise NotImplementedError


class Nifti(Files):
    """A volume and a mask, as .nii and .nii.gz."""

    def make(self) -> None:
        write_scan(self.folder, 1, shape=(4, 12, 14))
        for path in list(self.folder.glob("*.nii.gz")):
            nib.save(nib.load(path), path.with_suffix(""))

    def read(self) -> None:
        assert self.damaged is not None
        end = ".nii.gz" if self.damaged.suffix == ".gz" else ".nii"
        find_scans(self.damaged)
        read_labels(self.folder / f"segmentation-1{end}", read_volume(self.folder / f"volume-1{end}"))


class Dicom(Files):
    """A series of three slices, and an enhanced file with its frames."""

    def make(self) -> None:
        write_series(self.folder / "series", np.arange(60, dtype=np.uint16).reshape(3, 4, 5) + 900)
        (self.folder / "enhanced").mkdir()
        write_enhanced(self.folder / "enhanced" / "a.dcm", places=(0, 1, 2))

    def read(self) -> None:
        assert self.damaged is not None
        find_scans(self.damaged.parent)
        read_series(self.damaged.parent)


class Corrected(Files):
    """Masks of editors: NRRD in each encoding and with layers, and DICOM segmentations."""

    def make(self) -> None:
        labels = labels_of()
        for encoding in ("raw", "gzip", "bzip2"):
            write_nrrd(self.folder / f"{encoding}.seg.nrrd", labels, LPS, encoding=encoding)
        layers = np.stack([labels > 0, labels > 1]).astype(np.uint8)
        write_nrrd(self.folder / "layers.seg.nrrd", layers, LPS, (Seg("liver"), Seg("tumour", 1, 1)))
        write_nrrd(self.folder / "plain.nrrd", labels.astype(np.float32), LPS, (), encoding="raw")
        write_segmentation_of(self.folder / "bits.dcm", labels.T, bits=1)
        write_segmentation_of(self.folder / "map.dcm", labels.T, bits=8)

    def read(self) -> None:
        assert self.damaged is not None
        scan = scan_at(LPS, SHAPE)
        found = read_corrected_mask(self.damaged, scan)
        assert (found.shape, found.dtype, found.max() <= 2) == (scan.hu.shape, np.uint8, True)


class Checkpoint(Files):
    """A checkpoint of training; every second damage is of its content, with checksums that fit it."""

    def make(self) -> None:
        self.network = torch.nn.ModuleDict({"network": instantiate(GROUPS["model"])})
        checkpoint = {
            "epoch": 1,
            "global_step": 8,
            "pytorch-lightning_version": "2.6.0",
            "state_dict": self.network.state_dict(),
            "loops": {},
            "callbacks": {},
            "optimizer_states": [],
            "lr_schedulers": [],
            KEPT_AS: {"window_hu": [-100.0, 200.0], "context": 0, "mean": 0.0, "std": 1.0},
        }
        files = RunFolder(self.folder)
        files.checkpoints.mkdir()
        torch.save(checkpoint, files.best)
        self.weights = [weight.clone() for weight in self.network.state_dict().values()]
        files.hydra.mkdir()
        files.config.write_text(yaml.safe_dump(GROUPS))

    def targets(self) -> list[Path]:
        return [RunFolder(self.folder).best]

    def change(self, data: bytes, seed: int) -> bytes:
        if seed % 2:
            return super().change(data, seed)
        changed = BytesIO()
        with zipfile.ZipFile(BytesIO(data)) as before, zipfile.ZipFile(changed, "w") as after:
            names = before.namelist()
            chosen = next(name for name in names if name.endswith("data.pkl")) if seed % 4 else names[seed % len(names)]
            for name in names:
                content = before.read(name)
                after.writestr(name, mutated(content, seed, text=False) if name == chosen else content)
        return changed.getvalue()

    def read(self) -> None:
        best, wrong = RunFolder(self.folder).best, None
        readers: list[Callable[[], object]] = [
            lambda: read_training(best, self.network),
            lambda: read_weights(best),
            lambda: read_run(self.folder),
        ]
        for reader in readers:
            try:
                reader()
            except LiverError as error:
                wrong = error
        if wrong is not None:
            raise wrong


class Config(Checkpoint):
    """Config and choices of a run, from which its network is built again."""

    text = True

    def make(self) -> None:
        super().make()
        files = RunFolder(self.folder)
        runtime = {"cwd": "/", "choices": {"loss": "focal", "model": "unet_small"}}
        files.hydra_config.write_text(yaml.safe_dump({"hydra": {"runtime": runtime}}))
        files.decision.write_text(json.dumps(DECISION))
        files.split.write_text(json.dumps({"train": ["1"], "val": ["2"], "test": ["3"]}))
        files.chosen.write_text(json.dumps({"accelerator": "cpu", "precision": "32-true", "max_epochs": 3}))

    def targets(self) -> list[Path]:
        files = RunFolder(self.folder)
        return [files.config] * 4 + [files.hydra_config, files.decision, files.split, files.chosen]

    def change(self, data: bytes, seed: int) -> bytes:
        return mutated(data, seed, text=True)

    def read(self) -> None:
        run = self.folder
        tested_decision(run, read_run(run))
        tested_cases(run)
        read_settings(run)
        read_choices(run)
        status_of(run)
        _ = RunState(run).budget


class StoreFiles(Files):
    """The arrays of a store: every pixel must be the one that was written, or a message."""

    def make(self) -> None:
        for number in (20, 21):
            write_scan(self.folder / "scans", number, shape=(5, 40, 48))
        cases = sources.lits(self.folder / "scans", patients=None)
        made = prepare(cases, store=self.folder / "store", spacing_mm=2.0, workers=0, skip_bad=False)
        self.store = Store(made.folder, made.cases)  # which cannot heal
        self.pixels = self._pixels()

    def targets(self) -> list[Path]:
        return sorted(self.folder.rglob("*.b2nd"))

    def _pixels(self) -> list[np.ndarray]:
        forget_open_arrays()
        kinds = ("hu", "labels", "native_labels")
        return [self.store.read(name, kind, z) for name in self.store.cases for kind in kinds for z in range(5)]  # type: ignore[arg-type]

    def read(self) -> None:
        for found, expected in zip(self._pixels(), self.pixels, strict=True):
            np.testing.assert_array_equal(found, expected)


class StoreRecords(StoreFiles):
    """The records of a store: what is read must be what was written."""

    text = True

    def targets(self) -> list[Path]:
        return [self.store.folder / "manifest.json", *sorted(self.folder.rglob("case.json"))]

    def read(self) -> None:
        for name, record in self.store.cases.items():
            found = read_record(self.store.folder, name)
            assert found is None or found == record, f"{name}: other values were believed"
        assert open_store(self.store.folder).cases == self.store.cases


class RunFiles(Files):
    """JSON, YAML and CSV of run folders, studies and tables."""

    text = True

    def make(self) -> None:
        run = write_whole_run(self.folder / "study" / "run", drawn=False)
        files = RunFolder(run)
        files.scalars.write_text("step,name,value\n1,epoch,0\n4,train/loss,0.5\n8,val/loss,0.25\n8,epoch,1\n")
        files.losses.write_text("case,patient,loss,value\n" + "".join(f"{n},p-{n},dice,0.25\n" for n in range(3, 6)))
        files.warnings.write_text('{"warnings": ["one", "two"]}')
        files.transfer.write_text("From x\n")
        files.overrides.write_text("- loss=focal\n")
        write_results(self.folder / RESULTS, read_runs([run]))
        contender = ContenderResult(contender="loss=dice", trials=2, pruned=0, failed=0, search_s=3.0, score=0.5)
        fair = FairResult(metric="val/x", trials=2, repeat="seed=0", budget="2 epochs", contenders=[contender])
        write_fair(self.folder, fair)
        LoopState("abc").write(self.folder)
        tables = {
            "patients.csv": [("case", "patient"), ("1", "A"), ("2", "A")],
            SUMMARY: [("case", "status", "path"), ("1", "predicted", "/scans/1.nii"), ("2", "failed", "/scans/2.nii")],
            LESIONS: [("case", "lesion"), ("1", "1")],
        }
        for name, rows in tables.items():
            with (self.folder / name).open("w", newline="") as file:
                csv.writer(file).writerows(rows)
        self.hub()

    def hub(self) -> None:
        """Write an exported network, whose config comes with it."""
        content = {name: GROUPS[name] for name in ("model", "loss", "optimizer", "scheduler")}
        (self.folder / "hub").mkdir()
        data = {"spacing_mm": 1.5, "context": 0, "window_hu": [-100, 200], "standardise": False}
        inference = {"multiple": 2, "flips": False, "thresholds": [0.5, 0.5], "postprocess": {}}
        normalization = {"window_hu": [-100, 200], "context": 0, "mean": 0.0, "std": 1.0}
        content |= {"data": data, "inference": inference, "normalization": normalization, "document": {}}
        (self.folder / "hub" / CONFIG).write_text(json.dumps(content))
        safetensors.torch.save_file(instantiate(GROUPS["model"]).state_dict(), self.folder / "hub" / WEIGHTS)

    def targets(self) -> list[Path]:
        return [path for path in super().targets() if path.suffix in (".json", ".yaml", ".csv", ".txt")]

    def read(self) -> None:
        assert self.damaged is not None
        run = self.folder / "study" / "run"
        wrong: LiverError | None = None
        for reader in self._readers(run) if self.damaged.is_relative_to(run) else self._others():
            try:
                reader()
            except LiverError as error:
                wrong = error
                if self.damaged.name not in str(error):
                    raise AssertionError(f"not named: {error}") from error
        if wrong is not None:
            raise wrong

    def _readers(self, run: Path) -> list[Callable[[], object]]:
        files = RunFolder(run)
        return [
            lambda: read_contents(run),
            lambda: [line.as_json() for line in training_runs([run.parent])],
            lambda: write_results(self.folder / "x.tmp", read_runs([run.parent])),
            lambda: RunState(run).metrics(),
            lambda: RunState(run).budget,
            lambda: read_losses(files.losses),
            lambda: tested_cases(run),
        ]

    def _others(self) -> list[Callable[[], object]]:
        def fair() -> None:
            found = read_fair(self.folder)
            if found:
                fair_text(found)

        return [
            lambda: read_results(self.folder / RESULTS),
            lambda: is_listed("run", str(self.folder / RESULTS), {"max_epochs": 3}),
            fair,
            lambda: read_state(self.folder, "abc"),
            lambda: sources.read_patients(self.folder / "patients.csv"),
            lambda: Batch(self.folder, "model"),
            *([lambda: read_hub(self.folder / "hub")] if self.damaged and self.damaged.name == CONFIG else []),
        ]


class Report(RunFiles):
    """The files of a run, from which its report is drawn."""

    def targets(self) -> list[Path]:
        return [path for path in super().targets() if path.is_relative_to(self.folder / "study" / "run")]

    def _readers(self, run: Path) -> list[Callable[[], object]]:
        return [lambda: write_report(run), lambda: differences(run)]


KINDS: dict[str, type[Files]] = {
    "nifti": Nifti,
    "dicom": Dicom,
    "corrected": Corrected,
    "checkpoint": Checkpoint,
    "config": Config,
    "store": StoreFiles,
    "manifest": StoreRecords,
    "run": RunFiles,
    "report": Report,
}
