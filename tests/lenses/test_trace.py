"""Traces against autograd, finite differences, the optimisers themselves and the model run by hand."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import pellucid
from pellucid.errors import SettingsError, TraceError
from pellucid.lenses.trace import Trace, trace
from pellucid.results.base import Result


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, features: Tensor) -> Tensor:
        return self.fc2(torch.tanh(self.fc1(features)))


FEATURES = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
TARGET = torch.tensor([0, 2, 1, 2])


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


@pytest.fixture
def traced(net: Net) -> Trace:
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    return trace(net, FEATURES, target=TARGET, loss=functional.cross_entropy, optimizer=optimizer)


def test_the_public_name_is_the_lens() -> None:
    assert pellucid.trace is trace


def test_printing_shows_steps_and_parameters(traced: Trace) -> None:
    text = str(traced)
    assert "Net: 4 steps, loss" in text
    for word in ("linear", "tanh", "cross_entropy", "fc1", "fc2.weight", "AdamW"):
        assert word in text
    assert "<table" in traced._repr_html_()


def test_a_neuron_is_its_terms(net: Net, traced: Trace) -> None:
    explanation = traced["fc1"].neuron(3, example=1).explain()
    first, then = explanation.equations
    with torch.no_grad():
        inner = net.fc1(FEATURES)[1, 3]
    assert first.value == pytest.approx(float(inner))
    assert then.value == pytest.approx(math.tanh(float(inner)))
    assert explanation.value == then.value
    products = {term.factors[0].symbol: term.value for term in first.terms if len(term.factors) == 2}
    weights = net.fc1.weight.detach()[3]
    assert products["x[1,2]"] == pytest.approx(float(weights[2] * FEATURES[1, 2]))
    assert explanation.source_text == "return self.fc2(torch.tanh(self.fc1(features)))"


@pytest.mark.parametrize("name", ["fc1.weight", "fc1.bias", "fc2.weight", "features", "fc1", "fc2", "step 1"])
def test_gradients_add_up_to_autograd(net: Net, traced: Trace, name: str) -> None:
    shape = traced.names.find(name).shape
    index = tuple(side - 1 for side in shape)
    explanation = traced.gradient(name, index).explain()
    assert explanation.error < 1e-7
    total = sum(term.value for term in explanation.equations[0].terms) + explanation.equations[0].others_value
    parameter = dict(net.named_parameters()).get(name)
    if parameter is not None:
        loss = functional.cross_entropy(net(FEATURES), TARGET)
        expected = torch.autograd.grad(loss, parameter)[0][index]
        assert total == pytest.approx(float(expected), abs=1e-7)


def test_the_strongest_path_multiplies_to_a_share(traced: Trace) -> None:
    chain = traced.gradient("fc1.weight", (0, 0)).explain().equations[-1]
    assert chain.form == "product"
    assert chain.value == pytest.approx(math.prod(term.value for term in chain.terms))
    assert len(chain.terms) >= 4


def test_a_shared_weight_adds_up_over_its_uses() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.Linear(2, 2)

        def forward(self, state: Tensor) -> Tensor:
            for _ in range(3):
                state = torch.tanh(self.cell(state))
            return state

    torch.manual_seed(2)
    model, state = Twice(), torch.ones(1, 2)
    found = trace(model, state, loss=lambda out: out.sum())
    explanation = found.gradient("cell.weight", (0, 1)).explain()
    assert explanation.equations[0].title == "3 uses add up"
    assert len(explanation.equations[0].terms) == 3
    expected = torch.autograd.grad(model(state).sum(), model.cell.weight)[0][0, 1]
    assert explanation.value == pytest.approx(float(expected), rel=1e-5)
    assert explanation.error < 1e-6
    assert len(found["cell", 2].steps) == 1
    with pytest.raises(SettingsError, match="no call 3"):
        found["cell", 3]


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.3, weight_decay=0.01),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1),
    "amsgrad": lambda p: torch.optim.AdamW(p, lr=0.01, amsgrad=True),
    "maximize": lambda p: torch.optim.AdamW(p, lr=0.01, maximize=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True, weight_decay=0.01),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1, lr_decay=0.1, weight_decay=0.01),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_update_terms_add_up_to_the_optimizers_own_move(net: Net, kind: str) -> None:
    optimizer = OPTIMIZERS[kind](net.parameters())
    for _ in range(3):
        optimizer.zero_grad()
        functional.cross_entropy(net(FEATURES), TARGET).backward()
        optimizer.step()
    optimizer.zero_grad()
    found = trace(net, FEATURES, target=TARGET, loss=functional.cross_entropy, optimizer=optimizer)
    before = net.fc1.weight[2, 3].item()
    explanation = found.update("fc1.weight", (2, 3)).explain()
    assert found.check().agrees
    functional.cross_entropy(net(FEATURES), TARGET).backward()
    optimizer.step()
    moved = net.fc1.weight[2, 3].item() - before
    assert explanation.value == pytest.approx(moved, abs=1e-7)
    terms = sum(term.value for term in explanation.equations[-1].terms)
    assert terms == pytest.approx(moved, abs=1e-7)


def test_an_unknown_optimizer_is_opaque_and_says_so(net: Net) -> None:
    optimizer = torch.optim.Adamax(net.parameters())
    found = trace(net, FEATURES, target=TARGET, loss=functional.cross_entropy, optimizer=optimizer)
    explanation = found.update("fc1.bias", 0).explain()
    assert "opaque" in explanation.notes[0]
    assert any(item.verdict == "opaque" and item.oracle == "update terms" for item in found.check().checks)


def test_what_if_is_the_model_with_another_weight(net: Net, traced: Trace) -> None:
    state = copy.deepcopy(net.state_dict())
    found = traced.what_if("fc1.weight", (2, 1), value=1.5)
    edited = copy.deepcopy(net)
    with torch.no_grad():
        edited.fc1.weight[2, 1] = 1.5
        expected = functional.cross_entropy(edited(FEATURES), TARGET)
    assert found.loss_after == pytest.approx(float(expected), rel=1e-6)
    assert found.before == state["fc1.weight"][2, 1].item()
    assert found.slope == pytest.approx(traced.gradient("fc1.weight", (2, 1)).value)
    assert found.predicted_loss == pytest.approx(found.loss_before + found.slope * (1.5 - found.before))
    assert all(torch.equal(state[name], tensor) for name, tensor in net.state_dict().items())


def test_what_if_of_activations_and_inputs(net: Net, traced: Trace) -> None:
    found = traced.what_if("fc1", (0, 3), value=0.0)
    with torch.no_grad():
        hidden = net.fc1(FEATURES)
        hidden[0, 3] = 0.0
        expected = functional.cross_entropy(net.fc2(torch.tanh(hidden)), TARGET)
    assert found.loss_after == pytest.approx(float(expected), rel=1e-6)
    assert found.changed_outputs == 3
    moved = FEATURES.clone()
    moved[1, 1] = -2.0
    with torch.no_grad():
        output = net(moved)
    found = traced.what_if("features", (1, 1), value=-2.0)
    assert found.output_after == pytest.approx(output.double().flatten().numpy(), abs=1e-6)


def test_a_small_step_follows_the_slope(traced: Trace) -> None:
    before = traced.value("fc1.weight", (0, 0)).value
    found = traced.what_if("fc1.weight", (0, 0), value=before + 1e-2)
    curvature = found.loss_after - found.predicted_loss
    assert abs(curvature) < 0.05 * abs(found.predicted_loss - found.loss_before) + 1e-5


def test_check_compares_every_step(traced: Trace) -> None:
    found = traced.check()
    assert found.agrees
    assert found.opaque_steps == 0
    oracles = {item.oracle for item in found.checks}
    assert oracles == {"forward replay", "backward against autograd", "central differences", "update terms"}
    assert sum(item.oracle == "forward replay" for item in found.checks) == 4


def test_check_shows_a_disagreement(traced: Trace) -> None:
    gradient = traced.tape.parameters["fc2.weight"].gradient
    assert gradient is not None
    gradient[1, 2] += 0.01
    found = traced.check()
    assert not found.agrees
    wrong = [item for item in found.checks if item.verdict == "disagrees"]
    assert any("fc2.weight" in item.detail and "(1, 2)" in item.detail for item in wrong)
    assert "NOT EVERYTHING AGREES" in str(found)


def test_an_operation_without_a_rule_breaks_nothing() -> None:
    class Strange(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, x: Tensor) -> Tensor:
            return torch.cumprod(x * self.scale, 1).cumsum(1).digamma()

    found = trace(Strange(), torch.rand(2, 3) + 1, loss=lambda out: out.sum())
    checked = found.check()
    assert checked.agrees
    for step in found.tape.steps:
        text = str(found.value(f"step {step.index}", tuple(0 for _ in step.outputs[0].shape)).explain())
        assert text


def test_unknown_names_and_indices_say_what_there_is(traced: Trace) -> None:
    with pytest.raises(SettingsError, match="no module called 'fc3'") as caught:
        traced["fc3"]
    assert "'fc2'" in caught.value.remedy
    with pytest.raises(SettingsError, match=r"called 'fc1.wieght'") as caught:
        traced.gradient("fc1.wieght", (0, 0))
    assert "'fc1.weight'" in caught.value.remedy
    with pytest.raises(SettingsError, match="outside") as caught:
        traced.gradient("fc1.weight", (8, 0))
    assert "0–7, 0–4" in caught.value.remedy
    with pytest.raises(SettingsError, match="no index of"):
        traced.value("fc1.weight", 3)
    with pytest.raises(SettingsError, match="no step 9"):
        traced.value("step 9")
    with pytest.raises(SettingsError, match="neuron 8"):
        traced["fc1"].neuron(8)
    with pytest.raises(SettingsError, match="integer"):
        traced.what_if("target", 0, value=0.5)


def test_without_a_loss_there_is_no_gradient(net: Net) -> None:
    found = trace(net, FEATURES)
    assert found["fc1"].neuron(0).explain().equations
    with pytest.raises(SettingsError, match="no loss"):
        _ = found.loss
    with pytest.raises(SettingsError, match="no gradient") as caught:
        found.gradient("fc1.weight", (0, 0)).explain()
    assert "loss" in caught.value.remedy
    with pytest.raises(SettingsError, match="does not move"):
        found.update("fc1.weight", (0, 0))
    assert math.isnan(found.what_if("fc1.weight", (0, 0), value=1.0).loss_after)


def test_a_model_that_raises_is_told_by_its_line(net: Net) -> None:
    with pytest.raises(TraceError, match="linear"):
        trace(net, torch.ones(2, 4))


def test_references_lead_on(traced: Trace) -> None:
    start = traced.gradient("fc1.weight", (1, 1)).explain()
    for reference in start.walk_on:
        assert traced.follow(reference).explain().title
        assert eval(reference.call, {"trace": traced}).index == reference.index
    assert isinstance(Result.from_bytes(start.to_bytes()), type(start))


def test_a_nan_loss_is_said(net: Net) -> None:
    with torch.no_grad():
        net.fc2.bias[0] = float("nan")
    found = trace(net, FEATURES, target=TARGET, loss=functional.cross_entropy)
    note = found.outline().note
    assert "nan" in note
    assert "step 2 (linear in fc2)" in note
    assert str(found.loss.explain())
    assert str(found.gradient("fc1.weight", (0, 0)).explain())


def test_an_empty_batch_has_an_outline_and_a_check(net: Net) -> None:
    found = trace(net, torch.zeros(0, 5), loss=lambda out: out.sum())
    assert "0 × 8" in str(found)
    assert found.check().agrees


class Dropping(nn.Module):
    """Every kind of dropout behind a relu, whose zeros do not show what was drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.plain, self.alpha = nn.Linear(4, 8), nn.Dropout(0.5), nn.AlphaDropout(0.3)
        self.memory = nn.LSTM(8, 6, 3, dropout=0.4, batch_first=True, proj_size=3)

    def forward(self, x: Tensor) -> Tensor:
        hidden, _ = self.memory(self.alpha(self.plain(torch.relu(self.linear(x)))))
        return functional.scaled_dot_product_attention(hidden, hidden, hidden, dropout_p=0.5)


def test_what_dropout_drew_is_known_exactly() -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    found = trace(Dropping(), torch.randn(2, 5, 4), loss=lambda out: (out**2).mean())
    before = torch.get_rng_state()
    checked = found.check()
    assert not torch.equal(state, before)
    assert torch.equal(before, torch.get_rng_state())
    assert checked.agrees
    assert not checked.opaque
    assert {item.verdict for item in checked.checks} <= {"bit-equal", "within bound"}


@pytest.mark.parametrize(
    "loss",
    [
        lambda out: ((out - 1) ** 2).mean(),
        lambda out: (out.abs() ** 0.5).sum(),
        lambda out: (2**out).sum() + torch.pow(2.0, out).sum(),
        lambda out: pow(out, 2).sum() + out.pow(3).sum() + torch.pow(out.abs(), out).sum(),
    ],
)
def test_powers_in_every_form(loss: Any) -> None:
    torch.manual_seed(0)
    found = trace(nn.Linear(3, 2), torch.rand(4, 3), loss=loss)
    assert str(found.loss.explain())
    assert found.gradient("weight", (0, 0)).explain().error < 1e-5
    checked = found.check()
    assert checked.agrees
    assert not checked.opaque
