"""Sees every torch function that a script calls during a learned step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack, _pop_mode, _push_mode
from torch.utils._device import DeviceContext

__all__ = ["CallMode", "hides_calls"]

_DULL = frozenset(("__get__", "__set__", "__delete__"))
_TOLD_ATTRIBUTES = frozenset(("T", "mT", "H", "mH", "data", "real", "imag"))
"""Attributes that are other tensors."""


class CallMode(TorchFunctionMode):
    """A function mode that can be put on and off between any two lines of a script.

    Args:
        tell: Told of each call and its result.
    """

    def __init__(self, tell: Callable[..., None]) -> None:
        super().__init__()
        self._tell = tell
        self._listening = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call as without, and tell."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if self._listening and _is_told(func) and torch._C._functorch.peek_interpreter_stack() is None:  # pyright: ignore[reportAttributeAccessIssue]
            self._tell(func, args, kwargs, result)
        return result

    def put_on(self) -> bool:
        """Listen from here on; whether it could be.

        A mode of the script's own would be taken off in our stead when it ends, so under one nothing is put on. The
        mode that carries the default device knows to look below.
        """
        stack = _get_current_function_mode_stack()
        if self in stack:
            self._listening = True
        elif all(isinstance(mode, DeviceContext) for mode in stack):
            _push_mode(self)
            self._listening = True
        return self._listening

    def take_off(self) -> None:
        """Listen no more; beneath a mode of the script's own it stays, deaf, until the next time."""
        self._listening = False
        stack = _get_current_function_mode_stack()
        if stack and stack[-1] is self:
            _pop_mode()


def _is_told(func: Callable[..., Any]) -> bool:
    """Whether a function does more than tell a tensor's shape or type."""
    if func.__name__ not in _DULL:
        return True
    return getattr(getattr(func, "__self__", None), "__name__", "") in _TOLD_ATTRIBUTES


def hides_calls(module: nn.Module) -> bool:
    """Whether torch runs another algorithm in this module's own forward pass when somebody listens.

    The fused evaluation of attention is chosen only where no function mode is on.
    """
    return isinstance(module, nn.MultiheadAttention | nn.TransformerEncoderLayer | nn.TransformerEncoder)
