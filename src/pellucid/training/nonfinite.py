"""Where in a network numbers stop being finite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["first_broken_layer"]


def first_broken_layer(model: nn.Module, inputs: Tensor) -> str:
    """The first leaf module, in order of execution, whose weights or output are not finite; '' if there is none.

    The network runs once more on ``inputs``, in evaluation mode and without gradients.
    """
    if inputs.is_floating_point() and not bool(torch.isfinite(inputs).all()):
        return "(the inputs)"
    found: list[str] = []
    handles = [
        module.register_forward_hook(_noting(name, found))
        for name, module in model.named_modules()
        if not any(True for _ in module.children())
    ]
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            model(inputs)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return found[0] if found else ""


def _noting(name: str, found: list[str]) -> Any:
    def note(module: nn.Module, args: Any, output: Any) -> None:
        tensors = [*module.parameters(recurse=False), *_tensors(output)]
        if not found and not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
            found.append(name or type(module).__name__)

    return note


def _tensors(value: Any) -> list[Tensor]:
    """The floating-point tensors in a nest of tuples and lists."""
    if isinstance(value, torch.Tensor):
        return [value] if value.is_floating_point() else []
    if isinstance(value, tuple | list):
        return [tensor for item in value for tensor in _tensors(item)]
    return []
