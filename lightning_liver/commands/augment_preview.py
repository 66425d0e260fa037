"""What augmentation makes of a slice, for the eye: a contact sheet of the policies of conf/augment."""

import logging
from collections.abc import Sequence
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
from lightning_liver.report.contact_sheet import Block, Tile, contact_sheet
from lightning_liver.report.drawing import write_png

log = logging.getLogger(__name__)

_COLOURS = 128  # of the sheet: with 256 it is over a megabyte
_FIRST_CASES = 8  # among which slices are looked for


class Policy(NamedTuple):
    """A policy, its name and its main options in one line."""

    name: str
    about: str
    made: Augment


class Place(NamedTuple):
    """A slice of a case."""

    case: str
    z: int


def preview(cfg: DictConfig, folder: Path) -> Path:
    """Draw a contact sheet into a folder and say where it is.

    `sheet.png` shows policies beside each other, of each the strongest draw; `<policy>.png` shows all draws of the one
    that `augment` names. Slices and seeds are the same for all. Equal input gives equal files.

    Raises:
        LiverError: something that the user can mend.
    """
    options: SliceOptions = build(cfg.data.slices)
    seed, draws = _whole(cfg, "seed", 0, 2**32 - 1), _whole(cfg, "draws", 1, 99)
    slices = _whole(cfg, "slices", 1, 8)
    one = _given(cfg) if "augment" in cfg else None
    policies = _catalogue(cfg) if one is None else []
    bench = _Bench(prepared(cfg.data), options, seed=seed, slices=slices)
    blocks = bench.draws(one, draws) if one else [bench.strongest(policy, draws) for policy in policies]
    title = one.name if one else "What augmentation makes of a slice"
    path = folder / f"{one.name if one else 'sheet'}.png"
    write_png(contact_sheet(title, _caption(one, draws), bench.untouched(), blocks), path, colours=_COLOURS)
    log.info(f"{path}: {len(blocks)} {'draws' if one else 'policies'}, {len(bench.places)} slices each")
    return path


def telling(records: Sequence[CaseRecord], count: int) -> list[Place]:
    """Slices that show much: in turn the one with most tumour and the one with most liver of those without.

    Each is of another case while there are some; fewer than `count` where there are no more.
    """
    pools = [_by_area(records, tumour=True), _by_area(records, tumour=False)]
    chosen: list[Place] = []
    while len(chosen) < count and any(pools):
        pool = pools[len(chosen) % 2] or pools[(len(chosen) + 1) % 2]
        cases = {place.case for place in chosen}
        chosen.append(next((place for place in pool if place.case not in cases), pool[0]))
        pool.remove(chosen[-1])
    return chosen


def _by_area(records: Sequence[CaseRecord], *, tumour: bool) -> list[Place]:
    """Slices with tumour by its area, or slices with liver alone by its; the largest first."""
    areas = {
        Place(record.name, z): (of_tumour if tumour else of_liver) * record.spacing_mm[1] * record.spacing_mm[2]
        for record in records
        for z, (of_liver, of_tumour) in enumerate(zip(record.liver_pixels, record.tumour_pixels, strict=True))
        if of_liver and bool(of_tumour) == tumour
    }
    return sorted(areas, key=lambda place: -areas[place])


class _Bench:
    """The slices that policies are tried on, as a batch of training would have them, but whole.

    A store's labelled cases all give tumours to policies that ask for one.
    """

    def __init__(self, store: Store, options: SliceOptions, *, seed: int, slices: int) -> None:
        records = [store.cases[name] for name in store.labelled()]
        self.places = telling(records[:_FIRST_CASES], slices)
        if not self.places:
            raise LiverError(
                f"data: none of the first {_FIRST_CASES} labelled cases shows a liver, of {len(store.cases)} cases in "
                f"{store.folder}; a preview needs one that does"
            )
        shapes = [store.cases[place.case].shape[1:] for place in self.places]
        self.size = (max(height for height, _ in shapes), max(width for _, width in shapes))
        self.store, self.seed, self.tumours = store, seed, Pools.of(records).kinds["tumour"]
        self.normalization = Normalization(options.window_hu, options.context, mean=0.0, std=1.0)
        self.plain = self._batch(none(), 0)

    def untouched(self) -> Block:
        about = ", ".join(f"case {place.case} slice {place.z}" for place in self.places)
        return Block("untouched", about, self._tiles(self.plain))

    def draws(self, policy: Policy, count: int) -> list[Block]:
        """All of them."""
        return [Block(f"draw {draw}", "", self._tiles(self._batch(policy.made, draw))) for draw in range(count)]

    def strongest(self, policy: Policy, count: int) -> Block:
        """Of each slice the draw that changes it most."""
        batches = [self._batch(policy.made, draw) for draw in range(count)]
        by_slice = zip(self.plain, zip(*batches, strict=True), strict=True)
        return Block(policy.name, policy.about, self._tiles([_strongest(plain, drawn) for plain, drawn in by_slice]))

    def _batch(self, augment: Augment, draw: int) -> list[Sample]:
        """As training would load it, the draw for its epoch."""
        slices = TrainingSlices(
            self.store, self.normalization, augment=augment, size=self.size, seed=self.seed, tumours=self.tumours
        )
        return slices.__getitems__([Draw(draw, position, *place) for position, place in enumerate(self.places)])

    def _tiles(self, batch: Sequence[Sample]) -> list[Tile]:
        return [self._tile(*triple) for triple in zip(self.places, self.plain, batch, strict=True)]

    def _tile(self, place: Place, plain: Sample, sample: Sample) -> Tile:
        partner = sample.get("partner_labels")
        return Tile(
            grey=sample["image"][self.normalization.context].numpy(),
            labels=sample["labels"].numpy(),
            partner=None if partner is None else partner.numpy(),
            spacing_mm=self.store.cases[place.case].spacing_mm[1:],
            note=_note(plain, sample),
        )


def _strongest(plain: Sample, drawn: Sequence[Sample]) -> Sample:
    return max(drawn, key=lambda sample: _strength(plain, sample))


def _strength(plain: Sample, sample: Sample) -> float:
    """How much a sample differs where the body was, as a share of the window; a blend does most at a half."""
    share = float(sample.get("share", 1.0))
    evenness = min(share / max(1 - share, 1e-6), 1)
    return evenness * float(((sample["image"] - plain["image"]).abs() * (plain["image"] > 0)).mean())


def _note(plain: Sample, sample: Sample) -> str:
    if "share" in sample:
        return f"{100 * (1 - float(sample['share'])):.0f} % blended in"
    same = sample is not plain and all(bool((sample[name] == plain[name]).all()) for name in plain)
    return "as it was" if same else ""


def _given(cfg: DictConfig) -> Policy:
    """What `augment=NAME`, with its options, makes.

    Raises:
        LiverError: policies were given too, or what building raises.
    """
    if cfg.policies is not None:
        raise LiverError(
            f"policies={cfg.policies} and augment= were both given: policies= compares some, augment= shows one's draws"
        )
    return _policy(str(HydraConfig.get().runtime.choices["augment"]), cfg.augment)


def _catalogue(cfg: DictConfig) -> list[Policy]:
    """The policies that were asked for, or all of conf/augment, as conf/ has them.

    Raises:
        LiverError: there is none of a name.
    """
    known = GlobalHydra.instance().config_loader().get_group_options("augment")
    wanted = known if cfg.policies is None else _names(cfg.policies)
    if unknown := [name for name in wanted if name not in known]:
        raise LiverError(f"policies: conf/augment has no {' and no '.join(unknown)}; it has {', '.join(known)}")
    if not wanted:
        raise LiverError("policies=[]: nothing to show; name some as in policies=[perlin,all], or leave it out for all")
    added = [f"+augment@augment.{name}={name}" for name in wanted]
    told = HydraConfig.get()
    whole = hydra.compose(told.job.config_name, [*told.overrides.task, *added])
    return [_policy(name, whole.augment[name]) for name in wanted]


def _names(policies: Any) -> list[str]:
    """Each once, in the order in which they were typed."""
    return list(dict.fromkeys(map(str, policies if isinstance(policies, ListConfig) else [policies])))


def _policy(name: str, node: DictConfig) -> Policy:
    return Policy(name, _about(OmegaConf.to_container(node, resolve=True)), build(node))


def _about(options: Any) -> str:
    """Options as they are typed; of a policy that is made of others, their names."""
    parts = [name for name, value in options.items() if isinstance(value, dict)]
    flat = {name: value for name, value in options.items() if not isinstance(value, dict) and value is not None}
    told = [f"{name}={_short(value)}" for name, value in flat.items() if not name.startswith("_")]
    return " ".join(text for text in (*told, ", ".join(parts)) if text and text != "probability=1")


def _short(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_short, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _whole(cfg: DictConfig, name: str, least: int, most: int) -> int:
    value = cfg[name]
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise LiverError(f"{name}={value!r}: it must be a whole number from {least} to {most}")
    return value


def _caption(one: Policy | None, draws: int) -> str:
    """What is shown, and how it was chosen."""
    labels = "Contours are of the labels that training gets with the slice."
    if one is not None:
        return f"{one.about}. {labels} The first {draws} draws.".removeprefix(". ")
    return (
        f"Each row begins with the untouched slices. {labels} Of each policy and slice the strongest of {draws} draws; "
        "seeds are the same for all."
    )
