"""Which line of a script is running, as cheaply as a key of a dictionary needs it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import CodeType, FrameType

import torch

__all__ = ["NO_SITE", "CallSite", "calling_site", "is_own_call", "line_number"]

_MOST_SITES = 10_000
"""Beyond so many all are forgotten, and found anew."""


class CallSite(tuple[CodeType | None, int]):
    """A code object and the offset of the instruction in it.

    ``calling_site`` gives one object a site, which counts as itself alone: to compare code, or to take its hash, Python
    goes through all its constants, which takes longer than all else that the watch does in a step.
    """

    __slots__ = ()

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


NO_SITE = CallSite((None, 0))

_TORCH = str(Path(torch.__file__).parent)
_OPTIMIZERS = str(Path(torch.optim.__file__).parent)
_OURS = str(Path(__file__).parents[1])

_PASSED: dict[str, bool] = {}
"""Of each file whether it is torch's or ours, so that its frames are passed over."""
_SITES: dict[tuple[int, int], CallSite] = {}
"""By the identity of the code, which its site keeps alive."""


def calling_site() -> CallSite:
    """The innermost running instruction that is neither torch's nor ours."""
    frame: FrameType | None = sys._getframe(1)
    passed = _PASSED
    while frame is not None:
        code = frame.f_code
        file = code.co_filename
        is_passed = passed.get(file)
        if is_passed is None:
            is_passed = passed[file] = file.startswith((_OURS, _TORCH))
        if not is_passed:
            key = (id(code), frame.f_lasti)
            return _SITES.get(key) or _new_site(key, code)
        frame = frame.f_back
    return NO_SITE


def _new_site(key: tuple[int, int], code: CodeType) -> CallSite:
    if len(_SITES) >= _MOST_SITES:
        _SITES.clear()
    return _SITES.setdefault(key, CallSite((code, key[1])))


def line_number(site: CallSite) -> int:
    """The line of a site; 0 where none is known."""
    code, instruction = site
    if code is None:
        return 0
    lines = [line for start, end, line in code.co_lines() if start <= instruction < end and line is not None]
    return lines[-1] if lines else code.co_firstlineno


def is_own_call() -> bool:
    """Whether the call that a function mode tells of was made by the watch, or by torch's optimiser.

    A closure of the person's that an optimiser calls is the person's.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_name != "__torch_function__":
        frame = frame.f_back
    frame = frame.f_back if frame is not None else None
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith((_OPTIMIZERS, _OURS)):
            return True
        if not file.startswith(_TORCH):
            return False
        frame = frame.f_back
    return False
