"""Model card of an exported network: what it does, what it was trained on, its figures, limits and licence."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

CARD = "README.md"

_LIMITS = """\
- For research, not for clinical use: no regulatory body has seen it, and nobody looks at its masks but you.
- It labels liver and tumour in CT slices, one slice (with {context} neighbours on each side) at a time. Other organs,
  other modalities and scans that are not in Hounsfield units give masks without a meaning.
- Its figures are those of scans like the ones that it was tested on. Another scanner, contrast phase or hospital gives
  other figures: test it on scans of your own before you rely on it."""


class Facts(NamedTuple):
    """What is known of a run, for the card and for a bundle's metadata.

    Args:
        name: of the model.
        network: one line about its kind and size.
        data: where scans came from, in words.
        cases: number of cases by part: train, val, test.
        figures: scores of the test cases by name, as in metrics.json.
        mode: rules of the scores; "" if unknown.
        licence: of the weights, as an SPDX identifier; None if the user named none.
        training: options that tell how it was trained, by name.
        versions: of the packages.
        config: plain containers, by which lightning_liver builds the network and predicts with it.
    """

    name: str
    network: str
    data: str
    cases: Mapping[str, int]
    figures: Mapping[str, float]
    mode: str
    licence: str | None
    training: Mapping[str, Any]
    versions: Mapping[str, str]
    config: Mapping[str, Any]


def model_card(facts: Facts, document: Mapping[str, Any], usage: str) -> str:
    """Return the card as Markdown, with the front matter that model hubs read.

    Args:
        document: of the export.
        usage: how the files are used, as Markdown.
    """
    thresholds = ", ".join(f"{name} {value:g}" for name, value in document["thresholds"].items())
    steps = [f"{name}={_typed(value)}" for name, value in document["postprocess"].items() if value]
    parts = ", ".join(f"{count} {part}" for part, count in facts.cases.items()) or "unknown numbers of cases"
    lines = [
        "---",
        *([f"license: {facts.licence}"] if facts.licence else []),
        "library_name: lightning_liver",
        "pipeline_tag: image-segmentation",
        "tags: [medical, ct, liver, tumour, segmentation]",
        "---",
        "",
        f"# Liver and liver tumours in CT: {facts.name}",
        "",
        "Segments the liver and its tumours in abdominal CT, slice by slice.",
        "",
        "## Use",
        "",
        usage.strip("\n"),
        "",
        "## Network",
        "",
        facts.network,
        "",
        "## Data",
        "",
        f"Trained, validated and tested on {facts.data}: {parts}. The parts share no patient that is known to be one.",
        "",
        "## Figures",
        "",
        *_figures(facts),
        "",
        "## From scan to mask",
        "",
        f"The figures hold for thresholds of {thresholds}, post-processing by {', '.join(steps) or 'nothing'}, and "
        f"{'the mean over mirrored slices' if document['flips'] else 'no mirrored views'}. In full:",
        "",
        "```json",
        "{\n" + ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in document.items()) + "\n}",
        "```",
        "",
        "## Training",
        "",
        *[f"- `{name}`: {_typed(value)}" for name, value in {**facts.training, **facts.versions}.items()],
        "",
        "## Limits",
        "",
        _LIMITS.format(context=document["context"]),
        "",
        "## Licence",
        "",
        _licence(facts),
        "",
    ]
    return "\n".join(lines)


def _figures(facts: Facts) -> list[str]:
    if not facts.figures:
        return ["It was not tested."]
    rules = f" ({facts.mode} rules)" if facts.mode else ""
    rows = [f"| `{name}` | {value:.3f} |" for name, value in facts.figures.items()]
    about = f"On {facts.cases.get('test', 0)} test cases{rules}, on each scan's own grid:"
    return [about, "", "| figure | value |", "|---|---:|", *rows]


def _licence(facts: Facts) -> str:
    if facts.licence:
        return f"Weights: {facts.licence}. The scans that they were trained on have licences of their own."
    return (
        "Not stated. Who shares these weights decides, as far as the licence of the scans allows it: "
        "`liver-export licence=apache-2.0` writes it here."
    )


def _typed(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool | None) else str(value)
