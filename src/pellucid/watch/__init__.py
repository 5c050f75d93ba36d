"""Records a training run from inside a plain PyTorch loop, within an overhead budget.

The room shares its name with the call that people make, ``pellucid.watch(model, optimizer)``, so the module itself
can be called. Without a model it is the whole script that is watched.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

__all__: list[str] = []


class _CallableRoom(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not args and "model" not in kwargs:
            from pellucid.watch.script_session import watch_script

            return watch_script(**kwargs)
        from pellucid.watch.recorder import watch

        return watch(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableRoom
