"""Slices, against scikit-learn's principal components, plain geometry and the network's own layers."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from torch import nn

import pellucid
from pellucid.errors import DataError, SettingsError


@pytest.fixture(scope="module")
def flowers() -> pandas.DataFrame:
    return load_iris(as_frame=True).data


def test_two_features_are_their_own_coordinates(flowers) -> None:
    found = pellucid.slice_features(flowers, "petal length (cm)", "petal width (cm)", y=load_iris().target)
    values = flowers.to_numpy()
    assert found.labels == ("petal length (cm)", "petal width (cm)")
    assert found.points == pytest.approx(values[:, 2:])
    assert found.point_classes.tolist() == load_iris().target.tolist()
    assert found.distances == pytest.approx(np.linalg.norm(values[:, :2] - values[:, :2].mean(0), axis=1))
    low, high = values[:, 2].min(), values[:, 2].max()
    assert found.u_range == pytest.approx((low - 0.1 * (high - low), high + 0.1 * (high - low)))


def test_the_same_whether_array_tensor_or_frame(flowers) -> None:
    values = flowers.to_numpy()
    for form in (flowers, values, torch.tensor(values), values.tolist()):
        found = pellucid.slice_features(form, 0, 1, at=values[0])
        assert found.origin == pytest.approx([0, 0, values[0, 2], values[0, 3]])


def test_principal_plane_is_that_of_scikit_learn(flowers) -> None:
    found = pellucid.slice_principal(flowers)
    expected = PCA(2).fit(flowers.to_numpy())
    assert np.abs(found.u @ expected.components_[0]) == pytest.approx(1)
    assert np.abs(found.points) == pytest.approx(np.abs(expected.transform(flowers.to_numpy())))
    residual = flowers.to_numpy() - expected.inverse_transform(expected.transform(flowers.to_numpy()))
    assert found.distances == pytest.approx(np.linalg.norm(residual, axis=1))


def test_wide_data_takes_the_iterative_way() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(600, 24, 32)) * np.linspace(0.1, 3, 32)
    found = pellucid.slice_principal(rows)
    values = np.linalg.svd(rows.reshape(600, -1) - rows.reshape(600, -1).mean(0))
    assert abs(found.u @ values.Vh[0]) == pytest.approx(1, abs=1e-6)
    assert found.shape == (24, 32)


def test_three_examples_lie_in_their_plane_at_true_distances() -> None:
    rng = np.random.default_rng(1)
    a, b, c = rng.normal(size=(3, 1, 5, 4))
    found = pellucid.slice_examples(a, b, c, classes=(3, 8, 1), X=rng.normal(size=(10, 1, 5, 4)))
    assert found.distances[:3] == pytest.approx(0, abs=1e-12)
    for one, place in zip((a, b, c), found.points, strict=False):
        assert found.embed(place[None])[0] == pytest.approx(one.ravel())
    assert np.linalg.norm(found.points[1] - found.points[2]) == pytest.approx(np.linalg.norm(b - c))
    assert found.point_classes[:4].tolist() == [3, 8, 1, -1]
    assert found.shape == (1, 5, 4)


def test_directions_are_taken_as_they_are() -> None:
    found = pellucid.slice_directions([1.0, 2.0, 3.0], [2.0, 0, 0], [0, 0, 1.0], u_range=(-3.0, 3.0), labels=("x", "z"))
    assert found.embed(np.array([[1.0, -1.0]]))[0].tolist() == [3.0, 2.0, 2.0]
    assert found.u_range == (-3, 3)
    assert found.v_range == (-1, 1)


def test_latent_slice_holds_the_layers_outputs() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(), nn.Linear(6, 3)).train()
    inputs = torch.randn(50, 4)
    found = pellucid.slice_latent(model, inputs, "1", 2, 5)
    expected = torch.tanh(model[0](inputs)).detach().double().numpy()
    assert found.layer == "1"
    assert found.points == pytest.approx(expected[:, [2, 5]])
    assert model.training
    assert found.template.tolist() == inputs[0].double().tolist()
    assert pellucid.slice_latent(model, inputs, "1").labels[0].startswith("direction 1")


def test_many_examples_are_thinned_evenly() -> None:
    rows = np.random.default_rng(0).normal(size=(10_000, 2))
    assert len(pellucid.slice_features(rows, 0, 1).points) == 2000


def test_data_on_a_line_still_has_a_plane() -> None:
    rows = np.outer(np.arange(5.0), [1.0, 2.0, 0.5])
    found = pellucid.slice_principal(rows)
    assert found.u @ found.v == pytest.approx(0, abs=1e-9)
    assert found.v_range[1] > found.v_range[0]
    two = pellucid.slice_principal(rows[:2])
    assert two.u @ two.v == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: pellucid.slice_features(np.ones((3, 1)), 0, 0), "one number"),
        (lambda: pellucid.slice_features(np.ones((3, 2)), 0, 0), "the same"),
        (lambda: pellucid.slice_features(np.ones((3, 2)), 0, 5), "no feature 5"),
        (lambda: pellucid.slice_features(pandas.DataFrame({"a": [1], "b": [2]}), "a", "c"), "no feature 'c'"),
        (lambda: pellucid.slice_features(np.array([[1.0, np.nan]]), 0, 1), "missing"),
        (lambda: pellucid.slice_features(np.array([["a", "b"]]), 0, 1), "numbers"),
        (lambda: pellucid.slice_features(np.ones(3), 0, 1), "shape"),
        (lambda: pellucid.slice_features(np.eye(3), 0, 1, y=[1]), "classes"),
        (lambda: pellucid.slice_features(np.eye(3), 0, 1, margin=-1.0), "margin"),
        (lambda: pellucid.slice_principal(np.ones((5, 3))), "do not differ"),
        (lambda: pellucid.slice_examples([0.0, 0], [1.0, 1], [2.0, 2]), "one line"),
        (lambda: pellucid.slice_examples([0.0, 0], [0.0, 0], [2.0, 2]), "same example"),
        (lambda: pellucid.slice_examples([0.0, 0], [0.0, 1], [2.0, 2, 2]), "3 numbers"),
        (lambda: pellucid.slice_directions([0.0, 0], [1.0, 0], [-2.0, 0]), "parallel"),
        (lambda: pellucid.slice_directions([0.0, 0], [0.0, 0], [-2.0, 0]), "nowhere"),
        (lambda: pellucid.slice_directions([0.0, 0], [1.0, 0], [0, 1.0], u_range=(1.0, 1.0)), "no range"),
        (lambda: pellucid.slice_latent(nn.Linear(2, 2), np.eye(2), "x", 0, 1), "no layer"),
        (lambda: pellucid.slice_latent(nn.Sequential(nn.Linear(2, 2)), np.eye(2), "0", 0), "one unit"),
    ],
)
def test_what_is_no_slice_says_so(call, words) -> None:
    with pytest.raises((DataError, SettingsError), match=words) as caught:
        call()
    assert caught.value.place
    assert caught.value.remedy
