"""Who learns from a watched script."""

from __future__ import annotations

from pellucid.watch.nonfinite import NonFiniteHunt
from pellucid.watch.observed import ObservedScript
from pellucid.watch.script_events import ScriptObserver
from pellucid.watch.wiring import ScriptWiring

__all__ = ["observers_of"]


def observers_of(probe: bool) -> tuple[type[ScriptObserver], ...]:
    """The kinds of observers, to be made with the script's context and told of events in this order.

    Args:
        probe: With the one that tries things on copies of the model in the end.
    """
    if not probe:
        return ScriptWiring, ObservedScript, NonFiniteHunt
    from pellucid.watch.probing import ProbingScript  # brings lenses with it

    return ScriptWiring, ObservedScript, NonFiniteHunt, ProbingScript
