"""What some operations have to say beyond their sum: further equations and sentences that teach."""

from __future__ import annotations

from pellucid.capture.tape_values import Value
from pellucid.core.rules.sums import Sum
from pellucid.lenses.trace_calls import Call
from pellucid.lenses.trace_equations import Writer
from pellucid.results.explanation import Equation

__all__ = ["gradient_lesson", "value_lesson"]


def value_lesson(
    writer: Writer, call: Call, value: Value, index: tuple[int, ...], total: Sum, equations: list[Equation]
) -> tuple[list[Equation], list[str]]:
    """The equations of an entry, added to where there is more to learn, and sentences.

    Args:
        writer: Writes the explanation's equations.
        call: The step that made the value.
        value: What is explained.
        index: Which entry.
        total: The rule's sum for it.
        equations: That sum, written.
    """
    return equations, []


def gradient_lesson(
    writer: Writer, call: Call, argument: str, index: tuple[int, ...], total: Sum
) -> tuple[list[Equation], list[str]]:
    """Further equations and sentences for the gradient of an entry of one argument.

    Args:
        writer: Writes the explanation's equations.
        call: The step that the value goes into.
        argument: As which argument.
        index: Which entry.
        total: The rule's sum of paths for it.
    """
    return [], []
