"""What ``torch.compile`` was used on before a watch began, which it cannot look into."""

from __future__ import annotations

import gc
import sys
from typing import Any

from torch import nn

__all__ = ["COMPILED_BEFORE", "find_compiled"]

COMPILED_BEFORE = (
    "torch.compile was used before the watch began: what runs inside of compiled code is not seen; "
    "begin the watch first, or use pellucid run"
)


def find_compiled() -> tuple[list[Any], bool]:
    """The modules that are wrapped by ``torch.compile``, and whether anything else was or may have been compiled."""
    frames = sys.modules.get("torch._dynamo.eval_frame")
    if frames is None:
        return [], False
    # By type: some objects warn when they are asked for their class.
    alive = [each for each in gc.get_objects() if issubclass(type(each), nn.Module)]
    wrapped = [each for each in alive if isinstance(each, frames.OptimizedModule)]
    in_place = any(each._compiled_call_impl is not None for each in alive)
    # Of functions only that some backend compiled them is known; of wrapped modules that, too.
    return wrapped, in_place or (bool(frames.cached_backends) and not wrapped)
