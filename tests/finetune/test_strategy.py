"""Which weights a strategy starts from."""

from typing import Any

import pytest
from torch import nn

from lightning_liver.finetune.strategy import Phases, Scratch, Strategy

FULL: dict[str, Any] = {
    "source": "weights.pt",
    "copied": None,
    "frozen": None,
    "frozen_epochs": None,
    "unfreeze_every": None,
    "unfreeze_at_once": 1,
    "lr_scale": 1.0,
    "lr_decay": 1.0,
    "source_data": None,
    "target_root": None,
    "pretrain": None,
    "source_optional": True,
}


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, "weights.pt"), ({"source": None}, None), ({"pretrain": object()}, None)],
)
def test_the_source_is_copied_unless_pretraining_replaces_it(options: dict[str, Any], expected: str | None) -> None:
    assert Strategy(**FULL | options).copied_source == expected


def test_scratch_ignores_the_options_of_other_strategies() -> None:
    scratch = Scratch(source="weights.pt", source_data="run", target_root="scans")
    assert scratch.copied_source is scratch.source_data is scratch.target_root is None
    assert not scratch.terms
    assert scratch.phases(nn.Linear(1, 1)) == Phases(None, ())
    scratch.check(nn.Linear(1, 1))
