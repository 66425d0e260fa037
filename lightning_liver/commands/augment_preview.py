"""liver-augment-preview: a contact sheet of the augmentation policies of conf/augment."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf

from lightning_liver.augment.policy import none
from lightning_liver.build import build, prepared
from lightning_liver.data.datamodule import SliceOptions
from lightning_liver.data.sampling import Draw, Pools
from lightning_liver.data.slices import Augment, Normalization, Sample, TrainingSlices
from lightning_liver.data.store import CaseRecord, Store
from lightning_liver.errors import LiverError
from lightning_liver.report.contact_sheet import SheetBlock, Tile, contact_sheet
from lightning_liver.report.drawing import write_png
from lightning_liver.types.options import check, whole_number

log = logging.getLogger(__name__)

_LABELS = "Contours show the labels that training gets with the slice."
_COLOURS = 128  # of the sheet: with 256 it is over a megabyte
_FIRST_CASES = 8  # the slices are chosen from these


class DrawnPolicy(NamedTuple):
    """A policy with its name and its main options in one line."""

    name: str
    options: str
    augment: Augment


class SliceIndex(NamedTuple):
    """A slice of a case."""

    case: str
    z: int


class Sheet(NamedTuple):
    """A contact sheet to be drawn: its file's stem, its texts, what its blocks are, and how to make them."""

    stem: str
    title: str
    caption: str
    kind: str
    blocks: Callable[["PreviewSlices"], list[SheetBlock]]


def preview(cfg: DictConfig, folder: Path) -> Path:
    """Draw a contact sheet into a folder and return its path.

    `sheet.png` shows policies side by side, the strongest draw of each; `<policy>.png` shows all draws of the policy
    that `augment` names. Slices and seeds are the same for all. Equal input gives equal files.

    Raises:
        LiverError: an invalid option or data set.
    """
    seed, draws, count = _whole(cfg, "seed", 0, 2**32 - 1), _whole(cfg, "draws", 1, 99), _whole(cfg, "slices", 1, 8)
    options: SliceOptions = build(cfg.data.slices)
    sheet = _sheet_of_draws(cfg, draws) if "augment" in cfg else _sheet_of_policies(cfg, draws)
    slices = PreviewSlices(prepared(cfg.data), options, seed=seed, count=count)
    blocks = sheet.blocks(slices)
    path = folder / f"{sheet.stem}.png"
    write_png(contact_sheet(sheet.title, sheet.caption, slices.untouched(), blocks), path, colours=_COLOURS)
    log.info(f"{path}: {len(blocks)} {sheet.kind}, {len(slices.indices)} slices each")
    return path


def _sheet_of_draws(cfg: DictConfig, draws: int) -> Sheet:
    policy = _typed_policy(cfg)
    caption = f"{policy.options}. {_LABELS} The first {draws} draws.".removeprefix(". ")
    return Sheet(policy.name, policy.name, caption, "draws", lambda slices: slices.draws(policy, draws))


def _sheet_of_policies(cfg: DictConfig, draws: int) -> Sheet:
    policies = _listed_policies(cfg)
    caption = (
        f"Each row begins with the untouched slices. {_LABELS} Each policy and slice shows the strongest of {draws} "
        "draws; seeds are the same for all."
    )
    title = "Augmentation policies on the same slices"
    return Sheet(
        "sheet", title, caption, "policies", lambda slices: [slices.strongest(each, draws) for each in policies]
    )


def representative_slices(records: Sequence[CaseRecord], count: int) -> list[SliceIndex]:
    """Choose slices in turn with most tumour and with most liver but no tumour.

    Each is of another case as long as possible; fewer than `count` if there are no more.
    """
    pools = [_by_area(records, tumour=True), _by_area(records, tumour=False)]
    chosen: list[SliceIndex] = []
    while len(chosen) < count and any(pools):
        pool = pools[len(chosen) % 2] or pools[(len(chosen) + 1) % 2]
        cases = {index.case for index in chosen}
        chosen.append(next((index for index in pool if index.case not in cases), pool[0]))
        pool.remove(chosen[-1])
    return chosen


def _by_area(records: Sequence[CaseRecord], *, tumour: bool) -> list[SliceIndex]:
    """Return the slices with tumour by its area, or those with liver alone by its area; the largest first."""
    areas = {
        SliceIndex(record.name, z): (tumour_pixels if tumour else liver_pixels)
        * record.spacing_mm[1]
        * record.spacing_mm[2]
        for record in records
        for z, (liver_pixels, tumour_pixels) in enumerate(zip(record.liver_pixels, record.tumour_pixels, strict=True))
        if liver_pixels and bool(tumour_pixels) == tumour
    }
    return sorted(areas, key=lambda index: -areas[index])


class PreviewSlices:
    """Whole slices, augmented as a batch of training would be.

    Policies that paste tumours take them from all labelled cases of the store.
    """

    def __init__(self, store: Store, options: SliceOptions, *, seed: int, count: int) -> None:
        records = [store.cases[name] for name in store.labelled()]
        self.indices = representative_slices(records[:_FIRST_CASES], count)
        if not self.indices:
            raise LiverError(
                f"data: the first {_FIRST_CASES} labelled cases of {store.folder} have no liver; choose other data"
            )
        shapes = [store.cases[index.case].shape[1:] for index in self.indices]
        self.size = (max(height for height, _ in shapes), max(width for _, width in shapes))
        self.store, self.seed, self.tumours = store, seed, Pools.of(records).kinds["tumour"]
        self.normalization = Normalization(options.window_hu, options.context, mean=0.0, std=1.0)
        self.plain = self._batch(none(), 0)

    def untouched(self) -> SheetBlock:
        about = ", ".join(f"case {index.case} slice {index.z + 1}" for index in self.indices)
        return SheetBlock("untouched", about, self._tiles(self.plain))

    def draws(self, policy: DrawnPolicy, count: int) -> list[SheetBlock]:
        """Return a block for each draw."""
        return [SheetBlock(f"draw {draw}", "", self._tiles(self._batch(policy.augment, draw))) for draw in range(count)]

    def strongest(self, policy: DrawnPolicy, count: int) -> SheetBlock:
        """Return a block with the draw that changes each slice most."""
        batches = [self._batch(policy.augment, draw) for draw in range(count)]
        by_slice = zip(self.plain, zip(*batches, strict=True), strict=True)
        return SheetBlock(
            policy.name, policy.options, self._tiles([_strongest(plain, drawn) for plain, drawn in by_slice])
        )

    def _batch(self, augment: Augment, draw: int) -> list[Sample]:
        """Load a batch as training would; the draw takes the place of the epoch."""
        slices = TrainingSlices(
            self.store, self.normalization, augment=augment, size=self.size, seed=self.seed, tumours=self.tumours
        )
        return slices.__getitems__([Draw(draw, position, *index) for position, index in enumerate(self.indices)])

    def _tiles(self, batch: Sequence[Sample]) -> list[Tile]:
        return [self._tile(*triple) for triple in zip(self.indices, self.plain, batch, strict=True)]

    def _tile(self, index: SliceIndex, plain: Sample, sample: Sample) -> Tile:
        partner = sample.get("partner_labels")
        return Tile(
            grey=sample["image"][self.normalization.context].numpy(),
            labels=sample["labels"].numpy(),
            partner=None if partner is None else partner.numpy(),
            spacing_mm=self.store.cases[index.case].spacing_mm[1:],
            note=_note(plain, sample),
        )


def _strongest(plain: Sample, drawn: Sequence[Sample]) -> Sample:
    return max(drawn, key=lambda sample: _strength(plain, sample))


def _strength(plain: Sample, sample: Sample) -> float:
    """Return the mean change within the body, in fractions of the window, weighted by the evenness of a blend."""
    share = float(sample.get("share", 1.0))
    evenness = min(share / max(1 - share, 1e-6), 1)
    return evenness * float(((sample["image"] - plain["image"]).abs() * (plain["image"] > 0)).mean())


def _note(plain: Sample, sample: Sample) -> str:
    if "share" in sample:
        return f"{100 * (1 - float(sample['share'])):.0f} % blended in"
    same = sample is not plain and all(bool((sample[name] == plain[name]).all()) for name in plain)
    return "as it was" if same else ""


def _typed_policy(cfg: DictConfig) -> DrawnPolicy:
    """Build the policy of `augment=NAME` with its options.

    Raises:
        LiverError: `policies` was given too, or an option is invalid.
    """
    if cfg.policies is not None:
        raise LiverError(
            f"policies={cfg.policies}: expected no augment= beside it; give policies= to compare or augment= for one"
        )
    return _policy(str(HydraConfig.get().runtime.choices["augment"]), cfg.augment)


def _listed_policies(cfg: DictConfig) -> list[DrawnPolicy]:
    """Build the policies of `policies`, or all of conf/augment, with their default options.

    Raises:
        LiverError: an unknown name, or an empty list.
    """
    known = GlobalHydra.instance().config_loader().get_group_options("augment")
    wanted = known if cfg.policies is None else _names(cfg.policies)
    if unknown := [name for name in wanted if name not in known]:
        raise LiverError(f"policies: conf/augment has no {' and no '.join(unknown)}; choose from {', '.join(known)}")
    if not wanted:
        raise LiverError(
            "policies=[]: expected at least one; give names as in policies=[perlin,all], or leave it out for all"
        )
    added = [f"+augment@augment.{name}={name}" for name in wanted]
    current = HydraConfig.get()
    composed = hydra.compose(current.job.config_name, [*current.overrides.task, *added])
    return [_policy(name, composed.augment[name]) for name in wanted]


def _names(policies: Any) -> list[str]:
    """Return each name once, in the order typed."""
    return list(dict.fromkeys(map(str, policies if isinstance(policies, ListConfig) else [policies])))


def _policy(name: str, node: DictConfig) -> DrawnPolicy:
    return DrawnPolicy(name, _options_text(OmegaConf.to_container(node, resolve=True)), build(node))


def _options_text(options: Any) -> str:
    """Return the options as typed; for a policy made of others, the names of these."""
    parts = [name for name, value in options.items() if isinstance(value, dict)]
    flat = {name: value for name, value in options.items() if not isinstance(value, dict) and value is not None}
    typed = [f"{name}={_short(value)}" for name, value in flat.items() if not name.startswith("_")]
    return " ".join(text for text in (*typed, ", ".join(parts)) if text and text != "probability=1")


def _short(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_short, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _whole(cfg: DictConfig, name: str, least: int, most: int) -> int:
    value: int = check(name, cfg[name], whole_number(least, most))
    return value
