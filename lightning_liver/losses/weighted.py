"""Sum of any losses, with weights that may change in the course of training."""

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from lightning_liver.errors import LiverError
from lightning_liver.losses.distance import signed_distance
from lightning_liver.losses.weights import Progress, Schedule
from lightning_liver.types.options import NonNegative, check, check_partial
from lightning_liver.types.tensors import Masks, Scalar

TermLoss = Callable[..., Scalar]


class Sum(nn.Module):
    """Weighted sum of named losses, sum_k w_k(progress) loss_k.

    A module, so that its weights and means are in the checkpoint and it knows training from validation: it averages
    its terms over the training batches of an epoch, which a weight may depend on. Who trains calls `begin_epoch`, `at`
    before each step, and `end_epoch`, as lightning_liver.training.callbacks.LossWeights does.

    Args:
        terms: by name, each with `loss`, (logits, target) -> scalar, and `weight`, a number or a function of Progress.

    Raises:
        LiverError: there are no terms, one lacks its loss or its weight, a weight is invalid, refers to a term that
            does not exist, or all are 0 at every time.
    """

    _sums: Tensor | None  # of the terms over training batches; their number last

    def __init__(self, *, terms: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__()
        if not terms:
            raise LiverError("loss.terms={}: expected at least one term; add +loss@loss.terms.NAME.loss=dice")
        for name, term in terms.items():
            _check_term(name, term)
        self.losses: dict[str, TermLoss] = {name: term["loss"] for name, term in terms.items()}
        self._weights: dict[str, float | Schedule] = {name: term["weight"] for name, term in terms.items()}
        self._takers = {name for name, loss in self.losses.items() if "distance" in signature(loss).parameters}
        self.means: dict[str, float] = {}
        self._check_weights()
        self.weights = self._weights_at(Progress(0, 0.0, {}))
        self.begin_epoch()

    def forward(self, logits: Any, target: Masks, *, distance: Masks | None = None) -> Scalar:
        """Return the sum with the present weights.

        Args:
            logits: raw network output, (batch, cls, height, width), or what else the losses of the terms take.
            target: truth in {0, 1}, (batch, cls, height, width).
            distance: signed_distance(target), if known; else computed once where several terms take it.
        """
        if distance is None and len(self._takers) > 1:
            distance = signed_distance(target)
        given = {"distance": distance}
        values = [loss(logits, target, **(given if name in self._takers else {})) for name, loss in self.losses.items()]
        if self.training:
            measured = torch.stack([*(value.detach() for value in values), torch.ones_like(values[0])])
            self._sums = measured if self._sums is None else self._sums + measured
        total = torch.zeros_like(values[0])
        for name, value in zip(self.losses, values, strict=True):
            total = total + self.weights[name] * value
        return total

    def begin_epoch(self) -> None:
        """Forget what was measured since the last epoch ended."""
        self._sums = None

    def at(self, epoch: int, fraction: float) -> None:
        """Set the weights.

        Args:
            epoch: number of epochs that are over.
            fraction: of the planned steps, 0 at the first and 1 at the last.
        """
        self.weights = self._weights_at(Progress(epoch, fraction, self.means))

    def end_epoch(self, reduce: Callable[[Tensor], Tensor] = lambda sums: sums) -> None:
        """Take the means of the epoch's training batches for the next epoch's weights.

        Args:
            reduce: adds up a tensor over processes.
        """
        if self._sums is not None:
            *sums, count = reduce(self._sums).tolist()
            self.means = {name: value / count for name, value in zip(self.losses, sums, strict=True)}
        self.begin_epoch()

    def get_extra_state(self) -> dict[str, dict[str, float]]:
        return {"weights": dict(self.weights), "means": dict(self.means)}

    def set_extra_state(self, state: dict[str, dict[str, float]]) -> None:
        self.weights, self.means = dict(state["weights"]), dict(state["means"])

    def _weights_at(self, progress: Progress) -> dict[str, float]:
        return {name: float(w(progress) if callable(w) else w) for name, w in self._weights.items()}

    def _check_weights(self) -> None:
        """Raise a LiverError if a weight needs a term that does not exist, or all are 0."""
        alike = dict.fromkeys(self.losses, 1.0)
        seen = []
        for name, weight in self._weights.items():
            for progress in (Progress(0, 0.0, {}), Progress(1, 1.0, alike)):
                try:
                    seen.append(float(weight(progress) if callable(weight) else weight))
                except KeyError as error:
                    raise LiverError(
                        f"loss.terms.{name}.weight: the sum has no term {error}; expected one of {', '.join(alike)}"
                    ) from error
        if not any(seen):
            given = ", ".join(f"loss.terms.{name}.weight=0" for name in self._weights)
            raise LiverError(f"{given}: expected a weight above 0; with none nothing would be learnt")


def sums_in(loss: object) -> list[Sum]:
    """Return the sums that a loss is or, as deep supervision does, wraps."""
    if isinstance(loss, Sum):
        return [loss]
    return [each for value in loss.keywords.values() for each in sums_in(value)] if isinstance(loss, partial) else []


def _check_term(name: str, term: Any) -> None:
    place = f"loss.terms.{name}"
    if not isinstance(term, Mapping) or set(term) != {"loss", "weight"}:
        given = ", ".join(term) if isinstance(term, Mapping) else term
        raise LiverError(
            f"{place}: expected a loss and a weight, not {given or 'nothing'}; "
            f"set +loss@{place}.loss=dice and +{place}.weight=1"
        )
    if not callable(term["loss"]):
        raise LiverError(f"{place}.loss={term['loss']}: expected a loss; set loss@{place}.loss=dice")
    if sums_in(term["loss"]):
        raise LiverError(f"{place}.loss: expected a loss that is no sum itself; list its terms beside the others")
    check_partial(term["loss"], f"{place}.loss")
    if callable(term["weight"]):
        check_partial(term["weight"], f"{place}.weight")
    else:
        check(f"{place}.weight", term["weight"], NonNegative)
