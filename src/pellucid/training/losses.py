"""What training makes small, as modules of (logits or predictions, targets)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pellucid.errors import SettingsError
from pellucid.training.spec import LossSpec

__all__ = ["ClassificationLoss", "RegressionLoss", "build_loss", "to_probabilities"]

_IGNORED = -100
"""The class number of a step without a target, in many-to-many text."""

_FOR_CLASSES = ("cross_entropy", "binary_cross_entropy", "hinge")


def build_loss(
    spec: LossSpec, task: str, *, outputs: int | None = None, class_counts: Sequence[int] | np.ndarray | None = None
) -> nn.Module:
    """The loss a spec describes.

    Args:
        spec: Which loss; ``auto`` is resolved by ``task``.
        task: ``classification`` or ``regression``.
        outputs: How many classes there are; needed to check class weights.
        class_counts: Examples of each class in the training split; ``balanced`` weights need it.

    Returns:
        A module of (outputs of the network, targets) giving the mean over the batch.

    Raises:
        SettingsError: the loss does not suit the task, or the class weights do not suit the classes.
    """
    spec = spec.resolve(task).validate()
    for_classes = spec.name in _FOR_CLASSES
    if for_classes != (task == "classification"):
        suited = ", ".join(_FOR_CLASSES) if task == "classification" else "mse, mae, huber"
        raise SettingsError(f"{spec.name} is no loss for {task}", place="loss.name", remedy=f"use one of {suited}")
    if not for_classes:
        return RegressionLoss(spec)
    return ClassificationLoss(spec, _class_weights(spec, outputs, class_counts))


def _class_weights(
    spec: LossSpec, outputs: int | None, class_counts: Sequence[int] | np.ndarray | None
) -> Tensor | None:
    """``(classes,)`` weights, or None for equal ones. Balanced: n / (classes · count), as in scikit-learn."""
    if spec.class_weights == "none":
        return None
    if isinstance(spec.class_weights, tuple):
        if outputs is not None and len(spec.class_weights) != outputs:
            raise SettingsError(
                f"{len(spec.class_weights)} class weights were given for {outputs} classes",
                place="loss.class_weights",
                remedy="give one weight a class, in the order of the classes",
            )
        return torch.tensor(spec.class_weights, dtype=torch.float32)
    if class_counts is None:
        raise SettingsError(
            "balanced class weights need the classes' counts",
            place="loss.class_weights",
            remedy="give the weights themselves",
        )
    counts = torch.as_tensor(np.asarray(class_counts), dtype=torch.float64)
    weights = torch.where(counts > 0, counts.sum() / (len(counts) * counts.clamp(min=1)), 0.0)
    return weights.float()


class RegressionLoss(nn.Module):
    """Mean squared, mean absolute or Huber's error over batch and outputs (Huber 1964)."""

    def __init__(self, spec: LossSpec) -> None:
        super().__init__()
        self.name, self.delta = spec.name, spec.huber_delta

    def forward(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """The mean error of ``(batch, outputs)`` predictions."""
        targets = targets.reshape(predictions.shape)
        if self.name == "mae":
            return functional.l1_loss(predictions, targets)
        if self.name == "huber":
            return functional.huber_loss(predictions, targets, delta=self.delta)
        return functional.mse_loss(predictions, targets)


class ClassificationLoss(nn.Module):
    """Cross-entropy, one-against-the-rest binary cross-entropy, or the multi-class hinge.

    Targets are class numbers, ``(batch,)`` or ``(batch, steps)`` with −100 where there is none, or, after mixup,
    ``(batch, classes)`` floats that say how much of each class there is. With class weights the mean is weighted by
    the target's own weight, as in PyTorch.
    """

    def __init__(self, spec: LossSpec, class_weights: Tensor | None = None) -> None:
        super().__init__()
        self.name, self.label_smoothing = spec.name, spec.label_smoothing
        self.register_buffer("class_weights", class_weights)
        self.class_weights: Tensor | None

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean loss of ``(batch, classes)`` or ``(batch, steps, classes)`` logits, in nats."""
        if not targets.is_floating_point() and logits.ndim == 3:
            logits, targets = logits.flatten(0, 1), targets.flatten()
        if self.name == "cross_entropy":
            return self._cross_entropy(logits, targets)
        if not targets.is_floating_point():
            known = targets != _IGNORED
            logits, targets = logits[known], targets[known]
        if self.name == "hinge":
            return self._hinge(logits, targets)
        return self._binary_cross_entropy(logits, targets)

    def _cross_entropy(self, logits: Tensor, targets: Tensor) -> Tensor:
        """PyTorch's own; for soft targets its mean is over the batch, so weights are normalised here."""
        if not targets.is_floating_point() or self.class_weights is None:
            return functional.cross_entropy(
                logits, targets, self.class_weights, ignore_index=_IGNORED, label_smoothing=self.label_smoothing
            )
        smoothed = targets * (1 - self.label_smoothing) + self.label_smoothing / logits.shape[-1]
        per_example = -(self.class_weights * smoothed * functional.log_softmax(logits, dim=-1)).sum(dim=-1)
        return per_example.sum() / (targets @ self.class_weights).sum()

    def _binary_cross_entropy(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean over classes of "this one or not?"."""
        soft = self._soft(logits, targets)
        smoothed = soft * (1 - self.label_smoothing) + self.label_smoothing / 2
        per_class = functional.binary_cross_entropy_with_logits(logits, smoothed, reduction="none")
        return self._mean(per_class.mean(dim=-1), soft)

    def _hinge(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Σ_{j≠y} max(0, 1 − z_y + z_j) / classes; for soft targets the expectation over y."""
        if not targets.is_floating_point():
            per_example = functional.multi_margin_loss(logits, targets, reduction="none")
            return self._mean(per_example, self._soft(logits, targets))
        margins = (1 - logits[:, :, None] + logits[:, None, :]).clamp(min=0).sum(dim=2) - 1
        return self._mean((targets * margins).sum(dim=-1) / logits.shape[-1], targets)

    def _soft(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Targets as shares of the classes."""
        if targets.is_floating_point():
            return targets
        return functional.one_hot(targets, logits.shape[-1]).to(logits.dtype)

    def _mean(self, per_example: Tensor, soft: Tensor) -> Tensor:
        """The mean over the batch, weighted by the targets' class weights if there are any."""
        if self.class_weights is None:
            return per_example.mean()
        weights = soft @ self.class_weights
        return (weights * per_example).sum() / weights.sum()


def to_probabilities(logits: Tensor, spec: LossSpec) -> Tensor:
    """The class probabilities that a network's logits mean, given the loss it was trained with.

    Softmax for cross-entropy. After binary cross-entropy each class has a probability of its own (a sigmoid), and these
    are divided by their sum. A hinge-trained network gives scores, not probabilities; softmax keeps their order.

    Args:
        logits: ``(…, classes)``.
        spec: The loss of the training.

    Returns:
        ``(…, classes)`` float64 that sum to 1 over the classes.
    """
    logits = logits.detach().to("cpu" if logits.device.type == "mps" else logits.device).double()
    if spec.name != "binary_cross_entropy":
        return logits.softmax(dim=-1)
    # In logarithms, so that classes that are all unlikely still sum to 1.
    return functional.logsigmoid(logits).softmax(dim=-1)
