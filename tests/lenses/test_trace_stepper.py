"""The walk through a trace against the tensors that it pictures, numpy's own reductions and the model run by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pellucid.lenses.trace import Trace, trace
from pellucid.lenses.trace_pictures import draw_tensor
from pellucid.results.base import Result
from pellucid.results.trace_stepper import StepperValue, TraceStepper


class Net(nn.Module):
    def __init__(self, wide: int = 8) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(5, wide), nn.Linear(wide, 3)
        self.drop = nn.Dropout(0.5)
        self.unused = nn.Linear(2, 2)

    def forward(self, features: Tensor) -> Tensor:
        hidden = torch.tanh(self.fc1(features))
        return self.fc2(self.drop(hidden))


class Convolutional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4 * 36, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(torch.relu(self.conv(images)).flatten(1))


def _trace(net: nn.Module, features: Tensor, classes: int = 3, **other: object) -> Trace:
    target = torch.arange(len(features)) % classes
    return trace(net, features, target=target, loss=functional.cross_entropy, **other)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def traced() -> Trace:
    torch.manual_seed(0)
    net = Net().eval()
    return _trace(net, torch.randn(4, 5), optimizer=torch.optim.AdamW(net.parameters(), lr=0.01))


@pytest.fixture(scope="module")
def stepper(traced: Trace) -> TraceStepper:
    return traced.stepper("row 3")


def _named(stepper: TraceStepper, name: str) -> StepperValue:
    (found,) = [value for value in stepper.values if value.name == name]
    return found


def test_the_walk_goes_forward_through_the_loss_back_and_ends_with_the_update(traced, stepper):
    ops = [(stop.phase, stepper.steps[stop.step].op if stop.step >= 0 else "") for stop in stepper.walk]
    forward = [("forward", op) for op in ("linear", "tanh", "dropout", "linear")]
    backward = [("backward", op) for op in ("cross_entropy", "linear", "dropout", "tanh", "linear")]
    assert ops[:5] == [*forward, ("loss", "cross_entropy")]
    assert ops[5:10] == backward
    moved = [stepper.values[stop.value].name for stop in stepper.walk[10:]]
    assert moved == list(traced.tape.updates)
    assert (stepper.loss, stepper.optimizer, stepper.training) == (traced.loss.value, "AdamW", False)
    assert stepper.subject == "row 3"


def test_values_are_the_tensors_gradients_and_moves(traced, stepper):
    weight, update = _named(stepper, "fc1.weight"), traced.tape.updates["fc1.weight"]
    assert (weight.kind, weight.module, weight.producer, weight.shape) == ("parameter", "fc1", -1, (8, 5))
    assert np.array_equal(weight.tensor, update.before.numpy())
    assert np.array_equal(weight.gradient, update.gradient.numpy())
    assert weight.update == pytest.approx((update.after - update.before).numpy(), abs=1e-7)
    assert weight.gradient_norm == pytest.approx(np.linalg.norm(update.gradient.numpy()), rel=1e-6)
    assert (weight.minimum, weight.maximum) == (weight.tensor.min(), weight.tensor.max())
    assert _named(stepper, "features").kind == "input"
    assert _named(stepper, "unused.weight").gradient is None
    loss = _named(stepper, "loss")
    assert (loss.kind, loss.shape, loss.tensor.shape) == ("loss", (), (1, 1))
    assert loss.tensor[0, 0] == np.float32(stepper.loss)
    assert [value.id for value in stepper.values] == list(range(len(stepper.values)))


def test_every_value_can_be_asked_about_by_its_name(traced, stepper):
    for value in stepper.values:
        if value.kind != "constant":
            assert traced.names.find(value.name).id == value.id


def test_edges_say_who_made_what_of_what(stepper):
    at = {value.name: value.id for value in stepper.values}
    edges = {(edge.source, edge.step, edge.target) for edge in stepper.edges}
    assert {(at[name], 0, at["fc1"]) for name in ("features", "fc1.weight", "fc1.bias")} <= edges
    for source, step, target in edges:
        assert stepper.values[target].producer == step
        assert stepper.values[source].producer < step


def test_the_source_holds_every_line_that_ran(stepper):
    for step in stepper.steps:
        if step.source_file:
            lines = [
                excerpt.lines[step.source_line - excerpt.first_line]
                for excerpt in stepper.sources
                if excerpt.file == step.source_file and 0 <= step.source_line - excerpt.first_line < len(excerpt.lines)
            ]
            assert [line.strip() for line in lines] == [step.source_text]
    texts = [line for excerpt in stepper.sources for line in excerpt.lines]
    assert "        hidden = torch.tanh(self.fc1(features))" in texts


def test_neurons_hold_the_sums_of_their_edges(stepper):
    assert stepper.level == "neurons"
    first, last = stepper.network
    assert [layer.module for layer in stepper.network] == ["fc1", "fc2"]
    assert (first.activation, last.activation) == ("tanh", "")
    for layer in stepper.network:
        assert layer.weights @ layer.input_values + layer.biases == pytest.approx(layer.sums, abs=1e-6)
        assert np.outer(layer.sum_gradients, layer.input_values).shape == layer.weight_gradients.shape
        assert stepper.values[layer.weight].name == f"{layer.module}.weight"
    assert np.tanh(first.sums) == pytest.approx(first.outputs, abs=1e-6)
    assert first.outputs.tolist() == last.input_values.tolist()
    assert last.weights.T @ last.sum_gradients == pytest.approx(first.output_gradients, abs=1e-6)


def test_wide_layers_show_their_strongest_units(traced):
    torch.manual_seed(1)
    found = _trace(Net(wide=50).eval(), torch.randn(2, 5))
    layer, after = found.stepper().network
    outputs = found["fc1"].output[0].tanh().abs()
    assert layer.shown_units == tuple(sorted(outputs.topk(32).indices.tolist()))
    assert after.shown_inputs == layer.shown_units
    assert np.isnan(layer.weight_updates).all()
    assert "32 strongest" in found.stepper().note
    weight = found.tape.parameters["fc1.weight"].tensor
    assert layer.weights[3].tolist() == weight[layer.shown_units[3]].tolist()


def test_what_is_no_chain_of_linear_layers_is_drawn_by_tensors():
    stepper = _trace(Convolutional(), torch.randn(2, 1, 8, 8), classes=2).stepper()
    assert (stepper.level, stepper.network) == ("tensors", ())
    assert _named(stepper, "conv").tensor.shape == (2 * 4, 6 * 6)
    assert _named(stepper, "images").tensor.shape == (2 * 8, 8)

    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.two(x + self.one(x))

    assert _trace(Skip(), torch.randn(2, 4)).stepper().level == "tensors"
    sequence = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    assert trace(sequence, torch.randn(2, 3, 4)).stepper().level == "tensors"


@pytest.mark.parametrize(
    "shape",
    [(), (1,), (5,), (64,), (65,), (97,), (784,), (4096,), (3, 4), (1, 784), (784, 1), (2, 3, 4), (0, 3), (16, 16, 16)],
)
def test_a_tensor_of_few_entries_is_drawn_whole_in_its_order(shape):
    tensor = torch.randn(shape)
    picture = draw_tensor(tensor)
    assert (picture.entries, picture.block) == (None, (1, 1))
    assert picture.cells.dtype == np.float32
    assert np.array_equal(picture.cells.reshape(-1), tensor.reshape(-1).numpy())
    if len(shape) > 1 and 1 not in shape:
        assert picture.cells.shape[1] == shape[-1]


@pytest.mark.parametrize(
    "shape", [(4097,), (5003,), (256, 784), (10000, 3), (3, 10000), (1, 8192), (2, 5, 7, 400), (100, 100)]
)
def test_a_large_tensor_is_drawn_by_the_strongest_entry_of_each_block(shape):
    torch.manual_seed(0)
    tensor = torch.randn(shape)
    picture = draw_tensor(tensor)
    flat = tensor.reshape(-1).numpy()
    assert picture.entries is not None
    assert picture.entries.dtype == np.int32
    assert picture.cells.size <= 4096
    assert max(picture.cells.shape) <= 64
    assert np.array_equal(picture.cells, flat[picture.entries])
    high, wide = picture.block
    columns = shape[-1] if len(shape) > 1 and shape[0] > 1 else None
    if columns is None:
        assert np.abs(picture.cells).max() == np.abs(flat).max()
        return
    table = flat.reshape(-1, columns)
    for row, column in itertools.product(*(range(side) for side in picture.cells.shape)):
        block = table[row * high : (row + 1) * high, column * wide : (column + 1) * wide]
        assert abs(picture.cells[row, column]) == np.abs(block).max()
        assert picture.cells[row, column] in block


def test_a_convolution_has_its_filters_as_rows_and_an_image_its_own_shape():
    assert draw_tensor(torch.randn(32, 3, 3, 3)).cells.shape == (32, 27)
    assert draw_tensor(torch.randn(1, 1, 8, 8)).cells.shape == (8, 8)
    assert draw_tensor(torch.randn(512, 512, 3, 3)).block == (8, 72)


def test_a_number_that_is_none_is_seen_in_its_block():
    tensor = torch.zeros(200, 200)
    tensor[150, 7] = float("nan")
    picture = draw_tensor(tensor)
    (place,) = np.argwhere(np.isnan(picture.cells)).tolist()
    assert picture.entries[tuple(place)] == 150 * 200 + 7


def test_other_kinds_of_numbers_are_drawn_too():
    assert draw_tensor(torch.tensor([True, False])).cells.tolist() == [[1.0, 0.0]]
    assert draw_tensor(torch.tensor([3 + 4j])).cells.tolist() == [[5.0]]
    assert draw_tensor(torch.arange(3, dtype=torch.bfloat16)).cells.tolist() == [[0.0, 1.0, 2.0]]


def test_without_a_loss_the_walk_ends_with_the_forward_pass():
    found = trace(Net(), torch.randn(1, 5)).stepper()
    assert {stop.phase for stop in found.walk} == {"forward"}
    assert np.isnan(found.loss)
    assert all(value.gradient is None for value in found.values)
    assert np.isnan(found.network[0].weight_gradients).all()


def test_what_the_memory_limit_left_out_is_said(traced):
    found = _trace(Net(), torch.randn(4, 5), memory_limit=0).stepper()
    assert any(value.tensor is None for value in found.values)
    assert "memory limit left" in found.note


def test_it_survives_the_wire(stepper):
    again = Result.from_bytes(stepper.to_bytes())
    assert isinstance(again, TraceStepper)
    assert again.walk == stepper.walk
    assert np.array_equal(again.network[0].weights, stepper.network[0].weights)
    assert _named(again, "fc1").tensor.tolist() == _named(stepper, "fc1").tensor.tolist()


def test_awkward_passes_have_a_walk_as_well():
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.shared = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x: Tensor, more: dict[str, Tensor]) -> Tensor:
            y = self.fc(x).relu_()
            for _ in range(2):
                y = self.shared(y) + more["bias"]
            return y

    found = trace(InPlace(), torch.randn(2, 3), {"bias": torch.ones(3)}, loss=lambda output: output.sum()).stepper()
    assert [stop.phase for stop in found.walk].count("backward") == len(found.steps)
    assert all(stop.value >= 0 for stop in found.walk)


def test_the_walk_does_not_stop_where_a_module_only_counts():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
    found = trace(model, torch.randn(2, 1, 6, 6), loss=lambda output: output.sum())
    counting = [step.index for step in found.outline().steps if step.op == "add"]
    assert len(counting) == 1, "the outline lists num_batches_tracked += 1"
    stops = {stop.step for stop in found.stepper().walk}
    assert counting[0] not in stops
    assert stops == {step.index for step in found.outline().steps} - set(counting)


def test_a_model_of_torchs_modules_alone_shows_the_line_that_asked():
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    found = trace(model, torch.randn(2, 3))  # this line
    for step in found.outline().steps:
        assert step.source_file == __file__
        assert step.source_text.endswith("# this line")
