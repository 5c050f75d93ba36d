"""Pellucid opens neural networks: how they compute, what they learned, and how training moved.

The public names load on first use, so that ``import pellucid`` costs milliseconds and no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pellucid import widgets
    from pellucid.lenses.layer_map import measure_layer_map
    from pellucid.lenses.trace import trace
    from pellucid.store.run import Run, open_run
    from pellucid.training.fit import fit
    from pellucid.training.predict import predict
    from pellucid.watch.recorder import watch

_HOMES = {
    "Run": "pellucid.store.run",
    "fit": "pellucid.training.fit",
    "measure_layer_map": "pellucid.lenses.layer_map",
    "open_run": "pellucid.store.run",
    "predict": "pellucid.training.predict",
    "trace": "pellucid.lenses.trace",
}

__all__ = ["Run", "__version__", "fit", "measure_layer_map", "open_run", "predict", "trace", "watch", "widgets"]


def __getattr__(name: str) -> Any:
    if name in ("watch", "widgets"):
        return import_module(f"pellucid.{name}")  # rooms; the first can be called: see its docstring
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'pellucid' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
