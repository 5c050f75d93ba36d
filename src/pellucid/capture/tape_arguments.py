"""Which argument of a torch function is which: positional arguments bound to torch's own parameter names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import lru_cache
from types import FunctionType
from typing import Any

import torch

__all__ = ["base_name", "bind", "parameter_names"]

_SYNONYMS = {"self": "input", "axis": "dim", "keepdims": "keepdim"}

_SPECIAL_NAMES: dict[str, tuple[str, ...]] = {
    "__getitem__": ("input", "index"),
    "__setitem__": ("input", "index", "value"),
    "__set__": ("input", "value"),
    "__get__": ("input",),
    "tensor": ("data",),
    "as_tensor": ("data",),
    "from_numpy": ("ndarray",),
    "to": ("input", "target"),
}
"""Functions that have neither a Python signature nor a schema."""


def base_name(function: Any) -> str:
    """A torch function's bare name; the attribute's for a getter such as ``Tensor.T``."""
    name = getattr(function, "__name__", None) or type(function).__name__
    if name in ("__get__", "__set__"):
        return getattr(getattr(function, "__self__", None), "__name__", name)
    return name


def bind(function: Callable[..., Any] | None, given: tuple[Any, ...], keywords: dict[str, Any]) -> dict[str, Any]:
    """Arguments by name, defaults included.

    A Python function is bound by its signature, a compiled one by the first of its operator's overloads that fits.

    >>> bound = bind(torch.nn.functional.softmax, (1,), {"dim": 0})
    >>> bound["input"], bound["dim"]
    (1, 0)
    >>> bind(torch.Tensor.permute, ("x", 1, 0), {})
    {'input': 'x', 'dims': [1, 0]}
    """
    function = _compiled(function)
    special = _SPECIAL_NAMES.get(getattr(function, "__name__", ""))
    if special is not None:
        bound = _bind_by_order(special, given, keywords)
    elif isinstance(function, FunctionType):
        bound = _bind_by_signature(function, given, keywords)
    else:
        bound = _bind_by_schema(function, given, keywords)
    bound.pop("_stacklevel", None)
    return {_SYNONYMS.get(name, name): value for name, value in bound.items()}


@lru_cache(maxsize=4096)
def parameter_names(function: FunctionType) -> tuple[str, ...]:
    """The names of a Python function's parameters; none for one that merely wraps a compiled one."""
    return tuple(_signature(function).parameters) if _compiled(function) is function else ()


def _compiled(function: Any) -> Any:
    """The compiled function that a Python one wraps without a signature of its own (``Tensor.__pow__``), or itself."""
    wrapped = getattr(function, "__wrapped__", None)
    return function if wrapped is None or isinstance(wrapped, FunctionType) else wrapped


@lru_cache(maxsize=4096)
def _signature(function: FunctionType) -> inspect.Signature:
    """The signature; that of the main branch for torch's functions that dispatch on a flag."""
    names = function.__code__.co_freevars
    if "if_false" in names and function.__closure__:
        return inspect.signature(function.__closure__[names.index("if_false")].cell_contents)
    return inspect.signature(function)


def _bind_by_order(names: tuple[str, ...], given: tuple[Any, ...], keywords: dict[str, Any]) -> dict[str, Any]:
    """Names in order; what is left over under ``arg2``, ``arg3`` …"""
    bound = {names[i] if i < len(names) else f"arg{i}": value for i, value in enumerate(given)}
    return {**bound, **keywords}


def _bind_by_signature(function: FunctionType, given: tuple[Any, ...], keywords: dict[str, Any]) -> dict[str, Any]:
    """Bind as Python would; a keyword that only the other branch of a dispatching function knows is kept."""
    signature = _signature(function)
    known = {k: v for k, v in keywords.items() if k in signature.parameters}
    try:
        arguments = signature.bind(*given, **known)
    except TypeError:
        return _bind_by_order(("input",), given, keywords)
    arguments.apply_defaults()
    return {**arguments.arguments, **keywords}


def _bind_by_schema(function: Any, given: tuple[Any, ...], keywords: dict[str, Any]) -> dict[str, Any]:
    """Bind by the first overload that fits, with all its defaults."""
    keywords = {_SYNONYMS.get(k, k): v for k, v in keywords.items()}
    schemas = _schemas(function)
    # A number may stand for a tensor only where no overload takes a number there.
    for lenient in (False, True):
        for names, types, defaults, positional in schemas:
            bound = _fit(names, types, positional, given, keywords, lenient=lenient)
            if bound is not None:
                filled = {
                    name: bound.get(name, defaults.get(name)) for name in names if name in bound or name in defaults
                }
                return filled | {k: v for k, v in keywords.items() if k not in names}
    return _bind_by_order(("input",), given, keywords)


@lru_cache(maxsize=4096)
def _schemas(function: Any) -> list[tuple[tuple[str, ...], tuple[str, ...], dict[str, Any], int]]:
    """Per overload: the parameters' names and types, their defaults, and how many may be given by position."""
    if isinstance(function, torch._ops.OpOverload):
        overloads: Iterable[Any] = [function]
    else:
        packet = function
        if not isinstance(function, torch._ops.OpOverloadPacket):
            packet = getattr(torch.ops.aten, base_name(function), None)
        if not isinstance(packet, torch._ops.OpOverloadPacket):
            return []
        overloads = [getattr(packet, name) for name in packet.overloads()]
    found = []
    for overload in overloads:
        arguments = overload._schema.arguments
        found.append(
            (
                tuple(_SYNONYMS.get(a.name, a.name) for a in arguments),
                tuple(str(a.type) for a in arguments),
                {_SYNONYMS.get(a.name, a.name): a.default_value for a in arguments if a.has_default_value()},
                sum(not a.kwarg_only for a in arguments),
            )
        )
    return found


def _fit(
    names: tuple[str, ...],
    types: tuple[str, ...],
    positional: int,
    given: tuple[Any, ...],
    keywords: dict[str, Any],
    *,
    lenient: bool,
) -> dict[str, Any] | None:
    """The arguments by name if an overload takes them, else None."""
    if len(given) > positional:
        # Sizes and axes may be spread out: x.view(2, 3), x.permute(1, 0).
        last = positional - 1
        if last < 0 or "List[int]" not in types[last] or not all(isinstance(i, int) for i in given[last:]):
            return None
        given = (*given[:last], list(given[last:]))
    bound = dict(zip(names, given, strict=False))
    known = {k: v for k, v in keywords.items() if k in names or k not in ("out", "dtype", "generator")}
    if any(k in bound for k in known) or any(k not in names for k in known):
        return None
    bound.update(known)
    by_name = dict(zip(names, types, strict=True))
    return bound if all(_suits(value, by_name[name], lenient) for name, value in bound.items()) else None


def _suits(value: Any, kind: str, lenient: bool) -> bool:
    """Whether a value may stand for a parameter of a type, as the schema spells it."""
    if kind.startswith("Optional["):
        return value is None or _suits(value, kind[9:-1], lenient)
    if isinstance(value, bool | int | float | complex):
        kinds = ["number", "Tensor"] if lenient else ["number"]
        if not isinstance(value, complex):
            kinds += ["float", "List[float]"]
        if isinstance(value, int):
            kinds += ["int", "bool", "List[int]"]
        return kind in kinds
    if isinstance(value, str):
        return kind in ("str", "Device") or kind == "Tensor"
    if isinstance(value, list | tuple):
        return kind.startswith("List[") and all(_suits(item, kind[5:-1], lenient) for item in value)
    if isinstance(value, torch.dtype | torch.layout | torch.memory_format):
        return kind == "int"
    # What is left are values (tensors), devices and generators.
    return not kind.startswith(("List[", "str", "bool", "float"))
