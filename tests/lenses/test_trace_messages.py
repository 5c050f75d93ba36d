"""What a trace says to those who ask for what is not there, and what it shows in an interactive session."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from pellucid.errors import SettingsError
from pellucid.lenses.trace import Trace, trace


@pytest.fixture
def traced() -> Trace:
    torch.manual_seed(0)
    return trace(nn.Linear(4, 3), torch.randn(2, 4), target=torch.tensor([0, 2]), loss=functional.cross_entropy)


@pytest.mark.parametrize(
    ("ask", "said", "remedy"),
    [
        (lambda found: found.gradient("weigth", (0, 0)), "no value of the trace is called", "did you mean 'weight'"),
        (lambda found: found[""].neuron(9), "lies outside the output", "0–2"),
        (lambda found: found.what_if("weight", (0, 0), value=float("nan")), "nan is no number to try", "finite"),
        (
            lambda found: trace(nn.Linear(1, 1), torch.ones(1, 1), target=torch.ones(1, 1)),
            "a target needs a loss",
            "loss=",
        ),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(traced: Trace, ask, said: str, remedy: str):
    with pytest.raises(SettingsError) as told:
        ask(traced)
    assert said in told.value.message
    assert remedy in told.value.remedy


def test_an_interactive_session_shows_texts(traced: Trace):
    assert repr(traced.loss.explain()) == str(traced.loss.explain())
    assert repr(traced.loss).startswith("<loss = ")
    assert repr(traced[""]) == "<Linear: 1 step, output 2 × 3>"


def test_a_compiled_module_is_called_by_its_own_name():
    found = trace(torch.compile(nn.Linear(2, 1)), torch.ones(1, 2))
    assert found.model == "Linear"


def test_where_numbers_break_the_line_is_named():
    class Breaks(nn.Module):
        def forward(self, x):
            return torch.log(x - 10)  # below zero

    found = trace(Breaks(), torch.ones(2), loss=lambda output: output.sum())
    note = found.outline().note
    line = Breaks.forward.__code__.co_firstlineno + 1
    assert f"step 1 (log), {__file__}:{line}" in note


def test_no_heading_of_the_table_is_cut(traced: Trace):
    text = str(traced)
    for heading in ("step", "op", "module", "line", "shape", "values", "∂loss"):
        assert heading in text
