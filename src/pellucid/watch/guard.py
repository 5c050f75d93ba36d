"""Lets nothing that goes wrong inside the watch reach the training, and keeps account of what the watch costs."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import torch
from torch import nn

__all__ = ["Guard", "dispatch_cost_s"]


class Guard:
    """Wraps the watch's own functions by part ("steps", "layers", "metrics").

    The first error in a part is reported and switches that part off; the others go on. Costs are processor time of the
    calling thread, which a busy machine changes little.

    Args:
        report: Told of the part and the error, once a part.
    """

    def __init__(self, report: Callable[[str, Exception], None]) -> None:
        self._report = report
        self.switched_off: set[str] = set()
        """The parts that had an error."""
        self._depth = 0
        self.spent_s: defaultdict[str, float] = defaultdict(float)
        """Seconds of the processor by part; where one part's function calls another's, both count."""
        self.total_s = 0.0
        """Seconds of the processor altogether, nothing counted twice."""
        self.calls = 0
        """How often the training called in."""

    def is_on(self, part: str) -> bool:
        """Whether the part still works."""
        return part not in self.switched_off

    @property
    def cost_s(self) -> float:
        """Seconds altogether, and what it took to call in from hooks, as measured once on a hook that does nothing."""
        return self.total_s + self.calls * dispatch_cost_s()

    def __call__(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed, and silent from its part's first error on (it then returns None)."""
        switched_off, clock, is_compiling = self.switched_off, time.thread_time, torch.compiler.is_compiling

        @wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            # Inside a graph that is being compiled nothing of ours must remain.
            if is_compiling() or part in switched_off:
                return None
            began = clock()
            self._depth += 1
            try:
                return function(*args, **kwargs)
            except Exception as error:
                self.switch_off(part, error)
                return None
            finally:
                took_s = clock() - began
                self._depth -= 1
                self.spent_s[part] += took_s
                if not self._depth:
                    self.total_s += took_s
                    self.calls += 1

        return guarded

    def add(self, part: str, cost_s: float, calls: int) -> None:
        """Book what was not measured, since measuring it would have taken as long: so many calls that cost so much."""
        self.spent_s[part] += cost_s
        self.total_s += cost_s
        self.calls += calls

    def switch_off(self, part: str, error: Exception) -> None:
        """Report an error of this part, and be silent about it from here on."""
        self.switched_off.add(part)
        try:
            self._report(part, error)
        except Exception:
            # The record itself is what broke: there is nowhere left to say so, and training goes on.
            self.switched_off.add("report")


@cache
def dispatch_cost_s() -> float:
    """Seconds that a guarded hook costs beyond what the guard itself sees, on this machine."""
    calls, rounds = 50, 5
    module, nothing = nn.Identity(), torch.zeros(())
    guard = Guard(lambda part, error: None)

    def fastest() -> float:
        times: list[float] = []
        for _ in range(rounds):
            began = time.thread_time()
            for _ in range(calls):
                module(nothing)
            times.append(time.thread_time() - began)
        return min(times)

    bare_s = fastest()
    with_hook = module.register_forward_hook(guard("nothing", lambda *_: None))
    hooked_s = fastest()
    with_hook.remove()
    return max(0.0, (hooked_s - bare_s - guard.total_s / rounds) / calls)
