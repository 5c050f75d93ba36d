"""Questions to a trace as plain documents, so that a page, a notebook and another process can all ask them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pellucid.errors import SettingsError
from pellucid.lenses.trace import Trace
from pellucid.results.base import Result

__all__ = ["answer"]


def answer(trace: Trace, question: Mapping[str, Any], *, subject: str = "") -> Result:
    """What a trace says to one question.

    ``{"ask": "value" | "gradient" | "update", "name": "fc1.weight", "index": [3, 7]}`` and ``{"ask": "loss"}`` are
    answered with an ``Explanation``, ``{"ask": "inside", "step": 4, "name": "weights", "index": [0, 1]}`` too;
    ``{"ask": "what_if", "name": …, "index": …, "value": 0.5}`` with a ``WhatIf``; ``stepper``, ``outline`` and
    ``check`` with the results of those names.

    Args:
        trace: Whom to ask.
        question: As above; keys that it does not need are refused.
        subject: What went through the model, in words, for the stepper.

    Raises:
        SettingsError: the question is not understood, or names something that is not there.
        TraceError: a number is out of reach.
    """
    ask = question.get("ask")
    if not isinstance(ask, str) or ask not in _ANSWERS:
        raise SettingsError(
            f"there is no question {str(ask)[:100]!r}", place="ask", remedy=f"ask one of {', '.join(_ANSWERS)}"
        )
    known, find = _ANSWERS[ask]
    unknown = [str(key)[:50] for key in question if key not in ("ask", *known)]
    if unknown:
        raise SettingsError(
            f"the question {ask!r} has no {unknown[0]!r}",
            place=unknown[0],
            remedy=f"it takes {', '.join(known)}" if known else "leave it out",
        )
    return trace.stepper(subject) if ask == "stepper" else find(trace, question)


def _entry(question: Mapping[str, Any]) -> tuple[str, tuple[int, ...]]:
    """The name and the index of the entry asked about."""
    return _text(question, "name"), _index(question)


def _text(question: Mapping[str, Any], key: str) -> str:
    value = question.get(key)
    if not isinstance(value, str) or not value:
        raise SettingsError(f"the question needs {key!r}, a text", place=key, remedy="say 'fc1.weight' or 'step 4'")
    return value


def _index(question: Mapping[str, Any]) -> tuple[int, ...]:
    index = question.get("index", ())
    if not isinstance(index, list | tuple) or not all(type(axis) is int for axis in index):
        raise SettingsError("the index is no list of integers", place="index", remedy="give one integer for each axis")
    return tuple(index)


def _what_if(trace: Trace, question: Mapping[str, Any]) -> Result:
    value = question.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingsError("what_if needs 'value', a number", place="value", remedy="say what the entry should be")
    name, index = _entry(question)
    return trace.what_if(name, index, value=float(value))


def _inside(trace: Trace, question: Mapping[str, Any]) -> Result:
    step = question.get("step")
    if type(step) is not int and not isinstance(step, str):
        raise SettingsError("inside needs 'step', a number or a module's name", place="step", remedy="say step 4")
    return trace.inside(step, *_entry(question))


_ANSWERS: dict[str, tuple[tuple[str, ...], Callable[[Trace, Mapping[str, Any]], Result]]] = {
    "value": (("name", "index"), lambda trace, question: trace.value(*_entry(question)).explain()),
    "gradient": (("name", "index"), lambda trace, question: trace.gradient(*_entry(question)).explain()),
    "update": (("name", "index"), lambda trace, question: trace.update(*_entry(question)).explain()),
    "what_if": (("name", "index", "value"), _what_if),
    "inside": (("step", "name", "index"), _inside),
    "loss": ((), lambda trace, question: trace.loss.explain()),
    "stepper": ((), lambda trace, question: trace.stepper()),
    "outline": ((), lambda trace, question: trace.outline()),
    "check": ((), lambda trace, question: trace.check()),
}
"""What each question takes, and who answers it."""
