"""Leaks of a split: scans or patients on both of its sides, by names, by known patients, and by pairs of an audit."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from lightning_liver.audit.finding import Finding
from lightning_liver.audit.pairs import Pair
from lightning_liver.data.splits import Split

_MOST_TOLD = 3  # pairs of a group that the text of a leak repeats
_PARTS = {"train": "train", "val": "validate", "test": "test"}


class NamedSplit(NamedTuple):
    """A split and where it comes from, such as "fold 0 of 5" or a file."""

    name: str
    split: Split

    def part_of(self) -> dict[str, str]:
        """Return the part of each case; of a case in two parts both, as "train and test"."""
        found: dict[str, list[str]] = {}
        for part, names in self.split.to_dict().items():
            for name in names:
                found.setdefault(name, []).append(part)
        return {name: " and ".join(parts) for name, parts in found.items()}


def groups_of(pairs: Iterable[Pair], patients: Mapping[str, str]) -> list[list[str]]:
    """Return the groups of cases that belong to one patient, by pairs or since their patient is known; none of one.

    Args:
        patients: patient of each case.
    """
    group: dict[str, list[str]] = {}
    by_patient: dict[str, list[str]] = {}
    for name, patient in patients.items():
        by_patient.setdefault(patient, []).append(name)
    for members in by_patient.values():
        for name in members:
            group[name] = members
    for pair in pairs:
        first, second = (group.setdefault(name, [name]) for name in (pair.first, pair.second))
        if first is not second:
            first += second
            for name in second:
                group[name] = first
    distinct = {id(members): members for members in group.values() if len(members) > 1}
    return list(distinct.values())


def find_leaks(splits: Sequence[NamedSplit], pairs: Sequence[Pair], patients: Mapping[str, str]) -> list[Finding]:
    """Return a finding for each group of cases of one patient that lies in several parts of a split.

    Args:
        splits: alternatives, such as the folds of a cross-validation; a leak is told once for all of them.
        pairs: of the audit.
        patients: patient of each case of the store.
    """
    parts = [(each.name, each.part_of()) for each in splits]
    findings = [
        _in_two_parts(name, case, part) for name, part_of in parts for case, part in part_of.items() if " and " in part
    ]
    for members in groups_of(pairs, patients):
        crossed = []
        for name, part_of in parts:
            known = {case: part_of[case] for case in members if case in part_of}
            if len(set(known.values())) > 1:
                crossed.append((name, known))
        if crossed:
            findings.append(_leak(crossed, len(splits), pairs))
    return findings


def _in_two_parts(split: str, case: str, part: str) -> Finding:
    return Finding("leak", "fix", (case,), f"{split}: {case} is in {part}; keep it in one of them", 2.0)


def _leak(crossed: Sequence[tuple[str, Mapping[str, str]]], splits: int, pairs: Sequence[Pair]) -> Finding:
    """Return the finding of a group that is crossed by some of the splits, with the part of each of its cases."""
    name, known = crossed[0]
    by_part: dict[str, list[str]] = {}
    for case, part in known.items():
        by_part.setdefault(part, []).append(case)
    where = ", ".join(
        f"{_listed(cases)} {_PARTS.get(part, part)}{'s' * (len(cases) == 1)}" for part, cases in by_part.items()
    )
    others = f", and so in {len(crossed)} of {splits}" if len(crossed) > 1 else ""
    inner = [pair for pair in pairs if pair.first in known and pair.second in known]
    across = [pair for pair in inner if known[pair.first] != known[pair.second]]
    told = sorted(across or inner, key=lambda pair: -pair.score)
    seen = "; ".join(f"{pair.first} and {pair.second}: {pair.text}" for pair in told[:_MOST_TOLD])
    reason = f" Seen: {seen}." if seen else " They are of one patient by data.patients, or as known of LiTS."
    text = f"{name}{others}: {where}, though they are of one patient.{reason}"
    score = max((pair.score for pair in told), default=1.0)
    shown = (told[0].first, told[0].second) if told else ()
    cases = tuple(dict.fromkeys((*shown, *known)))  # the two of the picture first
    return Finding("leak", "fix", cases, text, score, draw=told[0].draw if told else None)


def shared_findings(pairs: Sequence[Pair], other: str) -> list[Finding]:
    """Return a finding for each scan or patient that two data sets share: a score on one tests no network of the other.

    Args:
        pairs: a case of the audited data set first, one of the other second.
        other: name of the other data set.
    """
    return [
        Finding("shared", "fix", (pair.first, f"{other}/{pair.second}"), pair.text, pair.score, draw=pair.draw)
        for pair in pairs
    ]


def draft_patients(pairs: Sequence[Pair], patients: Mapping[str, str]) -> dict[str, str]:
    """Return the patient of each case after the cases of each pair are given one patient, named as the first's."""
    draft = dict(patients)
    for members in groups_of(pairs, patients):
        named = sorted({patients[case] for case in members if case in patients}, key=lambda name: (len(name), name))
        for case in members:
            draft[case] = named[0] if len(named) == 1 else "+".join(named)
    return draft


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
