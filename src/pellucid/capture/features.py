"""The features of a model's layers and the classifier on top of them, read while it runs, unchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import SettingsError

__all__ = ["Classifier", "FeatureBatch", "evaluating", "find_classifier", "first_tensor", "read_features"]


@dataclass(frozen=True)
class Classifier:
    """The last linear map of a model, whose output is the model's own."""

    name: str
    module: nn.Linear

    @property
    def weight(self) -> Tensor:
        """(classes, features)."""
        return self.module.weight.detach()

    @property
    def bias(self) -> Tensor | None:
        """(classes,), or None."""
        return None if self.module.bias is None else self.module.bias.detach()


@dataclass(frozen=True)
class FeatureBatch:
    """What a model did with one batch."""

    features: Tensor  # (examples, features): the classifier's input
    targets: Tensor
    outputs: Tensor  # (examples, classes): the model's own


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode and without gradients; every module's mode is put back."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def find_classifier(model: nn.Module, inputs: Tensor) -> Classifier:
    """The linear layer whose output the model returns, found by running it once.

    Args:
        model: Any module.
        inputs: A batch to run it on; one example is enough.

    Raises:
        SettingsError: the model's output does not come straight from a linear layer.
    """
    ran: list[tuple[str, nn.Linear, Tensor]] = []

    def note(name: str) -> Callable[[nn.Linear, Any, Tensor], None]:
        return lambda module, _given, made: ran.append((name, module, made))

    handles = [
        module.register_forward_hook(note(name))
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        with evaluating(model):
            output = first_tensor(model(inputs))
    finally:
        for handle in handles:
            handle.remove()
    for name, module, made in reversed(ran):
        if made is output or (made.shape == output.shape and made.data_ptr() == output.data_ptr()):
            return Classifier(name, module)
    last = f"the last linear layer is {ran[-1][0] or 'the model'}" if ran else "it has no linear layer"
    raise SettingsError(
        f"the model's output does not come straight from a linear layer; {last}",
        place=type(model).__name__,
        remedy="let the model return its logits, or give features=, labels=, weight= and bias= yourself",
    )


def read_features(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], classifier: Classifier
) -> Iterator[FeatureBatch]:
    """The classifier's input, the targets and the model's output of every batch; one forward pass each."""
    held: list[Tensor] = []
    handle = classifier.module.register_forward_pre_hook(lambda _module, given: held.append(given[0]))
    where = next((one.device for one in model.parameters()), torch.device("cpu"))
    try:
        with evaluating(model):
            for inputs, targets in batches:
                held.clear()
                output = first_tensor(model(inputs.to(where)))
                features = held[-1]
                yield FeatureBatch(features.reshape(len(inputs), -1), targets.to(where), output)
    finally:
        handle.remove()


def first_tensor(output: Any) -> Tensor:
    """The logits among what a model returns."""
    if isinstance(output, Tensor):
        return output
    if hasattr(output, "logits"):
        return output.logits
    parts: Sequence[Any] = list(output.values()) if isinstance(output, dict) else list(output)
    for part in parts:
        if isinstance(part, Tensor):
            return part
    raise SettingsError(
        f"the model returns a {type(output).__name__} without a tensor", place="model", remedy="let it return logits"
    )
