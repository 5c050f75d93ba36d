"""Regions of convolutional networks, whose states are carried from kink to kink, against runs from the start."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from pellucid.capture.flat_network import flat_network_on
from pellucid.capture.piecewise import read_piecewise
from pellucid.capture.piecewise_resume import read_resumable
from pellucid.core.slices import Slice
from pellucid.errors import SettingsError
from pellucid.lenses import linear_regions
from pellucid.lenses.linear_regions import measure_linear_regions
from pellucid.lenses.slicing import slice_examples


class _LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 3, 3)
        self.dense, self.last = nn.Linear(3, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.first(x), inplace=True), 2)
        x = F.relu(F.max_pool2d(self.second(x), 2))
        return self.last(torch.relu_(self.dense(x.view(x.size(0), -1))))


class _ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 2, 3, 2, 1, bias=False), nn.BatchNorm2d(2)
        self.one, self.two = nn.Conv2d(2, 2, 3, 1, 1), nn.Conv2d(2, 4, 3, 2, 1)
        self.short, self.head, self.relu = nn.Conv2d(2, 4, 1, 2), nn.Linear(4, 3), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.stem(x)))
        x = self.relu(x + self.one(x))
        x = self.relu(self.two(x) + self.short(x))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


def _images(size: int = 12) -> Slice:
    a, b, c = torch.rand(3, 1, size, size, generator=torch.Generator().manual_seed(1))
    return slice_examples(a, b, c)


@pytest.mark.parametrize("kind", [_LeNet, _ResNet])
def test_carried_states_give_the_cells_that_running_from_the_start_gives(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    net = kind().eval()
    monkeypatch.setattr(linear_regions, "_WORTH", 0.0)
    found = measure_linear_regions(net, _images())
    monkeypatch.setattr(linear_regions, "read_resumable", lambda *_: None)
    again = measure_linear_regions(net, _images())
    assert found.cells == again.cells > 300
    assert found.proofs.hold
    assert found.proofs.inside_error < 1e-12
    assert [one.cells for one in found.kinks] == [one.cells for one in again.kinks]
    assert found.vertices == pytest.approx(again.vertices, abs=1e-9)
    points = found.plane.origin + found.vertices @ np.stack([found.plane.u, found.plane.v])
    with torch.no_grad():
        expected = net.double()(torch.from_numpy(points).reshape(-1, 1, 12, 12)).numpy()
    assert found.outputs == pytest.approx(expected, abs=1e-12)


def test_states_without_room_are_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net = _LeNet().eval()
    monkeypatch.setattr(linear_regions, "_WORTH", 0.0)
    kept = measure_linear_regions(net, _images())
    monkeypatch.setattr(linear_regions, "_ROOM", 0)
    found = measure_linear_regions(net, _images())
    assert found.cells == kept.cells
    assert np.array_equal(found.vertices, kept.vertices)


def test_a_network_that_reads_its_input_again_at_the_end_runs_from_its_start() -> None:
    class Again(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(2, 6), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.two(torch.cat([x, F.relu(self.one(x))], 1))

    torch.manual_seed(0)
    axes = np.eye(2)
    plane = Slice(np.zeros(2), axes[0], axes[1], (-1.0, 1.0), (-1.0, 1.0), (2,))
    points = torch.rand(4, 2, dtype=torch.float64)
    resumable = read_resumable(read_piecewise(flat_network_on(Again(), plane), points), points)
    assert resumable is None or resumable.sizes[0] == 8
    assert measure_linear_regions(Again(), plane).proofs.hold


def test_a_gate_that_jumps_is_refused_with_the_operation_to_write() -> None:
    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Linear(2, 6)

        def forward(self, x: Tensor) -> Tensor:
            x = self.one(x)
            return x * (x > 0)

    axes = np.eye(2)
    with pytest.raises(SettingsError, match="relu"):
        measure_linear_regions(Gate(), Slice(np.zeros(2), axes[0], axes[1], (-1.0, 1.0), (-1.0, 1.0), (2,)))


def test_no_attack_finds_a_nearer_point_than_the_exact_distance() -> None:
    """DeepFool as published, on 300 points of two moons; foolbox's attacks where it is installed."""
    moons = _moons_benchmark()
    net, points, classes = moons.moons(0)
    points, classes = points[:300], classes[:300]
    distance = moons.exact(net, points)
    ends = [
        moons.deep_fool(net, points, classes),
        *(one(points, classes) for one in moons.foolbox_attacks(net).values()),
    ]
    for end in ends:
        reached = net(torch.from_numpy(end)).argmax(1).numpy() != classes
        assert reached.mean() > 0.9
        assert (np.linalg.norm(end - points, axis=1)[reached] >= distance[reached] * (1 - 1e-9)).all()


def _moons_benchmark() -> Any:
    import importlib.util
    from pathlib import Path

    place = Path(__file__).parents[2] / "benchmarks" / "attack_distance.py"
    found = importlib.util.spec_from_file_location("attack_distance", place)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module
