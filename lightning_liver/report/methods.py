"""Methods of a run or a study in plain words, for a paper: only what the files of the run folder say."""

import re
from collections.abc import Mapping, Sequence

from lightning_liver.data.splits import PARTS
from lightning_liver.help import options
from lightning_liver.report.numbers import counted
from lightning_liver.report.patients import separation
from lightning_liver.runs.contents import Contents, Line
from lightning_liver.runs.settings import levels
from lightning_liver.types import STRUCTURES

_PARTS = {"train": "training", "val": "validation", "test": "testing"}
_SOURCES = {
    "lits": "the LiTS data set (Bilic et al. 2019, arXiv:1901.04056)",
    "msd": "Task03_Liver of the Medical Segmentation Decathlon (Antonelli et al. 2022, doi:10.1038/s41467-022-30695-9)",
    "phantom": "simulated phantoms of the abdomen",
    "phantom_shifted": "simulated phantoms of the abdomen with another appearance",
}
_REPEATS = ("seed", "data.fold")


def methods_text(contents: Contents) -> str:
    """Return the paragraph of one run."""
    parts = (data_sentence, input_sentence, model_sentence, training_sentence, decision_sentence, scoring_sentence)
    return " ".join(filter(None, [*(part(contents) for part in parts), software_sentence(contents)]))


def study_text(runs: Sequence[Contents]) -> str:
    """Return the paragraphs of a study: the first run's, and what was compared.

    Args:
        runs: complete ones, at least one.
    """
    apart = levels([run.settings for run in runs])
    varied = {name: sorted(set(values)) for name, values in apart.items() if name not in _REPEATS}
    paragraphs = [methods_text(runs[0])]
    if varied:
        listed = "; ".join(f"{name} ({', '.join(values)})" for name, values in varied.items())
        paragraphs.append(
            f"{counted(len(runs), 'run')} were compared, which differed in {listed}{_repeats(runs)}. The description "
            "above is of the first of them; all other options were equal. Configurations were compared by paired tests "
            "over patients with Holm's correction for multiple comparisons."
        )
    elif len(runs) > 1:
        paragraphs.append(f"The run was repeated {len(runs)} times{_repeats(runs)}.")
    return "\n\n".join(paragraphs)


def data_sentence(contents: Contents) -> str:
    """Describe cases and split."""
    choice = str(contents.choices.get("data") or "")
    source = _SOURCES.get(choice, f"the data set {choice}" if choice else "a data set")
    lines = [line for line in contents.data or () if line["part"] in PARTS]
    if not lines:
        return f"CT scans were taken from {source}."
    parts = ", ".join(f"{_count([each for each in lines if each['part'] == p])} for {_PARTS[p]}" for p in PARTS)
    fold, folds = contents.settings.get("data.fold"), contents.settings.get("data.folds")
    of_fold = f" (fold {fold} of {folds}, counted from 0)" if fold is not None and folds else ""
    refused = sum(line["part"] == "refused" for line in contents.data or ())
    left_out = (
        f" {counted(refused, 'scan')} could not be read and {'was' if refused == 1 else 'were'} left out."
        * bool(refused)
    )
    apart = separation(contents, past=True)
    return f"{_count(lines)} from {source} were split by patient: {parts}{of_fold}; {apart}.{left_out}"


def input_sentence(contents: Contents) -> str:
    """Describe preprocessing."""
    settings = contents.settings
    grid, window = settings.get("data.spacing_mm"), settings.get("data.window_hu")
    sampled = f"resampled to {grid} mm a pixel in plane" if grid is not None else "used on the scans' own grid"
    clipped = f" and clipped to {window[0]} to {window[1]} HU" if isinstance(window, list) else ""
    scaled = (
        ", standardised by mean and standard deviation of the training slices"
        if settings.get("data.standardise")
        else ", scaled to 0 to 1"
    )
    context = settings.get("data.context")
    seen = (
        f" The network saw {2 * context + 1} neighbouring slices at once."
        if isinstance(context, int) and context
        else ""
    )
    return f"Axial slices were {sampled}{clipped}{scaled}.{seen}" if settings else ""


def model_sentence(contents: Contents) -> str:
    """Describe the network and its start."""
    model = contents.choices.get("model")
    if not model:
        return ""
    finetune = contents.choices.get("finetune")
    start = (
        "Its weights were initialised at random"
        if finetune in (None, "scratch")
        else (f"It was fine-tuned from a trained network by the strategy {_about('finetune', finetune)}")
    )
    return (
        f"The network was {_with_options(contents, 'model', cited=True)}; two outputs give the probabilities of liver "
        f"(tumour included) and of tumour. {start}."
    )


def training_sentence(contents: Contents) -> str:
    """Describe loss, optimiser, schedule, sampling, augmentation and length."""
    choices, settings = contents.choices, contents.settings
    if not choices.get("loss"):
        return ""
    epochs, steps = contents.metrics.get("epochs"), contents.metrics.get("steps")
    batch, size = settings.get("data.batch_size"), settings.get("data.size")
    crops = f"crops of {_edges(size)} pixels" if size else "slices"
    parts = [
        f"Training minimised {_with_options(contents, 'loss')}",
        f" by {_with_options(contents, 'optimizer')}" if choices.get("optimizer") else "",
        f" with the schedule {_about('scheduler', choices['scheduler'])}" if choices.get("scheduler") else "",
        f", in batches of {batch} {crops}" if batch else "",
        f", for {counted(int(epochs), 'epoch')} ({counted(int(steps), 'step')})" if epochs and steps else "",
        f"{_sampling(settings)}.",
        f" Augmentation: {_about('augment', choices['augment'])}." if choices.get("augment") else "",
        " The weights with the highest mean Dice of liver and tumour on validation cases were kept.",
        f" The seed was {settings['seed']}." if "seed" in settings else "",
    ]
    return "".join(parts)


def decision_sentence(contents: Contents) -> str:
    """Describe thresholds and post-processing."""
    used = (contents.decision or {}).get("thresholds") or {}
    steps = {
        name.rpartition(".")[2]: value
        for name, value in contents.settings.items()
        if name.startswith("inference.postprocess.") and value
    }
    listed = ", ".join(name if value is True else f"{name}={value}" for name, value in steps.items())
    thresholds = " and ".join(f"{used[s]:.3g} for {s}" for s in STRUCTURES if s in used)
    parts = [f"Probabilities were cut at {thresholds}." if thresholds else ""]
    parts.append(f"Post-processing: {listed}." if listed else "There was no post-processing.")
    return " ".join(filter(None, parts)) if contents.settings else ""


def scoring_sentence(contents: Contents) -> str:
    """Describe metrics and statistics."""
    mode = contents.metrics.get("mode", contents.settings.get("scores.mode", "corrected"))
    tolerance = contents.metrics.get("tolerance_mm", contents.settings.get("scores.tolerance_mm"))
    rules = (
        "the rules of the LiTS challenge" if mode == "official" else "the rules of the LiTS challenge with corrections"
    )
    surface = f"; surface Dice accepted a distance of {tolerance} mm" if tolerance is not None else ""
    return (
        f"Test cases were scored on the scans' own grid by {rules} (mode {mode}){surface}. Figures are means over "
        "patients with 95 % intervals (Student's t with Hall's correction for skewness)."
    )


def software_sentence(contents: Contents) -> str:
    """Describe software and machine."""
    known: Mapping[str, object] = contents.environment or {}
    if not known:
        return ""
    packages = ", ".join(
        f"{name} {known[key]}"
        for name, key in (("PyTorch", "torch"), ("PyTorch Lightning", "pytorch-lightning"), ("MONAI", "monai"))
        if known.get(key)
    )
    device = known.get("gpu") or known.get("processor")
    on = f" on {device}" if device else ""
    precision = contents.chosen.get("precision")
    return (
        f"Experiments ran with lightning_liver {known.get('code', '')}{f', {packages}' if packages else ''}{on}"
        f"{f' in precision {precision}' if precision else ''}."
    )


def _repeats(runs: Sequence[Contents]) -> str:
    found = [
        f"{word} {', '.join(map(str, sorted(values, key=str)))}"
        for word, name in (("seeds", "seed"), ("folds", "data.fold"))
        if len(values := {run.settings.get(name) for run in runs}) > 1
    ]
    return f", with {' and '.join(found)}" if found else ""


def _count(lines: Sequence[Line]) -> str:
    scans, patients = (len({line[name] for line in lines}) for name in ("case", "patient"))
    return f"{counted(scans, 'scan')} of {counted(patients, 'patient')}"


def _edges(size: object) -> str:
    height, width = size if isinstance(size, list) else (size, size)
    return f"{height} x {width}"


def _sampling(settings: Mapping[str, object]) -> str:
    weights = {kind: settings.get(f"data.sampling.{kind}") for kind in ("tumour", "liver", "any")}
    known = {kind: value for kind, value in weights.items() if isinstance(value, int | float)}
    total = sum(known.values())
    if not total:
        return ""
    kinds = {"tumour": "among those with tumour", "liver": "among those with liver", "any": "among all"}
    listed = ", ".join(f"{100 * value / total:.0f} % {kinds[kind]}" for kind, value in known.items())
    return f"; the slices were drawn {listed}"


def _about(group: str, choice: str | None, *, cited: bool = False) -> str:
    """Return a choice with the first line that its yaml says about it; the name alone for a yaml of the user's own."""
    found = next((each for each in options.choices(group) if each.name == choice), None)
    about = found.line.rstrip(".") if found else ""
    if cited:
        about = about.rpartition(": ")[2] if re.search(r"arXiv:|doi:", about) else ""
    return f"{choice} ({about})" if about else str(choice)


def _with_options(contents: Contents, group: str, *, cited: bool = False) -> str:
    """Return a choice, what its yaml says and its plain options.

    Args:
        cited: of what the yaml says only the source, since options may make the rest untrue.
    """
    own = {
        name.partition(".")[2]: value
        for name, value in contents.settings.items()
        if name.startswith(f"{group}.") and re.fullmatch(r"\w+", name.partition(".")[2])
    }
    shown = ", ".join(
        f"{name} {value}"
        for name, value in own.items()
        if not name.startswith("_") and isinstance(value, int | float | str) and "${" not in str(value)
    )
    about = _about(group, contents.choices.get(group), cited=cited)
    return f"{about} with {shown}" if shown else about
