"""Calls of torch functions as named arguments, whichever way they were written.

``torch.add(a, b)``, ``a.add(other=b)``, ``a + b``, ``a += b`` and ``2 + a`` are one operation with one set of names.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from inspect import Parameter, Signature
from typing import Any

__all__ = ["bind", "canonical_name", "is_in_place", "parse_signature"]

_OPERATORS = {
    "truediv": "div",
    "rdiv": "rtruediv",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "invert": "bitwise_not",
    "lshift": "bitwise_left_shift",
    "rshift": "bitwise_right_shift",
    "idiv": "itruediv",
}
_SYNONYMS = {
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "true_divide": "div",
    "negative": "neg",
    "absolute": "abs",
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "not_equal": "ne",
    "log_sigmoid": "logsigmoid",
    "special_expit": "sigmoid",
    "special_expm1": "expm1",
    "special_log1p": "log1p",
    "special_erf": "erf",
    "special_erfc": "erfc",
    "special_exp2": "exp2",
    "special_logsumexp": "logsumexp",
    "special_softmax": "softmax",
    "special_log_softmax": "log_softmax",
    "swapaxes": "transpose",
    "swapdims": "transpose",
    "concat": "cat",
    "concatenate": "cat",
    "clip": "clamp",
    "arctan": "atan",
    "arcsin": "asin",
    "arccos": "acos",
    "arctanh": "atanh",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctan2": "atan2",
    "fix": "trunc",
    "linalg_matmul": "matmul",
    "linalg_vecdot": "vecdot",
    "linalg_multi_dot": "chain_matmul",
    "batch_norm_impl_index": "batch_norm",
    "native_layer_norm": "layer_norm",
    "max_pool1d_with_indices": "max_pool1d",
    "max_pool2d_with_indices": "max_pool2d",
    "max_pool3d_with_indices": "max_pool3d",
    "adaptive_max_pool1d_with_indices": "adaptive_max_pool1d",
    "adaptive_max_pool2d_with_indices": "adaptive_max_pool2d",
    "adaptive_max_pool3d_with_indices": "adaptive_max_pool3d",
    "special_softmax_": "softmax",
    "moveaxis": "movedim",
}
_REFLECTED = ("add", "sub", "mul", "truediv", "pow", "floordiv", "mod", "matmul", "and", "or", "xor")
_IN_PLACE = (*_REFLECTED, "lshift", "rshift")
_RENAMES = {
    "self": "input",
    "tensor": "input",
    "x": "input",
    "axis": "dim",
    "keepdims": "keepdim",
    "split_size": "split_size_or_sections",
}
_DROPPED = ("_stacklevel",)


def _raw_name(function: Any) -> str:
    """The function's own name; for a property such as ``Tensor.T`` the property's."""
    name = getattr(function, "__name__", None) or type(function).__name__
    if name in ("__get__", "__set__"):
        return getattr(function.__self__, "__name__", name)
    return name


def _operator(name: str) -> tuple[str, bool, bool]:
    """(operation, reflected, in place) of ``__radd__``, ``__iadd__``, ``__add__`` without the underscores."""
    name = {"rdiv": "rtruediv", "idiv": "itruediv"}.get(name, name)
    if name in _OPERATORS and name not in ("rdiv", "idiv"):
        return _OPERATORS[name], False, False
    for prefix, bases in (("r", _REFLECTED), ("i", _IN_PLACE)):
        base = name.removeprefix(prefix)
        if name.startswith(prefix) and base in bases:
            return _OPERATORS.get(base, base), prefix == "r", prefix == "i"
    return name, False, False


def _decode(function: Any) -> tuple[str, bool, bool]:
    """(canonical name, whether the operands are swapped, whether the first argument is overwritten)."""
    name = _raw_name(function)
    reflected = in_place = False
    if name.startswith("__") and name.endswith("__"):
        name, reflected, in_place = _operator(name.strip("_"))
        in_place = in_place or name == "setitem"
    elif name.endswith("_") and not name.endswith("__"):
        name, in_place = name.removesuffix("_"), True
    if name == "rsub":
        name, reflected = "sub", True
    name = name.lstrip("_") if name not in ("_",) else name
    return _SYNONYMS.get(name, name), reflected, in_place


def canonical_name(function: Callable[..., Any] | str) -> str:
    """The name under which an operation's rule stands, the same for function, method, operator and in-place variant.

    >>> import torch
    >>> [canonical_name(f) for f in (torch.add, torch.Tensor.add_, torch.Tensor.__radd__, torch.Tensor.__getitem__)]
    ['add', 'add', 'add', 'getitem']
    """
    return _SYNONYMS.get(function, function) if isinstance(function, str) else _decode(function)[0]


def is_in_place(function: Callable[..., Any], arguments: Mapping[str, Any]) -> bool:
    """Whether the call overwrites its first argument: ``add_``, ``+=``, ``x[0] = 1``, ``relu(x, inplace=True)``."""
    return _decode(function)[2] or bool(arguments.get("inplace"))


_COMMA = re.compile(r",(?![^(]*\))")
"""A comma outside brackets: a default may be a tuple."""


@cache
def parse_signature(text: str) -> Signature:
    """The signature written as ``input, other, *, alpha=1`` or ``input, *dims``.

    >>> list(parse_signature("input, *dims").parameters)
    ['input', 'dims']
    >>> parse_signature("input, k=1, dims=(0, 1)").parameters["dims"].default
    (0, 1)
    """
    parameters: list[Parameter] = []
    kind = Parameter.POSITIONAL_OR_KEYWORD
    for part in filter(None, (piece.strip() for piece in _COMMA.split(text))):
        name, _, default = part.partition("=")
        if name == "*":
            kind = Parameter.KEYWORD_ONLY
        elif name.startswith("*"):
            parameters.append(Parameter(name[1:], Parameter.VAR_POSITIONAL))
            kind = Parameter.KEYWORD_ONLY
        else:
            value = ast.literal_eval(default) if default else Parameter.empty
            parameters.append(Parameter(name, kind, default=value))
    return Signature(parameters)


@cache
def _own_signature(function: Any) -> Signature | None:
    """The signature that a Python function carries, if it names its parameters."""
    if not inspect.isroutine(function) or not hasattr(function, "__code__"):
        return None
    function = inspect.unwrap(function)
    signature = inspect.signature(function)
    named = [
        p for p in signature.parameters.values() if p.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    ]
    return signature if named and len(named) == len(signature.parameters) else None


def bind(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any] | None, written: Sequence[str] = ()
) -> dict[str, Any]:
    """A call's arguments under torch's parameter names, defaults filled in.

    Args:
        function: What was called.
        args: Its positional arguments.
        kwargs: Its keyword arguments, in any order.
        written: The signatures of the operation's rule, tried in turn where the function carries none of its own.

    Returns:
        Names to values. Operands of a reflected operator (``2 - x``) are put in order, so ``input`` is the 2.
        A call that fits no signature keeps its positional arguments as ``argument_0``, ``argument_1`` …
    """
    given = {_RENAMES.get(k, k): v for k, v in (kwargs or {}).items() if k not in _DROPPED}
    reflected = _decode(function)[1] and len(args) >= 2
    args = (args[1], args[0], *args[2:]) if reflected else args
    bound = None if reflected else _bind_own(function, args, kwargs or {})
    for text in () if bound is not None else written:
        bound = _bind_one(parse_signature(text), args, given)
        if bound is not None:
            break
    if bound is None:
        bound = {f"argument_{i}": value for i, value in enumerate(args)} | given
    bound.pop("out", None)
    return bound


def _bind_own(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
    """Bound by the Python function's own signature, its parameters renamed to torch's."""
    try:
        own = _own_signature(function)
    except (TypeError, ValueError):
        own = None
    bound = None if own is None else _bind_one(own, args, kwargs)
    if bound is None:
        return None
    return {_RENAMES.get(k, k): v for k, v in bound.items() if k not in _DROPPED}


def _bind_one(signature: Signature, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
    """Bound by one signature; None if the call does not fit."""
    try:
        call = signature.bind(*args, **kwargs)
    except TypeError:
        return None
    call.apply_defaults()
    bound = dict(call.arguments)
    for parameter in signature.parameters.values():
        if parameter.kind is Parameter.VAR_POSITIONAL:
            values = bound[parameter.name]
            whole = len(values) == 1 and isinstance(values[0], list | tuple)
            bound[parameter.name] = tuple(values[0]) if whole else tuple(values)
    return bound
