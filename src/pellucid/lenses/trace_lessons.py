"""What some operations have to say beyond their sum: further equations and sentences that teach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pellucid.capture.tape_values import Value
from pellucid.core.rules.registry import find_rule
from pellucid.core.rules.sums import Sum
from pellucid.lenses.trace_calls import Call
from pellucid.lenses.trace_equations import Wording, Writer, product_equation
from pellucid.results.explanation import Equation

__all__ = ["gradient_lesson", "value_lesson"]

_Lesson = tuple[list[Equation], list[str]]


def value_lesson(
    writer: Writer, call: Call, value: Value, index: tuple[int, ...], total: Sum, equations: list[Equation]
) -> _Lesson:
    """The equations of an entry, added to where there is more to learn, and sentences.

    Args:
        writer: Writes the explanation's equations.
        call: The step that made the value.
        value: What is explained.
        index: Which entry.
        total: The rule's sum for it.
        equations: That sum, written.
    """
    lesson = _VALUES.get(call.step.op)
    more, notes = ([], []) if lesson is None else lesson(writer, call, index, total)
    return [*equations, *more], [*_about_the_mean(total), *notes]


def gradient_lesson(writer: Writer, call: Call, argument: str, index: tuple[int, ...], total: Sum) -> _Lesson:
    """Further equations and sentences for the gradient of an entry of one argument.

    Args:
        writer: Writes the explanation's equations.
        call: The step that the value goes into.
        argument: As which argument.
        index: Which entry.
        total: The rule's sum of paths for it.
    """
    lesson = _GRADIENTS.get((call.step.op, argument))
    more, notes = ([], []) if lesson is None else lesson(writer, call, index, total)
    return more, [*_about_the_mean(total), *notes]


def _about_the_mean(total: Sum) -> list[str]:
    """Why there is a 1/N."""
    for factor in total.terms[0].factors if len(total.terms) else ():
        if factor.name in ("1/N", "1/n", r"\frac1N", r"\frac{1}{N}") and 0 < factor.value < 1:
            count = round(1 / factor.value)
            return [
                f"Why 1/N: the loss is the mean over N = {count:,} numbers, each of which counts 1/{count:,}. So neither "
                "the loss nor the size of its gradients grows with the batch, and one learning rate serves all batch sizes."
            ]
    return []


def _softmax_of(writer: Writer, call: Call, index: tuple[int, ...]) -> list[Equation]:
    """The share that softmax gives to one entry of the scores, in two equations."""
    scores, rule = call.arguments["input"], find_rule("softmax")
    if rule is None or scores.ndim not in (1, 2):
        return []
    arguments = {"input": scores, "dim": scores.ndim - 1}
    shares = rule.forward(arguments)
    total = rule.entry(arguments, shares, index)
    places = ",".join(map(str, index))
    words = (
        "Softmax turns scores into probabilities: each score z becomes e^(z − m), m being the largest score, which only "
        "keeps the numbers small. Their sum s is what each is divided by."
    )
    left = ("s", "s")
    bottom = writer.equation(call, total, left, Wording("The probabilities behind it", words), value=total.value)
    bottom = replace(bottom, formula="Σ over the classes of e^(z − m)", formula_latex=r"\sum_c e^{z_c-m}")
    own = next(term for term in total.terms if term.factors[0].index == index)
    top = writer.factor(call, own.factors[0])
    writer.symbols.meanings()
    share = product_equation(
        f"p[{places}], one of them", "", (f"p[{places}]", f"p_{{{places}}}"),
        [(top.symbol, top.latex, "this score's", own.value, top.reference), ("1/s", r"\frac{1}{s}", "", 1 / total.value, None)],
    )  # fmt: skip
    return [bottom, share]


def _cross_entropy(writer: Writer, call: Call, index: tuple[int, ...], total: Sum) -> _Lesson:
    """Where the probability of the worst example comes from."""
    entry = next((factor.index for factor in total.terms[0].factors if factor.index), None) if len(total.terms) else None
    if entry is None or len(entry) != call.arguments["input"].ndim:
        return [], []
    note = (
        "−ln p is 0 where the model is sure and right (p = 1), 0.69 at p = ½, and grows without bound as p goes to 0: "
        "being sure and wrong costs most."
    )
    return _softmax_of(writer, call, entry), [note]


def _cross_entropy_slope(writer: Writer, call: Call, index: tuple[int, ...], total: Sum) -> _Lesson:
    """The probability in p − q."""
    note = (
        "y is 1 for the true class and 0 for the others. So the true class's score is pushed up by how much probability is "
        "missing, every other one down by the probability that it wrongly has; the pushes of one example add up to 0."
    )
    return _softmax_of(writer, call, index), [note]


def _max_pool(writer: Writer, call: Call, index: tuple[int, ...], total: Sum) -> _Lesson:
    """What happens where several are largest."""
    return [], ["Only one number passes. Where several are equally large, torch takes the first in reading order."]


_VALUES: dict[str, Callable[[Writer, Call, tuple[int, ...], Sum], _Lesson]] = {
    "cross_entropy": _cross_entropy,
    "max_pool1d": _max_pool,
    "max_pool2d": _max_pool,
    "max_pool3d": _max_pool,
}
_GRADIENTS: dict[tuple[str, str], Callable[[Writer, Call, tuple[int, ...], Sum], _Lesson]] = {
    ("cross_entropy", "input"): _cross_entropy_slope,
}
