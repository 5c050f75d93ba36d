"""Folding, against the network run layer by layer, scikit-learn's PCA, SciPy's Procrustes and closed forms."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy.spatial import procrustes
from sklearn.decomposition import PCA
from torch import nn

import pellucid
from pellucid.core.procrustes import turn_to, two_principal
from pellucid.core.slices import Slice
from pellucid.errors import DataError, SettingsError
from pellucid.lenses.input_folding import measure_input_folding
from pellucid.results.base import Result


def square(size: float = 1.0, **more) -> Slice:
    return Slice(np.zeros(2), np.array([1.0, 0]), np.array([0, 1.0]), (-size, size), (-size, size), (2,), **more)


def test_two_units_are_drawn_as_they_are() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    points = np.random.default_rng(0).uniform(-1, 1, (20, 2))
    found = measure_input_folding(net, square(points=points, point_classes=np.arange(20) % 3))
    exact = copy.deepcopy(net).double()
    with torch.no_grad():
        first = exact[:2](torch.tensor(found.lines.reshape(-1, 2)))
        second = exact[2:4](first)
        carried = exact[:2](torch.tensor(points))
    assert found.stages[1].lines.reshape(-1, 2) == pytest.approx(first.numpy(), abs=1e-6)
    assert found.stages[2].lines.reshape(-1, 2) == pytest.approx(second.numpy(), abs=1e-6)
    assert found.stages[1].points == pytest.approx(carried.numpy(), abs=1e-6)
    assert [one.direct for one in found.stages] == [True] * 4
    assert (found.stages[3].lines[..., 1] == 0).all()
    assert found.point_classes.tolist() == [place % 3 for place in range(20)]
    assert found.carried == "slice"


def test_area_and_collapse_follow_the_determinant() -> None:
    net = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Linear(3, 3, bias=False), nn.Linear(3, 2))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[3.0, 0], [0, 2.0], [0, 0]]))  # area × 6
        net[1].weight.copy_(torch.diag(torch.tensor([1.0, 0.0, 1.0])))  # flattens to a line
        net[2].weight.zero_()  # and to a point
    found = measure_input_folding(net, square())
    assert found.stages[1].stretch == pytest.approx(6)
    assert found.stages[1].collapsed == 0
    assert found.stages[2].stretch == pytest.approx(0, abs=1e-12)
    assert found.stages[2].collapsed == 1
    assert found.stages[3].collapsed == 1


def test_relu_collapses_a_quarter() -> None:
    """ReLU of the plane: one quadrant stays, two become lines, one a point."""
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU())
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(2))
    found = measure_input_folding(net, square(), lines=21)
    assert found.stages[1].collapsed == pytest.approx(0.75)


def test_wide_layers_are_their_principal_plane() -> None:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(4, 30), nn.ReLU(), nn.Linear(30, 10), nn.ReLU(), nn.Linear(10, 3))
    data = torch.randn(50, 4)
    plane = pellucid.slice_principal(data)
    found = pellucid.measure_input_folding(net, plane, X=data, y=torch.arange(50) % 2)
    exact = copy.deepcopy(net).double()
    rows = torch.cat([torch.tensor(plane.embed(found.lines.reshape(-1, 2))), data.double()])
    with torch.no_grad():
        hidden = exact[:2](rows).numpy()
    expected = PCA(2).fit(hidden)
    stage = found.stages[1]
    assert stage.explained == pytest.approx(expected.explained_variance_ratio_.sum())
    picture = np.concatenate([stage.lines.reshape(-1, 2), stage.points])
    assert procrustes(picture, expected.transform(hidden))[2] == pytest.approx(0, abs=1e-9)
    assert np.linalg.norm(picture, axis=1) == pytest.approx(
        np.linalg.norm(expected.transform(hidden), axis=1), abs=1e-5
    )
    assert found.carried == "given"
    before = np.concatenate([found.stages[0].lines.reshape(-1, 2), found.stages[0].points])
    assert stage.moved**2 == pytest.approx(procrustes(before, picture)[2], abs=1e-6)


def test_pictures_of_neighbouring_moments_agree() -> None:
    torch.manual_seed(2)
    net = nn.Sequential(nn.Linear(2, 20), nn.Tanh(), nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, 2))
    first = measure_input_folding(net, square())
    with torch.no_grad():
        for one in net.parameters():
            one.add_(1e-3 * torch.randn_like(one))
        mirrored = copy.deepcopy(net)
        mirrored[0].weight.neg_(), mirrored[0].bias.neg_()
        mirrored[2].weight.neg_()
    for later in (net, mirrored):
        second = measure_input_folding(later, square(), reference=first)
        assert second.aligned_to == "reference"
        for one, old in zip(second.stages[1:3], first.stages[1:3], strict=True):
            size = np.abs(old.lines).max()
            assert np.abs(one.lines - old.lines).max() < 0.02 * size
            assert one.moved < 0.02


def test_convolutions_and_slices_of_a_layer() -> None:
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    plane = pellucid.slice_examples(*torch.randn(3, 1, 8, 8))
    found = measure_input_folding(net, plane, lines=5)
    assert [one.units for one in found.stages] == [2, 144, 3]
    inner = pellucid.slice_latent(net, torch.randn(20, 1, 8, 8), "1")
    deep = measure_input_folding(net, inner, ["3"], lines=5)
    points = inner.embed(deep.lines.reshape(-1, 2))
    with torch.no_grad():
        true = copy.deepcopy(net[3]).double()(torch.tensor(points)).numpy()
    carried = np.concatenate(
        [true, copy.deepcopy(net[3]).double()(torch.tensor(inner.embed(inner.points))).detach().numpy()]
    )
    assert deep.stages[1].explained == pytest.approx(PCA(2).fit(carried).explained_variance_ratio_.sum())


def test_principal_plane_is_the_same_by_every_way() -> None:
    rng = np.random.default_rng(0)
    for shape in ((50, 300), (300, 50), (1700, 1600)):
        rows = rng.normal(size=shape) * np.linspace(0.1, 2, shape[1]) ** 3
        picture, explained = two_principal(rows)
        expected = PCA(2, svd_solver="arpack" if shape[0] > 1000 else "full", random_state=0).fit(rows)
        assert np.abs(picture) == pytest.approx(np.abs(expected.transform(rows)), abs=1e-5)
        assert explained == pytest.approx(expected.explained_variance_ratio_.sum(), rel=1e-6)


def test_turning_is_scipys() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 40, 2))
    turned, left = turn_to(a, b)
    assert left**2 == pytest.approx(procrustes(b, a)[2])
    assert np.linalg.norm(turned - turned.mean(0), axis=1) == pytest.approx(np.linalg.norm(a - a.mean(0), axis=1))


def test_degenerate_networks() -> None:
    net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))
    with torch.no_grad():
        net[0].bias.fill_(-1e9)
    flat = measure_input_folding(net, square())
    assert flat.stages[1].collapsed == 1
    assert np.isnan(flat.stages[1].explained)
    assert (flat.stages[1].lines == 0).all()
    with torch.no_grad():
        net[0].weight[0, 0] = torch.nan
    bad = measure_input_folding(net, square(1e9))
    assert bad.nonfinite > 0
    assert "not finite" in str(bad)
    bad.plot()
    assert Result.from_bytes(bad.to_bytes()).stages[2].units == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layers": ["x"]}, "no layer"),
        ({"lines": 1}, "no grid"),
        ({"X": np.ones((3, 5))}, "5 numbers"),
        ({"X": np.ones((3, 2)), "y": np.ones(2)}, "classes"),
    ],
)
def test_what_cannot_be_carried_says_so(options, words) -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    with pytest.raises((SettingsError, DataError), match=words):
        measure_input_folding(net, square(), **options)
    with pytest.raises(SettingsError, match="reference"):
        measure_input_folding(net, square(), lines=5, reference=measure_input_folding(net, square(), lines=7))
