"""Tapes of awkward models: what they hold is what plain torch computes, and nothing is left behind."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pellucid.capture.tape import Tape, record_tape
from pellucid.capture.tape_replay import run_step
from pellucid.errors import SettingsError, TraceError
from tests.capture.zoo import Case, Stateful, cases, total

CASES = cases()


def make(name: str) -> Case:
    torch.manual_seed(0)
    return CASES[name]()


def record(case: Case, **settings: Any) -> Tape:
    return record_tape(case.model, case.inputs, case.keywords, target=case.target, loss=case.loss, **settings)


def copied(structure: Any) -> Any:
    if isinstance(structure, Tensor):
        return structure.clone()
    if isinstance(structure, tuple):
        return tuple(copied(item) for item in structure)
    return {k: copied(v) for k, v in structure.items()} if isinstance(structure, dict) else structure


def plain_gradients(case: Case) -> dict[str, Tensor | None]:
    """Each parameter's gradient from an ordinary pass with the same random draws."""
    output = case.model(*copied(case.inputs), **(case.keywords or {}))
    loss = case.loss(output) if case.target is None else case.loss(output, case.target)
    loss = sum(loss.values()) if isinstance(loss, dict) else loss
    named = dict(case.model.named_parameters())
    return dict(zip(named, torch.autograd.grad(loss, list(named.values()), allow_unused=True), strict=True))


def same(one: Tensor, other: Tensor) -> bool:
    return (
        one.shape == other.shape
        and one.dtype == other.dtype
        and torch.equal(one.nan_to_num(7.5), other.nan_to_num(7.5))
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_a_plain_pass(name: str, training: bool) -> None:
    case = make(name)
    case.model.train(training)
    torch.manual_seed(1)
    tape = record(case)
    torch.manual_seed(1)
    for parameter, gradient in plain_gradients(case).items():
        found = tape.parameters[parameter].gradient
        if gradient is None or found is None:
            assert gradient is None
            assert found is None
        else:
            torch.testing.assert_close(found, gradient, equal_nan=True)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_every_step_run_again_gives_what_it_gave(name: str, training: bool) -> None:
    case = make(name)
    case.model.train(training)
    tape = record(case)

    def read(value: Any) -> Tensor:
        assert value.tensor is not None
        return value.tensor

    runnable = 0
    with torch.no_grad():
        for step in tape.steps:
            if step.callable is None:
                continue
            runnable += 1
            for out, result in zip(step.outputs, run_step(step, read), strict=False):
                assert same(read(out), result.detach()), step
    assert runnable


@pytest.mark.parametrize("name", CASES)
def test_gradients_agree_with_a_local_product_at_every_step(name: str) -> None:
    """The gradient of a value is the sum of what its readers hand back: autograd, one step at a time."""
    case = make(name)
    tape = record(case)
    if any(step.callable is None for step in tape.steps):
        pytest.skip("a custom function's derivative is not its forward's")
    sums: dict[int, Tensor] = {}
    for step in reversed(tape.steps):
        grads = [(i, out.gradient) for i, out in enumerate(step.outputs) if out.gradient is not None]
        if not grads or not step.grad_enabled or step.identity:
            continue
        leaves: dict[int, Tensor] = {}

        def read(value: Any, leaves: dict[int, Tensor] = leaves) -> Tensor:
            tensor = value.tensor.detach()
            if not value.requires_grad:
                return tensor
            return leaves.setdefault(value.id, tensor.clone().requires_grad_())

        results = run_step(step, read)
        pairs = [(results[i], g) for i, g in grads if results[i].requires_grad]
        ids = list(leaves)
        parts = torch.autograd.grad(
            [r for r, _ in pairs], [leaves[i] for i in ids], [g for _, g in pairs], allow_unused=True
        )
        for key, part in zip(ids, parts, strict=True):
            if part is not None:
                sums[key] = sums[key] + part if key in sums else part
    for key, total_gradient in sums.items():
        value = tape.values[key]
        if value.gradient is not None and value.origin != "parameter":
            torch.testing.assert_close(value.gradient, total_gradient, equal_nan=True, rtol=1e-4, atol=1e-5)


def snapshot(case: Case) -> dict[str, Any]:
    model = case.model
    attributes = {
        f"{name}.{key}": (id(item), list(item) if isinstance(item, list | dict | set) else None)
        for name, module in model.named_modules()
        for key, item in module.__dict__.items()
    }
    return {
        "state": {
            k: (id(v), v.clone(), v._version, v.requires_grad) for k, v in model.state_dict(keep_vars=True).items()
        },
        "gradients": {k: (id(p.grad), None if p.grad is None else p.grad.clone()) for k, p in model.named_parameters()},
        "attributes": attributes,
        "inputs": copied(case.inputs),
        "torch rng": torch.get_rng_state(),
        "numpy rng": np.random.get_state()[1],
        "grad": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "modes": torch.overrides._get_current_function_mode_stack(),
        "hooks": {
            name: len(each)
            for name, each in vars(torch.nn.modules.module).items()
            if name.startswith("_global_") and isinstance(each, dict)
        },
        "functions": [
            id(getattr(owner, n))
            for owner in (torch, functional, Tensor)
            for n in sorted(owner.__dict__)
            if n[:2] != "__"
        ],
    }


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor | np.ndarray):
        return same(torch.as_tensor(one), torch.as_tensor(other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(equal(a, b) for a, b in zip(one, other, strict=True))
    return one is other or one == other


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_everything_is_as_before(name: str, gradients: bool) -> None:
    case = make(name)
    if gradients:
        for parameter in case.model.parameters():
            parameter.grad = torch.ones_like(parameter)
    optimizer = torch.optim.Adam(case.model.parameters())
    cache = case.model.cache.clone() if isinstance(case.model, Stateful) else None
    before = snapshot(case)
    record(case, optimizer=optimizer)
    after = snapshot(case)
    for key in before:
        assert equal(before[key], after[key]), key
    assert not optimizer.state
    if cache is not None:
        assert torch.equal(cache, case.model.cache)


class Raises(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.first, self.second, self.norm, self.kind = nn.Linear(3, 4), nn.Linear(5, 2), nn.BatchNorm1d(4), kind
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        h = functional.dropout(self.norm(self.first(x)))
        if self.kind == "python":
            raise ValueError("no luck")
        if self.kind == "backward":
            h = h.exp()
            loss = h.sum()
            h.add_(1)
            return loss
        return self.second(h)


@pytest.mark.parametrize("kind", ["op", "python", "backward"])
def test_a_model_that_raises_half_way_names_the_place_and_leaves_nothing(kind: str) -> None:
    case = Case(Raises(kind), (torch.randn(4, 3),), total)
    before = snapshot(case)
    with pytest.raises(TraceError) as caught:
        record(case)
    assert equal(before, snapshot(case))
    tape = caught.value.tape
    failure = tape.failure
    assert [step.op for step in tape.steps][:4] == ["linear", "add", "batch_norm", "dropout"]
    text = str(caught.value)
    assert "test_tape.py" in text
    if kind == "op":
        assert (failure.phase, failure.module, failure.function) == ("forward", "second", "torch.nn.functional.linear")
        assert failure.source.text == "return self.second(h)"
        assert "module second" in text
    elif kind == "python":
        assert failure.source.text == 'raise ValueError("no luck")'
        assert isinstance(caught.value.__cause__, ValueError)
    else:
        assert failure.phase == "backward"
        assert failure.source.text == "h.add_(1)"


def test_an_exception_in_the_loss_is_named() -> None:
    with pytest.raises(TraceError, match=r"the loss raised in torch.nn.functional.mse_loss"):
        record_tape(nn.Linear(3, 2), torch.randn(4, 3), target=torch.randn(5, 7), loss=functional.mse_loss)


def test_the_steps_name_module_line_and_arguments() -> None:
    case = make("functional")
    tape = record(case)
    first = tape.steps[0]
    assert first.op == "linear"
    assert first.arguments["input"] is tape.inputs["x"]
    assert first.arguments["weight"] is tape.parameters["weight"]
    assert first.source is not None
    assert first.source.text == "h = torch.tanh(functional.linear(x, self.weight))"
    assert [d.kind for d in tape.decisions] == ["bool"]
    assert tape.decisions[0].outcome is False
    assert next(v for v in tape.values if v.origin == "constant").name == "scale"
    assert tape.loss is not None
    assert tape.losses == {"loss": tape.loss}
    assert tape.loss.gradient is not None
    assert tape.loss.gradient.item() == 1


def test_module_calls_are_counted_and_nested() -> None:
    tape = record(make("cell in a loop"))
    cells = [call for call in tape.calls if call.module == "cell"]
    assert [call.call for call in cells] == [0, 1, 2, 3]
    assert all(call.parent == 0 for call in cells)
    assert {step.call for step in tape.steps if step.module == "cell"} == {0, 1, 2, 3}
    shared = record(make("shared layer"))
    assert [(s.module, s.call) for s in shared.steps if s.op == "linear"] == [("0", 0), ("0", 1)]
    assert shared.parameters["0.weight"].aliases == ("2.weight",)


def test_an_in_place_operation_keeps_the_value_before() -> None:
    class Doubled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            h = x + 1
            h.mul_(2)
            return h

    tape = record_tape(Doubled(), torch.ones(2), loss="output")
    before, after = tape.steps[1].written[0]
    assert tape.steps[1].in_place
    assert tape.read(before).tolist() == [2.0, 2.0]
    assert tape.read(after).tolist() == [4.0, 4.0]
    assert before.gradient is not None
    assert before.gradient.tolist() == [2.0, 2.0]


def test_a_custom_function_is_one_opaque_step_with_its_own_gradient() -> None:
    tape = record(make("custom function"))
    opaque = next(step for step in tape.steps if step.op == "Straight")
    assert opaque.callable is None
    assert [v.producer for v in opaque.inputs] == [1]
    gradient = opaque.outputs[0].gradient
    assert gradient is not None
    assert opaque.inputs[0].gradient is not None
    torch.testing.assert_close(opaque.inputs[0].gradient, gradient * 0.5)


def test_several_losses_have_names_and_their_sum_is_differentiated() -> None:
    tape = record(make("vae"))
    assert set(tape.losses) == {"reconstruction", "divergence"}
    parts = [tape.read(value) for value in tape.losses.values()]
    assert tape.loss is not None
    torch.testing.assert_close(tape.read(tape.loss), parts[0] + parts[1])
    assert all(v.gradient is not None and v.gradient.item() == 1 for v in tape.losses.values())


def test_outputs_by_path_and_a_chosen_one() -> None:
    case = make("structures")
    tape = record_tape(case.model, case.inputs, case.keywords, loss="hidden[1]")
    assert list(tape.outputs) == ["logits", "hidden[0]", "hidden[1]"]
    assert list(tape.inputs) == ["batch.ids", "batch.mask", "scale"]
    chosen = tape.outputs["hidden[1]"].gradient
    assert chosen is not None
    assert torch.equal(chosen, torch.ones(2, 4))
    assert tape.outputs["logits"].gradient is None
    with pytest.raises(SettingsError, match="no tensor 'scores'"):
        record_tape(case.model, case.inputs, case.keywords, loss="scores")


def test_a_forward_pass_alone() -> None:
    tape = record_tape(nn.Linear(2, 1), torch.randn(3, 2))
    assert tape.loss is None
    assert all(value.gradient is None for value in tape.values)
    with pytest.raises(SettingsError, match="no loss"):
        record_tape(nn.Linear(2, 1), torch.randn(3, 2), optimizer=torch.optim.SGD(nn.Linear(2, 1).parameters(), 0.1))


def test_a_compiled_module_is_traced_as_written() -> None:
    inner = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    inner[0].compile(backend="eager")
    compiled = torch.compile(nn.Sequential(inner, nn.Linear(3, 1)), backend="eager")
    tape = record_tape(compiled, torch.randn(4, 2), loss="output")
    assert [step.op for step in tape.steps] == ["linear", "relu", "linear", "sum"]
    assert list(tape.parameters) == ["0.0.weight", "0.0.bias", "1.weight", "1.bias"]


def test_tracing_within_no_grad_and_inference_mode() -> None:
    model = nn.Linear(2, 1)
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            tape = record_tape(model, torch.ones(3, 2), loss="output")
        assert tape.parameters["bias"].gradient is not None
        assert tape.parameters["bias"].gradient.tolist() == [3.0]


@pytest.mark.parametrize(
    "make_optimizer",
    [
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        lambda p: torch.optim.AdamW(p, 0.01, amsgrad=True),
        lambda p: torch.optim.RMSprop(p, 0.01),
        lambda p: torch.optim.Adagrad(p, 0.01),
    ],
)
def test_the_update_is_the_one_that_the_optimizer_then_makes(make_optimizer: Any) -> None:
    case = make("mlp")
    optimizer = make_optimizer(case.model.parameters())
    for _ in range(2):
        tape = record(case, optimizer=optimizer)
        before = {name: p.detach().clone() for name, p in case.model.named_parameters()}
        optimizer.zero_grad()
        case.loss(case.model(*case.inputs), case.target).backward()
        optimizer.step()
        for name, parameter in case.model.named_parameters():
            update = tape.updates[name]
            assert torch.equal(update.after, parameter)
            assert update.before.data_ptr() == parameter.data_ptr() or torch.equal(update.before, before[name])
            for key, item in optimizer.state[parameter].items():
                if isinstance(item, Tensor):
                    assert torch.equal(update.state_after[key], item)


def test_a_parameter_that_changed_since_is_not_passed_off_as_traced() -> None:
    model = nn.Linear(2, 1)
    tape = record_tape(model, torch.ones(3, 2), loss="output")
    with torch.no_grad():
        model.weight.add_(1)
    with pytest.raises(TraceError, match="weight has changed since"):
        tape.read(tape.parameters["weight"])


def test_replay_with_an_edit_is_a_pass_with_the_edit() -> None:
    case = make("cnn")
    tape = record(case)
    weight = tape.parameters["0.weight"]
    edited = tape.read(weight).clone()
    edited[0, 0, 0, 0] += 0.5
    assert tape.loss is not None
    rng = torch.get_rng_state()
    (loss,) = tape.replay({weight.id: edited}, [tape.loss])
    assert torch.equal(rng, torch.get_rng_state())
    with torch.no_grad():
        case.model[0].weight.copy_(edited)
    expected = case.loss(case.model(*case.inputs), case.target)
    torch.testing.assert_close(loss, expected.detach())


def test_pythons_own_random_stream_is_as_before() -> None:
    """In a process of its own: the type checks of the tests draw from that stream."""
    script = """
import random
from torch import nn
import torch
from pellucid.capture.tape import record_tape
class Drawing(nn.Linear):
    def forward(self, x):
        return super().forward(x) * random.random()
model, before = Drawing(2, 1), random.getstate()
record_tape(model, torch.ones(3, 2), loss="output")
assert random.getstate() == before
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("limit", [0, 300])
@pytest.mark.parametrize("name", CASES)
def test_what_a_memory_limit_dropped_is_computed_again(name: str, limit: int) -> None:
    case = make(name)
    torch.manual_seed(1)
    whole = record(case)
    torch.manual_seed(1)
    tape = record(case, memory_limit=limit)
    assert len(tape.values) == len(whole.values)
    kept = {
        t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()
        for v in tape.values
        if v.producer is not None and (t := v.tensor) is not None and not v.name and tape.steps[v.producer].callable
    }
    assert any(v.tensor is None for v in tape.values) or sum(kept.values()) <= 300
    some = slice(None, None, 1 + len(tape.values) // 30)
    for found, expected in zip(tape.values[some], whole.values[some], strict=True):
        assert expected.tensor is not None
        if found.producer is not None or found.tensor is not None:
            assert same(tape.read(found), expected.tensor), found
        gradient = tape.read_gradient(found)
        if gradient is None or expected.gradient is None:
            assert gradient is None or not gradient.any()
            assert expected.gradient is None or not expected.gradient.any()
        else:
            torch.testing.assert_close(gradient, expected.gradient, equal_nan=True, rtol=1e-4, atol=1e-5)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(600, 512)
        self.head = nn.Linear(512, 600, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.embed(ids).tanh())


def test_the_gradients_of_a_large_shared_weight_are_added_up() -> None:
    torch.manual_seed(0)
    model, ids = Tied(), torch.randint(0, 600, (2, 3))
    tape = record_tape(model, ids, loss=total)
    (expected,) = torch.autograd.grad(total(model(ids)), [model.embed.weight])
    found = tape.parameters["embed.weight"].gradient
    assert found is not None
    torch.testing.assert_close(found, expected)
    assert [step.index for step in tape.steps if tape.parameters["embed.weight"] in step.inputs] == [0, 2]


def test_adding_them_up_changes_no_other_gradient() -> None:
    class Summed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(512, 600))
            self.same = self.weight

        def forward(self, x: Tensor) -> Tensor:
            return (x + self.weight) + self.same

    model, x = Summed(), torch.randn(512, 600)
    tape = record_tape(model, x, loss=total)
    expected = 2 * (x + 2 * model.weight.detach())
    for value in (tape.inputs["x"], *tape.outputs.values(), tape.steps[0].outputs[0]):
        torch.testing.assert_close(value.gradient, expected)
    torch.testing.assert_close(tape.parameters["weight"].gradient, 2 * expected)
