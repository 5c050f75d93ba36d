"""Which module is running: names from the model, calls counted, through torch's own hooks for the time of the pass."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from pellucid.capture.every_module import hook_every_module, unhook_every_module
from pellucid.capture.tape_structures import tensors_in
from pellucid.capture.tape_values import ModuleCall, Value

__all__ = ["ModuleTracker"]


class ModuleTracker:
    """Follows the calls of modules on this thread between ``start`` and ``stop``.

    Attributes:
        calls: Every call so far.
        module: The qualified name of the module that runs now; "" for the model itself.
        call: Which call of it, counted from 0.
    """

    def __init__(self, model: nn.Module, find_value: Callable[[Tensor], Value | None], steps: list[Any]) -> None:
        self.calls: list[ModuleCall] = []
        self.module = ""
        self.call = 0
        self._names: dict[int, str] = {}
        for name, module in model.named_modules():
            self._names[id(module)] = name
        self._find_value = find_value
        self._steps = steps
        self._counts: dict[str, int] = {}
        self._stack: list[tuple[nn.Module, int]] = []
        self._thread = threading.get_ident()
        self._handles: list[Any] = []

    def name_loss(self, loss: nn.Module) -> None:
        """Give a loss module and its parts names under "loss"."""
        for name, module in loss.named_modules():
            self._names.setdefault(id(module), f"loss.{name}" if name else "loss")

    def attribute_name(self, tensor: Tensor) -> str:
        """The name of a tensor that is a plain attribute of the running module; "" if it is not."""
        if not self._stack:
            return ""
        attributes = self._stack[-1][0].__dict__
        found = next((key for key, item in attributes.items() if item is tensor), "")
        return f"{self.module}.{found}" if found and self.module else found

    def start(self) -> None:
        """Hook in."""
        self._handles = hook_every_module(self._enter, self._leave)

    def stop(self) -> None:
        """Hook out; afterwards torch is as it was."""
        unhook_every_module(self._handles)
        self._handles = []

    def _enter(self, module: nn.Module, args: Any) -> None:
        """A module's forward begins."""
        if threading.get_ident() != self._thread:
            return
        name = self._names.get(id(module))
        if name is None:
            name = f"<{type(module).__name__}>"
        count = self._counts.get(name, 0)
        self._counts[name] = count + 1
        parent = self._stack[-1][1] if self._stack else None
        self._stack.append((module, len(self.calls)))
        call = ModuleCall(name, count, type(module).__name__, len(self._steps), parent, module.training)
        call.inputs = self._values(args)
        self.calls.append(call)
        self.module, self.call = name, count

    def _leave(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        """A module's forward has returned."""
        if threading.get_ident() != self._thread:
            return
        # A forward that raised, and whose error the model caught, never came here: it is closed with this one.
        while self._stack:
            entered, position = self._stack.pop()
            call = self.calls[position]
            call.last_step = len(self._steps)
            if entered is module:
                break
        else:
            return
        if kwargs:
            call.inputs += self._values(kwargs)
        call.outputs = self._values(output)
        if self._stack:
            around = self.calls[self._stack[-1][1]]
            self.module, self.call = around.module, around.call
        else:
            self.module, self.call = "", 0

    def _values(self, structure: Any) -> tuple[Value, ...]:
        """The values known of the tensors in a structure."""
        if isinstance(structure, Tensor):
            value = self._find_value(structure)
            return (value,) if value is not None else ()
        found = (self._find_value(tensor) for _, tensor in tensors_in(structure))
        return tuple(value for value in found if value is not None)
