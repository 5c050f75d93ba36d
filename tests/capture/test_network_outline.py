"""Outlines of networks whose wiring is known, and the promise that looking changes nothing."""

import torch
from torch import nn

from pellucid.capture.network_outline import leaf_modules, trace_network_outline


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4 * 16, 3)

    def forward(self, x):
        hidden = self.act(self.norm(self.first(x)))
        return self.head(self.drop(hidden + self.second(hidden)).flatten(1))


def wiring(outline):
    names = [layer.name for layer in outline.layers]
    return {("input" if a < 0 else names[a], names[b]) for a, b in outline.edges}


def test_a_residual_branch_is_seen_through_the_sum():
    outline = trace_network_outline(Residual(), torch.randn(2, 1, 4, 4))
    assert wiring(outline) == {
        ("input", "first"),
        ("first", "norm"),
        ("norm", "act"),
        ("act", "second"),
        ("act", "drop"),
        ("second", "drop"),
        ("drop", "head"),
    }


def test_shapes_and_parameters():
    model = Residual()
    outline = trace_network_outline(model, torch.randn(2, 1, 4, 4))
    first = outline.layers[0]
    assert (first.kind, first.description) == ("Conv2d", "3×3, 1 → 4")
    assert (first.input_shape, first.output_shape) == ((1, 4, 4), (4, 4, 4))
    assert first.parameters == 4 * 9 + 4
    assert outline.parameters == sum(p.numel() for p in model.parameters())
    assert outline.parameter_bytes == 4 * outline.parameters


def test_a_module_used_twice_is_one_layer_with_two_calls():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.Linear(3, 3)

        def forward(self, x):
            return self.cell(torch.tanh(self.cell(x)))

    outline = trace_network_outline(Twice(), torch.randn(1, 3))
    assert [layer.calls for layer in outline.layers] == [2]
    assert set(outline.edges) == {(-1, 0), (0, 0)}


def test_the_input_joining_late_is_an_edge_from_the_input():
    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.outer = nn.Linear(3, 3), nn.Linear(6, 1)

        def forward(self, x):
            return self.outer(torch.cat([x, self.inner(x)], dim=1))

    assert wiring(trace_network_outline(Skip(), torch.randn(1, 3))) == {
        ("input", "inner"),
        ("input", "outer"),
        ("inner", "outer"),
    }


def test_a_frozen_network_is_wired_all_the_same():
    model = Residual().requires_grad_(False)
    outline = trace_network_outline(model, torch.randn(2, 1, 4, 4))
    assert ("act", "drop") in wiring(outline)
    assert outline.trainable_parameters == 0


def test_integer_inputs_and_tuple_outputs():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(10, 4)
            self.rnn = nn.LSTM(4, 5, batch_first=True, bidirectional=True)
            self.head = nn.Linear(10, 2)

        def forward(self, tokens):
            states, _ = self.rnn(self.embed(tokens))
            return self.head(states[:, -1])

    outline = trace_network_outline(Reader(), torch.randint(0, 10, (2, 7)))
    assert wiring(outline) == {("input", "embed"), ("embed", "rnn"), ("rnn", "head")}
    assert outline.layers[1].description == "4 → 5, bidirectional"
    assert outline.layers[1].output_shape == (7, 10)


def test_a_single_module_is_its_own_layer():
    outline = trace_network_outline(nn.Linear(2, 1), torch.zeros(1, 2))
    assert [layer.name for layer in outline.layers] == ["Linear"]


def test_nothing_is_changed():
    model = Residual()
    model.drop.eval()
    modes = [m.training for m in model.modules()]
    state = {k: v.clone() for k, v in model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    trace_network_outline(model, torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.rand(1), expected)
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in leaf_modules(model).values())


def test_a_model_that_raises_is_left_clean():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.fine = nn.Linear(2, 2)

        def forward(self, x):
            raise ValueError(self.fine(x).shape)

    model = Broken()
    try:
        trace_network_outline(model, torch.zeros(1, 2))
    except ValueError:
        pass
    else:
        raise AssertionError("the model's own error must come through")
    assert model.training
    assert not model.fine._forward_hooks
