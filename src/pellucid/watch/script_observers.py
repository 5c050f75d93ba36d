"""Who learns from a watched script."""

from __future__ import annotations

from pellucid.watch.nonfinite import NonFiniteHunt
from pellucid.watch.observed import ObservedScript
from pellucid.watch.script_events import ScriptObserver
from pellucid.watch.wiring import ScriptWiring

__all__ = ["OBSERVERS"]

OBSERVERS: tuple[type[ScriptObserver], ...] = (ScriptWiring, ObservedScript, NonFiniteHunt)
"""Made with the script's context, and told of events, in this order."""
