"""Local linear models of networks on scikit-learn's data sets: how exact they are, what they cost, what fewer keep.

python benchmarks/local_linear_models.py [--turns 5]

The peer is the paper's own formula, W = Wₗ Dₗ₋₁ … D₁ W₁ and its bias for every activation pattern, written out in
NumPy; it knows networks of linear layers and ReLU only. CPU seconds, medians; the two take turns. Errors: on every
example, and at another point of every cell.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch
from sklearn import datasets
from sklearn.model_selection import train_test_split
from torch import nn

from pellucid.lenses.local_linear_models import measure_local_linear_models

SETS = ("breast_cancer", "wine", "diabetes", "digits", "digits, CNN")


def prepare(name: str) -> tuple[list[np.ndarray], list[np.ndarray], int]:
    """Standardised examples and targets, for training and held out, and how many outputs there are."""
    table = getattr(datasets, f"load_{name.partition(',')[0]}")()
    parts = train_test_split(table.data, table.target, random_state=0)
    mean, scale = parts[0].mean(axis=0), parts[0].std(axis=0) + 1e-9
    inputs = [(part - mean) / scale for part in parts[:2]]
    if name == "digits, CNN":
        inputs = [part.reshape(-1, 1, 8, 8) for part in inputs]
    targets = [np.asarray(part) for part in parts[2:]]
    if name == "diabetes":
        centre, size = targets[0].mean(), targets[0].std()
        return inputs, [(part - centre) / size for part in targets], 1
    classes = len(np.unique(targets[0]))
    return inputs, targets, 1 if classes == 2 else classes


def train(name: str, inputs: np.ndarray, targets: np.ndarray, outputs: int) -> nn.Sequential:
    """A network of ordinary size, trained for 100 steps on all examples."""
    torch.manual_seed(0)
    if inputs.ndim > 2:
        layers = [nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
        net = nn.Sequential(*layers, nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, outputs))
    else:
        hidden = nn.Linear(inputs.shape[1], 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()
        net = nn.Sequential(*hidden, nn.Linear(64, outputs))
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3)
    x, y = torch.tensor(inputs, dtype=torch.float32), torch.tensor(targets)
    for _ in range(100):
        out = net(x)
        if name == "diabetes":
            loss = nn.functional.mse_loss(out[:, 0], y.float())
        elif outputs == 1:
            loss = nn.functional.binary_cross_entropy_with_logits(out[:, 0], y.float())
        else:
            loss = nn.functional.cross_entropy(out, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.eval()


def by_products(net: nn.Sequential, points: np.ndarray) -> int:
    """The paper's formula for every distinct pattern; how many there are."""
    layers = [
        (m.weight.detach().double().numpy(), m.bias.detach().double().numpy()) for m in net if isinstance(m, nn.Linear)
    ]
    active, flow = [], points
    for weight, bias in layers[:-1]:
        flow = np.maximum(flow @ weight.T + bias, 0)
        active.append(flow > 0)
    patterns = np.unique(np.concatenate(active, axis=1), axis=0)
    for pattern in patterns:
        rest = pattern
        product, shift = layers[0]
        for weight, bias in layers[1:]:
            on, rest = rest[: len(shift)], rest[len(shift) :]
            product, shift = weight @ (on[:, None] * product), weight @ (on * shift) + bias
    return len(patterns)


def main() -> None:
    """Print one row a data set, then how faithful fewer models are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{'data':16}{'examples':>9}{'regions':>8}{'error':>10}{'in cells':>10}{'outputs':>9}{'ms':>7}{'products':>10}"
    )
    fewer: list[str] = []
    for name in SETS:
        inputs, targets, outputs = prepare(name)
        net = train(name, inputs[0], targets[0], outputs)
        taken: list[float] = []
        other: list[float] = []
        for _ in range(options.turns):
            began = time.process_time()
            found = measure_local_linear_models(net, inputs[0], targets[0], unvisited=0, simplify=())
            taken.append(time.process_time() - began)
            if inputs[0].ndim == 2:
                began = time.process_time()
                assert by_products(net, inputs[0]) == len(found.support)
                other.append(time.process_time() - began)
        with torch.no_grad():
            network = net.double()(torch.tensor(inputs[0])).numpy()
        error = np.abs(found.apply(inputs[0], found.data.region) - network).max()
        peer = f"{1000 * statistics.median(other):10.0f}" if other else f"{'–':>10}"
        print(
            f"{name:16}{len(inputs[0]):9,}{len(found.support):8,}{error:10.1e}{found.inside_error:10.1e}{found.output_scale:9.3g}"
            f"{1000 * statistics.median(taken):7.0f}{peer}"
        )
        net.float()
        full = measure_local_linear_models(net, inputs[0], targets[0], held_out=(inputs[1], targets[1]))
        for item in full.simplified:
            kept = [one.r2 if name == "diabetes" else one.agreement for one in item.fidelity]
            fewer.append(f"{name:16}{item.method:10}" + "".join(f"{value:12.3f}" for value in kept))
    print(f"\n8 models; decisions kept (R² of diabetes)\n{'':26}{'data':>12}{'held out':>12}{'between':>12}{'box':>12}")
    print("\n".join(fewer))


if __name__ == "__main__":
    main()
