"""How loops over cells, edges and points are compiled: by numba, once, and kept on disk."""

# numba's own functions have no types.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from numba import njit

__all__ = ["compiled", "compiled_bare", "compiled_into", "is_on_disk"]

_BARE: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}


def compiled(function: Callable[..., Any]) -> Any:
    """A function compiled when it is first called; it runs without Python's lock, on numbers and arrays alone."""
    return njit(cache=True, nogil=True, error_model="numpy")(inspect.unwrap(function))


def compiled_bare(function: Callable[..., Any]) -> Any:
    """The same for a function that makes no array and no view of one, and so has no use for counts of references.

    Where tuples of arrays are handed about, these counts, which threads share, take far longer than all the rest.
    """
    return njit(**_BARE)(inspect.unwrap(function))


def compiled_into(function: Callable[..., Any]) -> Any:
    """The bare kind, laid out in place of each call: for small functions that are given many arrays."""
    return njit(forceinline=True, **_BARE)(inspect.unwrap(function))


def is_on_disk(function: Any) -> bool:
    """Whether an earlier process has left what ``compiled`` makes of a function, so that it need not be made again."""
    try:
        return bool(function._cache._cache_file._load_index())
    except Exception:  # numba's own business: then it is compiled
        return False
