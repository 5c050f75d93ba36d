"""What the optimiser would do with the gradients of a tape, computed on copies of its parameters and state."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from pellucid.capture.tape_values import Update, Value
from pellucid.errors import SettingsError

__all__ = ["compute_updates"]


def compute_updates(optimizer: Optimizer, parameters: Mapping[int, Value]) -> dict[str, Update]:
    """One step of a copy of the optimiser, as after ``zero_grad()`` and the traced backward pass.

    Args:
        optimizer: The person's own; neither it nor its parameters are touched.
        parameters: The traced parameters by the ``id`` of the live tensor, with their gradients.

    Returns:
        The update of each traced parameter that the optimiser holds, by name.

    Raises:
        SettingsError: The optimiser runs the model itself (it needs a closure), or holds none of the parameters.
    """
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if not any(id(parameter) in parameters for parameter in held):
        raise SettingsError(
            "the optimizer holds none of the model's parameters",
            place=f"optimizer={type(optimizer).__name__}(…)",
            remedy="make it from this model's parameters: Optimizer(model.parameters(), …)",
        )
    step = _bare_step(optimizer)
    twins: dict[int, Tensor] = {}
    for parameter in held:
        traced = parameters.get(id(parameter))
        twin = parameter.detach().clone() if traced is not None else torch.empty(0)
        twin.requires_grad_()
        if traced is not None and traced.gradient is not None:
            twin.grad = traced.gradient.detach().clone()
        twins[id(parameter)] = twin
    duplicate = copy.deepcopy(optimizer, dict(twins))
    before = {key: _copy_state(duplicate.state.get(twin, {})) for key, twin in twins.items()}
    step(duplicate)
    updates: dict[str, Update] = {}
    for group in optimizer.param_groups:
        settings = {key: item for key, item in group.items() if key != "params"}
        for parameter in group["params"]:
            value = parameters.get(id(parameter))
            if value is None:
                continue
            twin = twins[id(parameter)]
            after = dict(duplicate.state.get(twin, {}))
            updates[value.name] = Update(
                value.name, type(optimizer).__name__, settings, value.gradient, parameter.detach(), twin.detach(),
                before[id(parameter)], after,
            )  # fmt: skip
    return updates


def _bare_step(optimizer: Optimizer) -> Any:
    """The optimiser's own ``step`` without the hooks that others registered for every optimiser."""
    step = type(optimizer).step
    bare = getattr(step, "__wrapped__", step) if getattr(step, "hooked", False) else step
    closure = inspect.signature(bare).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise SettingsError(
            f"{type(optimizer).__name__} runs the model several times in one step, which one pass cannot show",
            place="optimizer",
            remedy="trace without optimizer=, or with one that steps from given gradients (SGD, Adam, AdamW …)",
        )
    return bare


def _copy_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state whose tensors stay as they are."""
    return {key: item.clone() if isinstance(item, Tensor) else copy.copy(item) for key, item in state.items()}
