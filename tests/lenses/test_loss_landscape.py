"""The landscape against closed forms, against the authors' normalisation written plainly, and against scikit-learn."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.nn import functional

from pellucid.core.filter_normalization import normalize_direction, random_direction
from pellucid.errors import DataError, SettingsError, SourceNotFoundError, TrainingError
from pellucid.lenses.loss_landscape import measure_loss_landscape
from pellucid.results.base import Result


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 3)
    ).double()


def data(seed: int = 0, count: int = 24) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 1, 6, 6, dtype=torch.float64, generator=generator)
    return x, torch.randint(3, (count,), generator=generator)


def loss_at(model: nn.Module, moved: dict[str, Tensor], x: Tensor, y: Tensor, train: bool = False) -> float:
    twin = copy.deepcopy(model).train(train)
    with torch.no_grad():
        for name, value in twin.named_parameters():
            value.add_(moved[name])
        return float(functional.cross_entropy(twin(x), y))


def test_directions_are_normalised_as_the_authors_do() -> None:
    """The loops of section 4 as the authors' net_plotter.py has them: zip(direction, weights), d *= ‖w‖ ÷ ‖d‖."""
    model = network()
    parameters = {name: value.detach() for name, value in model.named_parameters()}
    drawn = random_direction(parameters, torch.Generator().manual_seed(3))
    found = normalize_direction(drawn, parameters)
    for name, weight in parameters.items():
        if weight.dim() <= 1:
            assert not found[name].any()
            continue
        for d, w, ours in zip(drawn[name], weight, found[name], strict=True):
            assert torch.allclose(d * (w.norm() / d.norm()), ours)
    large = torch.cat([random_direction({"w": torch.zeros(200, 200)}, torch.Generator())["w"].reshape(-1)])
    assert abs(float(large.mean())) < 0.02, "Gaussian, not uniform on [0, 1)"
    assert abs(float(large.std()) - 1) < 0.02


def test_a_transposed_convolution_counts_its_filters_by_outputs() -> None:
    model = nn.Sequential(nn.ConvTranspose2d(2, 3, 2, bias=False)).double()
    x, y = torch.randn(4, 2, 3, 3, dtype=torch.float64), torch.randn(4, 3, 4, 4, dtype=torch.float64)
    found = measure_loss_landscape(model, (x, y), dimensions=1, steps=3)
    assert found.lengths[0] == pytest.approx(float(model[0].weight.norm()))
    own = model[0].weight.detach()
    normalised = normalize_direction({"w": torch.ones_like(own)}, {"w": own}, "filter", {"w": 1})["w"]
    assert torch.allclose(
        torch.linalg.vector_norm(normalised, dim=(0, 2, 3)), torch.linalg.vector_norm(own, dim=(0, 2, 3))
    )


@pytest.mark.parametrize("vectorise", [True, False])
@pytest.mark.parametrize("batch", [24, 7])
def test_every_point_is_the_loss_of_a_model_moved_there(vectorise: bool, batch: int) -> None:
    model, (x, y) = network(), data()
    directions = [
        random_direction({n: v.detach() for n, v in model.named_parameters()}, torch.Generator().manual_seed(seed))
        for seed in (1, 2)
    ]
    loader = list(zip(x.split(batch), y.split(batch), strict=True))
    found = measure_loss_landscape(model, loader, directions=directions, steps=4, span=0.3, vectorise=vectorise)
    assert found.vectorised is vectorise
    assert 0.0 in found.s
    for row, t in enumerate(found.t):
        for column, s in enumerate(found.s):
            moved = {name: s * directions[0][name] + t * directions[1][name] for name in directions[0]}
            assert found.loss[row, column] == pytest.approx(loss_at(model, moved, x, y), rel=1e-12)
    centre = found.loss[list(found.t).index(0.0), list(found.s).index(0.0)]
    assert centre == pytest.approx(found.center_loss, rel=1e-12)
    assert found.center_loss == pytest.approx(float(functional.cross_entropy(model.eval()(x), y).detach()), rel=1e-12)


def test_batch_statistics_are_those_of_each_batch() -> None:
    model, (x, y) = network(), data()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = measure_loss_landscape(model, (x, y), dimensions=1, steps=3, statistics="batch")
    stay = {name: torch.zeros_like(value) for name, value in model.named_parameters()}
    assert found.center_loss == pytest.approx(loss_at(model, stay, x, y, train=True), rel=1e-12)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model[1].training


def test_linear_regression_is_its_own_parabola() -> None:
    x, w = torch.randn(50, 3, dtype=torch.float64), torch.ones(1, 3, dtype=torch.float64)
    model = nn.Linear(3, 1, bias=False).double()
    found = measure_loss_landscape(model, (x, x @ w.T), directions="eigenvectors", steps=9)
    values = torch.linalg.eigvalsh(2 * x.T @ x / 50)
    assert np.diag(found.curvatures) == pytest.approx(values.flip(0)[:2].numpy(), rel=1e-3)
    assert abs(found.curvatures[0, 1]) < 1e-2
    row = found.loss[list(found.t).index(0.0)]
    assert row == pytest.approx(found.parabola(found.s), rel=1e-9)
    assert found.cosine == pytest.approx(0, abs=1e-9)
    assert found.lengths == pytest.approx([1.0, 1.0])
    assert found.residuals.max() < 0.1 * float(values[-1])


def test_a_saddle_shows_a_way_down() -> None:
    """w₁·w₂ = 1 at w = 0: L = (w₁w₂ − 1)², H = [[0, −2], [−2, 0]]."""

    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(2, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.w[0] * self.w[1]

    ones = torch.ones(5, 1, dtype=torch.float64)
    found = measure_loss_landscape(Product(), (ones, ones), directions="saddle", steps=11)
    assert np.diag(found.curvatures) == pytest.approx([2.0, -2.0])
    assert found.slopes == pytest.approx([0, 0])
    assert found.lowest[2] < found.center_loss


def trained() -> tuple[nn.Module, list[dict[str, Tensor]], tuple[Tensor, Tensor]]:
    model, (x, y) = network(), data()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    states = []
    for _ in range(8):
        states.append({name: value.clone() for name, value in model.state_dict().items()})
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    states.append({name: value.clone() for name, value in model.state_dict().items()})
    return model, states, (x, y)


def test_the_path_lies_in_its_principal_plane(tmp_path) -> None:
    model, states, (x, y) = trained()
    names = [name for name, _ in model.named_parameters()]
    rows = np.stack([np.concatenate([state[name].numpy().ravel() for name in names]) for state in states])
    components = PCA(2).fit(rows)
    found = measure_loss_landscape(model, (x, y), directions="path", path=states, steps=7)
    path = found.path
    assert path.explained == pytest.approx(components.explained_variance_ratio_)
    ours = (rows - rows[-1]) @ components.components_.T
    assert np.abs(path.coordinates) == pytest.approx(np.abs(ours), abs=1e-9)
    rest = (rows - rows[-1]) - ours @ components.components_
    assert path.distance == pytest.approx(np.linalg.norm(rest, axis=1), abs=1e-9)
    assert path.distance[-1] == pytest.approx(0, abs=1e-12)
    for state, loss in zip(states, path.loss, strict=True):
        twin = copy.deepcopy(model)
        twin.load_state_dict(state)
        assert loss == pytest.approx(float(functional.cross_entropy(twin.eval()(x), y)), rel=1e-9)
    assert path.coordinates[:, 0].min() >= found.s[0]
    assert path.coordinates[:, 0].max() <= found.s[-1]
    files = []
    for place, state in enumerate(states):
        files.append(tmp_path / f"{place}.safetensors")
        save_file(state, files[-1])
    again = measure_loss_landscape(model, (x, y), directions="path", path=files, steps=7)
    assert again.loss == pytest.approx(found.loss)
    loaded = Result.load(found.save(tmp_path / "landscape.safetensors"))
    assert loaded.path.distance == pytest.approx(path.distance)


def test_the_same_seed_gives_the_same_landscape() -> None:
    model, (x, y) = network(), data()
    first, second = (measure_loss_landscape(model, (x, y), steps=3, seed=4) for _ in range(2))
    assert np.array_equal(first.loss, second.loss)
    assert "1.weight" in first.fixed
    assert "0.bias" in first.fixed


def test_a_model_that_cannot_be_vectorised_is_walked_point_by_point() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(2, 1)

        def forward(self, x: Tensor) -> Tensor:
            out = self.linear(x)
            return out if float(out.sum()) > 0 else -out

    batch = (torch.ones(3, 2), torch.ones(3, 1))
    found = measure_loss_landscape(Branching(), batch, dimensions=1, steps=5)
    assert not found.vectorised
    assert np.isfinite(found.loss).all()
    with pytest.raises(SettingsError, match="several points"):
        measure_loss_landscape(Branching(), batch, dimensions=1, vectorise=True)


def test_overflow_is_told() -> None:
    model = nn.Linear(2, 1)
    found = measure_loss_landscape(model, (torch.ones(3, 2), torch.ones(3, 1)), dimensions=1, steps=3, span=1e30)
    assert found.not_finite == 2
    assert found.lowest[2] == pytest.approx(found.center_loss)


def test_errors_name_place_and_remedy() -> None:
    model, (x, y) = network(), data()
    zero = nn.Linear(36, 3).double()
    nn.init.zeros_(zero.weight)
    nn.init.zeros_(zero.bias)
    flat = (x.reshape(len(x), -1), y)
    for words, call in {
        "all weights are": lambda: measure_loss_landscape(zero, flat),
        "no parameter": lambda: measure_loss_landscape(nn.Flatten(), (x, y)),
        "path cannot": lambda: measure_loss_landscape(model, (x, y), directions="path"),
        "do not span": lambda: measure_loss_landscape(
            model, (x, y), directions="path", path=[model.state_dict(), model.state_dict()]
        ),
        "1 directions were": lambda: measure_loss_landscape(model, (x, y), directions=[torch.ones(3)]),
        "should have shape": lambda: measure_loss_landscape(model, (x, y), path=[{}]),
        "no single number": lambda: measure_loss_landscape(model, (x, y), nn.CrossEntropyLoss(reduction="none")),
    }.items():
        with pytest.raises(SettingsError, match=words):
            call()
    whole = measure_loss_landscape(zero, flat, normalization="none", steps=3)
    assert whole.center_loss == pytest.approx(np.log(3))
    with pytest.raises(DataError):
        measure_loss_landscape(model, [])
    with pytest.raises(SourceNotFoundError):
        measure_loss_landscape(model, (x, y), path=["nowhere.safetensors"])
    with torch.no_grad():
        model[4].weight[0, 0] = float("inf")
    with pytest.raises(TrainingError) as caught:
        measure_loss_landscape(model, (x, y))
    assert caught.value.place == "4.weight"
