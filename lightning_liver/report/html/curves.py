"""Training section: loss and validation Dice over steps."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from lightning_liver.metrics.case.dice import DICE_PER_CASE, MONITORED
from lightning_liver.report.html.blocks import Block, Chart, Row, Section, Text, missing, note
from lightning_liver.report.html.theme import COLOURS, FAINT, INK, RULE, SMALL, make_axes, svg_chart
from lightning_liver.report.numbers import counted
from lightning_liver.runs.contents import Contents
from lightning_liver.runs.scalars import Curve, Point, epochs_of, while_training
from lightning_liver.tables import duration
from lightning_liver.types import STRUCTURES

_MOST_POINTS = 400  # of a curve; a drawing has fewer pixels


def curves_section(contents: Contents) -> Section:
    """Make the section: both drawings and the best epoch."""
    steps = contents.metrics.get("steps")
    known = {name: while_training(curve, int(steps) if steps else None) for name, curve in contents.curves.items()}
    known = {name: curve for name, curve in known.items() if curve}
    if "train/loss" not in known:
        return Section("curves", "Training", [missing("This run has no logged curves.")])
    charts = [_losses(known)]
    if any(f"val/{structure}/dice_per_case" in known for structure in STRUCTURES):
        charts.append(_dice(known))
    blocks: list[Block] = [Text(_sentence(contents, known)), Row(charts)]
    blocks.append(note("Validation is on the training grid, the test on the scan's own: their Dice differ slightly."))
    return Section("curves", "Training", blocks)


def _sentence(contents: Contents, curves: Mapping[str, Curve]) -> str:
    epochs, steps = (contents.metrics.get(name) for name in ("epochs", "steps"))
    length = counted(steps or curves["train/loss"][-1].step + 1, "step")
    length = f"{counted(epochs, 'epoch')}, {length}" if epochs else length
    seconds = contents.timing.fit_s
    parts = [f"{length}{f' in {duration(seconds)}' if seconds else ''}."]
    if best := max(curves.get(MONITORED, ()), key=lambda point: point.value, default=None):
        epoch = epochs_of(contents.curves).get(best.step)
        when = f"epoch {epoch}" if epoch else f"step {best.step + 1}"
        parts.append(f"Mean validation Dice was best after {when}, {best.value:.3f}; the test uses these weights.")
    return " ".join(parts)


def thin(curve: Curve) -> Curve:
    """Return a curve of at most 400 points, each the mean of a group of neighbours."""
    size = -(-len(curve) // _MOST_POINTS)
    groups = [curve[start : start + size] for start in range(0, len(curve), size)]
    return [Point(group[-1].step, sum(p.value for p in group) / len(group)) for group in groups]


def _losses(curves: Mapping[str, Curve]) -> Chart:
    figure, axes = make_axes(2.5)
    _draw(axes, thin(curves["train/loss"]), FAINT, "training", alpha=0.75)
    alt = f"Training loss from {curves['train/loss'][0].value:.3g} to {curves['train/loss'][-1].value:.3g}"
    if validation := curves.get("val/loss"):
        _draw(axes, thin(validation), INK, "validation", marker=True)
        alt += f", validation loss from {validation[0].value:.3g} to {validation[-1].value:.3g}"
    _finish(axes, "loss")
    return svg_chart(figure, "loss", alt=alt, caption="Loss")


def _dice(curves: Mapping[str, Curve]) -> Chart:
    figure, axes = make_axes(2.5)
    changes = []
    for structure in STRUCTURES:
        if curve := curves.get(f"val/{structure}/dice_per_case"):
            _draw(axes, thin(curve), COLOURS[structure], structure, marker=True)
            changes.append(f"{structure} from {curve[0].value:.3f} to {curve[-1].value:.3f}")
    axes.set_ylim(0, 1)
    _finish(axes, DICE_PER_CASE)
    return svg_chart(figure, "val-dice", alt=f"Validation Dice: {', '.join(changes)}", caption="Validation Dice")


def _draw(axes: Axes, curve: Curve, colour: str, label: str, *, marker: bool = False, alpha: float = 1) -> None:
    style: dict[str, Any] = {"marker": "o", "ms": 3} if marker and len(curve) <= 60 else {}
    steps, values = [point.step + 1 for point in curve], [point.value for point in curve]
    axes.plot(steps, values, color=colour, lw=1.4, label=label, alpha=alpha, **style)


def _finish(axes: Axes, label: str) -> None:
    axes.set(xlabel="step", ylabel=label)
    axes.set_xlim(left=0)
    axes.grid(color=RULE, lw=0.4)
    axes.legend(frameon=False, fontsize=SMALL, labelcolor=INK, loc="best")
