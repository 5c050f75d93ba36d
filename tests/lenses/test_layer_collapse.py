"""Collapse over layers against the same measured layer by layer, the papers' formulas and known laws."""

import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestCentroid
from torch import nn

from pellucid.errors import DataError, SettingsError
from pellucid.lenses.layer_collapse import measure_layer_collapse
from pellucid.lenses.neural_collapse import measure_neural_collapse


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(300) % 4
    labels = torch.where(labels == 3, torch.randint(0, 4, (300,), generator=generator), labels)
    centres = torch.randn(4, 1, 8, 8, generator=generator)
    return centres[labels] + torch.randn(300, 1, 8, 8, generator=generator), labels


@pytest.fixture
def model():
    torch.manual_seed(1)
    parts = [nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10), nn.Tanh()]
    return nn.Sequential(*parts, nn.Linear(10, 4))


def inputs_of(model, x):
    """What goes into each layer, by running the stages one by one."""
    found = []
    for part in model:
        if isinstance(part, nn.Conv2d | nn.Linear):
            found.append(x)
        x = part(x)
    return [one.detach() for one in found]


def law_of_he_and_su(features, labels):
    """D = Tr(SS_w SS_b^+) as He and Su (2023) write it."""
    h, y = features.double().numpy(), labels.numpy()
    mean, total = h.mean(axis=0), len(h)
    between, within = np.zeros((h.shape[1],) * 2), np.zeros((h.shape[1],) * 2)
    for label in np.unique(y):
        own = h[y == label]
        away = own.mean(axis=0) - mean
        between += len(own) * np.outer(away, away) / total
        within += (own - own.mean(axis=0)).T @ (own - own.mean(axis=0)) / total
    return float(np.trace(within @ np.linalg.pinv(between, rcond=1e-10, hermitian=True)))


def test_every_layer_is_what_it_is_alone(model, data):
    x, y = data
    found = measure_layer_collapse(model, (x, y))
    parts = inputs_of(model, x)
    expected = [parts[0].flatten(1), parts[1].mean(dim=(2, 3)), parts[2], parts[3]]
    assert [one.name for one in found.layers] == ["0", "2", "5", "7"]
    assert [one.reduction for one in found.layers] == ["flattened", "mean over 6 × 6", "as it is", "as it is"]
    for one, features in zip(found.layers, expected, strict=True):
        alone = measure_neural_collapse(features=features, labels=y)
        for name in ("nc1", "nc1_notebook", "trace_ratio", "cdnv", "equinorm_centres", "maximal_angle_centres"):
            assert one.quantities[name] == pytest.approx(alone[name], rel=1e-5), name
        assert one.separation == pytest.approx(law_of_he_and_su(features, y), rel=1e-5)
        nearest = NearestCentroid().fit(features.numpy(), y.numpy()).score(features.numpy(), y.numpy())
        assert one.quantities["nearest_centre_accuracy"] == pytest.approx(nearest, abs=1e-9)
        values = np.linalg.eigvalsh(np.cov(features.double().numpy().T, bias=True))[::-1]
        assert one.spectrum == pytest.approx(np.maximum(values, 0), abs=1e-6 * values[0])
        shares = np.sqrt(np.maximum(values, 0)) / np.sqrt(np.maximum(values, 0)).sum()
        shares = shares[shares > 0]
        assert one.effective_rank == pytest.approx(math.exp(-(shares * np.log(shares)).sum()), rel=1e-3)
        assert one.participation == pytest.approx(values.sum() ** 2 / (values**2).sum(), rel=1e-5)
    with torch.no_grad():
        assert found.accuracy == pytest.approx(float((model(x).argmax(1) == y).float().mean()))


def test_batches_change_nothing_and_the_model_stays_as_it_was(model, data):
    model.train()
    model[0].eval()
    before = {name: one.clone() for name, one in model.state_dict().items()}
    whole = measure_layer_collapse(model, data)
    batches = [(data[0][i : i + 47], data[1][i : i + 47]) for i in range(0, 300, 47)]
    pieces = measure_layer_collapse(model, batches)
    assert whole.along("separation") == pytest.approx(pieces.along("separation"), rel=1e-6)
    assert whole.along("effective_rank") == pytest.approx(pieces.along("effective_rank"), rel=1e-6)
    assert model.training
    assert not model[0].training
    assert not any(one._forward_pre_hooks for one in model.modules())
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())


def test_a_geometric_law_is_read_off_exactly():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(90) % 3
    features = (torch.eye(6)[labels] + 0.3 * torch.randn(90, 6, generator=generator)).double()
    means = torch.stack([features[labels == one].mean(dim=0) for one in range(3)])

    class Pull(nn.Module):
        """Each layer halves the distance of every example to its class's centre: D falls by four."""

        def __init__(self):
            super().__init__()
            self.stages = nn.ModuleList(nn.Linear(6, 3).double() for _ in range(5))

        def forward(self, x):
            place = torch.cdist(x, means).argmin(dim=1) if len(x) < 90 else labels
            for stage in self.stages:
                out = stage(x)
                x = means[place] + 0.5 * (x - means[place])
            return out

    torch.manual_seed(0)
    found = measure_layer_collapse(Pull(), [(features, labels)])
    assert found.decay == pytest.approx(0.25, rel=1e-6)
    assert found.decay_fit == pytest.approx(1.0)
    assert found.decay_start == pytest.approx(found.layers[0].separation, rel=1e-6)
    assert found.cka[0, 0] == pytest.approx(1.0)


def test_the_tunnel_begins_where_classes_are_decoded_for_good():
    torch.manual_seed(0)
    x = torch.randn(400, 2)
    y = (x[:, 0] * x[:, 1] > 0).long()  # no centre tells these apart until a layer unfolds them

    class Unfold(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.third, self.last = (nn.Linear(2, 2) for _ in range(4))

        def forward(self, x):
            self.first(x)
            self.second(2 * x)
            sign = torch.stack([(x[:, 0] * x[:, 1]).sign(), torch.zeros(len(x))], dim=1)
            self.third(sign)
            return self.last(sign * 1.0)

    found = measure_layer_collapse(Unfold(), (x, y))
    assert found.along("nearest_centre_accuracy")[2:] == pytest.approx([1.0, 1.0])
    assert found.tunnel == 2
    assert measure_layer_collapse(Unfold(), (x, y), tunnel_share=0.5).tunnel < 2


def test_wide_layers_give_their_spectrum_from_some_examples():
    torch.manual_seed(0)
    x, y = torch.randn(2500, 1100), torch.arange(2500) % 5
    found = measure_layer_collapse(nn.Linear(1100, 5), (x, y))
    (only,) = found.layers
    assert only.spectrum_examples == -(-2500 // 3)
    assert len(only.spectrum) <= 1024
    assert found.tunnel == -1
    assert math.isnan(found.decay)


def test_bad_input_is_refused(model, data):
    x, y = data
    with pytest.raises(DataError, match="only one class"):
        measure_layer_collapse(model, (x, torch.zeros_like(y)))
    with pytest.raises(SettingsError, match="no module 'nowhere'"):
        measure_layer_collapse(model, (x, y), layers=["nowhere"])
    with pytest.raises(SettingsError, match="no reduction"):
        measure_layer_collapse(model, (x, y), reduce="median")
    with pytest.raises(DataError, match="label 9 is no class"):
        measure_layer_collapse(model, (x, y + 6))
    x = x.clone()
    x[3] = torch.nan
    with pytest.raises(DataError, match="not finite"):
        measure_layer_collapse(model, (x, y))
    with pytest.raises(SettingsError, match="no layer takes a batch"):
        measure_layer_collapse(nn.Flatten(), (torch.zeros(4, 3), torch.arange(4) % 2))
