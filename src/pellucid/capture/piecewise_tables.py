"""Which operations are affine in what they are given, which bend along hyperplanes, and where these lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

__all__ = ["KINKS", "ONE_ZERO", "kind_of_step", "kink_entries", "kink_kind"]

Kind = Literal["constant", "affine", "kink", "smooth", "jump"]

_AFFINE = {
    *("add", "sub", "rsub", "neg", "positive", "cat", "concat", "stack", "hstack", "vstack", "dstack", "column_stack"),
    *("clone", "contiguous", "view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose"),
    *("t", "T", "mT", "adjoint", "swapaxes", "swapdims", "movedim", "moveaxis", "expand", "expand_as", "broadcast_to"),
    *("repeat", "repeat_interleave", "tile", "chunk", "split", "tensor_split", "unbind", "narrow", "select", "ravel"),
    *("__getitem__", "getitem", "index_select", "gather", "take", "take_along_dim", "roll", "flip", "fliplr", "flipud"),
    *("rot90", "pad", "sum", "mean", "cumsum", "diff", "trace", "diagonal", "diag", "tril", "triu", "to", "double"),
    *("type_as", "detach", "data", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "view_as"),
    *("adaptive_avg_pool2d", "adaptive_avg_pool3d", "interpolate", "upsample", "pixel_shuffle", "pixel_unshuffle"),
    *("unfold", "fold", "channel_shuffle", "identity", "dropout", "dropout1d", "dropout2d", "dropout3d", "lerp"),
    *("alpha_dropout", "feature_alpha_dropout", "feature_dropout", "masked_fill", "where", "reshape_as"),
    *("broadcast_tensors", "__setitem__", "setitem", "copy", "fill", "zero", "index_add", "scatter", "scatter_add"),
}
"""Affine in all of their tensors together, as long as masks and indices stand still."""

_BILINEAR = {
    *("mul", "matmul", "mm", "bmm", "mv", "dot", "vdot", "inner", "outer", "einsum", "tensordot", "linear", "bilinear"),
    *("addmm", "addmv", "addbmm", "baddbmm", "addr", "addcmul", "kron", "chain_matmul", "multi_dot"),
    *("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
}
"""Affine as long as at most one of their factors moves."""

_STILL = {"zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty"}

_JUMPS = {
    *("gt", "ge", "lt", "le", "eq", "ne", "greater", "less", "isnan", "isinf", "isfinite", "argmax", "argmin"),
    *("logical_and", "logical_or", "logical_not", "bool", "int", "long", "argsort"),
}

ONE_ZERO = {"relu", "leaky_relu", "prelu", "rrelu", "abs", "absolute"}
"""The kinks that bend where an entry passes zero."""

_POOLS = {
    *("max_pool1d", "max_pool2d", "max_pool3d", "max_pool1d_with_indices", "max_pool2d_with_indices"),
    *("max_pool3d_with_indices", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"),
}
_EXTREMES = {"max", "min", "amax", "amin"}
_PAIRS = {"maximum", "minimum", "fmax", "fmin"}
_BOUNDED = {"hardtanh", "relu6", "hardsigmoid", "clamp", "clip", "clamp_min", "clamp_max", "softshrink", "threshold"}

KINKS = ONE_ZERO | _POOLS | _EXTREMES | _PAIRS | _BOUNDED
"""The canonical names of all operations that may be kinks."""


def kind_of_step(  # noqa: PLR0911 - one answer a table
    op: str, arguments: Mapping[str, Any], moving: Callable[[Any], bool]
) -> Kind:
    """How a step's output depends on what moves: not at all, affinely, with kinks, smoothly, or by jumps.

    Args:
        op: The canonical name.
        arguments: The bound arguments.
        moving: Whether an argument depends on the network's input.
    """
    if op in _STILL or not any(moving(value) for value in arguments.values()):
        return "constant"
    if op in _JUMPS:
        return "jump"
    if op in KINKS:
        return _kind_of_kink(op, arguments, moving)
    if op in _AFFINE:
        return _kind_of_affine(op, arguments, moving)
    if op in _BILINEAR:
        return "affine" if _factors_moving(arguments, moving) <= 1 else "smooth"
    if op in ("div", "true_divide", "divide"):
        return "smooth" if moving(arguments.get("other")) or arguments.get("rounding_mode") else "affine"
    if op in ("batch_norm", "instance_norm"):
        frozen = not arguments.get("training", arguments.get("use_input_stats"))
        return "affine" if frozen and arguments.get("running_mean") is not None else "smooth"
    return "smooth"


def _kind_of_affine(op: str, arguments: Mapping[str, Any], moving: Callable[[Any], bool]) -> Kind:
    if op.endswith("dropout") and arguments.get("training"):
        return "smooth"
    if op in ("pad",) and moving(arguments.get("value")):
        return "smooth"
    if any(moving(arguments.get(name)) for name in ("index", "indices", "mask", "condition", "weight")):
        return "smooth"
    return "affine"


def _factors_moving(arguments: Mapping[str, Any], moving: Callable[[Any], bool]) -> int:
    """How many factors move; a list of operands (``einsum``) counts each."""
    count = 0
    for name, value in arguments.items():
        if name == "bias" or (name == "input" and "mat1" in arguments):
            continue
        parts = value if isinstance(value, list | tuple) else (value,)
        count += sum(moving(part) for part in parts)
    return count


def _kind_of_kink(op: str, arguments: Mapping[str, Any], moving: Callable[[Any], bool]) -> Kind:
    if op == "rrelu" and arguments.get("training"):
        return "smooth"
    if op == "threshold" and arguments.get("threshold") != arguments.get("value"):
        return "smooth"
    if op == "prelu" and moving(arguments.get("weight")):
        return "smooth"
    if op in _EXTREMES and arguments.get("dim") is None and arguments.get("other") is None:
        return "smooth"  # over the whole batch: no function of one example
    return "kink"


def kink_kind(op: str, arguments: Mapping[str, Any]) -> Literal["threshold", "maximum"]:
    """Whether the operation bends where a quantity passes zero, or where another entry becomes a group's largest."""
    return "maximum" if op in _POOLS or (op in _EXTREMES and arguments.get("other") is None) else "threshold"


def kink_entries(op: str, arguments: Mapping[str, Any]) -> Tensor:
    """The quantities that decide where the operation bends.

    Args:
        op: The canonical name.
        arguments: The bound arguments, as tensors.

    Returns:
        For a threshold: examples × quantities, each zero where the operation bends; an operation with two thresholds
        gives all of the first, then all of the second. For a maximum: examples × groups × members.
    """
    x = arguments["input"]
    if op in ONE_ZERO:
        return x.flatten(1)
    if op in _POOLS:
        return _pooled(op, x, arguments)
    if op in _PAIRS or (op in _EXTREMES and arguments.get("other") is not None):
        return (x - arguments["other"]).flatten(1)
    if op in _EXTREMES:
        return _grouped(x, arguments["dim"]) * (1.0 if op in ("max", "amax") else -1.0)
    return torch.cat([(x - bound).flatten(1) for bound in _bounds(op, arguments)], 1)


def _bounds(op: str, arguments: Mapping[str, Any]) -> list[Any]:
    """Where an operation on single entries bends."""
    if op == "hardtanh":
        return [arguments["min_val"], arguments["max_val"]]
    if op == "relu6":
        return [0.0, 6.0]
    if op == "hardsigmoid":
        return [-3.0, 3.0]
    if op == "softshrink":
        return [-arguments["lambd"], arguments["lambd"]]
    if op == "threshold":
        return [arguments["threshold"]]
    return [bound for bound in (arguments.get("min"), arguments.get("max")) if bound is not None]


def _grouped(x: Tensor, dim: Any) -> Tensor:
    """Entries to be compared on the last axis, everything else flat."""
    dims = sorted({d % x.dim() for d in (dim if isinstance(dim, list | tuple) else (dim,))})
    kept = [d for d in range(1, x.dim()) if d not in dims]
    members = math.prod(x.shape[d] for d in dims)
    return x.permute(0, *kept, *dims).reshape(len(x), -1, members)


def _pooled(op: str, x: Tensor, arguments: Mapping[str, Any]) -> Tensor:
    """The windows of a pooling layer; what lies outside the picture is never the largest."""
    places = torch.arange(math.prod(x.shape[2:]), dtype=torch.int64).reshape(1, 1, *x.shape[2:])
    axes = _windows(op, x, arguments)
    rows = places
    for axis, windows in enumerate(axes):
        outside = windows < 0
        picked = rows.index_select(2 + 2 * axis, windows.clamp_min(0).reshape(-1))
        picked = picked.unflatten(2 + 2 * axis, windows.shape)
        shape = [1] * picked.dim()
        shape[2 + 2 * axis], shape[3 + 2 * axis] = windows.shape
        rows = torch.where(outside.reshape(shape), -1, picked)
    spatial = len(axes)
    order = [2 + 2 * a for a in range(spatial)] + [3 + 2 * a for a in range(spatial)]
    table = rows.permute(0, 1, *order).reshape(-1, math.prod(w.shape[1] for w in axes))
    flat = x.flatten(2)
    if bool((table < 0).any()):
        table = torch.where(table < 0, flat.shape[2], table)
        flat = F.pad(flat, (0, 1), value=-math.inf)
    return flat.index_select(2, table.reshape(-1)).reshape(len(x), -1, table.shape[1])


def _windows(op: str, x: Tensor, arguments: Mapping[str, Any]) -> list[Tensor]:
    """Per spatial axis: outputs × members, the places that each window reads; −1 for outside."""
    spatial = list(x.shape[2:])
    if op.startswith("adaptive"):
        sizes = _each(arguments["output_size"], len(spatial))
        found = []
        for extent, size in zip(spatial, sizes, strict=True):
            count = extent if size is None else size
            starts = [i * extent // count for i in range(count)]
            ends = [-(-(i + 1) * extent // count) for i in range(count)]
            most = max(end - start for start, end in zip(starts, ends, strict=True))
            found.append(
                torch.tensor(
                    [[s + k if s + k < e else -1 for k in range(most)] for s, e in zip(starts, ends, strict=True)]
                )
            )
        return found
    kernel = _each(arguments["kernel_size"], len(spatial))
    stride = _each(arguments.get("stride") or arguments["kernel_size"], len(spatial))
    padding, dilation = (_each(arguments.get(n, d), len(spatial)) for n, d in (("padding", 0), ("dilation", 1)))
    found = []
    for axis, extent in enumerate(spatial):
        k, s, p, d = kernel[axis], stride[axis], padding[axis], dilation[axis]
        reach = extent + 2 * p - d * (k - 1) - 1
        count = reach // s + 1
        if arguments.get("ceil_mode"):
            count = -(-reach // s) + 1
            count -= (count - 1) * s >= extent + p
        places = torch.arange(count)[:, None] * s - p + torch.arange(k)[None] * d
        found.append(torch.where((places < 0) | (places >= extent), -1, places))
    return found


def _each(value: Any, count: int) -> list[Any]:
    values = list(value) if isinstance(value, list | tuple) else [value]
    return values * count if len(values) == 1 else values
