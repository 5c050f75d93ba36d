"""Letters for the values of one explanation, and LaTeX read as plain text."""

from __future__ import annotations

import re

from pellucid.capture.tape import Tape
from pellucid.capture.tape_values import Value
from pellucid.results.explanation import SymbolMeaning

__all__ = ["Symbols", "entry_text", "plain"]

_LETTERS = {
    "z": "linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d matmul mm bmm addmm einsum",
    "a": "relu relu6 leaky_relu elu selu celu gelu silu mish sigmoid tanh hardtanh hardswish hardsigmoid softplus "
    "prelu",
    "p": "softmax",
    "ℓ": "log_softmax",
    "n": "batch_norm layer_norm group_norm instance_norm rms_norm normalize",
    "e": "embedding",
    "m": "max_pool1d max_pool2d max_pool3d adaptive_max_pool2d amax max",
    "q": "avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool2d mean",
    "o": "scaled_dot_product_attention",
    "h": "lstm gru rnn_tanh rnn_relu lstm_cell gru_cell rnn_tanh_cell",
}
_LETTER_OF = {op: letter for letter, ops in _LETTERS.items() for op in ops.split()}
_GREEK = {"ℓ": r"\ell"}
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")

_WORDS = {
    r"\partial": "∂", r"\sum": "Σ", r"\prod": "∏", r"\sigma": "σ", r"\cdot": "·", r"\times": "×", r"\max": "max",
    r"\min": "min", r"\tanh": "tanh", r"\exp": "exp", r"\log": "log", r"\ln": "ln", r"\epsilon": "ε",
    r"\varepsilon": "ε", r"\alpha": "α", r"\beta": "β", r"\gamma": "γ", r"\mu": "μ", r"\odot": "∘", r"\Phi": "Φ",
    r"\operatorname": "", r"\mathrm": "", r"\text": "", r"\left": "", r"\right": "", r"\,": " ", r"\;": " ",
    r"\lambda": "λ", r"\pi": "π", r"\phi": "φ", r"\hat": "", r"\neq": "≠", r"\leq": "≤", r"\geq": "≥", r"\le": "≤",
    r"\ge": "≥", r"\to": "→", r"\infty": "∞", r"\sin": "sin", r"\cos": "cos", r"\delta": "δ", r"\theta": "θ",
    r"\quad": "  ", r"\ell": "ℓ", r"\in": "∈", r"\bar": "", r"\approx": "≈", r"\!": "", r"\eta": "η", r"\tau": "τ",
}  # fmt: skip


class Symbols:
    """Gives each value of an explanation a letter of its own, and remembers what to say about it."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._given: dict[int, tuple[str, str]] = {}
        self._used: list[Value] = []
        self._taken: dict[str, int] = {}

    def of(self, value: Value) -> tuple[str, str]:
        """The value's letter, plain and in LaTeX."""
        if value.id not in self._given:
            self._given[value.id] = self._choose(value)
        if value not in self._used:
            self._used.append(value)
        return self._given[value.id]

    def prefer(self, value: Value, letter: str) -> None:
        """Call a value by this letter, unless it has one already."""
        if value.id not in self._given:
            self._given[value.id] = self._choose(value, letter)

    def entry(self, value: Value, index: tuple[int, ...]) -> tuple[str, str]:
        """One entry of a value: ``w[3,7]`` and ``w_{3,7}``."""
        text, latex = self.of(value)
        places = ",".join(map(str, index))
        return (f"{text}[{places}]", f"{latex}_{{{places}}}") if index else (text, latex)

    def gradient(self, value: Value, index: tuple[int, ...]) -> tuple[str, str]:
        """The loss's gradient by one entry."""
        text, latex = self.entry(value, index)
        loss = self._tape.loss is value
        return ("∂L/∂L", r"\frac{\partial L}{\partial L}") if loss else (
            f"∂L/∂{text}", rf"\frac{{\partial L}}{{\partial {latex}}}",
        )  # fmt: skip

    def meanings(self) -> tuple[SymbolMeaning, ...]:
        """What the letters used since the last call stand for."""
        found = tuple(SymbolMeaning(*self._given[value.id], self.describe(value)) for value in self._used)
        self._used = []
        return found

    def describe(self, value: Value) -> str:
        """A value in words: ``fc1.weight, 8 × 4``."""
        shape = " × ".join(map(str, value.shape)) or "one number"
        if self._tape.loss is value:
            return "the loss, one number"
        if value.producer is None:
            kind = {"input": "input ", "constant": "constant "}.get(value.origin, "")
            return f"{kind}{value.name or 'tensor'}, {shape}"
        step = self._tape.steps[value.producer]
        inside = f" in {step.module}" if step.module else " in the loss" if step.phase == "loss" else ""
        return f"output of {step.op}{inside} (step {step.index}), {shape}"

    def _choose(self, value: Value, letter: str = "") -> tuple[str, str]:
        letter = letter or self._letter(value)
        count = self._taken.get(letter, 0)
        self._taken[letter] = count + 1
        latex = _GREEK.get(letter, letter if len(letter) == 1 else rf"\mathrm{{{letter}}}".replace("_", r"\_"))
        if not count:
            return letter, latex
        mark = value.producer if value.producer is not None else count + 1
        return f"{letter}{str(mark).translate(_SUBSCRIPTS)}", f"{latex}^{{({mark})}}"

    def _letter(self, value: Value) -> str:
        if self._tape.loss is value:
            return "L"
        last = value.name.rpartition(".")[2]
        if value.producer is not None:
            return _LETTER_OF.get(self._tape.steps[value.producer].op, "h")
        if value.origin == "parameter":
            return {"weight": "w", "bias": "b"}.get(last, last)
        if value.origin == "input":
            return "y" if value.name.startswith("target") else "x"
        return last if last.isidentifier() else "c"


def entry_text(name: str, index: tuple[int, ...]) -> str:
    """``fc1.weight[3, 7]``; the name alone for a single number."""
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def plain(latex: str) -> str:
    r"""LaTeX as text that a terminal shows.

    >>> plain(r"\frac{e^{s}}{\sum_j e^{s_j}}"), plain(r"\max(0,x)")
    ('(e^s)/(Σ_j e^(s_j))', 'max(0,x)')
    """
    text = re.sub(r"\\hat\{?\s*(\w)\}?", "\\1\u0302", latex)
    for _ in range(4):
        text = re.sub(r"\\[dt]?frac\{((?:[^{}]|\{[^{}]*\})*)\}\{((?:[^{}]|\{[^{}]*\})*)\}", r"(\1)/(\2)", text)
    text = re.sub(r"\\frac(\w)(\w)", r"(\1/\2)", text)
    text = re.sub(r"\\sqrt\{((?:[^{}]|\{[^{}]*\})*)\}", r"√(\1)", text)
    for word in sorted(_WORDS, key=len, reverse=True):
        text = re.sub(
            re.escape(word) + (r"(?![A-Za-z])" if word[-1].isalpha() else ""), lambda _, w=word: _WORDS[w], text
        )
    text = re.sub(r"\{(\w)\}", r"\1", text)
    return (
        text.replace(r"\{", "{")
        .replace(r"\}", "}")
        .replace("{", "(")
        .replace("}", ")")
        .replace("-", "−")
        .replace("∂ ", "∂")
        .strip()
    )
