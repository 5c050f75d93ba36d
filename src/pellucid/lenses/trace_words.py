"""What is said to a newcomer beside the numbers, operation by operation."""

from __future__ import annotations

from pellucid.core.rules.base import Rule
from pellucid.lenses.trace_equations import Wording
from pellucid.lenses.trace_symbols import plain

__all__ = ["gradient_wording", "inside_wording", "value_wording"]

_SUM = "The weighted sum"
_VALUES: dict[str, tuple[str, str]] = {
    "linear": (
        _SUM,
        "Each number that comes in is multiplied by the weight of its connection to this neuron; the products and the "
        "neuron's bias are added up.",
    ),
    "conv": (
        "The filter at this place",
        "The filter lies over one patch of the input: each number of the patch is multiplied by the filter's weight "
        "there, and the products and the filter's bias are added up. The same weights serve every place. Places "
        "outside "
        "the input (the padding) count as 0.",
    ),
    "max_pool": (
        "The largest of the window",
        "Only the largest number of the window passes; the others leave no trace.",
    ),
    "avg_pool": ("The mean of the window", "Every number of the window counts the same."),
    "batch_norm": (
        "Shift, scale, and stretch",
        "The channel's mean is taken away and the rest divided by the channel's spread, so that channels speak equally "
        "loudly; then the learned weight stretches and the learned bias shifts the result.",
    ),
    "layer_norm": (
        "Shift, scale, and stretch",
        "The mean over the features of this one example is taken away and the rest divided by their spread; then the "
        "learned weight stretches and the learned bias shifts the result.",
    ),
    "softmax": (
        "Exponentials as shares",
        "Each score is raised to eˢ, which is positive, and divided by the sum of all: shares between 0 and 1 that add "
        "up to 1.",
    ),
    "embedding": ("A row of the table", "The token's number picks one row of the table; nothing is computed."),
    "dropout": (
        "Kept or dropped",
        "In training each number is dropped with probability p, and what stays is divided by 1 − p so that the "
        "expected "
        "value is unchanged. In evaluation everything passes.",
    ),
    "cross_entropy": (
        "The surprise at the truth",
        "For each example: −ln of the probability p that the model gave to the true class (the y that is 1).",
    ),
    "mse_loss": ("The mean squared error", "Each prediction's distance from its target, squared; then the mean."),
    "mean": ("The mean", "All numbers are added up and divided by their count."),
    "scaled_dot_product_attention": (
        "A weighted mean of values",
        "Each position asks with its query how well every position's key fits; softmax turns the fits into weights "
        "that "
        "add up to 1, and the output is the mean of the values with these weights.",
    ),
    "lstm": (
        "A gated memory",
        "Four gates, each a number between 0 and 1 (or −1 and 1 for the candidate), decide what the cell forgets, "
        "writes "
        "and shows.",
    ),
    "gru": (
        "A gated state",
        "An update gate between 0 and 1 mixes two numbers: the old state, and a candidate made from the input and from "
        "as much of the old state as a reset gate lets through.",
    ),
    "add": ("A sum", "Both numbers are added; each counts as it is."),
    "binary_cross_entropy_with_logits": (
        "The binary cross-entropy",
        "Each score stands for the probability of a yes. What counts is −ln of the probability that was given to the "
        "truth; then the mean.",
    ),
}
_GRADIENTS: dict[tuple[str, str], tuple[str, str]] = {
    ("linear", "weight"): (
        "One path for each example",
        "The weight takes part once for every example (and position): there, moving it by ε moves z by a·ε, and the "
        "loss by ∂L/∂z·a·ε. The gradient is the sum of these products.",
    ),
    ("linear", "bias"): (
        "One path for each example",
        "The bias is added to z as it is, so each example hands its ∂L/∂z on unchanged; they add up.",
    ),
    ("linear", "input"): (
        "One path for each neuron it feeds",
        "The number goes into every neuron of the layer. Through each it moves the loss by the neuron's ∂L/∂z times "
        "the "
        "weight of the connection; the gradient is the sum over these paths.",
    ),
    ("conv", "weight"): (
        "One path for each place of the filter",
        "The same weight serves every place and every example; at each, it moves the loss by ∂L/∂z there times the "
        "number that lies under it. The gradient is the sum.",
    ),
    ("conv", "input"): (
        "One path for each filter position that covers it",
        "Every output whose patch holds this number hands its ∂L/∂z back through the weight that lay on it.",
    ),
    ("max_pool", "input"): (
        "Only the winner hears back",
        "The window's largest number gets the whole gradient; the others get 0, for moving them a little changes "
        "nothing.",
    ),
    ("cross_entropy", "input"): (
        "Prediction minus truth",
        "Softmax and the logarithm of cross-entropy together have the simplest slope there is: the probability given "
        "to "
        "the class, minus 1 if it is the true one (p − y).",
    ),
    ("batch_norm", "input"): (
        "Three paths",
        "The number moves its own output directly; it also moves the batch's mean, and through it every output of the "
        "channel; and the batch's variance, and through it every output again.",
    ),
    ("softmax", "input"): (
        "Raising one share lowers the others",
        "The shares add up to 1, so one score moves all of them: its own up by p(1 − p), every other share q down by "
        "q·p.",
    ),
}
_FAMILIES = ("conv", "max_pool", "avg_pool", "adaptive_max_pool", "adaptive_avg_pool")
_AS = {"adaptive_max_pool": "max_pool", "adaptive_avg_pool": "avg_pool", "instance_norm": "batch_norm",
       "group_norm": "layer_norm", "gru_cell": "gru", "feature_dropout": "dropout", "matmul": "matmul"}  # fmt: skip
_SLOPES = {
    ("cross_entropy", "input"): ("(p − y)·1/N", r"(p-y)\frac{1}{N}"),
    ("linear", "weight"): ("Σ over examples of ∂L/∂z · what comes in", r"\sum_n\frac{\partial L}{\partial z_n}a_n"),
    ("linear", "bias"): ("Σ over examples of ∂L/∂z", r"\sum_n\frac{\partial L}{\partial z_n}"),
    ("linear", "input"): ("Σ over neurons of ∂L/∂z · w", r"\sum_k\frac{\partial L}{\partial z_k}w_k"),
}
_FORMULAS = {
    "lstm": "output gate · tanh(memory)",
    "gru": "(1 − update gate) · candidate + update gate · state before",
    "binary_cross_entropy_with_logits": "(1/N) Σ −(t·ln p + (1−t)·ln(1−p)), p = σ(z)",
    "scaled_dot_product_attention": "Σ over the positions of weight · value",
    "batch_norm": "(x − μ)·r·w + b",
    "layer_norm": "(x − μ)·r·w + b",
    "max_pool": "the largest of the window",
    "mse_loss": "(1/N) Σ (prediction − target)²",
    "cross_entropy": "(1/N) Σ over the examples of y·(−ln p)",
    "conv": "Σ over channels and places of the filter: x·w, + b",
    "matmul": "Σₖ (row)ₖ·(column)ₖ",
    "mean": "(1/N)·Σ",
}


def value_wording(op: str, rule: Rule) -> Wording:
    """Title, words and formula for an entry that an operation made.

    Args:
        op: The operation's canonical name.
        rule: Its rule, whose formula is used where there is no wording of its own.
    """
    family = _family(op)
    title, words = _VALUES.get(family, (f"How {op} makes it", ""))
    latex = rule.formula.partition("=")[2] if rule.formula.count("=") == 1 else ""
    return Wording(title, words, _FORMULAS.get(family, plain(latex)), latex)


def gradient_wording(op: str, argument: str, many: bool) -> Wording:
    """Title and words for the gradient of an entry of one argument.

    Args:
        op: The operation that the entry goes into.
        argument: As which argument.
        many: Whether several paths lead to the loss.
    """
    title, words = _GRADIENTS.get((_family(op), argument), ("", ""))
    if not title:
        title = f"Every path through {op}" if many else f"The path through {op}"
        words = (
            "Each path multiplies the slope of the loss by what comes out with the slope of that by this number; the "
            "paths add up."
            if many
            else "The slope of the loss by what comes out, times the slope of that by this number."
        )
    return Wording(title, words, *_SLOPES.get((_family(op), argument), ("", "")))


_FROM_BOTH = "w·x + u·h(before) + both biases"
_GATES = {
    "forget_gate": (
        "The forget gate",
        "How much of the memory is kept: 1 keeps all of it, 0 wipes it out. The gate looks at the input of this step "
        "and at what the layer said one step before.",
        _FROM_BOTH,
    ),
    "input_gate": ("The input gate", "How much of the candidate is written into the memory.", _FROM_BOTH),
    "candidate": ("The candidate", "What could be written into the memory, between −1 and 1.", _FROM_BOTH),
    "output_gate": ("The output gate", "How much of the memory the layer shows.", _FROM_BOTH),
    "reset_gate": ("The reset gate", "How much of the past the candidate gets to see.", _FROM_BOTH),
    "update_gate": ("The update gate", "How much of the old state is kept instead of the candidate.", _FROM_BOTH),
    "c": ("The memory", "What was kept of the old memory, and what was added.", "forget·c(before) + input·candidate"),
    "h": ("The output of this step", "", ""),
}
_INSIDE = {
    ("scaled_dot_product_attention", "weights"): (
        "An attention weight",
        "How much this position listens to that one. Each score is raised to e^(score − m), m being the largest score "
        "of the row; divided by their sum s they are shares that add up to 1.",
        "",
    ),
    ("scaled_dot_product_attention", "scores"): (
        "A score",
        "How well the asking position's query fits the other position's key: their products, feature by feature, "
        "divided by √(number of features) so that long vectors do not shout.",
        "Σ query · key / √E",
    ),
}


def inside_wording(op: str, name: str) -> tuple[str, str, str]:
    """Title, words and formula for a quantity inside an operation.

    Args:
        op: The operation's canonical name.
        name: The quantity.
    """
    what = name.rpartition(".")[2]
    if what in _GATES:
        title, words, formula = _GATES[what]
        return f"{title}, {name.rpartition('.')[0]}" if "." in name else title, words, formula
    return _INSIDE.get((op, name), (f"Inside: {name.replace('_', ' ')}", "", ""))


def _family(op: str) -> str:
    """``conv2d`` and ``conv_transpose1d`` are told as ``conv``."""
    for stem in _FAMILIES:
        if op.startswith(stem):
            return _AS.get(stem, stem)
    return _AS.get(op, op)
