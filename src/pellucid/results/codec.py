# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# What is encoded may be anything until it has been looked at.
"""The one encoding of results: a JSON document plus named arrays, packed as a safetensors buffer.

safetensors is an 8-byte length, a JSON header and raw little-endian arrays: safe to read from anyone, quick to map
from disk, and thirty lines to read in a browser. The document travels in its metadata; an array stands in the document
as ``{"$array": "path.to.field"}``. A float that JSON cannot say stands as ``{"$float": "nan"|"inf"|"-inf"}``.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as unpack_tensors
from safetensors.numpy import save as pack_tensors

from pellucid.errors import RunCorruptedError

__all__ = ["decode", "encode", "pack", "unpack"]

Document = dict[str, Any]
Arrays = dict[str, np.ndarray]

_DOCUMENT = "document"


def encode(record: Any) -> tuple[Document, Arrays]:
    """Split a frozen dataclass into its JSON document and its arrays."""
    arrays: Arrays = {}
    return {f.name: _encode(getattr(record, f.name), f.name, arrays) for f in dataclasses.fields(record)}, arrays


def _encode(value: Any, path: str, arrays: Arrays) -> Any:
    if isinstance(value, np.ndarray):
        while path in arrays:  # keys with dots: {"a": {"b": …}, "a.b": …}
            path += "'"
        arrays[path] = np.asarray(value, order="C")
        return {"$array": path}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if dataclasses.is_dataclass(value):
        return {f.name: _encode(getattr(value, f.name), f"{path}.{f.name}", arrays) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _encode(item, f"{path}.{key}", arrays) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_encode(item, f"{path}.{index}", arrays) for index, item in enumerate(value)]
    raise TypeError(f"{path}: a result cannot hold a {type(value).__name__}")


def pack(document: Document, arrays: Arrays) -> bytes:
    """One safetensors buffer with the document in its metadata."""
    return pack_tensors(arrays, metadata={_DOCUMENT: json.dumps(document, allow_nan=False)})


def unpack(payload: bytes, *, place: str = "") -> tuple[Document, Arrays]:
    """Read ``pack``'s buffer back, refusing anything malformed."""
    try:
        arrays = unpack_tensors(payload)
        header = json.loads(payload[8 : 8 + int.from_bytes(payload[:8], "little")])
        document = json.loads(header["__metadata__"][_DOCUMENT])
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise RunCorruptedError(
            f"the file is not a Pellucid result ({error})", place=place, remedy="delete it and measure again"
        ) from error
    if not isinstance(document, dict):
        raise RunCorruptedError("the result's document is not an object", place=place)
    return document, arrays


def decode(target: type, document: Document, arrays: Arrays, *, place: str = "") -> Any:
    """Build the dataclass ``target`` from its document and arrays."""
    try:
        return _decode(target, document, arrays)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunCorruptedError(
            f"the {target.__name__} cannot be read ({error})", place=place, remedy="delete it and measure again"
        ) from error


def _decode(hint: Any, value: Any, arrays: Arrays) -> Any:
    if isinstance(value, dict) and "$array" in value:
        return arrays[value["$array"]]
    if isinstance(value, dict) and "$float" in value:
        return float(value["$float"])
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        names = {f.name for f in dataclasses.fields(hint)}
        known = {key: _decode(hints[key], item, arrays) for key, item in value.items() if key in names}
        return hint(**known)  # type: ignore[operator]  # a dataclass type is callable
    return _decode_generic(hint, value, arrays)


def _decode_generic(hint: Any, value: Any, arrays: Arrays) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        chosen = [arg for arg in args if arg is not type(None)]
        return _decode(chosen[0] if len(chosen) == 1 else Any, value, arrays)
    if origin is tuple:
        items = [args[0]] * len(value) if len(args) == 2 and args[1] is Ellipsis else args
        return tuple(_decode(item, entry, arrays) for item, entry in zip(items, value, strict=True))
    if origin is dict:
        return {key: _decode(args[1], item, arrays) for key, item in value.items()}
    if origin is Literal and value not in args:
        raise ValueError(f"{value!r} is not one of {args}")
    return float(value) if hint is float else value
