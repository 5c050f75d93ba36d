"""The figures of an epoch: what the training batches gave while they were trained on, and a pass over held-out ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pellucid.training.batches import Batches

__all__ = ["EpochMeasures", "collect_outputs", "evaluate_loss"]

_IGNORED = -100


class EpochMeasures:
    """Collects losses and predicted classes of an epoch's batches on the device, without ever waiting for it.

    Args:
        task: ``classification`` or ``regression``.
        batches: How many an epoch has.
        train: The examples; class predictions are compared with their targets at the epoch's end.
    """

    def __init__(self, task: str, batches: int, train: Batches) -> None:
        device = train.inputs.device
        self.losses = torch.zeros(batches, device=device)
        self._sizes = torch.zeros(batches)
        self._targets = train.targets
        counts = task == "classification" and train.targets.ndim == 1
        self._predicted = torch.zeros(len(train), dtype=torch.int64, device=device) if counts else None
        self._seen = 0

    def add(self, batch: int, start: int, stop: int, loss: Tensor, outputs: Tensor) -> None:
        """A batch of the epoch's order from ``start`` to ``stop`` was trained on."""
        self.losses[batch] = loss
        self._sizes[batch] = stop - start
        self._seen = stop
        if self._predicted is not None:
            torch.argmax(outputs, dim=1, out=self._predicted[start:stop])

    def figures(self, order: Tensor) -> dict[str, float]:
        """The mean loss as trained on (penalties, augmentation and dropout included), and the accuracy likewise."""
        losses = self.losses.double().cpu()
        figures = {"loss": float((losses * self._sizes).sum() / self._sizes.sum())}
        if self._predicted is not None:
            right = self._predicted[: self._seen] == self._targets[order[: self._seen]]
            figures["accuracy"] = float(right.double().mean())
        return figures

    def state(self, batch: int) -> dict[str, Any]:
        """What was collected in the epoch under way, of which ``batch`` batches are done."""
        seen = int(self._sizes[:batch].sum())
        predicted = None if self._predicted is None else self._predicted[:seen]
        return {"losses": self.losses[:batch], "sizes": self._sizes[:batch], "predicted": predicted}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        done = len(state["losses"])
        self.losses[:done] = state["losses"].to(self.losses.device)
        self._sizes[:done] = state["sizes"]
        if self._predicted is not None:
            self._seen = len(state["predicted"])
            self._predicted[: self._seen] = state["predicted"].to(self._predicted.device)


def evaluate_loss(model: nn.Module, loss: nn.Module, batches: Batches, task: str) -> dict[str, float]:
    """Loss, and accuracy or R², of a model in evaluation mode; the caller sets mode, precision and inference mode.

    The loss is that of all examples at once, not a mean of means, unless their outputs are too many to keep.
    """
    if batches.targets.ndim == 1 or task == "regression":
        outputs = collect_outputs(model, batches)
        figures = {"loss": float(loss(outputs, batches.targets))}
        figures |= _accuracy(outputs, batches.targets) if task == "classification" else _r2(outputs, batches.targets)
        return figures
    total = torch.zeros(3, dtype=torch.float64, device=batches.inputs.device)
    for inputs, targets in batches.chunks():
        outputs = model(inputs).float()
        known = targets != _IGNORED
        count = known.sum()
        right = ((outputs.argmax(-1) == targets) & known).sum()
        total += torch.stack([loss(outputs, targets).double() * count, right.double(), count.double()])
    loss_sum, right_sum, count_sum = total.tolist()
    return {"loss": loss_sum / max(1.0, count_sum), "accuracy": right_sum / max(1.0, count_sum)}


def collect_outputs(model: nn.Module, batches: Batches) -> Tensor:
    """``(batch, outputs)`` float32 outputs for all examples, in their order."""
    return torch.cat([model(inputs).float() for inputs, _ in batches.chunks()])


def _accuracy(outputs: Tensor, targets: Tensor) -> dict[str, float]:
    return {"accuracy": float((outputs.argmax(1) == targets).double().mean())}


def _r2(outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """1 − Σ(y − ŷ)² / Σ(y − ȳ)², averaged over outputs; left out where a target does not vary."""
    outputs, targets = outputs.reshape(len(targets), -1).double(), targets.reshape(len(targets), -1).double()
    spread = (targets - targets.mean(0)).square().sum(0)
    if not bool((spread > 0).all()):
        return {}
    return {"r2": float((1 - (targets - outputs).square().sum(0) / spread).mean())}
