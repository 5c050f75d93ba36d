"""Margins against definitions written out, against closed forms, and against a search for the boundary."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.errors import DataError, SettingsError
from pellucid.lenses.margins import measure_margins
from pellucid.results.base import Result
from pellucid.results.margins import Margins


def network(seed: int = 0, classes: int = 4) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, classes))


def data(count: int = 60, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 3, generator=generator), torch.randint(classes, (count,), generator=generator)


def test_every_margin_is_that_of_its_definition() -> None:
    model, (x, y) = network().eval(), data()
    found = measure_margins(model, [(x[:25], y[:25]), (x[25:], y[25:])], split="test")
    w = model[4].weight.detach().double().numpy()
    for i in range(len(x)):
        own = x[i].clone().requires_grad_(True)
        h = model[:4](own[None]).detach().double().numpy()[0]
        z = model(own[None])[0]
        label, others = int(y[i]), [j for j in range(4) if j != int(y[i])]
        values = z.detach().double().numpy()
        assert found.output[i] == pytest.approx(values[label] - values[others].max(), rel=1e-4, abs=1e-5)
        cosines = w @ h / np.linalg.norm(w, axis=1) / np.linalg.norm(h)
        assert found.cosine[i] == pytest.approx(cosines[label] - cosines[others].max(), rel=1e-4, abs=1e-5)
        angles = np.degrees(np.arccos(cosines))
        assert found.angle[i] == pytest.approx(angles[others].min() - angles[label], rel=1e-3, abs=1e-3)
        p = int(values.argmax())
        sign = 1 if p == label else -1
        apart = min((values[p] - values[j]) / np.linalg.norm(w[p] - w[j]) for j in range(4) if j != p)
        assert found.feature_distance[i] == pytest.approx(sign * apart, rel=1e-4, abs=1e-6)
        near = []
        for j in range(4):
            if j != p:
                (slope,) = torch.autograd.grad(z[p] - z[j], own, retain_graph=True)
                near.append(((z[p] - z[j]) / slope.norm()).item())
        assert found.input_distance[i] == pytest.approx(sign * min(near), rel=1e-4, abs=1e-6)
    assert found["output"].negative == pytest.approx(1 - found.accuracy)
    assert found["output"].median == pytest.approx(np.median(found.output), rel=1e-6)
    assert found.layer == "4"


def test_of_a_linear_network_the_distance_is_where_the_decision_changes() -> None:
    """Walking that far along the steepest descent reaches the boundary: before it nothing changes, after it all."""
    torch.manual_seed(0)
    model, (x, y) = nn.Linear(3, 4).double(), data()
    x = x.double()
    found = measure_margins(model, (x, y))
    w, decided = model.weight.detach(), model(x).argmax(1)
    for i in range(len(x)):
        towards = w - w[decided[i]]
        gaps = (model(x[i]) - model(x[i])[decided[i]]).detach() / towards.norm(dim=1)
        gaps[decided[i]] = -np.inf
        step = towards[gaps.argmax()] / towards[gaps.argmax()].norm()
        distance = abs(float(found.input_distance[i]))
        assert model(x[i] + step * distance * 0.9999).argmax() == decided[i]
        assert model(x[i] + step * distance * 1.0001).argmax() != decided[i]
    assert found.feature_distance == pytest.approx(found.input_distance, rel=1e-5)


def test_the_linearised_distance_stands_beside_the_exact_one_of_a_slice() -> None:
    """Two features, so that the slice is the whole input: no linearisation can see a kink in between."""
    from pellucid.lenses.linear_regions import measure_linear_regions
    from pellucid.lenses.slicing import slice_features

    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(2, 12), nn.ReLU(), nn.Linear(12, 2)).double()
    x = torch.rand(40, 2, dtype=torch.float64) * 2 - 1
    y = (x[:, 0] * x[:, 1] > 0).long()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    plane = slice_features(x.numpy(), 0, 1)
    plane_points = np.linalg.lstsq(np.stack([plane.u, plane.v], 1), (x.numpy() - plane.origin).T, rcond=None)[0].T
    exact = measure_linear_regions(model, plane).distance(plane_points)
    found = measure_margins(model, (x, y), slice_distance=exact)
    assert np.abs(found.slice_distance) == pytest.approx(exact, rel=1e-6)
    assert np.sign(found.slice_distance) == pytest.approx(np.sign(found.output))
    ratio = np.abs(found.input_distance) / exact
    assert np.median(np.abs(ratio - 1)) < 0.5
    assert (np.abs(ratio - 1) < 1e-4).sum() >= 10, "many examples have no kink before the boundary"


def test_fewer_competitors_look_at_the_largest_outputs_and_never_come_nearer() -> None:
    model, (x, y) = network(classes=6), data(classes=6)
    every = measure_margins(model, (x, y), competitors=5)
    first = measure_margins(model, (x, y), competitors=1)
    assert first.competitors == 1
    assert (np.abs(first.input_distance) >= np.abs(every.input_distance) - 1e-6).all()


def test_the_model_is_left_as_it_was() -> None:
    model, (x, y) = network().train(), data()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    measure_margins(model, (x, y))
    assert model.training
    assert model[3].training
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in state.items())
    assert all(one.grad is None for one in model.parameters())
    assert not x.requires_grad
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_without_a_linear_last_layer_the_rest_is_measured_and_it_is_said() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LogSoftmax(dim=1))
    found = measure_margins(model, data())
    assert [one.name for one in found.summaries] == ["output", "input_distance"]
    assert "does not come straight from a linear layer" in found.notes[0]
    with pytest.raises(SettingsError, match="no margin"):
        found["cosine"]


def test_tokens_have_no_distance() -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.out = nn.Embedding(9, 5), nn.Linear(5, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.embed(x).mean(1))

    found = measure_margins(Words(), (torch.randint(9, (7, 4)), torch.arange(7) % 2))
    assert "not of real numbers" in found.notes[0]
    assert found.input_distance.size == 0
    assert found.cosine.size == 7


def test_features_all_zero_have_no_angle() -> None:
    found = measure_margins(nn.Linear(3, 4), (torch.zeros(5, 3), torch.arange(5) % 4))
    assert np.isnan(found.cosine).all()
    assert found["cosine"].measured == 0
    assert np.isfinite(found.output).all()


def test_equal_rows_have_no_boundary_between_them() -> None:
    model = nn.Linear(3, 2)
    model.weight.data[1] = model.weight.data[0]
    found = measure_margins(model, data(classes=2))
    assert np.isinf(found.feature_distance).all()
    assert found["feature_distance"].measured == 0


def test_it_is_saved_and_classes_are_told_apart(tmp_path) -> None:
    found = measure_margins(network(), data(), class_names=("a", "b", "c", "d"))
    again = Result.load(found.save(tmp_path / "m.bin"))
    assert isinstance(again, Margins)
    mine = found.output[found.labels == 2]
    assert again.by_class("output")[2] == pytest.approx(np.median(mine), rel=1e-6)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (torch.full((4, 3), float("nan")), torch.zeros(4, dtype=torch.long), "not finite"),
        (torch.randn(4, 3), torch.tensor([0, 1, 2, 4]), "label 4"),
        (torch.randn(4, 3), torch.tensor([0, 1, 2, -1]), "label -1"),
        (torch.randn(4, 3), torch.tensor([0.5, 1, 2, 1]), "no class numbers"),
        (torch.randn(0, 3), torch.zeros(0), "no examples"),
    ],
)
def test_what_cannot_be_used_is_refused(x: torch.Tensor, y: torch.Tensor, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        measure_margins(network(), (x, y))
    assert caught.value.remedy


def test_one_output_is_refused_and_so_are_lists_of_another_length() -> None:
    with pytest.raises(SettingsError, match="two classes"):
        measure_margins(nn.Linear(3, 1), data())
    with pytest.raises(SettingsError, match="distances"):
        measure_margins(network(), data(), slice_distance=[1.0])
    with pytest.raises(SettingsError, match="names"):
        measure_margins(network(), data(), class_names=("a",))
    with pytest.raises(SettingsError, match="competitor"):
        measure_margins(network(), data(), competitors=0)
