"""What the backward pass starts from: loss functions, several of them, or a part of the output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from pellucid.capture.tape_structures import tensors_in
from pellucid.errors import SettingsError

__all__ = ["Loss", "compute_losses", "loss_functions"]

Loss = Callable[..., Any] | str | Mapping[str, Callable[..., Any]] | Sequence[Callable[..., Any]] | None
"""How the loss comes about: see ``record_tape``."""


def loss_functions(loss: Loss) -> dict[str, Callable[..., Any]]:
    """The loss functions by name."""
    if loss is None or isinstance(loss, str):
        return {}
    if isinstance(loss, Mapping):
        return dict(loss)
    if isinstance(loss, Sequence):
        return {f"loss[{i}]": item for i, item in enumerate(loss)}
    return {"loss": loss}


def compute_losses(loss: Loss, output: Any, target: Any) -> dict[str, Any]:
    """What the loss functions return, by name; or the part of the output that a string names."""
    if isinstance(loss, str):
        tensors = dict(tensors_in(output))
        path = "" if loss == "output" and "" in tensors else loss
        if path not in tensors:
            raise SettingsError(
                f"the output holds no tensor {loss!r}",
                place=f"loss={loss!r}",
                remedy="name one of " + ", ".join(repr(p or "output") for p in tensors),
            )
        return {loss: tensors[path]}
    arguments = (output,) if target is None else (output, target)
    found: dict[str, Any] = {}
    for name, function in loss_functions(loss).items():
        result = function(*arguments)
        if isinstance(result, Mapping):
            found.update({str(key): item for key, item in result.items()})
        elif isinstance(result, list | tuple):
            found.update({f"{name}[{i}]": item for i, item in enumerate(result)})
        else:
            found[name] = result
    _check(found)
    if not found:
        raise SettingsError("there is no loss", place="loss", remedy="give at least one loss function")
    return found


def _check(losses: dict[str, Any]) -> None:
    """Every loss is a tensor."""
    for name, item in losses.items():
        if not isinstance(item, Tensor):
            raise SettingsError(
                f"the loss {name!r} is no tensor but {type(item).__name__}",
                place="loss",
                remedy="return a tensor that depends on the output; .item() cuts it off",
            )
