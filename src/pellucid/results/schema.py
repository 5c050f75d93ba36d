"""The JSON schema of every result, from its type hints: what the app's TypeScript types are generated from.

The schema describes the document as ``codec.encode`` writes it: an array stands as ``{"$array": name}`` (``NdArray``),
a float is a number or, where JSON has no such number, ``{"$float": "nan"}`` (``NonFinite``). Unpacking puts the arrays
and the numbers in their places.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import types
import typing
from typing import Any, Literal

import numpy as np

from pellucid.results.base import Result

__all__ = ["PRIMITIVES", "Schema", "all_result_types", "json_schema", "record_schemas"]

Schema = dict[str, Any]

PRIMITIVES: dict[str, Schema] = {
    "NdArray": {
        "type": "object",
        "description": "An array of the payload, by the name of its tensor; unpacking puts the array in its place.",
        "properties": {"$array": {"type": "string"}},
        "required": ["$array"],
        "additionalProperties": False,
    },
    "NonFinite": {
        "type": "object",
        "description": "A float that JSON cannot say; unpacking puts the number in its place.",
        "properties": {"$float": {"type": "string", "enum": ["nan", "inf", "-inf"]}},
        "required": ["$float"],
        "additionalProperties": False,
    },
}
"""The components that array and float fields refer to."""

_SCALARS: dict[Any, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"anyOf": [{"type": "number"}, {"$ref": "#/components/schemas/NonFinite"}]},
    str: {"type": "string"},
    None: {"type": "null"},
    types.NoneType: {"type": "null"},
}


def all_result_types() -> list[type[Result]]:
    """Every result class of Pellucid, in order of name."""
    package = importlib.import_module("pellucid.results")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    found: list[type[Result]] = []
    waiting: list[type[Result]] = [Result]
    while waiting:
        below = waiting.pop().__subclasses__()
        waiting.extend(below)
        found.extend(cls for cls in below if cls.schema and cls.__module__.startswith(f"{package.__name__}."))
    return sorted(found, key=lambda cls: cls.__name__)


def json_schema(record: type) -> Schema:
    """The schema of one dataclass; nested dataclasses and arrays are references to ``#/components/schemas/<class>``.

    Args:
        record: A dataclass made of what a result may hold (see ``Result``).

    Raises:
        TypeError: A field's type is none that a result may hold.

    >>> from pellucid.results.worst_examples import WorstExamples
    >>> json_schema(WorstExamples)["properties"]["target"]
    {'type': 'array', 'items': {'type': 'string'}}
    """
    hints = typing.get_type_hints(record)
    properties: dict[str, Schema] = {}
    schema = getattr(record, "schema", "")
    if schema:
        properties["schema"] = {"type": "string", "const": schema}
    for name in (field.name for field in dataclasses.fields(record)):
        properties[name] = _of(hints[name], f"{record.__name__}.{name}")
    return {
        "type": "object",
        "description": inspect.cleandoc(record.__doc__ or ""),
        "properties": properties,
        "required": list(properties),
    }


def record_schemas(records: typing.Iterable[type]) -> dict[str, Schema]:
    """The components that describe ``records``: each of them, every dataclass they hold, and ``PRIMITIVES``, by name.

    Raises:
        TypeError: Two different dataclasses have one name.
    """
    components: dict[str, Schema] = dict(PRIMITIVES)
    seen: dict[str, type] = {}
    waiting = list(records)
    while waiting:
        record = waiting.pop()
        if seen.setdefault(record.__name__, record) is not record:
            raise TypeError(f"two records are called {record.__name__}: rename one")
        if record.__name__ not in components:
            components[record.__name__] = json_schema(record)
            waiting.extend(_records_inside(record))
    return dict(sorted(components.items()))


def _of(hint: Any, place: str) -> Schema:
    """The schema of one type hint; a union is any of its members."""
    if hint in _SCALARS:
        return dict(_SCALARS[hint])
    if hint is np.ndarray or typing.get_origin(hint) is np.ndarray:
        return _reference("NdArray")
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _reference(hint.__name__)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return {"anyOf": [_of(arg, place) for arg in typing.get_args(hint)]}
    return _of_container(hint, place)


def _of_container(hint: Any, place: str) -> Schema:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return {"enum": list(args), **({"type": "string"} if all(isinstance(arg, str) for arg in args) else {})}
    if origin is tuple and len(args) == 2 and args[1] is Ellipsis:
        return {"type": "array", "items": _of(args[0], place)}
    if origin is tuple:
        items = [_of(arg, place) for arg in args]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if origin is dict and args[0] is str:
        return {"type": "object", "additionalProperties": _of(args[1], place)}
    raise TypeError(f"{place}: a result cannot hold {hint}")


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _records_inside(record: type) -> list[type]:
    """The dataclasses that the fields of ``record`` mention, however deeply nested."""
    found: list[type] = []
    waiting: list[Any] = list(typing.get_type_hints(record).values())
    while waiting:
        hint = waiting.pop()
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            found.append(hint)
        waiting.extend(typing.get_args(hint))
    return found
