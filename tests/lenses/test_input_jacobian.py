"""The local linear map, against autograd's own Jacobian, central differences, NumPy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pellucid.errors import DataError, SettingsError
from pellucid.lenses import input_jacobian
from pellucid.lenses.input_jacobian import measure_input_jacobian
from pellucid.results.base import Result


def smooth(inputs: int, outputs: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(inputs, 12), nn.Tanh(), nn.Linear(12, 9), nn.GELU(), nn.Linear(9, outputs))


def denoiser(bias: bool = False) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1, bias=bias),
        nn.ReLU(),
        nn.Conv2d(6, 1, 3, padding=1, bias=bias),
    )


class Attending(nn.Module):
    """An encoder layer of a transformer: attention, layer norm, dropout, GELU."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


def exact_jacobian(net: nn.Module, x: Tensor) -> np.ndarray:
    twin = net.double().eval()
    found = torch.autograd.functional.jacobian(lambda v: twin(v[None])[0], x.double())
    return found.reshape(-1, x.numel()).numpy()


@pytest.fixture
def by_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Jacobian counts as large."""
    monkeypatch.setattr(input_jacobian, "_MOST_ENTRIES", 0)


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (smooth(5, 3), (5,)),
        (smooth(3, 7), (3,)),
        (denoiser(bias=True), (1, 6, 6)),
        (Attending(), (4, 8)),
        (nn.Sequential(nn.Unflatten(1, (2, 4)), nn.Softmax(-1), nn.Flatten()), (8,)),
    ],
    ids=["wide", "tall", "pictures", "attention", "softmax"],
)
def test_matrix_is_autograds_and_that_of_differences(net: nn.Module, shape: tuple[int, ...]) -> None:
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    found = measure_input_jacobian(net, x[None])
    exact = exact_jacobian(net, x)
    assert np.abs(found.matrix - exact).max() < 1e-12
    step = 1e-6
    flat = x.double().flatten()
    for place in (0, len(flat) - 1):
        ends = []
        for sign in (1, -1):
            moved = flat.clone()
            moved[place] += sign * step
            ends.append(net(moved.reshape(1, *shape)).detach().flatten().numpy())
        assert found.matrix[:, place] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-7)
    values = np.linalg.svd(exact, compute_uv=False)
    assert found.singular_values == pytest.approx(values, abs=1e-12)
    assert found.frobenius_norm == pytest.approx(np.linalg.norm(exact))
    assert found.stable_rank == pytest.approx((values**2).sum() / values[0] ** 2)
    assert found.rank == np.linalg.matrix_rank(exact)
    part = values[values > 0] / values.sum()
    assert found.entropy_rank == pytest.approx(np.exp(-(part * np.log(part)).sum()))
    assert found.residual < 1e-12
    output = net(x.double()[None])[0].detach().numpy()
    assert found.output == pytest.approx(output)
    assert found.linear_part.ravel() == pytest.approx(exact @ flat.numpy())
    assert found.linear_part + found.bias_part == pytest.approx(output)


def test_bias_part_of_a_network_without_biases_is_nothing() -> None:
    """A bias-free ReLU network is homogeneous of degree one: f(x) = J x (Mohan et al. 2020)."""
    x = torch.randn(1, 1, 6, 6)
    assert measure_input_jacobian(denoiser(), x).bias_share < 1e-14
    assert measure_input_jacobian(denoiser(bias=True), x).bias_share > 0.05


@pytest.mark.usefixtures("by_iteration")
@pytest.mark.parametrize(("net", "shape"), [(smooth(30, 20), (30,)), (denoiser(), (1, 10, 10)), (Attending(), (6, 8))])
def test_iteration_finds_the_strongest_directions(net: nn.Module, shape: tuple[int, ...]) -> None:
    x = torch.randn(1, *shape, generator=torch.Generator().manual_seed(3))
    found = measure_input_jacobian(net, x, directions=5, probes=64)
    exact = exact_jacobian(net, x[0])
    values = np.linalg.svd(exact, compute_uv=False)
    assert not found.complete
    assert found.matrix.size == 0
    assert found.singular_values == pytest.approx(values[:5], rel=1e-9)
    assert found.residual < 1e-9
    for value, left, right in zip(found.singular_values, found.left, found.right, strict=True):
        assert exact @ right == pytest.approx(value * left, abs=1e-9)
    assert abs(found.frobenius_norm - np.linalg.norm(exact)) < 5 * found.frobenius_error + 1e-12
    assert found.rank == -1
    assert np.isnan(found.entropy_rank)
    assert found.linear_part.ravel() == pytest.approx(exact @ x.double().flatten().numpy())


def test_eigenvectors_of_an_image_to_image_network() -> None:
    x = torch.randn(1, 1, 6, 6, generator=torch.Generator().manual_seed(4))
    net = denoiser()
    basis = measure_input_jacobian(net, x).eigenbasis
    exact = exact_jacobian(net, x[0])
    assert basis is not None
    values = np.linalg.eigvalsh((exact + exact.T) / 2)
    assert np.sort(basis.values) == pytest.approx(values, abs=1e-12)
    assert (np.diff(np.abs(basis.values)) <= 1e-12).all()
    assert basis.residual < 1e-12
    assert basis.dimensions == pytest.approx(np.trace(exact))
    assert basis.asymmetry == pytest.approx(np.linalg.norm(exact - exact.T) / np.linalg.norm(exact + exact.T))
    own = np.linalg.eigvals(exact)
    assert np.sort_complex(basis.real + 1j * basis.imaginary) == pytest.approx(np.sort_complex(own))
    assert basis.input_parts[0] == pytest.approx(float(basis.vectors[0] @ x.double().flatten().numpy()))


@pytest.mark.usefixtures("by_iteration")
def test_eigenvectors_by_iteration() -> None:
    x = torch.randn(1, 1, 9, 9, generator=torch.Generator().manual_seed(5))
    net = denoiser()
    basis = measure_input_jacobian(net, x, directions=4, probes=64).eigenbasis
    exact = exact_jacobian(net, x[0])
    assert basis is not None
    values = np.linalg.eigvalsh((exact + exact.T) / 2)
    assert basis.values == pytest.approx(values[np.argsort(-np.abs(values))][:4], rel=1e-9)
    assert abs(basis.dimensions - np.trace(exact)) < 5 * basis.dimensions_error
    assert basis.asymmetry == pytest.approx(np.linalg.norm(exact - exact.T) / np.linalg.norm(exact + exact.T), rel=0.2)


def test_a_projection_keeps_as_many_dimensions_as_its_rank() -> None:
    net = nn.Linear(6, 6, bias=False)
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 2)))[0]
    net.weight = nn.Parameter(torch.tensor(basis @ basis.T))
    found = measure_input_jacobian(net, torch.ones(6))
    assert found.entropy_rank == pytest.approx(2)
    assert found.stable_rank == pytest.approx(2)
    assert found.rank == 2
    assert found.eigenbasis is not None
    assert found.eigenbasis.dimensions == pytest.approx(2)
    assert found.eigenbasis.asymmetry < 1e-12


def test_the_model_is_left_as_it_was_and_the_result_reads_back(tmp_path) -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(inplace=True), nn.Dropout(0.5)).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = measure_input_jacobian(net, torch.randn(3, 4), example=2)
    assert net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(value.grad is None for value in net.parameters())
    read = Result.load(found.save(tmp_path / "jacobian.safetensors"))
    assert np.array_equal(read.matrix, found.matrix)  # type: ignore[attr-defined]
    assert str(read) == str(found)


class Rounded(nn.Module):
    """Computes in float32 whatever it is given, and writes into its input."""

    def forward(self, x: Tensor) -> Tensor:
        x += 1
        return (x.float() ** 2).sum(1)


def test_precision_is_stated() -> None:
    found = measure_input_jacobian(Rounded(), torch.tensor([1.0, 2.0]))
    assert found.precision == "float32"
    assert found.matrix == pytest.approx(np.array([[4.0, 6.0]]))
    assert found.output_shape == ()


# Degenerate inputs


@pytest.mark.parametrize("large", [False, True])
def test_a_network_that_sees_nothing(large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if large:
        monkeypatch.setattr(input_jacobian, "_MOST_ENTRIES", 0)
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 4))
    with torch.no_grad():
        net[0].bias.fill_(-1e3)
    found = measure_input_jacobian(net, torch.ones(4))
    assert not found.singular_values.any()
    assert found.stable_rank == 0
    assert found.frobenius_norm == 0
    assert found.bias_share == 1
    assert str(found)


@pytest.mark.parametrize("large", [False, True])
def test_one_number_in_one_out(large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if large:
        monkeypatch.setattr(input_jacobian, "_MOST_ENTRIES", 0)
    net = nn.Sequential(nn.Linear(1, 3), nn.Sigmoid(), nn.Linear(3, 1))
    found = measure_input_jacobian(net, torch.tensor([0.3]), directions=3)
    assert found.singular_values == pytest.approx(np.abs(exact_jacobian(net, torch.tensor([0.3])))[0])
    wide = nn.Linear(5, 1)
    slope = measure_input_jacobian(wide, torch.ones(5))
    assert slope.singular_values == pytest.approx([float(wide.weight.detach().norm())], rel=1e-6)
    assert slope.frobenius_norm == pytest.approx(float(wide.weight.detach().norm()), rel=1e-6)


def test_wrong_inputs() -> None:
    net = smooth(3, 2)
    for given, words in (
        (torch.ones(2, 3, dtype=torch.int64), "whole numbers"),
        (torch.tensor([1.0, torch.nan, 0.0]), "NaN"),
        (torch.tensor(1.0), "without an axis"),
    ):
        with pytest.raises(DataError, match=words):
            measure_input_jacobian(net, given)
    with pytest.raises(DataError, match="no example 5"):
        measure_input_jacobian(net, torch.ones(2, 3), example=5)
    with pytest.raises(SettingsError, match="2 names for 3"):
        measure_input_jacobian(net, torch.ones(3), feature_names=("a", "b"))
    with pytest.raises(SettingsError, match="returns tuple"):
        measure_input_jacobian(nn.LSTM(3, 2, batch_first=True), torch.ones(1, 4, 3))
    with torch.no_grad():
        net[2].weight[0, 0] = torch.inf
    with pytest.raises(SettingsError, match=r"2\.weight"):
        measure_input_jacobian(net, torch.ones(3))
