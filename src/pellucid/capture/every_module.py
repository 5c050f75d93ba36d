"""Hooks around the forward pass of every module there is, and their removal without a trace."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch.nn.modules import module as torch_modules
from torch.utils.hooks import RemovableHandle

__all__ = ["hook_every_module", "unhook_every_module"]

_MARKS = ("_global_forward_hooks_with_kwargs", "_global_forward_hooks_always_called")
"""What torch 2.13 leaves behind of a removed hook and then takes for a hook: every later call would go the slow way."""


def hook_every_module(
    before: Callable[..., Any], after: Callable[..., Any], *, always: bool = False
) -> list[RemovableHandle]:
    """Call a function before and one after each forward pass of each module.

    Args:
        before: Given the module and its positional arguments.
        after: Given the module, its positional and named arguments and its output.
        always: ``after`` is called, too, when the forward pass raises.
    """
    return [
        torch_modules.register_module_forward_pre_hook(before),
        torch_modules.register_module_forward_hook(after, with_kwargs=True, always_call=always),
    ]


def unhook_every_module(handles: Iterable[RemovableHandle]) -> None:
    """Take such hooks off; afterwards torch is as it was."""
    for handle in handles:
        handle.remove()
        for marks in _MARKS:
            getattr(torch_modules, marks, {}).pop(handle.id, None)
