"""Networks against hand-built ones of the same weights, closed-form counts, and invariance to padding."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pellucid.errors import SettingsError
from pellucid.training.activations import build_activation
from pellucid.training.networks import build_network, describe_network
from pellucid.training.spec import Activation, NetworkSpec


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def weights(model: nn.Module) -> list[Tensor]:
    return [*model.state_dict().values()]


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Into another network whose parameters stand in the same order."""
    for mine, theirs in zip(weights(source), weights(target), strict=True):
        assert mine.shape == theirs.shape
        theirs.copy_(mine)


@given(
    features=st.integers(1, 7),
    widths=st.lists(st.integers(1, 9), max_size=3).map(tuple),
    outputs=st.integers(1, 4),
)
@settings(max_examples=25, deadline=None)
def test_mlp_counts(features: int, widths: tuple[int, ...], outputs: int) -> None:
    spec = NetworkSpec(kind="mlp", widths=widths)
    model = build_network(spec, input_shape=(features,), outputs=outputs)
    sides = (features, *widths, outputs)
    assert parameters(model) == sum(a * b + b for a, b in itertools.pairwise(sides))
    assert model(torch.randn(5, features)).shape == (5, outputs)


ORACLES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
    "tanh": lambda x: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
    "relu": lambda x: x.clamp(min=0),
    "leaky_relu": lambda x: torch.where(x > 0, x, 0.01 * x),
    "elu": lambda x: torch.where(x > 0, x, x.exp() - 1),
    "gelu": lambda x: x * 0.5 * (1 + torch.erf(x / math.sqrt(2))),
    "silu": lambda x: x / (1 + (-x).exp()),
    "softplus": lambda x: (1 + x.exp()).log(),
    "identity": lambda x: x,
}


@pytest.mark.parametrize("name", ORACLES)
def test_activation_formulas(name: Activation) -> None:
    x = torch.linspace(-4, 4, 81, dtype=torch.float64)
    torch.testing.assert_close(build_activation(name)(x), ORACLES[name](x))


def test_mlp_equals_one_built_by_hand() -> None:
    spec = NetworkSpec(kind="mlp", widths=(5, 4), activation="tanh", normalization="layer", dropout=0.3)
    model = build_network(spec, input_shape=(3,), outputs=2, seed=3).eval()
    hand = nn.Sequential(
        nn.Linear(3, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 4), nn.LayerNorm(4), nn.Tanh(), nn.Linear(4, 2)
    )
    copy_weights(model, hand)
    inputs = torch.randn(6, 3)
    assert torch.equal(model(inputs), hand(inputs))


def test_names_of_an_mlp() -> None:
    spec = NetworkSpec(kind="mlp", widths=(4,), normalization="batch", dropout=0.1)
    model = build_network(spec, input_shape=(2, 3), outputs=2)
    assert [name for name, _ in model.named_children()] == ["flatten", "fc1", "norm1", "act1", "drop1", "output"]


def hand_built_cnn(pooling: nn.Module) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 5, padding=2, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 5, padding=2, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        pooling,
        nn.Flatten(),
        nn.Linear(4 * 4 * 3, 6, bias=False),
        nn.BatchNorm1d(6),
        nn.ReLU(),
        nn.Linear(6, 2),
    )


@pytest.mark.parametrize(("pooling", "module"), [("max", nn.MaxPool2d(2)), ("average", nn.AvgPool2d(2))])
def test_cnn_equals_one_built_by_hand(pooling: str, module: nn.Module) -> None:
    spec = NetworkSpec.from_dict(
        {
            "kind": "cnn",
            "channels": [4],
            "kernel_size": 5,
            "convolutions": 2,
            "pooling": pooling,
            "normalization": "batch",
            "head_widths": [6],
            "dropout": 0.5,
        }
    )
    model = build_network(spec, input_shape=(3, 9, 7), outputs=2, seed=1)
    hand = hand_built_cnn(module)
    copy_weights(model, hand)
    inputs = torch.randn(4, 3, 9, 7)
    torch.testing.assert_close(model.eval()(inputs), hand.eval()(inputs))


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_laid_out_for_speed_and_parameters_as_usual(channels: int) -> None:
    """Weights and gradients stay contiguous, so checkpoints and fused optimisers meet nothing unusual."""
    model = build_network(NetworkSpec(kind="cnn", normalization="batch"), input_shape=(channels, 8, 8), outputs=2)
    layouts: list[bool] = []
    for name in ("stage1.conv1", "stage1.pool", "stage2.pool"):
        model.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output: layouts.append(output.is_contiguous(memory_format=torch.channels_last))
        )
    images = torch.randn(5, channels, 8, 8)
    before = images.clone()
    model(images).sum().backward()
    assert layouts == [True] * 3
    assert torch.equal(images, before)
    for parameter in model.parameters():
        assert parameter.is_contiguous()
        assert parameter.grad is not None
        assert parameter.grad.is_contiguous()


def test_residual_stage_is_the_sum_of_body_and_shortcut() -> None:
    spec = NetworkSpec(kind="cnn", channels=(4,), convolutions=2, residual=True, pooling="stride", global_pooling=True)
    model = build_network(spec, input_shape=(1, 7, 7), outputs=3, seed=2)
    stage = model.get_submodule("stage1")
    first = nn.Conv2d(1, 4, 3, stride=2, padding=1)
    second = nn.Conv2d(4, 4, 3, padding=1)
    across = nn.Conv2d(1, 4, 1, stride=2)
    for hand, name in ((first, "conv1"), (second, "conv2"), (across, "shortcut.conv")):
        hand.load_state_dict(stage.get_submodule(name).state_dict())
    inputs = torch.randn(2, 1, 7, 7)
    expected = (second(first(inputs).relu()) + across(inputs)).relu()
    assert torch.equal(stage(inputs), expected)
    assert expected.shape == (2, 4, 4, 4)
    output = model.get_submodule("output")
    torch.testing.assert_close(model(inputs), output(expected.mean(dim=(2, 3))))


def test_residual_stage_of_equal_shape_adds_its_input_itself() -> None:
    spec = NetworkSpec(kind="cnn", channels=(3,), residual=True, initialization="zeros")
    model = build_network(spec, input_shape=(3, 4, 4), outputs=2)
    inputs = torch.randn(2, 3, 4, 4)
    # With zero weights only the shortcut is left: the pooled ReLU of the input.
    assert torch.equal(model.get_submodule("stage1")(inputs), nn.functional.max_pool2d(inputs.relu(), 2))


@pytest.mark.parametrize("side", range(1, 20))
@pytest.mark.parametrize("pooling", ["max", "stride"])
def test_cnn_halves_every_size(side: int, pooling: str) -> None:
    spec = NetworkSpec.from_dict({"kind": "cnn", "channels": (2, 2), "pooling": pooling})
    if pooling == "max" and side < 4:
        with pytest.raises(SettingsError, match="cannot be halved 2 times"):
            build_network(spec, input_shape=(1, side, side), outputs=2)
    else:
        model = build_network(spec, input_shape=(1, side, side), outputs=2)
        assert model(torch.randn(3, 1, side, side)).shape == (3, 2)


CELLS = {"plain": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_rnn_equals_torchs_stacked_layer_on_packed_sequences(cell: str, bidirectional: bool) -> None:
    spec = NetworkSpec.from_dict(
        {"kind": "rnn", "cell": cell, "hidden": 5, "layers": 2, "bidirectional": bidirectional, "embedding": 4}
    )
    model = build_network(spec, input_shape=(6,), outputs=3, vocabulary_size=9, seed=5).eval()
    stacked = CELLS[cell](4, 5, num_layers=2, bidirectional=bidirectional, batch_first=True)
    names = dict(stacked.named_parameters())
    with torch.no_grad():
        for layer, direction in itertools.product(range(2), ("", "_backward")[: 1 + bidirectional]):
            for name, parameter in model.get_submodule(f"rnn{layer + 1}{direction}").named_parameters():
                suffix = "_reverse" if direction else ""
                names[name.replace("_l0", f"_l{layer}") + suffix].copy_(parameter)
    lengths = torch.tensor([6, 1, 4])
    tokens = torch.randint(1, 9, (3, 6)) * (torch.arange(6) < lengths[:, None])
    packed = nn.utils.rnn.pack_padded_sequence(
        model.get_submodule("embedding")(tokens), lengths, batch_first=True, enforce_sorted=False
    )
    state = stacked(packed)[1]
    last = state[0] if cell == "lstm" else state
    ends = torch.cat((last[-2], last[-1]), dim=-1) if bidirectional else last[-1]
    torch.testing.assert_close(model(tokens), model.get_submodule("head")(ends))


TEXT_NETWORKS = {
    f"{cell} {'both ways' if both else 'one way'} {embedding} {normalization}": NetworkSpec.from_dict(
        {
            "kind": "rnn",
            "cell": cell,
            "hidden": 4,
            "layers": 2,
            "bidirectional": both,
            "embedding": embedding,
            "normalization": normalization,
            "head_widths": [3],
            "dropout": 0.2,
        }
    )
    for cell, both, embedding, normalization in itertools.product(
        CELLS, (False, True), ("one_hot", 3), ("none", "layer")
    )
} | {f"bag {embedding}": NetworkSpec.from_dict({"kind": "bag", "embedding": embedding}) for embedding in (5, "one_hot")}


@pytest.mark.parametrize("name", TEXT_NETWORKS)
def test_padding_changes_nothing(name: str) -> None:
    model = build_network(TEXT_NETWORKS[name], input_shape=(5,), outputs=2, vocabulary_size=7).eval()
    tokens = torch.tensor([[1, 2, 3, 0, 0], [4, 5, 6, 1, 2], [6, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    longer = nn.functional.pad(tokens, (0, 4))
    torch.testing.assert_close(model(tokens), model(longer))
    alone = torch.cat([model(row[None, : max(1, int((row != 0).sum()))]) for row in tokens])
    torch.testing.assert_close(model(tokens), alone)


def test_bag_is_the_mean_of_its_tokens_vectors() -> None:
    model = build_network(
        NetworkSpec(kind="bag", embedding=3, widths=()), input_shape=(4,), outputs=2, vocabulary_size=6
    )
    table = model.get_submodule("embedding").weight
    mean = (table[2] + table[5] + table[5]) / 3
    torch.testing.assert_close(model(torch.tensor([[2, 5, 5, 0]])), model.get_submodule("output")(mean[None]))


def test_one_hot_bag_is_the_share_of_each_token() -> None:
    spec = NetworkSpec(kind="bag", embedding="one_hot", widths=())
    model = build_network(spec, input_shape=(4,), outputs=2, vocabulary_size=4)
    shares = model.get_submodule("embedding")(torch.tensor([[2, 3, 3, 0]]))
    torch.testing.assert_close(shares, torch.tensor([[0.0, 0.0, 1 / 3, 2 / 3]]))


def test_many_to_many_reads_only_what_came_before() -> None:
    spec = NetworkSpec(kind="rnn", output="every", hidden=6)
    model = build_network(spec, input_shape=(5,), outputs=7, vocabulary_size=7).eval()
    tokens = torch.tensor([[1, 2, 3, 4, 5]])
    changed = torch.tensor([[1, 2, 3, 6, 6]])
    assert model(tokens).shape == (1, 5, 7)
    assert torch.equal(model(tokens)[:, :3], model(changed)[:, :3])
    assert not torch.allclose(model(tokens)[:, 3:], model(changed)[:, 3:])


def test_series_give_one_output_or_one_a_step() -> None:
    series = torch.randn(3, 8, 2)
    one = build_network(NetworkSpec(kind="rnn", hidden=4), input_shape=(8, 2), outputs=5)
    every = build_network(NetworkSpec(kind="rnn", hidden=4, output="every"), input_shape=(8, 2), outputs=5)
    both = build_network(NetworkSpec(kind="rnn", hidden=4, bidirectional=True), input_shape=(8, 2), outputs=5)
    assert one(series).shape == both(series).shape == (3, 5)
    assert every(series).shape == (3, 8, 5)
    assert not torch.allclose(both(series), both(series.flip(1)))


@pytest.mark.parametrize(
    ("spec", "shape", "vocabulary", "message"),
    [
        (NetworkSpec(kind="mlp"), (5,), 9, "an mlp reads numbers"),
        (NetworkSpec(kind="bag"), (5,), None, "a bag reads text"),
        (NetworkSpec(kind="cnn"), (5,), None, "a cnn reads images"),
        (NetworkSpec(kind="cnn"), (5,), 9, "a cnn reads images"),
        (NetworkSpec(kind="rnn"), (1, 8, 8), None, "an rnn reads text or series"),
        (NetworkSpec(kind="rnn", output="every", bidirectional=True), (5,), 9, "has to predict"),
    ],
)
def test_networks_refuse_data_that_they_cannot_read(
    spec: NetworkSpec, shape: tuple[int, ...], vocabulary: int | None, message: str
) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        build_network(spec, input_shape=shape, outputs=2, vocabulary_size=vocabulary)
    assert caught.value.remedy
    assert caught.value.place.startswith("network.")


def test_same_seed_same_weights_and_the_global_state_is_left_alone() -> None:
    spec = NetworkSpec(kind="rnn", embedding=4, initialization="orthogonal")
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first, second, other = (
        build_network(spec, input_shape=(5,), outputs=2, vocabulary_size=7, seed=seed) for seed in (4, 4, 5)
    )
    assert torch.equal(before, torch.random.get_rng_state())
    pairs = list(zip(first.parameters(), second.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert any(not torch.equal(a, c) for a, _, c in pairs)


def test_descriptions() -> None:
    assert describe_network(NetworkSpec()) == "MLP 64-32 relu"
    assert describe_network(NetworkSpec(widths=())) == "MLP linear"
    assert describe_network(NetworkSpec(kind="cnn", residual=True, normalization="batch")) == (
        "residual CNN 16-32 relu batch"
    )
    assert describe_network(NetworkSpec(kind="rnn", cell="lstm", layers=2, bidirectional=True)) == (
        "bidirectional LSTM 64-64"
    )
