"""The arguments of a call that are no tensors, by name, as settings that can be kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from pellucid.capture.tape_arguments import bind
from pellucid.results.watched_script import Setting
from pellucid.watch.wiring_names import call_name, is_in_place

__all__ = ["flat_tensors", "is_plain", "settings_of", "tensor_arguments"]

_LEFT_OUT = {"generator", "out", "_stacklevel", "memory_format", "layout", "pin_memory", "non_blocking", "copy"}
_SHAPES = {"view", "reshape", "expand", "unflatten", "broadcast_to"}
_LONGEST = 80
_MOST_TENSORS = 64


def settings_of(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Setting]:
    """Settings by torch's own names; the sizes of a view are always called ``shape``.

    >>> settings_of(torch.Tensor.view, (torch.zeros(2, 3), -1, 6), {})
    {'shape': '-1, 6'}
    >>> settings_of(torch.softmax, (torch.zeros(2, 3), 0), {})
    {'dim': 0}
    """
    name = call_name(function)
    bound = bind(function, args, kwargs)
    if name in _SHAPES and "size" in bound:
        bound["shape"] = bound.pop("size")
    settings: dict[str, Setting] = {}
    for key, value in bound.items():
        if key in _LEFT_OUT or (isinstance(value, Tensor) and key in ("input", "self", "other", "target", "tensor")):
            continue
        setting = _setting(value)
        if setting is not None:
            settings[key] = setting
    if is_in_place(function):
        settings["inplace"] = True
    return settings


def tensor_arguments(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Tensor]:
    """The arguments that are tensors, by name."""
    return {name: value for name, value in bind(function, args, kwargs).items() if isinstance(value, Tensor)}


def flat_tensors(value: Any, depth: int = 4) -> list[Tensor]:
    """The tensors within nested lists, tuples, mappings and objects with fields, in order; at most 64."""
    found: list[Tensor] = []
    _collect(value, depth, found)
    return found


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor holds its entries here and now, so that looking at it is neither a message nor an error."""
    is_own = type(tensor) in (Tensor, torch.nn.Parameter)
    return is_own and tensor.layout is torch.strided and not (tensor.is_meta or tensor.is_quantized)


def _collect(value: Any, depth: int, found: list[Tensor]) -> None:
    if len(found) >= _MOST_TENSORS:
        return
    if isinstance(value, Tensor):
        found.append(value)
    elif depth and not isinstance(value, str | bytes | int | float | None):
        for item in _items(value):
            _collect(item, depth - 1, found)


def _items(value: Any) -> list[Any]:
    """What a container holds, as far as tensors are looked for in it."""
    if isinstance(value, list | tuple | set):
        return list(value)[:_MOST_TENSORS]
    if isinstance(value, Mapping):
        return list(value.values())[:_MOST_TENSORS]
    if hasattr(value, "__dataclass_fields__"):
        return [getattr(value, name, None) for name in value.__dataclass_fields__]
    return []


def _setting(value: Any) -> Setting:  # noqa: PLR0911  # one return a type
    """A value as it can be kept; None for one that says nothing."""
    if value is None or isinstance(value, bool | int | float | str):
        return value if not isinstance(value, str) else value[:_LONGEST]
    if isinstance(value, Tensor):
        return f"tensor of {' × '.join(str(size) for size in value.shape)}" if value.ndim else "tensor"
    if isinstance(value, slice):
        ends = (value.start, value.stop)
        text = ":".join("" if end is None else str(_setting(end)) for end in ends)
        return text if value.step is None else f"{text}:{value.step}"
    if value is Ellipsis:
        return "..."
    if isinstance(value, list | tuple):
        texts = ["None" if item is None else str(_setting(item)) for item in value[:16]]
        return ", ".join(texts)[:_LONGEST]
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    if isinstance(value, torch.device):
        return str(value)
    return None
