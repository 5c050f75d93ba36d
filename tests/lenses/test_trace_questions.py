"""Questions as documents against the same questions asked by calls."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torch.nn import functional

from pellucid.errors import SettingsError
from pellucid.lenses.trace import Trace, trace
from pellucid.lenses.trace_questions import answer


@pytest.fixture(scope="module")
def traced() -> Trace:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    target = torch.tensor([0, 1])
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    return trace(net, torch.randn(2, 3), target=target, loss=functional.cross_entropy, optimizer=optimizer)


def ask(traced: Trace, **question: object):
    return answer(traced, json.loads(json.dumps(question)))


def test_answers_are_those_of_the_calls(traced):
    where = {"name": "0.weight", "index": [1, 2]}
    assert ask(traced, ask="value", **where).value == traced.value("0.weight", (1, 2)).value
    assert ask(traced, ask="gradient", **where).value == traced.gradient("0.weight", (1, 2)).value
    assert ask(traced, ask="update", **where).value == traced.update("0.weight", (1, 2)).explain().value
    assert str(ask(traced, ask="value", name="step 1", index=[0, 3])) == str(traced.value("step 1", (0, 3)).explain())
    assert ask(traced, ask="loss").value == traced.loss.value
    assert ask(traced, ask="value", name="loss").value == traced.loss.value
    tried = traced.what_if("0.weight", (1, 2), value=2.0)
    assert ask(traced, ask="what_if", **where, value=2).loss_after == tried.loss_after
    assert ask(traced, ask="check").agrees
    assert ask(traced, ask="outline").steps == traced.outline().steps
    assert answer(traced, {"ask": "stepper"}, subject="row 1").subject == "row 1"


def test_inside_of_an_operation():
    torch.manual_seed(0)
    found = trace(nn.LSTM(2, 2), torch.randn(3, 1, 2))
    (step,) = [one.index for one in found.tape.steps if one.op == "lstm"]
    name, shape = next(iter(found.quantities_inside(step).items()))
    index = [0] * len(shape)
    inside = found.inside(step, name, tuple(index))
    assert ask(found, ask="inside", step=step, name=name, index=index).value == inside.value


@pytest.mark.parametrize(
    ("question", "place"),
    [
        ({}, "ask"),
        ({"ask": ["value"]}, "ask"),
        ({"ask": "values"}, "ask"),
        ({"ask": "value"}, "name"),
        ({"ask": "value", "name": 3}, "name"),
        ({"ask": "value", "name": "0.weight", "index": [0.5, 1]}, "index"),
        ({"ask": "value", "name": "0.weight", "index": [True, 1]}, "index"),
        ({"ask": "value", "name": "0.weight", "index": "01"}, "index"),
        ({"ask": "value", "name": "0.weight", "index": [9, 9]}, "0.weight"),
        ({"ask": "value", "name": "0.weights", "index": [0, 0]}, "0.weights"),
        ({"ask": "what_if", "name": "0.weight", "index": [0, 0]}, "value"),
        ({"ask": "what_if", "name": "0.weight", "index": [0, 0], "value": "1"}, "value"),
        ({"ask": "what_if", "name": "0.weight", "index": [0, 0], "value": True}, "value"),
        ({"ask": "inside", "name": "weights"}, "step"),
        ({"ask": "loss", "name": "0"}, "name"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(traced, question, place):
    with pytest.raises(SettingsError) as caught:
        answer(traced, question)
    assert caught.value.place == place
    assert caught.value.remedy
