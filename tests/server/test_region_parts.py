"""Linear regions part by part: each number held against the whole result, and against the network itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.core.slices import Slice
from pellucid.errors import SettingsError
from pellucid.lenses.linear_regions import measure_linear_regions
from pellucid.results import codec
from pellucid.server.region_parts import PartQuery, pack_part, pack_picture
from pellucid.store.added_results import add_result
from pellucid.store.run import open_run

from .conftest import TOKEN, client_of, make_run


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    pooled = nn.Sequential(nn.Unflatten(1, (1, 10)), nn.MaxPool1d(2), nn.Flatten())
    first = nn.Sequential(nn.Linear(2, 20), nn.ReLU(), nn.Linear(20, 10), pooled)
    return nn.Sequential(first, nn.Linear(5, 9), nn.ReLU(), nn.Linear(9, 3)).double()


@pytest.fixture(scope="module")
def regions(network):
    plane = Slice(np.array([0.2, -0.1]), np.eye(2)[0], np.eye(2)[1], (-3.0, 4.0), (-2.5, 2.5), (2,))
    return measure_linear_regions(network, plane)


def part(regions, what, **query):
    return codec.unpack(pack_part(regions, PartQuery(what, **query)))[1]


def test_a_picture_has_the_cells_in_single_precision(regions):
    payload = pack_picture(regions)
    document, arrays = codec.unpack(payload)
    assert document["schema"] == "region_picture/1"
    assert np.array_equal(np.cumsum(arrays["corners"]), regions.cell_start[1:])
    assert np.array_equal(arrays["cell_vertex"], regions.cell_vertex)
    low = np.array([regions.plane.u_range[0], regions.plane.v_range[0]])
    size = np.array([regions.plane.u_range[1], regions.plane.v_range[1]]) - low
    np.testing.assert_allclose(arrays["vertices"] * size + low, regions.vertices, atol=1e-6)
    np.testing.assert_allclose(arrays["outputs"], regions.outputs, rtol=1e-6)
    assert len(payload) < 0.5 * len(regions.to_bytes())


def test_a_cell_says_what_the_network_computes_there(regions, network):
    generator = np.random.default_rng(0)
    for cell in generator.integers(0, regions.cells, 30).tolist():
        told = part(regions, "cell", cell=cell)
        assert np.array_equal(told["points"], regions.polygon(cell))
        corners = torch.from_numpy(regions.plane.origin + told["points"])
        np.testing.assert_allclose(told["outputs"], network(corners).detach().numpy(), atol=1e-9)
        assert told["sides"].tolist() == [
            int(regions.edge_kink[edge])
            for edge in regions.cell_edge[regions.cell_start[cell] : regions.cell_start[cell + 1]]
        ]
        inside = torch.from_numpy(regions.plane.origin + told["points"].mean(0))
        assert told["states.0"].tolist() == (network[0][:2](inside) > 0).int().tolist()


def test_the_figures_of_every_cell_are_those_of_its_pattern(regions):
    every = np.arange(regions.cells)
    total = np.zeros(regions.cells)
    for layer, kink in enumerate(regions.kinks):
        pattern = regions.pattern(every, layer)
        for unit in range(pattern.shape[1]):
            assert np.array_equal(part(regions, "state", layer=layer, unit=unit)["values"], pattern[:, unit])
        if kink.kind == "threshold":
            total += pattern.sum(1)
            assert np.array_equal(part(regions, "active", layer=layer)["values"], pattern.sum(1))
    thresholds = {layer for layer, kink in enumerate(regions.kinks) if kink.kind == "threshold"}
    added = sum(part(regions, "active", layer=layer)["values"].astype(int) for layer in thresholds)
    assert np.array_equal(added, total)


def test_cells_of_one_pattern_have_one_colour(regions):
    codes = part(regions, "pattern")["values"]
    patterns = np.concatenate([regions.pattern(np.arange(regions.cells), layer) for layer in range(3)], axis=1)
    _, which = np.unique(patterns, axis=0, return_inverse=True)
    for one in range(which.max() + 1):
        assert len(np.unique(codes[which == one])) == 1
    assert len(np.unique(codes)) > 20
    assert codes.max() < 4 * 360


def test_a_slope_is_the_length_of_the_linear_models(regions):
    for output in range(3):
        told = part(regions, "slope", output=output)["values"]
        for cell in range(0, regions.cells, 9):
            if regions.slope_error(cell) < 1e-9:
                slopes, _ = regions.affine(cell)
                assert told[cell] == pytest.approx(np.hypot(*slopes[output]), rel=1e-5, abs=1e-9)


def test_edges_are_those_that_bend(regions):
    for layer, kink in enumerate(regions.kinks):
        pairs = part(regions, "bends", layer=layer)["values"]
        numbers = regions.edge_kink - kink.first
        assert len(pairs) == np.sum((numbers >= 0) & (numbers < kink.quantities))
        for unit in range(4):
            pairs = part(regions, "bends", layer=layer, unit=unit)["values"]
            assert np.array_equal(regions.vertices[pairs], regions.bends(kink.module, unit))


@pytest.mark.parametrize(
    "query",
    [
        {"what": "colour"},
        {"what": "cell", "cell": 10**6},
        {"what": "state", "layer": 0, "unit": 99},
        {"what": "state", "layer": 7, "unit": 0},
        {"what": "bends", "layer": -1},
        {"what": "slope", "output": 3},
    ],
)
def test_what_is_not_there_is_said(regions, query):
    with pytest.raises(SettingsError, match="there is no"):
        pack_part(regions, PartQuery(**query))


def test_the_app_gives_the_picture_then_the_parts(regions, tmp_path, static):
    run = make_run(tmp_path)
    add_result(open_run(run, tmp_path), "linear_regions", regions)
    client = client_of(tmp_path, static, Authorization=f"Bearer {TOKEN}")
    address = f"/api/runs/{run}/results/linear_regions"
    assert client.get(address).content == regions.to_bytes()
    assert client.get(f"{address}?slim=true").content == pack_picture(regions)
    for _ in range(2):
        answer = client.get(f"{address}/part?what=cell&cell=5")
        assert answer.status_code == 200
        assert answer.content == pack_part(regions, PartQuery("cell", cell=5))
    assert client.get(f"{address}/part?what=cell&cell=999999").json()["error"]["where"] == "cell"
    assert client.get(f"{address}/part?what=colour").status_code == 422
    refused = client.get(f"/api/runs/{run}/results/network_outline/part?what=cell")
    assert (refused.status_code, refused.json()["error"]["where"]) == (400, "network_outline")
    assert client.get(f"/api/runs/{run}/results/nothing/part?what=cell").status_code == 404


def test_regions_that_were_measured_anew_are_not_confused_with_the_old(regions, network, tmp_path, static):
    run = make_run(tmp_path)
    add_result(open_run(run, tmp_path), "linear_regions", regions)
    client = client_of(tmp_path, static, Authorization=f"Bearer {TOKEN}")
    address = f"/api/runs/{run}/results/linear_regions/part?what=slope"
    before = client.get(address).content
    plane = Slice(np.zeros(2), np.eye(2)[0], np.eye(2)[1], (-1.0, 1.0), (-1.0, 1.0), (2,))
    other = measure_linear_regions(network, plane)
    add_result(open_run(run, tmp_path), "linear_regions", other)
    assert before == pack_part(regions, PartQuery("slope"))
    assert client.get(address).content == pack_part(other, PartQuery("slope"))
