"""Curvature against the dense Hessian by torch.func, against JᵀHJ written out, and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, hessian, jacrev
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from pellucid.errors import DataError, SettingsError, TrainingError
from pellucid.lenses.curvature import measure_curvature
from pellucid.results.base import Result


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.BatchNorm1d(8), nn.Linear(8, 3)).double()


def data(seed: int = 0, count: int = 50) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, dtype=torch.float64, generator=generator), torch.randint(
        3, (count,), generator=generator
    )


def output_of(model: nn.Module, x: Tensor, flat: Tensor) -> Tensor:
    held, at = {}, 0
    for name, value in model.named_parameters():
        held[name], at = flat[at : at + value.numel()].reshape(value.shape), at + value.numel()
    return functional_call(model.eval(), held, (x,))


def flat_of(model: nn.Module) -> Tensor:
    return torch.cat([value.detach().reshape(-1) for value in model.parameters()])


def test_eigenvalues_are_those_of_the_dense_hessian() -> None:
    model, (x, y) = network(), data()
    dense = hessian(lambda flat: functional.cross_entropy(output_of(model, x, flat), y))(flat_of(model))
    exact = torch.linalg.eigvalsh(dense).numpy()
    loader = DataLoader(TensorDataset(x, y), batch_size=20)
    found = measure_curvature(
        model, loader, top=3, smallest=2, tolerance=1e-12, check=True, keep_vectors=True, density=20, density_steps=99
    )
    assert found.eigenvalues == pytest.approx(exact[::-1][:3], rel=1e-9)
    assert found.smallest == pytest.approx(exact[:2], rel=1e-9)
    assert found.checked_residual < 1e-9
    assert found.converged
    assert found.descends
    first = np.concatenate([part[0].ravel() for part in found.eigenvectors.values()])
    assert dense.numpy() @ first == pytest.approx(found.sharpness * first, abs=1e-8)
    assert found.trace is not None
    assert abs(found.trace - exact.sum()) < 5 * found.trace_error
    density = found.density
    assert np.trapezoid(density.density, density.grid) == pytest.approx(1.0, abs=1e-3)
    assert abs(density.negative - (exact < -density.zero).mean()) < 4 * density.negative_error


def test_gauss_newton_is_the_jacobian_sandwich() -> None:
    model, (x, y) = network(1), data(1)
    jacobian = jacrev(lambda flat: output_of(model, x, flat))(flat_of(model))
    p = output_of(model, x, flat_of(model)).softmax(1).detach()
    dense = sum(j.T @ (torch.diag(q) - torch.outer(q, q)) @ j for j, q in zip(jacobian, p, strict=True)) / len(x)
    found = measure_curvature(model, (x, y), top=2, matrix="gauss_newton", tolerance=1e-12, trace=600)
    assert found.eigenvalues == pytest.approx(torch.linalg.eigvalsh(dense).numpy()[::-1][:2], rel=1e-9)
    assert found.trace == pytest.approx(float(torch.trace(dense)), rel=1e-9)
    assert not found.descends
    hessian_of_it = measure_curvature(model, (x, y), trace=0, density=0)
    assert found.gradient_norm == pytest.approx(hessian_of_it.gradient_norm)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_linear_regression_has_its_design_matrix(reduction: str) -> None:
    """L = ½ mean (xw − y)²: H = XᵀX/n."""
    x, y = torch.randn(70, 5, dtype=torch.float64), torch.randn(70, 1, dtype=torch.float64)

    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.reduction = reduction

        def forward(self, output: Tensor, target: Tensor) -> Tensor:
            each = 0.5 * (output - target) ** 2
            return each.mean() if reduction == "mean" else each.sum()

    model = nn.Linear(5, 1, bias=False).double()
    loader = [(x[:30], y[:30]), (x[30:], y[30:])]
    found = measure_curvature(model, loader, Half(), top=5, tolerance=1e-12, learning_rate=0.5, momentum=0.9)
    scale = 70 if reduction == "mean" else 1
    exact = torch.linalg.eigvalsh(x.T @ x / scale).numpy()
    assert found.eigenvalues == pytest.approx(exact[::-1])
    assert found.stability == pytest.approx(0.5 * exact[-1])
    assert found.stability_limit == pytest.approx(3.8)
    assert not found.descends


def test_gradient_descent_leaves_the_minimum_exactly_past_the_limit() -> None:
    x = torch.randn(40, 3, dtype=torch.float64)
    y = x @ torch.ones(3, 1, dtype=torch.float64)
    model = nn.Linear(3, 1, bias=False).double()
    sharpness = measure_curvature(model, (x, y), tolerance=1e-12, trace=0, density=0).sharpness
    for factor, shrinks in ((1.99, True), (2.01, False)):
        weight = torch.ones(1, 3, dtype=torch.float64) + 1e-3
        for _ in range(3000):
            weight = weight - factor / sharpness * 2 / 40 * (weight - 1) @ (x.T @ x)
        assert bool((weight - 1).norm() < 1e-3) is shrinks


def test_the_model_is_left_as_it_was() -> None:
    model, (x, y) = network().train(), data()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    measure_curvature(model, (x, y))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(value.grad is None for value in model.parameters())
    assert model.training
    assert model[2].training


def test_a_layer_used_twice_stays_a_layer() -> None:
    layer = nn.Linear(3, 3)
    model = nn.Sequential(layer, nn.Tanh(), layer, nn.Linear(3, 3))
    model[3].bias = layer.bias
    x = torch.randn(9, 3)
    found = measure_curvature(model, (x, x), top=2, trace=0, density=0)
    assert isinstance(layer.weight, nn.Parameter)
    assert model[3].bias is layer.bias
    assert found.parameters == 9 + 3 + 9
    dense = hessian(
        lambda flat: functional.mse_loss(
            torch.tanh(x @ flat[:9].reshape(3, 3).T + flat[9:12]) @ flat[:9].reshape(3, 3).T @ flat[12:].reshape(3, 3).T
            + flat[9:12] @ flat[12:].reshape(3, 3).T
            + flat[9:12],
            x,
        )
    )(flat_of(model))
    assert found.sharpness == pytest.approx(float(torch.linalg.eigvalsh(dense)[-1]), rel=1e-4)


def test_a_frozen_layer_is_left_out_and_an_unused_one_is_flat() -> None:
    model, (x, y) = network(), data()
    model[0].requires_grad_(False)
    found = measure_curvature(model, (x, y), trace=0, density=0)
    assert found.parameters == 16 + 27
    model[0].unused = nn.Parameter(torch.zeros(4, dtype=torch.float64))
    again = measure_curvature(model, (x, y), trace=0, density=0)
    assert again.parameters == found.parameters + 4
    assert again.sharpness == pytest.approx(found.sharpness, rel=1e-3)


def test_it_goes_through_a_file(tmp_path) -> None:
    found = measure_curvature(network(), data(), keep_vectors=True)
    again = Result.load(found.save(tmp_path / "curvature.safetensors"))
    assert again.eigenvalues == pytest.approx(found.eigenvalues)
    assert again.density.density == pytest.approx(found.density.density)


def test_errors_name_place_and_remedy() -> None:
    model, (x, y) = network(), data()
    with pytest.raises(SettingsError, match="no parameter"):
        measure_curvature(nn.ReLU(), (x, y))
    with pytest.raises(SettingsError, match="no single number"):
        measure_curvature(model, (x, y), nn.CrossEntropyLoss(reduction="none"))
    with pytest.raises(SettingsError, match="no loss follows"):
        measure_curvature(model, (x, y[:, None, None]))
    with pytest.raises(DataError, match="no examples"):
        measure_curvature(model, [])
    with pytest.raises(SettingsError, match="momentum"):
        measure_curvature(model, (x, y), momentum=1.5)
    with torch.no_grad():
        model[3].weight[0, 0] = float("nan")
    with pytest.raises(TrainingError, match="loss at these weights is nan") as caught:
        measure_curvature(model, (x, y))
    assert caught.value.place == "3.weight"
    linear = measure_curvature(nn.Linear(3, 1), (x.float(), y.float()), lambda z, t: z.mean(), trace=3, density=1)
    assert linear.sharpness == 0
