"""The update rules of torch's optimisers, written out line by line in float64 (torch.optim's own definitions)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["Line", "write_move"]

Factors = list[tuple[str, str, Tensor]]
"""(symbol, LaTeX, number) of each factor; numbers are entries or whole tensors alike."""


@dataclass(frozen=True)
class Line:
    """One quantity of an update rule as a sum of products."""

    title: str
    words: str
    symbol: str
    latex: str
    formula: str
    formula_latex: str
    terms: list[tuple[str, Factors]]
    meanings: tuple[tuple[str, str, str], ...] = ()

    def products(self) -> list[Tensor]:
        """The value of each term."""
        return [math.prod((number for _, _, number in factors), start=_number(1.0)) for _, factors in self.terms]

    def value(self) -> Tensor:
        """The sum."""
        return sum(self.products(), start=_number(0.0))


@dataclass(frozen=True)
class _Given:
    """What an update starts from, in float64."""

    weight: Tensor
    gradient: Tensor
    settings: Mapping[str, Any]
    state: Mapping[str, Any]

    def number(self, name: str, default: float = 0.0) -> Tensor:
        """A setting."""
        value = self.settings.get(name, default)
        return torch.as_tensor(value, dtype=torch.float64)

    def held(self, name: str, default: Tensor) -> Tensor:
        """A part of the optimiser's state; ``default`` before the first step."""
        found = self.state.get(name)
        return default if found is None else found


def write_move(
    kind: str, settings: Mapping[str, Any], state: Mapping[str, Any], weight: Tensor, gradient: Tensor
) -> list[Line] | None:
    """The rule's lines for one weight, or for whole tensors of them; None for an optimiser that is not written out.

    Args:
        kind: The optimiser's class: ``"AdamW"``.
        settings: The parameter group's settings, as in ``optimizer.param_groups``.
        state: The state before the step, as PyTorch names it (``exp_avg`` …): entries of the weights' tensors, or
            whole tensors; empty before the first step.
        weight: The weight before the step.
        gradient: The loss's gradient by it.

    Returns:
        What is computed on the way, line by line, in float64. The last line is what is added to the weight; its value
        is the new weight less the old one, up to the rounding of the optimiser's own precision.

    >>> lines = write_move("SGD", {"lr": 0.1, "weight_decay": 0.5}, {}, torch.tensor(2.0), torch.tensor(3.0))
    >>> [line.symbol for line in lines], float(lines[-1].value())
    (['d', 'Δw'], -0.4)
    """
    writer = _RULES.get(kind)
    if writer is None or weight.is_complex():
        return None
    given = _Given(_wide(weight), _wide(gradient), settings, {name: _wide(item) for name, item in state.items()})
    return writer(given)


def _wide(item: Any) -> Any:
    """A tensor's numbers in float64."""
    return item.detach().to("cpu", torch.float64) if isinstance(item, Tensor) else item


def _effective_gradient(given: _Given, *, decay: bool) -> tuple[list[Line], Tensor, str, str]:
    """The gradient that the rule works with: its sign turned to maximise, the L2 penalty's slope added."""
    terms: list[tuple[str, Factors]] = [("", [("g", "g", given.gradient)])]
    penalty = given.number("weight_decay")
    turned = bool(given.settings.get("maximize"))
    if turned:
        terms = [("", [("−1", "-1", _number(-1.0)), ("g", "g", given.gradient)])]
    if decay and float(penalty) != 0:
        terms.append(("weight decay", [("λ", r"\lambda", penalty), ("w", "w", given.weight)]))
    if len(terms) == 1 and not turned:
        return [], given.gradient, "g", "g"
    line = Line(
        "The gradient with weight decay" if len(terms) > 1 else "The gradient, turned to maximise",
        "The penalty ½λw² has the slope λw, which pulls the weight towards 0." if len(terms) > 1 else "",
        "d", "d", "g + λ·w" if len(terms) > 1 else "−g", r"g+\lambda w" if len(terms) > 1 else "-g", terms,
    )  # fmt: skip
    return [line], line.value(), "d", "d"


def _sgd(given: _Given) -> list[Line]:
    """w ← w − lr·b, b = μ·b + (1 − τ)·d (Sutskever et al. 2013 in torch's form)."""
    lines, slope, name, latex = _effective_gradient(given, decay=True)
    rate, momentum = given.number("lr"), given.number("momentum")
    step = ("−lr", r"-\eta", -rate)
    meaning = (("lr", r"\eta", "the learning rate"),)
    if float(momentum) == 0:
        return [*lines, _move("−lr·" + name, rf"-\eta {latex}", [("", [step, (name, latex, slope)])], meaning)]
    held = given.state.get("momentum_buffer")
    kept = _number(1.0) if held is None else 1 - given.number("dampening")
    terms: list[tuple[str, Factors]] = [("this step", [("(1−τ)", r"(1-\tau)", kept), (name, latex, slope)])]
    if held is not None:
        terms.insert(0, ("what was gathered before", [("μ", r"\mu", momentum), ("b₀", "b_0", held)]))
    buffer = Line(
        "The velocity",
        "Momentum keeps a share μ of the direction gathered so far, so that steps in the same direction add up and "
        "zigzags cancel." + ("" if held is not None else " This is the first step: nothing was gathered yet."),
        "b", "b", f"μ·b₀ + (1−τ)·{name}" if held is not None else name,
        rf"\mu b_0+(1-\tau) {latex}" if held is not None else latex, terms,
    )  # fmt: skip
    if given.settings.get("nesterov"):
        moves = [
            ("", [step, (name, latex, slope)]),
            ("look ahead", [step, ("μ", r"\mu", momentum), ("b", "b", buffer.value())]),
        ]
        return [*lines, buffer, _move(f"−lr·{name} − lr·μ·b", rf"-\eta {latex}-\eta\mu b", moves, meaning)]
    return [*lines, buffer, _move("−lr·b", r"-\eta b", [("", [step, ("b", "b", buffer.value())])], meaning)]


def _adam(given: _Given) -> list[Line]:
    """Kingma and Ba 2015, algorithm 1; with decoupled decay Loshchilov and Hutter 2019, algorithm 2."""
    decoupled = bool(given.settings.get("decoupled_weight_decay"))
    lines, slope, name, latex = _effective_gradient(given, decay=not decoupled)
    first, second = (torch.as_tensor(one, dtype=torch.float64) for one in given.settings["betas"])
    time = float(given.held("step", _number(0.0))) + 1
    zero = torch.zeros_like(slope)
    mean = Line(
        "The running mean of the gradient",
        f"A share β₁ of the old mean is kept and the rest taken from this gradient. This is step {time:.0f}.",
        "m", "m", f"β₁·m₀ + (1−β₁)·{name}", rf"\beta_1 m_0+(1-\beta_1) {latex}",
        [
            ("", [("β₁", r"\beta_1", first), ("m₀", "m_0", given.held("exp_avg", zero))]),
            ("", [("(1−β₁)", r"(1-\beta_1)", 1 - first), (name, latex, slope)]),
        ],
    )  # fmt: skip
    square = Line(
        "The running mean of its square",
        "The same of the gradient's square: it measures how large gradients of this weight usually are.",
        "v", "v", f"β₂·v₀ + (1−β₂)·{name}²", rf"\beta_2 v_0+(1-\beta_2) {latex}^2",
        [
            ("", [("β₂", r"\beta_2", second), ("v₀", "v_0", given.held("exp_avg_sq", zero))]),
            ("", [("(1−β₂)", r"(1-\beta_2)", 1 - second), (f"{name}²", f"{latex}^2", slope * slope)]),
        ],
    )  # fmt: skip
    power = f"{time:.0f}"
    fair_mean = _corrected("m", "β₁", r"\beta_1", mean.value(), left=1 - first**time, power=power)
    spread = square.value()
    lines += [mean, square]
    if given.settings.get("amsgrad"):
        spread = torch.maximum(given.held("max_exp_avg_sq", zero), spread)
    fair_square = _corrected("v", "β₂", r"\beta_2", spread, left=1 - second**time, power=power)
    lines += [fair_mean, fair_square]
    rate, tiny = given.number("lr"), given.number("eps")
    divisor = 1 / (fair_square.value().sqrt() + tiny)
    terms: list[tuple[str, Factors]] = [
        ("the gradient's step", [
            ("−lr", r"-\eta", -rate), ("m̂", r"\hat m", fair_mean.value()),
            ("1/(√v̂+ε)", r"\frac{1}{\sqrt{\hat v}+\epsilon}", divisor),
        ])
    ]  # fmt: skip
    formula, written = "−lr·m̂/(√v̂+ε)", r"-\eta\frac{\hat m}{\sqrt{\hat v}+\epsilon}"
    decay = given.number("weight_decay")
    if decoupled and float(decay) != 0:
        terms.append(("the decay", [("−lr", r"-\eta", -rate), ("λ", r"\lambda", decay), ("w", "w", given.weight)]))
        formula, written = formula + " − lr·λ·w", written + r"-\eta\lambda w"
    meanings = (
        ("lr", r"\eta", "the learning rate"),
        ("ε", r"\epsilon", f"{float(tiny):g}, against division by 0"),
        ("λ", r"\lambda", "the weight decay"),
        ("w", "w", "the weight before"),
    )
    return [*lines, _move(formula, written, terms, meanings[: 4 if len(terms) > 1 else 2])]


def _rmsprop(given: _Given) -> list[Line]:
    """w ← w − lr·d/(√v + ε), v a running mean of d² (Hinton 2012), centred and with momentum where asked."""
    lines, slope, name, latex = _effective_gradient(given, decay=True)
    keep, zero = given.number("alpha"), torch.zeros_like(slope)
    square = Line(
        "The running mean of the gradient's square", "It measures how large gradients of this weight usually are.",
        "v", "v", f"α·v₀ + (1−α)·{name}²", rf"\alpha v_0+(1-\alpha) {latex}^2",
        [
            ("", [("α", r"\alpha", keep), ("v₀", "v_0", given.held("square_avg", zero))]),
            ("", [("(1−α)", r"(1-\alpha)", 1 - keep), (f"{name}²", f"{latex}^2", slope * slope)]),
        ],
    )  # fmt: skip
    lines.append(square)
    spread, under, under_latex = square.value(), "v", "v"
    if given.settings.get("centered"):
        mean = Line(
            "The running mean of the gradient", "Its square is taken off, so that v measures the spread alone.",
            "c", "c", f"α·c₀ + (1−α)·{name}", rf"\alpha c_0+(1-\alpha) {latex}",
            [
                ("", [("α", r"\alpha", keep), ("c₀", "c_0", given.held("grad_avg", zero))]),
                ("", [("(1−α)", r"(1-\alpha)", 1 - keep), (name, latex, slope)]),
            ],
        )  # fmt: skip
        lines.append(mean)
        spread, under, under_latex = spread - mean.value() ** 2, "v−c²", "v-c^2"
    divisor = 1 / (spread.sqrt() + given.number("eps"))
    factor = (f"1/(√({under})+ε)", rf"\frac{{1}}{{\sqrt{{{under_latex}}}+\epsilon}}", divisor)
    step, momentum = ("−lr", r"-\eta", -given.number("lr")), given.number("momentum")
    if float(momentum) == 0:
        return [
            *lines,
            _move(
                f"−lr·{name}·{factor[0]}", rf"-\eta {latex}{factor[1]}", [("", [step, (name, latex, slope), factor])]
            ),
        ]
    buffer = Line(
        "The velocity", "", "b", "b", f"μ·b₀ + {name}·{factor[0]}", rf"\mu b_0+{latex}{factor[1]}",
        [
            ("", [("μ", r"\mu", momentum), ("b₀", "b_0", given.held("momentum_buffer", zero))]),
            ("", [(name, latex, slope), factor]),
        ],
    )  # fmt: skip
    return [*lines, buffer, _move("−lr·b", r"-\eta b", [("", [step, ("b", "b", buffer.value())])])]


def _adagrad(given: _Given) -> list[Line]:
    """w ← w − lr/(1 + (t − 1)·η)·d/(√s + ε), s the sum of all squares (Duchi et al. 2011)."""
    lines, slope, name, latex = _effective_gradient(given, decay=True)
    time = float(given.held("step", _number(0.0))) + 1
    start = torch.zeros_like(slope) + given.number("initial_accumulator_value")
    total = Line(
        "The sum of all squares", "Every gradient so far makes later steps smaller.", "s", "s", f"s₀ + {name}²",
        f"s_0+{latex}^2",
        [("", [("s₀", "s_0", given.held("sum", start))]), ("", [(f"{name}²", f"{latex}^2", slope * slope)])],
    )  # fmt: skip
    rate = given.number("lr") / (1 + (time - 1) * given.number("lr_decay"))
    divisor = 1 / (total.value().sqrt() + given.number("eps"))
    factors = [("−lr", r"-\eta", -rate), (name, latex, slope), ("1/(√s+ε)", r"\frac{1}{\sqrt{s}+\epsilon}", divisor)]
    return [
        *lines,
        total,
        _move(f"−lr·{name}/(√s+ε)", rf"-\eta\frac{{{latex}}}{{\sqrt{{s}}+\epsilon}}", [("", factors)]),
    ]


def _corrected(letter: str, beta: str, latex: str, value: Tensor, *, left: Tensor, power: str) -> Line:
    """A running mean that started at 0, divided by the weight that it has gathered."""
    what = "mean" if letter == "m" else "square"
    return Line(
        f"The fair {what}",
        f"The running {what} started at 0; dividing by 1 − {beta}ᵗ makes up for the empty start (t = {power}).",
        f"{letter}̂", rf"\hat {letter}", f"{letter} / (1 − {beta}ᵗ)", rf"\frac{{{letter}}}{{1-{latex}^t}}",
        [("", [(letter, letter, value), (f"1/(1−{beta}ᵗ)", rf"\frac{{1}}{{1-{latex}^{{{power}}}}}", 1 / left)])],
    )  # fmt: skip


def _move(
    formula: str, latex: str, terms: list[tuple[str, Factors]], meanings: tuple[tuple[str, str, str], ...] = ()
) -> Line:
    """The last line: what is added to the weight."""
    return Line("The move", "This is added to the weight.", "Δw", r"\Delta w", formula, latex, terms, meanings)


def _number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


_RULES: dict[str, Callable[[_Given], list[Line]]] = {
    "SGD": _sgd,
    "Adam": _adam,
    "AdamW": _adam,
    "RMSprop": _rmsprop,
    "Adagrad": _adagrad,
}
