"""What some operations have to say beyond their sum: further equations and sentences that teach."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from pellucid.core.rules.indexing import grid
from pellucid.core.rules.registry import find_rule
from pellucid.core.rules.sums import Sum, column, constant, single
from pellucid.lenses.trace_calls import Call
from pellucid.lenses.trace_equations import Wording, Writer, product_equation
from pellucid.lenses.trace_inside import inside_shapes, unfold
from pellucid.lenses.trace_more_lessons import FURTHER_GRADIENTS, FURTHER_VALUES
from pellucid.lenses.trace_recurrence import memory_through_time, split_label
from pellucid.lenses.trace_symbols import plain
from pellucid.results.explanation import Equation, ExplainedFactor, ExplainedTerm

__all__ = ["gradient_lesson", "value_lesson"]

_Lesson = tuple[list[Equation], list[str]]

_MOST_SHOWN = 16
"""Numbers of a window that are listed."""

_MOST_IN_GROUP = 20_000
"""Entries of a channel that are added up before a person's eyes."""

_NORMALIZATIONS = ("batch_norm", "layer_norm", "instance_norm", "group_norm", "rms_norm")

_ABOUT_PATHS = (
    "The three pull against each other: raising one number of a group raises the mean and the spread with it, and "
    "normalisation takes both away again. What is left is the part that changes the number's place among the others."
)


def value_lesson(writer: Writer, call: Call, index: tuple[int, ...], total: Sum, equations: list[Equation]) -> _Lesson:
    """The equations of an entry, added to where there is more to learn, and sentences.

    Args:
        writer: Writes the explanation's equations.
        call: The step that made the value.
        index: Which entry.
        total: The rule's sum for it.
        equations: That sum, written.
    """
    lesson = _VALUES.get(call.step.op)
    more, notes = ([], []) if lesson is None else lesson(writer, call, index, total)
    inside = unfold(writer, call, total)
    return [*equations, *more, *inside], [*_about_the_mean(total), *notes]


def gradient_lesson(
    writer: Writer, call: Call, argument: str, index: tuple[int, ...], total: Sum, *, equation: Equation
) -> _Lesson:
    """The equations for the gradient of an entry of one argument, and sentences.

    Args:
        writer: Writes the explanation's equations.
        call: The step that the value goes into.
        argument: As which argument.
        index: Which entry.
        total: The rule's sum of paths for it.
        equation: That sum, written.
    """
    notes = _about_the_mean(total)
    if argument == "input" and call.step.op in _NORMALIZATIONS:
        groups = _three_paths(equation, total)
        if groups is not None:
            detail = replace(
                equation, title="The same, output by output", words="", formula="", formula_latex="", symbols=()
            )
            return [groups, detail], [*notes, _ABOUT_PATHS]
    lesson = _GRADIENTS.get((call.step.op, argument))
    more, words = ([], []) if lesson is None else lesson(writer, call, index, total)
    return [equation, *more], [*notes, *words]


def _three_paths(equation: Equation, total: Sum) -> Equation | None:
    """The terms of a normalisation's gradient added up path by path."""
    groups = total.terms.by_label()
    if len(groups) < 2:
        return None
    terms = [
        ExplainedTerm(f"{plain(label)}" + (f", over {count:,} outputs" if count > 1 else ""), (), value)
        for label, (count, value) in groups.items()
    ]
    return replace(
        equation, terms=tuple(sorted(terms, key=lambda term: -abs(term.value))), others=0, others_value=0.0,
        formula="its own output + the mean's share + the variance's share",
        formula_latex=r"\text{directly}+\text{through }\mu+\text{through }\sigma^2",
    )  # fmt: skip


def _statistics(writer: Writer, call: Call, index: tuple[int, ...], total: Sum) -> _Lesson:
    """Where a batch normalisation takes its mean and its spread from."""
    given, numbers = call.addresses.get("input"), call.arguments["input"]
    if not call.arguments.get("training") or given is None:
        return [], ["In evaluation the mean and the spread are those gathered during training, so examples do not mix."]
    channel, rank = index[1], numbers.ndim
    at = grid([1 if axis == 1 else side for axis, side in enumerate(numbers.shape)]).clone()
    if len(at) > _MOST_IN_GROUP:
        return [], []
    at[:, 1] = channel
    values = numbers[tuple(at[:, axis] for axis in range(rank))]
    count = len(at)
    mean = Sum.of([single("", column("input", at, values), constant("1/N", 1 / count, count))])
    wide = values.double() - mean.value
    spread = Sum.of([single("", column("(input - \\mu)^2", at, wide * wide), constant("1/N", 1 / count, count))])
    first = Wording("μ, the mean over the batch", "", "(1/N) Σ x", r"\frac{1}{N}\sum_n x_n")
    second = Wording("σ², the spread around it", "", "(1/N) Σ (x − μ)²", r"\frac{1}{N}\sum_n (x_n-\mu)^2")
    epsilon = float(call.arguments.get("eps", 0.0))
    rate = 1 / math.sqrt(spread.value + epsilon)
    return [
        writer.equation(call, mean, ("μ", r"\mu"), first, value=mean.value),
        writer.equation(call, spread, ("σ²", r"\sigma^2"), second, value=spread.value),
    ], [
        f"r = 1/√(σ² + ε) = {rate:.5g} with ε = {epsilon:g}. Every example of the batch is in μ and σ²: that is why an "
        "example's output depends on who else is in its batch."
    ]


def _about_the_mean(total: Sum) -> list[str]:
    """Why there is a 1/N."""
    for factor in total.terms[0].factors if len(total.terms) else ():
        if factor.name in ("1/N", "1/n", r"\frac1N", r"\frac{1}{N}") and 0 < factor.value < 1:
            count = round(1 / factor.value)
            return [
                f"Why 1/N: the loss is the mean over N = {count:,} numbers, each of which counts 1/{count:,}. So "
                "neither "
                "the loss nor the size of its gradients grows with the batch, and one learning rate serves all batch "
                "sizes."
            ]
    return []


def _softmax_of(writer: Writer, call: Call, index: tuple[int, ...]) -> list[Equation]:
    """The share that softmax gives to one entry of the scores, in two equations."""
    scores, rule = call.arguments["input"], find_rule("softmax")
    if rule is None or scores.ndim not in (1, 2):
        return []
    arguments = {"input": scores, "dim": scores.ndim - 1}
    own_share = torch.softmax(scores[index[:-1]].double(), -1)[index[-1]]
    total = rule.entry(arguments, (own_share.expand(scores.shape),), index)
    places = ",".join(map(str, index))
    words = (
        "Softmax turns scores into probabilities: each score z becomes e^(z − m), m being the largest score, which "
        "only "
        "keeps the numbers small. Their sum s is what each is divided by."
    )
    left = ("s", "s")
    bottom = writer.equation(call, total, left, Wording("The probabilities behind it", words), value=total.value)
    bottom = replace(bottom, formula="Σ over the classes of e^(z − m)", formula_latex=r"\sum_c e^{z_c-m}")
    own = total.terms.at(index)
    assert own is not None
    top = writer.factor(call, own.factors[0])
    writer.symbols.meanings()
    share = product_equation(
        f"p[{places}], one of them", "", (f"p[{places}]", f"p_{{{places}}}"),
        [
            (top.symbol, top.latex, "this score's", own.value, top.reference),
            ("1/s", r"\frac{1}{s}", "", 1 / total.value, None),
        ],
    )  # fmt: skip
    return [bottom, share]


def _cross_entropy(writer: Writer, call: Call, index: tuple[int, ...], total: Sum) -> _Lesson:
    """Where the probability of the worst example comes from."""
    entry = (
        next((factor.index for factor in total.terms[0].factors if factor.index), None) if len(total.terms) else None
    )
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
        "y is 1 for the true class and 0 for the others. So the true class's score is pushed up by how much "
        "probability "
        "is "
        "missing, every other one down by the probability that it wrongly has; the pushes of one example add up to 0."
    )
    return _softmax_of(writer, call, index), [note]


def _squared_error(writer: Writer, call: Call, index: tuple[int, ...], total: Sum) -> _Lesson:
    """How far off the worst prediction is."""
    entry = (
        next((factor.index for factor in total.terms[0].factors if factor.index), None) if len(total.terms) else None
    )
    guess, target = call.addresses.get("input"), call.addresses.get("target")
    if (
        entry is None
        or guess is None
        or target is None
        or guess.shape != target.shape
        or len(entry) != len(guess.shape)
    ):
        return [], []
    (first, first_latex), (second, second_latex) = (
        writer.symbols.entry(guess, entry),
        writer.symbols.entry(target, entry),
    )
    own, wanted = (float(call.tape.read(one)[entry]) for one in (guess, target))
    minus = ExplainedFactor(f"−{second}", f"-{second_latex}", -wanted, writer.names.reference(target, entry))
    plus = ExplainedFactor(first, first_latex, own, writer.names.reference(guess, entry))
    terms = (ExplainedTerm("the prediction", (plus,), own), ExplainedTerm("the target", (minus,), -wanted))
    squared = (
        "Squared it is the largest of the terms above; squaring makes one large miss cost more than many small ones."
    )
    words = squared if call.step.op == "mse_loss" else "It makes the largest of the terms above."
    return [
        Equation(
            "The largest miss", words, f"{first} − {second}", f"{first_latex}-{second_latex}", "d", "d", "sum", terms,
            0, 0.0, 0.0, own - wanted, writer.symbols.meanings(),
        )
    ], []  # fmt: skip


def _recurrent(writer: Writer, call: Call, index: tuple[int, ...], total: Sum) -> _Lesson:
    """The memory behind an LSTM's output."""
    label = split_label(total.note)
    if label is None or len(index) != 3:
        return [], []
    layer, time, _ = label
    row = index[1] if index[0] == time and not call.arguments.get("batch_first") else index[0]
    inside = inside_shapes(call).get(f"{layer}.t{time}.h")
    if inside is None:
        return [], []
    memory = memory_through_time(writer, call, layer, time, (row, index[-1] % inside[-1]))
    note = (
        f'What is inside has names: trace.inside({call.step.index}, "{layer}.t{time}.forget_gate", …) explains a gate.'
    )
    return ([] if memory is None else [memory]), [note]


def _max_pool(writer: Writer, call: Call, index: tuple[int, ...], total: Sum) -> _Lesson:
    """The whole window, so that the winner and its equals are seen."""
    entries = _window(call, index)
    numbers = call.arguments["input"]
    held = [float(numbers[entry]) for entry in entries]
    if not held or len(held) > _MOST_SHOWN:
        return [], []
    shown = ", ".join(f"{number:.5g}" for number in held).replace("-", "−")
    notes = [f"In reading order the window holds {shown}."]
    ties = held.count(max(held))
    if ties > 1:
        notes.append(
            f"The largest number stands there {ties} times. At such a tie the maximum has no slope: raising any one of "
            "them "
            "raises it, lowering one does not lower it. torch takes the first in reading order as the winner, "
            "and so do "
            "we: "
            "it alone gets the gradient."
        )
    return [], notes


def _max_pool_slope(writer: Writer, call: Call, index: tuple[int, ...], total: Sum) -> _Lesson:
    """Whether the entry lost against an equal."""
    numbers = call.arguments["input"]
    own = float(numbers[index])
    windows = [place for place in _outputs_over(call, index) if float(call.outputs[0][place]) == own]
    lost = [
        place for place in windows if not any(factor.index == place for term in total.terms for factor in term.factors)
    ]
    if not lost:
        return [], []
    return [], [
        f"{own:.5g} is as large as the winner of its window, but stands behind it in reading order. At such a tie the "
        "maximum has no slope; torch gives the whole gradient to the first, and nothing to this one.".replace("-", "−")
    ]


def _geometry(call: Call) -> list[tuple[int, int, int, int]]:
    """Kernel, stride, padding and dilation along each axis of a pooling."""
    rank = int(call.step.op[-2])
    kernel = _spread(call.arguments["kernel_size"], rank)
    stride = _spread(call.arguments.get("stride") or kernel, rank)
    padding, dilation = (
        _spread(call.arguments.get(key) or default, rank) for key, default in (("padding", 0), ("dilation", 1))
    )
    return list(zip(kernel, stride, padding, dilation, strict=True))


def _spread(size: Any, rank: int) -> list[int]:
    return [int(size)] * rank if isinstance(size, int) else [int(one) for one in size] * (rank if len(size) == 1 else 1)


def _window(call: Call, index: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The input's entries under one output of a pooling, in reading order."""
    geometry = _geometry(call)
    lead, places = index[: -len(geometry)], index[-len(geometry) :]
    sides = call.arguments["input"].shape[-len(geometry) :]
    axes = [
        [at for k in range(kernel) if 0 <= (at := place * stride - padding + k * dilation) < side]
        for place, (kernel, stride, padding, dilation), side in zip(places, geometry, sides, strict=True)
    ]
    return [(*lead, *entry) for entry in itertools.product(*axes)]


def _outputs_over(call: Call, index: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The outputs of a pooling whose window holds one entry of the input."""
    geometry = _geometry(call)
    lead, places = index[: -len(geometry)], index[-len(geometry) :]
    sides = call.outputs[0].shape[-len(geometry) :]
    axes = [
        [
            out
            for k in range(kernel)
            if (rest := place + padding - k * dilation) % stride == 0 and 0 <= (out := rest // stride) < side
        ]
        for place, (kernel, stride, padding, dilation), side in zip(places, geometry, sides, strict=True)
    ]
    return [(*lead, *entry) for entry in itertools.product(*axes)]


_VALUES: dict[str, Callable[[Writer, Call, tuple[int, ...], Sum], _Lesson]] = {
    "batch_norm": _statistics,
    "cross_entropy": _cross_entropy,
    "mse_loss": _squared_error,
    "huber_loss": _squared_error,
    "smooth_l1_loss": _squared_error,
    "l1_loss": _squared_error,
    "lstm": _recurrent,
    "max_pool1d": _max_pool,
    "max_pool2d": _max_pool,
    "max_pool3d": _max_pool,
    **FURTHER_VALUES,
}
_GRADIENTS: dict[tuple[str, str], Callable[[Writer, Call, tuple[int, ...], Sum], _Lesson]] = {
    ("cross_entropy", "input"): _cross_entropy_slope,
    ("max_pool1d", "input"): _max_pool_slope,
    ("max_pool2d", "input"): _max_pool_slope,
    ("max_pool3d", "input"): _max_pool_slope,
    **FURTHER_GRADIENTS,
}
