"""Lets nothing that goes wrong inside the watch reach the training, and keeps account of what the watch costs."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from typing import Any

__all__ = ["Guard"]


class Guard:
    """Wraps the watch's own functions by part ("steps", "layers", "metrics").

    The first error in a part is reported and switches that part off; the others go on.

    Args:
        report: Told of the part and the error, once a part.
    """

    def __init__(self, report: Callable[[str, Exception], None]) -> None:
        self._report = report
        self._switched_off: set[str] = set()
        self._depth = 0
        self.spent_s: defaultdict[str, float] = defaultdict(float)
        """Seconds by part; where one part's function calls another's, both count."""
        self.total_s = 0.0
        """Seconds altogether, nothing counted twice."""

    def is_on(self, part: str) -> bool:
        """Whether the part still works."""
        return part not in self._switched_off

    def __call__(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed, and silent from its part's first error on (it then returns None)."""

        @wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if part in self._switched_off:
                return None
            began = time.perf_counter()
            self._depth += 1
            try:
                return function(*args, **kwargs)
            except Exception as error:
                self._switch_off(part, error)
                return None
            finally:
                took_s = time.perf_counter() - began
                self._depth -= 1
                self.spent_s[part] += took_s
                self.total_s += 0.0 if self._depth else took_s

        return guarded

    def _switch_off(self, part: str, error: Exception) -> None:
        self._switched_off.add(part)
        try:
            self._report(part, error)
        except Exception:
            # The record itself is what broke: there is nowhere left to say so, and training goes on.
            self._switched_off.add("report")
