"""Breaks along a line against brute force, and against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.errors import DataError, SettingsError
from pellucid.lenses.regions_on_line import measure_regions_on_line


def test_breaks_are_where_patterns_change() -> None:
    torch.manual_seed(0)
    net: Any = nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 3))
    a, b = np.random.default_rng(0).normal(scale=3, size=(2, 6))
    found = measure_regions_on_line(net, a, b)
    assert found.error < 1e-12
    t = np.linspace(0, 1, 200_001)
    hidden, signs = torch.from_numpy(a + t[:, None] * (b - a)), []
    for layer in net.double()[:-1]:
        if isinstance(layer, nn.ReLU):
            signs.append((hidden > 0).numpy())
        hidden = layer(hidden)
    changed = (np.concatenate(signs, 1)[1:] != np.concatenate(signs, 1)[:-1]).any(1)
    assert found.pieces == changed.sum() + 1
    assert found.breaks[1:-1] == pytest.approx((t[1:] + t[:-1])[changed] / 2, abs=1e-5)
    winner = net[-1](hidden).argmax(1).numpy()
    moved = np.flatnonzero(winner[1:] != winner[:-1])
    assert found.crossings() == pytest.approx(t[moved], abs=1e-5)


def test_pooling_bends_only_where_the_winner_changes() -> None:
    torch.manual_seed(1)
    net: Any = nn.Sequential(nn.Conv1d(1, 2, 3), nn.MaxPool1d(3), nn.Flatten(), nn.Linear(4, 1))
    a, b = np.random.default_rng(1).normal(size=(2, 1, 9))
    found = measure_regions_on_line(net, a, b)
    t = np.linspace(0, 1, 50_001)
    rows = torch.from_numpy(a + t[:, None, None] * (b - a))
    winners = net.double()[0](rows)[:, :, :6].reshape(-1, 2, 2, 3).argmax(-1).flatten(1).numpy()
    assert found.pieces == (winners[1:] != winners[:-1]).any(1).sum() + 1
    assert found.error < 1e-12


def test_one_input_number_and_no_kinks() -> None:
    net: Any = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        net[0].weight[:], net[0].bias[:] = torch.tensor([[1.0], [-2.0]]), torch.tensor([-0.25, 1.0])
    assert measure_regions_on_line(net, [0.0], [1.0]).breaks == pytest.approx([0, 0.25, 0.5, 1])
    assert measure_regions_on_line(nn.Linear(3, 2), np.zeros(3), np.ones(3)).pieces == 1


def test_bad_ends_and_smooth_networks_are_refused() -> None:
    with pytest.raises(DataError, match="the same"):
        measure_regions_on_line(nn.Linear(2, 1), [0.0, 1.0], [0.0, 1.0])
    with pytest.raises(DataError, match="infinite"):
        measure_regions_on_line(nn.Linear(2, 1), [0.0, np.nan], [0.0, 1.0])
    with pytest.raises(SettingsError, match="smooth"):
        measure_regions_on_line(nn.Sequential(nn.Linear(2, 1), nn.Sigmoid()), [0.0, 0.0], [0.0, 1.0])


def test_result_is_drawn() -> None:
    found = measure_regions_on_line(nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2)), [-3.0, 0.0], [3.0, 1.0])
    assert "pieces" in str(type(found).from_bytes(found.to_bytes()))
    assert len(found.to_frame()) == found.pieces + 1
    assert found.plot().lines
