"""Tensors inside the structures that models take and return: tuples, dicts, dataclasses, model outputs."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

from torch import Tensor

__all__ = ["map_tensors", "tensors_in"]


def tensors_in(structure: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor in a structure with its path: "logits", "hidden[2]", "batch.image"; "" for a bare tensor.

    >>> [path for path, _ in tensors_in({"a": Tensor(), "b": (Tensor(), [Tensor()])})]
    ['a', 'b[0]', 'b[1][0]']
    """
    if isinstance(structure, Tensor):
        yield path, structure
    else:
        for key, item in _items(structure):
            yield from tensors_in(item, _join(path, key))


def map_tensors(structure: Any, change: Callable[[str, Tensor], Tensor], path: str = "") -> Any:
    """The same structure with every tensor changed; what holds no tensor is the same object."""
    if isinstance(structure, Tensor):
        return change(path, structure)
    items = _items(structure)
    if not items:
        return structure
    changed = [(key, item, map_tensors(item, change, _join(path, key))) for key, item in items]
    if all(new is old for _, old, new in changed):
        return structure
    if isinstance(structure, list | tuple):
        news = [new for _, _, new in changed]
        return type(structure)(*news) if hasattr(structure, "_fields") else type(structure)(news)
    twin = copy.copy(structure)
    for key, old, new in changed:
        if new is not old:
            if isinstance(twin, MutableMapping):
                twin[key] = new
            else:
                object.__setattr__(twin, str(key), new)
    return twin


def _items(structure: Any) -> list[tuple[str | int, Any]]:
    """The named or numbered parts of a structure that is known; none for anything else."""
    if isinstance(structure, Mapping):
        return [(key if isinstance(key, int) else str(key), item) for key, item in structure.items()]
    if isinstance(structure, list | tuple):
        return list(enumerate(structure))
    if dataclasses.is_dataclass(structure) and not isinstance(structure, type):
        return [
            (f.name, getattr(structure, f.name)) for f in dataclasses.fields(structure) if hasattr(structure, f.name)
        ]
    return []


def _join(path: str, key: str | int) -> str:
    """The path of a part."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key
