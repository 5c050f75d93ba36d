"""Who learns from a watched script."""

from __future__ import annotations

from pellucid.watch.script_events import ScriptObserver

__all__ = ["OBSERVERS"]

OBSERVERS: tuple[type[ScriptObserver], ...] = ()
"""Made with the script's context, and told of events, in this order."""
