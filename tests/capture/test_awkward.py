"""Models that are awkward to trace: each is traced rightly, or refused with the operation and the line.

The oracle is a plain pass of a twin model with the same random draws: its output, its parameters' gradients. Around
every trace the model's state, the random streams, the modes and torch's own functions are compared.
"""

from __future__ import annotations

import copy
import dataclasses
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

import pellucid
from pellucid.capture.tape_structures import tensors_in
from pellucid.errors import SettingsError, TraceError
from pellucid.lenses.trace import Trace
from tests.capture.test_tape import copied, same, snapshot
from tests.capture.zoo import Case, total


class Of(nn.Module):
    """A model whose forward pass is a function of (module, *inputs), with a linear layer to train."""

    def __init__(self, run: Callable[..., Any], inside: int = 4, outside: int = 4) -> None:
        super().__init__()
        self.run = run
        self.linear = nn.Linear(inside, outside)
        self.register_buffer("count", torch.zeros(()))

    def forward(self, *inputs: Any) -> Any:
        return self.run(self, *inputs)


def traced_like_a_plain_pass(case: Case, *, tolerance: bool = False, disagrees: bool = False) -> Trace:
    """Trace a case and hold outputs, gradients and everything around the trace against plain PyTorch."""
    twin = copy.deepcopy(case.model)
    before, stream, stack = snapshot(case), torch.get_rng_state(), torch._C._len_torch_function_stack()
    trace = pellucid.trace(case.model, *case.inputs, keywords=case.keywords, target=case.target, loss=case.loss)
    assert torch.equal(torch.get_rng_state(), stream)
    assert torch._C._len_torch_function_stack() == stack
    after = snapshot(case)
    assert list(after["state"]) == list(before["state"])
    for name, (identity, content, version, follows) in before["state"].items():
        assert after["state"][name][0] == identity
        assert same(after["state"][name][1], content)
        assert after["state"][name][2:] == (version, follows)
    assert all(parameter.grad is None for parameter in case.model.parameters())
    output = twin(*copied(case.inputs), **(case.keywords or {}))
    for path, tensor in tensors_in(output):
        found = trace.tape.outputs[path or "output"]
        assert same(trace.tape.read(found), tensor.detach()), path
    losses = case.loss(output) if case.target is None else case.loss(output, case.target)
    loss = sum(losses.values()) if isinstance(losses, dict) else losses
    named = dict(twin.named_parameters())
    assert trace.tape.loss is not None
    assert same(trace.tape.read(trace.tape.loss), loss.detach())
    gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    for (name, _), gradient in zip(named.items(), gradients, strict=True):
        found = trace.tape.parameters[name].gradient
        assert (found is None) == (gradient is None), name
        if gradient is not None and tolerance:
            torch.testing.assert_close(found, gradient, equal_nan=True)
        elif gradient is not None:
            assert same(found, gradient), name
    assert trace.check().agrees is not disagrees
    return trace


def x(*shape: int, **options: Any) -> Tensor:
    return torch.randn(*(shape or (3, 4)), **options)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    torch.manual_seed(0)
    yield
    assert torch._C._len_torch_function_stack() == 0
    assert torch.is_grad_enabled()


def ops(trace: Trace) -> list[str]:
    return [step.op for step in trace.tape.steps]


# -- control flow and calls --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_branch_that_depends_on_the_data(sign: float) -> None:
    def run(module: Of, given: Tensor) -> Tensor:
        h = module.linear(given)
        return h.relu() if given.sum() > 0 else h.tanh()

    trace = traced_like_a_plain_pass(Case(Of(run), (sign * torch.ones(2, 4),), total))
    assert ("relu" in ops(trace)) is (sign > 0)
    [decision] = trace.tape.decisions
    assert (decision.kind, decision.outcome) == ("bool", sign > 0)


def test_functional_calls_only() -> None:
    def run(module: Of, given: Tensor) -> Tensor:
        h = functional.linear(given, module.linear.weight.t() @ module.linear.weight, module.linear.bias)
        return functional.layer_norm(functional.gelu(h), (4,)).softmax(-1)

    traced_like_a_plain_pass(Case(Of(run), (x(),), total))


def test_a_cell_used_again_and_again() -> None:
    def run(module: Of, given: Tensor) -> Tensor:
        h = torch.zeros(given.shape[0], 4)
        for row in given.unbind(1):
            h = torch.tanh(module.linear(h) + row)
        return h

    trace = traced_like_a_plain_pass(Case(Of(run), (x(2, 5, 4),), total), tolerance=True)
    assert [call.call for call in trace.tape.calls if call.module == "linear"] == list(range(5))


def test_a_generator_that_is_read_lazily() -> None:
    def run(module: Of, given: Tensor) -> Tensor:
        parts = (module.linear(row) * (n + 1) for n, row in enumerate(given))
        return sum(part.square() for part in parts)

    traced_like_a_plain_pass(Case(Of(run), (x(),), total), tolerance=True)


def test_a_model_that_yields_is_refused_in_words() -> None:
    def run(module: Of, given: Tensor) -> Any:
        yield module.linear(given)

    with pytest.raises((TraceError, SettingsError), match="generator"):
        pellucid.trace(Of(run), x(), loss=total)


# -- writing -----------------------------------------------------------------------------------------------------------


def test_in_place_operations() -> None:
    def run(module: Of, given: Tensor) -> Tensor:
        h = module.linear(given).mul_(2).add_(1)
        h[:, 1] = 0
        h[h > 2] *= 0.5
        h.clamp_(min=-1)
        return h.sigmoid_()

    traced_like_a_plain_pass(Case(Of(run), (x(),), total), tolerance=True)


def test_views_that_are_written() -> None:
    def run(module: Of, given: Tensor) -> Tensor:
        h = module.linear(given) * 1
        left, right = h[:, :2], h[:, 2:]
        left.mul_(3)
        h.view(-1)[::5].add_(1)
        h.t()[0].zero_()
        return h.diagonal().sum() + right.square().sum() + h.unfold(1, 2, 1).exp().sum()

    traced_like_a_plain_pass(Case(Of(run), (x(),), lambda out: out), tolerance=True)


def test_what_if_across_in_place_writes_and_views() -> None:
    def run(module: Of, given: Tensor) -> Tensor:
        h = module.linear(given) * 1
        h[:, 0] += 1
        flat = h.view(-1)
        flat.mul_(2)
        h[0].exp_()
        return h

    model, given = Of(run), x()
    trace = pellucid.trace(model, given, loss=total)
    [features] = trace.tape.inputs
    for name, index, value in (("linear.weight", (0, 1), 0.7), ("linear.bias", (2,), -1.0), (features, (1, 2), 0.3)):
        twin, changed = copy.deepcopy(model), given.clone()
        with torch.no_grad():
            (changed if "." not in name else twin.get_parameter(name))[index] = value
        answer = trace.what_if(name, index, value=value)
        assert answer.loss_after == total(twin(changed)).item()
        assert answer.loss_before == total(model(given)).item()


def test_buffers_that_change_in_the_forward_pass() -> None:
    def run(module: Of, given: Tensor) -> Tensor:
        module.count += 1
        module.count = module.count * 2
        return module.linear(given) * module.count

    model = Of(run)
    traced_like_a_plain_pass(Case(model, (x(),), total))
    assert float(model.count) == 0


def test_shared_weights() -> None:
    def run(module: Of, given: Tensor) -> Tensor:
        return functional.linear(module.linear(given).relu(), module.twin.weight)

    model = Of(run)
    model.twin = nn.Linear(4, 4)
    model.twin.weight = model.linear.weight
    trace = traced_like_a_plain_pass(Case(model, (x(),), total), tolerance=True)
    assert trace.tape.parameters["linear.weight"].aliases == ("twin.weight",)


def test_weight_norm_and_spectral_norm() -> None:
    norms = nn.utils.parametrizations
    model = nn.Sequential(norms.weight_norm(nn.Linear(4, 4)), norms.spectral_norm(nn.Linear(4, 3)))
    traced_like_a_plain_pass(Case(model, (x(),), total), tolerance=True)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
def test_the_older_weight_norm_and_spectral_norm() -> None:
    model = nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 4)), nn.utils.spectral_norm(nn.Linear(4, 3)))
    before = {name: item.clone() for name, item in model.state_dict().items()}
    pellucid.trace(model, x(), loss=total)
    assert all(same(before[name], item) for name, item in model.state_dict().items())


# -- dispatch of another kind ------------------------------------------------------------------------------------------


def test_a_compiled_module_inside_and_outside() -> None:
    inner = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    plain = copy.deepcopy(inner)
    given = x()
    compiled = torch.compile(inner)
    for model in (compiled, nn.Sequential(compiled, nn.Flatten())):
        trace = pellucid.trace(model, given, loss=total)
        assert ops(trace)[:2] == ["linear", "tanh"]
        assert same(trace.tape.read(next(iter(trace.tape.outputs.values()))), plain(given).detach())
    assert model[0] is compiled
    assert (
        ops(pellucid.trace(Of(lambda module, y: torch.compile(functional.gelu)(module.linear(y))), given))[0]
        == "linear"
    )


def test_vmap_inside_the_model() -> None:
    def run(module: Of, given: Tensor) -> Tensor:
        rows = torch.vmap(lambda row: torch.tanh(module.linear.weight @ row) + module.linear.bias)(given * 2)
        return rows + 1

    model, given = Of(run), x()
    trace = traced_like_a_plain_pass(Case(model, (given,), total), tolerance=True)
    assert ops(trace)[:3] == ["mul", "vmap", "add"]
    assert trace.check().opaque == ("vmap",)
    for tape in (trace, pellucid.trace(model, given)):
        with pytest.raises(TraceError, match="vmap"):
            tape.what_if("linear.weight", (0, 0), value=1.0)


def test_a_gradient_by_torch_func_inside_the_model() -> None:
    def run(module: Of, given: Tensor) -> Tensor:
        return torch.func.grad(lambda y: module.linear(y).tanh().sum())(given)

    traced_like_a_plain_pass(Case(Of(run), (x(),), total), tolerance=True)


def checkpointed(reentrant: bool) -> Of:
    def run(module: Of, given: Tensor) -> Tensor:
        h = module.linear(given)
        h = checkpoint(lambda y: functional.dropout(torch.tanh(module.linear(y)), 0.5), h, use_reentrant=reentrant)
        return h * 2

    return Of(run)


def test_activation_checkpointing() -> None:
    trace = traced_like_a_plain_pass(Case(checkpointed(False), (x(),), total), tolerance=True)
    assert ops(trace).count("linear") == 2


def test_reentrant_checkpointing_is_shown_forward_and_refused_backward() -> None:
    """torch itself gives no chosen gradients there; the message says where it is and what to write instead."""
    model = checkpointed(True)
    assert ops(pellucid.trace(model, x()))[:3] == ["linear", "linear", "tanh"]
    before = {name: item.clone() for name, item in model.state_dict().items()}
    with pytest.raises(TraceError, match="use_reentrant=False") as caught:
        pellucid.trace(model, x(), loss=total)
    assert "checkpoint.checkpoint" in str(caught.value)
    assert "test_awkward.py" in str(caught.value)
    assert all(same(before[name], item) for name, item in model.state_dict().items())


class Clipped(torch.autograd.Function):
    """Sums two numbers forward, clips the gradient backward."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return a + b, a * b

    @staticmethod
    def backward(ctx: Any, one: Tensor, two: Tensor) -> tuple[Tensor, Tensor]:
        return one.clamp(-1, 1), two.clamp(-1, 1)


def test_a_custom_function_is_opaque_and_named() -> None:
    def run(module: Of, given: Tensor) -> Tensor:
        one, two = Clipped.apply(module.linear(given), given)
        return one * 2 + two

    trace = traced_like_a_plain_pass(Case(Of(run), (x(),), total), tolerance=True)
    assert trace.check().opaque == ("Clipped",)


def test_hooks_of_the_user_run_and_stay() -> None:
    model = Of(lambda module, given: module.linear(given))
    seen: list[str] = []
    model.linear.register_forward_pre_hook(lambda module, args: (args[0] * 2,))
    model.linear.register_forward_hook(lambda module, args, out: out.relu())
    model.linear.register_full_backward_hook(lambda module, inputs, outputs: seen.append("backward"))
    trace = traced_like_a_plain_pass(Case(model, (given := x(),), total), tolerance=True)
    assert [op for op in ops(trace) if op != "view_as"][:3] == ["mul", "linear", "relu"]
    assert "backward" in seen
    assert len(model.linear._forward_hooks) == len(model.linear._forward_pre_hooks) == 1
    model.linear.weight.register_hook(lambda gradient: gradient * 3)
    hooked = pellucid.trace(model, given, loss=total)
    plain, tripled = (one.tape.parameters["linear.weight"].gradient for one in (trace, hooked))
    assert torch.equal(tripled, plain * 3)
    check = hooked.check()
    assert check.agrees
    assert any("hook of your own" in item.detail for item in check.checks)


def test_a_forward_pass_that_calls_backward() -> None:
    def run(module: Of, given: Tensor) -> Tensor:
        module.linear(given.detach()).square().sum().backward()
        assert module.linear.weight.grad is not None
        return module.linear(given) - 0.1 * module.linear.weight.grad.sum()

    model = Of(run)
    trace = pellucid.trace(model, given := x(), loss=total)
    assert model.linear.weight.grad is None
    expected = total(model(given))
    assert float(expected) == float(trace.loss.value)
    model.zero_grad()


def test_callers_without_gradients() -> None:
    given, model = x(), Of(lambda module, y: module.linear(y).tanh())
    expected = pellucid.trace(model, given, loss=total).gradient("linear.weight", (0, 0)).value
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            trace = pellucid.trace(model, given, loss=total)
            assert trace.gradient("linear.weight", (0, 0)).value == expected
            assert not torch.is_grad_enabled()
            assert torch.is_inference_mode_enabled() is (context is torch.inference_mode)
            assert ops(pellucid.trace(model, given)) == ["linear", "tanh"]
            assert trace.check().agrees


def test_inputs_made_in_inference_mode() -> None:
    with torch.inference_mode():
        given = x()
    trace = pellucid.trace(Of(lambda module, y: module.linear(y)), given, loss=total)
    assert trace.check().agrees


# -- numbers -----------------------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_a_number() -> None:
    trace = traced_like_a_plain_pass(Case(Of(lambda module, y: module.linear(y).log()), (x(),), total), tolerance=True)
    assert trace.loss.value != trace.loss.value
    assert "nan" in trace.outline().note.lower()


def test_steps_without_a_derivative() -> None:
    def run(module: Of, given: Tensor) -> Tensor:
        h = module.linear(given)
        return h.round() + h.sign() * h + functional.one_hot(h.argmax(-1), 4) * h.topk(2).values[:, :1]

    traced_like_a_plain_pass(Case(Of(run), (x(),), total), tolerance=True)


def test_an_operation_that_autograd_refuses_matters_only_on_the_way_to_a_weight() -> None:
    traced_like_a_plain_pass(Case(Of(lambda module, y: module.linear(y // 0.5)), (x(),), total), tolerance=True)
    with pytest.raises(TraceError, match="floor_divide") as caught:
        pellucid.trace(Of(lambda module, y: module.linear(y) // 0.5), x(), loss=total)
    assert "test_awkward.py" in str(caught.value)


@pytest.mark.parametrize("shape", [(0, 4), (3, 0, 4)])
def test_a_batch_of_nothing(shape: tuple[int, ...]) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.LayerNorm(4), nn.Linear(4, 2))
    traced_like_a_plain_pass(Case(model, (x(*shape),), total))
    pictures = nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2, 2))
    traced_like_a_plain_pass(Case(pictures, (x(0, 1, 4, 4),), total))


@pytest.mark.filterwarnings("ignore:Casting complex values")
def test_complex_numbers() -> None:
    def run(module: Of, given: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(module.linear(given))
        return spectrum.abs() + torch.view_as_real(spectrum * (1 + 2j)).sum(-1) + spectrum.real - spectrum.angle()

    traced_like_a_plain_pass(Case(Of(run), (x(),), total), tolerance=True)


@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_sparse_matrices() -> None:
    def run(module: Of, given: Tensor) -> Tensor:
        return torch.sparse.mm(given, module.linear.weight) + given @ module.linear.weight

    for adjacency in (x(4, 4).relu().to_sparse(), x(4, 4).relu().to_sparse_csr()):
        model = Of(run)
        trace = pellucid.trace(model, adjacency, loss=total)
        twin = copy.deepcopy(model)
        total(twin(adjacency)).backward()
        torch.testing.assert_close(trace.tape.parameters["linear.weight"].gradient, twin.linear.weight.grad)
        assert trace.check().agrees
        assert str(trace)


def test_a_sparse_gradient() -> None:
    model = nn.Sequential(nn.Embedding(5, 4, sparse=True), nn.Linear(4, 2))
    trace = pellucid.trace(model, torch.tensor([[1, 1, 3]]), loss=total)
    assert trace.check().agrees
    assert trace.gradient("0.weight", (3, 0)).value != 0


def test_mixed_precision_by_autocast() -> None:
    def run(module: Of, given: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            h = module.linear(given)
            assert h.dtype is torch.bfloat16
            return h.relu() @ module.linear.weight

    trace = traced_like_a_plain_pass(Case(Of(run), (x(),), lambda out: out.float().square().sum()), tolerance=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        around = pellucid.trace(Of(lambda module, y: module.linear(y)), x(), loss=lambda out: out.float().sum())
        assert torch.is_autocast_enabled("cpu")
    assert around.tape.steps[0].outputs[0].dtype is torch.bfloat16
    assert trace.check().agrees


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_of_other_widths(dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.LayerNorm(6), nn.Linear(6, 3)).to(dtype)
    target = torch.tensor([0, 2, 1])
    trace = traced_like_a_plain_pass(Case(model, (x().to(dtype),), functional.cross_entropy, target), tolerance=True)
    assert trace.tape.parameters["0.weight"].gradient.dtype is dtype


def test_integer_inputs_only() -> None:
    model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(8, 2))
    trace = traced_like_a_plain_pass(Case(model, (torch.tensor([[1, 2], [2, 8]]),), total), tolerance=True)
    assert next(iter(trace.tape.inputs.values())).gradient is None


# -- structures and losses ---------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Answer:
    logits: Tensor
    more: tuple[Tensor, dict[str, Tensor]]


@pytest.mark.parametrize("kind", ["dict", "tuple", "dataclass"])
def test_structured_outputs_and_several_losses(kind: str) -> None:
    def run(module: Of, given: Tensor) -> Any:
        h = module.linear(given)
        return {"dict": {"a": h, "b": [h * 2]}, "tuple": (h, (h * 2,)), "dataclass": Answer(h, (h, {"c": h * 2}))}[kind]

    def losses(output: Any) -> dict[str, Tensor]:
        first, *_, last = [tensor for _, tensor in tensors_in(output)]
        return {"one": first.square().mean(), "two": last.sum()}

    trace = traced_like_a_plain_pass(Case(Of(run), (x(),), losses), tolerance=True)
    assert list(trace.tape.losses) == ["one", "two"]


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_a_model_that_raises_half_way() -> None:
    def run(module: Of, given: Tensor) -> Tensor:
        h = module.linear(given)
        return h @ given  # the shapes do not fit

    with pytest.raises(TraceError) as caught:
        pellucid.trace(Of(run), x(), loss=total)
    assert "matmul" in str(caught.value)
    assert "test_awkward.py" in str(caught.value)
    assert "h @ given" in str(caught.value)
    assert [step.op for step in caught.value.tape.steps] == ["linear"]


def test_a_model_without_numbers_is_refused() -> None:
    with torch.device("meta"):
        model = nn.Linear(4, 4)
    with pytest.raises((TraceError, SettingsError), match="meta"):
        pellucid.trace(model, x(3, 4, device="meta"), loss=total)


# -- what is left behind -----------------------------------------------------------------------------------------------

_FRESH = """
import sys, torch
from torch import nn
import pellucid
from pellucid.errors import TraceError

def patched():
    found = {}
    for place in (torch, torch.Tensor, torch._C.TensorBase, nn.functional, torch.autograd, nn.Module, nn.init):
        found |= {(place.__name__, key): id(item) for key, item in vars(place).items()}
    for name, module in sys.modules.items():
        if name.startswith("torch.nn.modules."):
            for kind in [item for item in vars(module).values() if isinstance(item, type)]:
                found |= {(kind.__qualname__, key): id(item) for key, item in vars(kind).items()
                          if key not in ("__abstractmethods__", "_abc_impl")}
    return found

def modes():
    return (torch._C._len_torch_function_stack(), torch._C._len_torch_dispatch_stack(),
            torch.is_grad_enabled(), torch.is_inference_mode_enabled(), sys.gettrace(), sys.getprofile(),
            len(nn.modules.module._global_forward_hooks), len(nn.modules.module._global_forward_pre_hooks),
            len(nn.modules.module._global_backward_hooks))

model = nn.Sequential(nn.Linear(4, 4), nn.LSTM(4, 4, batch_first=True))
given = torch.randn(2, 3, 4)
model(given)[0].sum().backward(); model.zero_grad()
import pellucid.lenses.trace, pellucid.core.rules.registry
before, around = patched(), modes()
code = model[0].forward.__func__.__code__
trace = pellucid.trace(model, given, loss=lambda out: out[0].sum())
try:
    pellucid.trace(nn.Sequential(nn.Linear(4, 3), nn.Linear(4, 3)), given, loss=lambda out: out.sum())
except TraceError:
    pass
after = patched()
assert modes() == around, (modes(), around)
changed = [key for key in before if after.get(key) != before[key] and key != ("RemovableHandle", "next_id")]
assert not changed, changed
assert model[0].forward.__func__.__code__ is code
assert type(model[0]) is nn.Linear and "forward" not in model[0].__dict__
assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
class Count(torch.overrides.TorchFunctionMode):
    calls = 0
    def __torch_function__(self, func, types, args=(), kwargs=None):
        Count.calls += 1
        return func(*args, **(kwargs or {}))
with Count():
    given + 1
assert Count.calls == 1, Count.calls
"""


def test_nothing_is_left_behind_in_torch() -> None:
    """A fresh process: the same functions at the same places, no mode, no hook, so plain calls are what they were."""
    done = subprocess.run([sys.executable, "-c", _FRESH], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
