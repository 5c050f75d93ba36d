"""Optimisers against torch's plain ones and the update rules written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pellucid.errors import SettingsError
from pellucid.training.networks import build_network
from pellucid.training.optimizers import build_optimizer, parameter_groups
from pellucid.training.spec import NetworkSpec, OptimizerSpec

INPUTS = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
TARGETS = INPUTS @ torch.tensor([[1.0], [-2.0], [0.5]]) + 1


def small_network() -> nn.Module:
    spec = NetworkSpec(widths=(7,), activation="tanh", normalization="layer")
    return build_network(spec, input_shape=(3,), outputs=1, seed=1)


def descend(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 20) -> list[Tensor]:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(INPUTS), TARGETS)
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)  # type: ignore[arg-type]  # torch asks for floats, its own documentation gives tensors
    return [parameter.detach() for parameter in model.parameters()]


PLAIN: dict[str, tuple[OptimizerSpec, Any]] = {
    "gradient_descent": (
        OptimizerSpec("gradient_descent", learning_rate=0.05),
        lambda p: torch.optim.SGD(p, lr=0.05, foreach=False),
    ),
    "sgd": (
        OptimizerSpec("sgd", learning_rate=0.02, momentum=0.9, nesterov=True),
        lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, nesterov=True, foreach=False),
    ),
    "rmsprop": (
        OptimizerSpec("rmsprop", learning_rate=0.01, momentum=0.5, beta2=0.95),
        lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.95, momentum=0.5, foreach=False),
    ),
    "adagrad": (
        OptimizerSpec("adagrad", learning_rate=0.05, epsilon=1e-10),
        lambda p: torch.optim.Adagrad(p, lr=0.05, foreach=False),
    ),
    "adam": (
        OptimizerSpec("adam", learning_rate=0.01, beta1=0.8, beta2=0.99),
        lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.99), foreach=False),
    ),
    "adamw": (OptimizerSpec("adamw", learning_rate=0.01), lambda p: torch.optim.AdamW(p, lr=0.01, foreach=False)),
}


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("name", PLAIN)
def test_equals_torchs_plain_implementation(name: str, decay: float) -> None:
    """The fused kernels that are chosen give the plain loop's weights, to rounding."""
    spec, plain = PLAIN[name]
    spec = OptimizerSpec.from_dict({**vars(spec), "weight_decay": decay})
    mine, theirs = small_network(), small_network()
    optimizer = build_optimizer(spec, mine)
    assert name == "rmsprop" or all(group["fused"] for group in optimizer.param_groups)
    groups = [
        {"params": [p for p in theirs.parameters() if p.ndim == 2], "weight_decay": decay},
        {"params": [p for p in theirs.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    for ours, expected in zip(descend(mine, optimizer), descend(theirs, plain(groups)), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_decoupled_decay_by_hand() -> None:
    """Without a gradient AdamW only shrinks weights, by learning rate × decay, and leaves biases and norms."""
    model = small_network()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    build_optimizer(OptimizerSpec("adamw", learning_rate=0.1, weight_decay=0.5), model).step()
    for was, parameter in zip(before, model.parameters(), strict=True):
        torch.testing.assert_close(parameter.detach(), was * (1 - 0.1 * 0.5) if was.ndim == 2 else was)


def test_lbfgs_solves_least_squares_in_a_few_steps() -> None:
    model = build_network(NetworkSpec(widths=()), input_shape=(3,), outputs=1)
    descend(model, build_optimizer(OptimizerSpec("lbfgs", learning_rate=1.0), model), steps=5)
    design = torch.cat((INPUTS, torch.ones(40, 1)), dim=1)
    solution = torch.linalg.lstsq(design, TARGETS).solution
    found = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    torch.testing.assert_close(found, solution.flatten(), rtol=1e-3, atol=1e-3)


def test_every_trainable_parameter_is_grouped_once() -> None:
    model = build_network(
        NetworkSpec(kind="cnn", normalization="batch", residual=True, head_widths=(4,)),
        input_shape=(1, 8, 8),
        outputs=2,
    )
    model.get_submodule("output").weight.requires_grad_(False)
    groups = parameter_groups(model, 0.1)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    assert all(parameter.ndim >= 2 for parameter in groups[0]["params"])
    assert all(parameter.ndim == 1 for parameter in groups[1]["params"])


def test_shared_weights_are_grouped_once() -> None:
    first = nn.Linear(3, 3)
    second = nn.Linear(3, 3)
    second.weight = first.weight
    groups = parameter_groups(nn.Sequential(first, second), 0.1)
    assert [len(group["params"]) for group in groups] == [1, 2]


def test_recurrent_biases_do_not_decay() -> None:
    model = build_network(NetworkSpec(kind="rnn", cell="lstm"), input_shape=(5, 2), outputs=1)
    kept = {id(parameter) for parameter in parameter_groups(model, 0.1)[1]["params"]}
    assert kept == {id(parameter) for name, parameter in model.named_parameters() if "bias" in name}


def test_double_precision_and_contradictions() -> None:
    model = small_network().double()
    optimizer = build_optimizer(OptimizerSpec("adam", learning_rate=0.1), model)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer.step()
    # Adam's first step is the learning rate against the gradient's sign (Kingma and Ba 2015, section 2.1).
    for was, parameter in zip(before, model.parameters(), strict=True):
        torch.testing.assert_close(parameter.detach(), was - 0.1)
    with pytest.raises(SettingsError, match="nesterov"):
        build_optimizer(OptimizerSpec("sgd", nesterov=True), model)
