"""The large results that were asked about last, kept in memory for the next question."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pellucid.results.base import Result

__all__ = ["Shelf"]


class Shelf:
    """Holds a few results. May be used from any thread.

    Args:
        room: How many.
    """

    def __init__(self, room: int = 2) -> None:
        self._room = room
        self._kept: OrderedDict[tuple[str, ...], Result] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, ...], read: Callable[[], Result]) -> Result:
        """The result of a key, read if it is not there.

        Args:
            key: What changes with the result; where its last part is empty that is not known, and it is not kept.
            read: Reads it.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            result = read()
            if key[-1]:
                self._kept[key] = result
                while len(self._kept) > self._room:
                    self._kept.popitem(last=False)
            return result
