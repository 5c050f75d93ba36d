"""Further lessons: gated memories without a cell state, normalisation within one example, losses, sums of branches."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from pellucid.capture.tape_values import Value
from pellucid.core.rules.indexing import grid
from pellucid.core.rules.sums import Block, Sum, column, constant, single
from pellucid.lenses.trace_calls import Call
from pellucid.lenses.trace_equations import Wording, Writer
from pellucid.lenses.trace_inside import inside_shapes
from pellucid.lenses.trace_recurrence import split_label
from pellucid.results.explanation import Equation

__all__ = ["FURTHER_GRADIENTS", "FURTHER_VALUES", "Lesson"]

Lesson = tuple[list[Equation], list[str]]
_Teacher = Callable[[Writer, Call, tuple[int, ...], Sum], Lesson]

_MOST_IN_GROUP = 20_000
_MOST_GATES = 3
_MOST_STEPS_BACK = 64

_OLD_STATE = (
    "A GRU has one gate for both: what the update gate u keeps of the old state is what it does not take from the "
    "candidate n, h = (1 − u)·n + u·h before. Multiplied out over time, the state is the sum of all candidates that "
    "were ever taken, each times the update gates since. Gates near 1 keep the old, and carry its gradient far back."
)


def _group_statistics(writer: Writer, call: Call, index: tuple[int, ...], total: Sum) -> Lesson:
    """Where a layer or RMS normalisation takes its mean and its spread from."""
    numbers, shape = call.arguments["input"].detach(), call.arguments.get("normalized_shape")
    if shape is None or call.addresses.get("input") is None:
        return [], []
    lead = index[: numbers.ndim - len(shape)]
    inner = grid([int(size) for size in shape])
    if not 0 < len(inner) <= _MOST_IN_GROUP:
        return [], []
    at = torch.cat([torch.tensor([lead], dtype=torch.int64).reshape(1, len(lead)).expand(len(inner), -1), inner], 1)
    values = numbers[tuple(at.unbind(1))].double()
    count, epsilon = len(at), call.arguments.get("eps")
    epsilon = torch.finfo(numbers.dtype).eps if epsilon is None else float(epsilon)
    if call.step.op == "rms_norm":
        mean = Sum.of([single("", column("(input)^2", at, values * values), constant("1/n", 1 / count, count))])
        wording = Wording("The mean square of this example", "", "(1/n) Σ x²", r"\frac{1}{n}\sum_k x_k^2")
        rate = 1 / math.sqrt(mean.value + epsilon)
        return [writer.equation(call, mean, ("m", "m"), wording, value=mean.value)], [
            f"r = 1/√(m + ε) = {rate:.5g} with ε = {epsilon:.3g}. No mean is taken away: only the length is set right, "
            "which costs less and works as well in large language models."
        ]
    mean = Sum.of([single("", column("input", at, values), constant("1/n", 1 / count, count))])
    wide = values - mean.value
    spread = Sum.of([single("", column("(input - \\mu)^2", at, wide * wide), constant("1/n", 1 / count, count))])
    first = Wording("μ, the mean over the features", "", "(1/n) Σ x", r"\frac{1}{n}\sum_k x_k")
    second = Wording("σ², the spread around it", "", "(1/n) Σ (x − μ)²", r"\frac{1}{n}\sum_k (x_k-\mu)^2")
    rate = 1 / math.sqrt(spread.value + epsilon)
    return [
        writer.equation(call, mean, ("μ", r"\mu"), first, value=mean.value),
        writer.equation(call, spread, ("σ²", r"\sigma^2"), second, value=spread.value),
    ], [
        f"r = 1/√(σ² + ε) = {rate:.5g} with ε = {epsilon:g}. All {count:,} numbers belong to this one example: who "
        "else is in the batch does not matter, and training and evaluation compute the same. That is how it differs "
        "from batch normalisation."
    ]


def _gated_state(writer: Writer, call: Call, index: tuple[int, ...], total: Sum) -> Lesson:
    """A GRU's state as what was taken at every step, times the gates that kept it since."""
    label = split_label(total.note)
    shapes = inside_shapes(call)
    if label is None or call.rule is None or not index:
        return [], []
    layer, time = label[0], label[1]
    prefix = layer if f"{layer}.t{time}.update_gate" in shapes else layer.lower()
    if f"{prefix}.t{time}.update_gate" not in shapes:
        return [], []
    rows, units = tuple(shapes[f"{prefix}.t{time}.update_gate"])
    where = list(index)
    row = where[1] if len(where) == 3 and not call.arguments.get("batch_first") else where[0]
    place = (row if rows > 1 else 0, where[-1] % units)
    inside = call.rule.intermediates(call.arguments)
    backwards = prefix.endswith("r")
    times = [one[1] for name in inside if (one := split_label(name)) and one[0] == prefix and one[2] == "update_gate"]
    steps = sorted((t for t in times if (t >= time if backwards else t <= time)), reverse=backwards)
    equation = _kept_through_time(writer, call, {t: _gates(inside, prefix, t, place) for t in steps})
    return [equation], [
        "The reset gate r decides how much of the old state the candidate sees: n = tanh(W x + b + r·(U h + c)).",
        f'What is inside has names: trace.inside({call.step.index}, "{prefix}.t{time}.update_gate", …) explains '
        "a gate.",
    ]


def _gates(inside: dict[str, Tensor], prefix: str, time: int, place: tuple[int, int]) -> tuple[float, float, float]:
    """(update gate, candidate, state) of one unit at one time."""
    gate, new, state = (float(inside[f"{prefix}.t{time}.{what}"][place]) for what in ("update_gate", "candidate", "h"))
    return gate, new, state


def _kept_through_time(writer: Writer, call: Call, steps: dict[int, tuple[float, float, float]]) -> Equation:
    """The state of the last step as a sum over all."""
    order = list(steps)
    blocks: list[Block] = []
    for place, at in enumerate(order):
        gate, new, _ = steps[at]
        later = [steps[one][0] for one in order[place + 1 :]]
        factors = [constant(f"(1−u(t{at}))", 1 - gate), constant(f"n(t{at})", new)]
        if len(later) > _MOST_GATES:
            factors.append(constant(f"u(t{order[place + 1]})…u(t{order[-1]})", math.prod(later)))
        else:
            factors += [constant(f"u(t{one})", u) for one, u in zip(order[place + 1 :], later, strict=True)]
        blocks.append(single(" · ".join(factor.name for factor in factors), *factors))
    gate, new, state = steps[order[0]]
    first = state - (1 - gate) * new
    if abs(first) > 1e-7:
        kept = math.prod(steps[one][0] for one in order[1:])
        blocks.append(
            single("what was there before the first step", constant("u·h₀", first), constant("later u", kept))
        )
    last = order[-1]
    wording = Wording(
        "The state through time", _OLD_STATE, "Σ over the steps s of (1−u(s))·n(s)·u(s+1)·…·u(t)",
        r"\sum_s (1-u_s)\,n_s\prod_{v=s+1}^{t}u_v",
    )  # fmt: skip
    return writer.equation(call, Sum.of(blocks), (f"h(t{last})", f"h_{{{last}}}"), wording, value=steps[last][2])


def _largest(total: Sum) -> tuple[int, ...] | None:
    """The entry behind the largest term."""
    return next((f.index for f in total.terms[0].factors if f.index), None) if len(total.terms) else None


def _probability(writer: Writer, call: Call, entry: tuple[int, ...]) -> tuple[Equation, float, float] | None:
    """p − t of one entry of a binary cross-entropy, with its probability and its target."""
    scores, target = call.arguments["input"].detach(), call.arguments["target"].detach()
    if scores.shape != target.shape or len(entry) != scores.ndim:
        return None
    logit, wanted = float(scores[entry]), float(target[entry])
    p = 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0
    total = Sum.of([single("σ(z)", constant("p", p)), single("the target", constant("-t", -wanted))])
    wording = Wording(
        "Probability minus target",
        f"The score z = {logit:.5g} stands for the probability p = σ(z) = 1/(1 + e^(−z)) = {p:.5g}.".replace("-", "−"),
        "p − t", "p-t",
    )  # fmt: skip
    return writer.equation(call, total, ("d", "d"), wording, value=p - wanted), p, wanted


def _binary(writer: Writer, call: Call, index: tuple[int, ...], total: Sum) -> Lesson:
    """What the worst example's probability was."""
    entry = _largest(total)
    found = None if entry is None else _probability(writer, call, entry)
    if found is None:
        return [], []
    equation, p, wanted = found
    note = (
        f"The largest term belongs to a target of {wanted:g} that was given the probability {p:.4g}. The loss is −ln "
        "of the probability given to what is true: −ln p where t = 1, −ln(1 − p) where t = 0. It is 0 where the model "
        "is sure and right, 0.69 at ½, and grows without bound where it is sure and wrong."
    )
    return [equation], [note]


def _binary_slope(writer: Writer, call: Call, index: tuple[int, ...], total: Sum) -> Lesson:
    """p − t."""
    found = None if call.arguments.get("pos_weight") is not None else _probability(writer, call, index)
    note = (
        "The slope is the probability minus the target, p − t: sigmoid and logarithm cancel. So it never dies out "
        "while the model is wrong, which is why the two are computed together, from the score."
    )
    return ([], []) if found is None else ([found[0]], [note])


def _miss_slope(writer: Writer, call: Call, index: tuple[int, ...], total: Sum) -> Lesson:
    """The slope of a squared error grows with the miss."""
    return [], [
        "ℓ' is 2 × (prediction − target): twice the miss, so the push is the harder the further off the prediction is, "
        "and 0 where it is right. One far-off example can outweigh many good ones."
    ]


def _bent_slope(writer: Writer, call: Call, index: tuple[int, ...], total: Sum) -> Lesson:
    """The slope of a Huber loss is capped."""
    bend = float(call.arguments.get("delta", call.arguments.get("beta", 1.0)))
    guess, target = call.arguments["input"].detach(), call.arguments["target"].detach()
    if guess.shape != target.shape:
        return [], []
    miss = float(guess[index] - target[index])
    inside = abs(miss) < bend
    where = "inside it: the slope grows with the miss" if inside else "outside it: the slope stays the same"
    text = f"The loss is a parabola up to a miss of {bend:g} and a straight line beyond. The miss here is {miss:.4g}, "
    return [], [f"{text}{where}. So a far-off example pushes, but no harder than one at the bend.".replace(" -", " −")]


def _likelihood(writer: Writer, call: Call, index: tuple[int, ...], total: Sum) -> Lesson:
    """A negative log-likelihood only picks."""
    return [], [
        "This loss picks, for each example, the log-probability of its true class, and turns the sign. It expects "
        "log-probabilities (log_softmax); on raw scores it would be no loss at all."
    ]


def _likelihood_slope(writer: Writer, call: Call, index: tuple[int, ...], total: Sum) -> Lesson:
    """Only the true class is pushed, until log_softmax spreads it."""
    return [], [
        "Only the true class's log-probability is pushed here, by −1/N. That the other classes go down comes one step "
        "further back, in log_softmax, where the probabilities have to add up to 1."
    ]


def _average(writer: Writer, call: Call, index: tuple[int, ...], total: Sum) -> Lesson:
    """Attention mixes values."""
    return [], [
        "The weights are at least 0 and add up to 1, so the output is an average of the values: each position takes "
        "most from where its query and the key point the same way. Nothing in it depends on order; that has to come "
        "from position encodings."
    ]


def _branches(call: Call) -> bool:
    """Whether one summand was made from the other: a residual connection."""
    given = [call.addresses.get(name) for name in ("input", "other")]
    if any(one is None for one in given) or given[0] is given[1]:
        return False
    first, second = given
    assert first is not None
    assert second is not None
    return first.shape == second.shape and (_made_from(call, first, second) or _made_from(call, second, first))


def _made_from(call: Call, value: Value, source: Value) -> bool:
    """Whether a value was computed from another, not many steps before."""
    waiting, seen = [value], {value.id}
    for _ in range(_MOST_STEPS_BACK):
        if not waiting:
            return False
        producer = waiting.pop().producer
        for one in () if producer is None else call.tape.steps[producer].inputs:
            if one is source:
                return True
            if one.id not in seen and one.origin == "op":
                seen.add(one.id)
                waiting.append(one)
    return False


def _residual(writer: Writer, call: Call, index: tuple[int, ...], total: Sum) -> Lesson:
    """What a shortcut is for."""
    return [], (
        [
            "A residual connection: one summand is what the block was given, the other what it made of it. The block "
            "only has to learn the difference, and can be left out at no cost by making it 0."
        ]
        if _branches(call)
        else []
    )


def _residual_slope(writer: Writer, call: Call, index: tuple[int, ...], total: Sum) -> Lesson:
    """The gradient runs through."""
    return [], (
        [
            "A residual connection: the sum hands its gradient on to both branches unchanged (slope 1). So however "
            "deep the network is, there is a path on which the gradient is not weakened."
        ]
        if _branches(call)
        else []
    )


FURTHER_VALUES: dict[str, _Teacher] = {
    "layer_norm": _group_statistics,
    "rms_norm": _group_statistics,
    "gru": _gated_state,
    "gru_cell": _gated_state,
    "binary_cross_entropy_with_logits": _binary,
    "nll_loss": _likelihood,
    "scaled_dot_product_attention": _average,
    "add": _residual,
}
"""What an entry of an operation's output teaches."""

FURTHER_GRADIENTS: dict[tuple[str, str], _Teacher] = {
    ("binary_cross_entropy_with_logits", "input"): _binary_slope,
    ("mse_loss", "input"): _miss_slope,
    ("huber_loss", "input"): _bent_slope,
    ("smooth_l1_loss", "input"): _bent_slope,
    ("nll_loss", "input"): _likelihood_slope,
    ("add", "input"): _residual_slope,
    ("add", "other"): _residual_slope,
}
"""What the gradient by an entry of an operation's argument teaches."""
