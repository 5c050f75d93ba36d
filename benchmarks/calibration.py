"""Temperature scaling of over-trained networks: errors before and after, and whether the accuracy moved.

    python benchmarks/calibration.py [MNIST_FOLDER]

Each network is trained on a part of its data until long after its training error is zero, three seeds each. The
temperature is fitted on validation examples that it never saw, and judged on others. Figures are the seeds' means.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from torch import Tensor, nn

import pellucid
from pellucid.data.idx import read_idx

SEEDS = (0, 1, 2)


def digits() -> tuple[Tensor, Tensor]:
    """1,797 drawn digits of 8 × 8."""
    data = load_digits()
    return torch.tensor(data.data, dtype=torch.float32) / 16, torch.tensor(data.target)


def breast_cancer() -> tuple[Tensor, Tensor]:
    """569 tumours of 30 measures, standardised; a tenth of the labels is flipped, as a second reader might."""
    data = load_breast_cancer()
    x = (data.data - data.data.mean(0)) / data.data.std(0)
    flipped = np.random.default_rng(0).random(len(x)) < 0.1
    return torch.tensor(x, dtype=torch.float32), torch.tensor(np.where(flipped, 1 - data.target, data.target))


def mnist(folder: Path, count: int = 6000) -> tuple[Tensor, Tensor]:
    """The first digits of MNIST's training file."""
    images = read_idx(folder / "train-images-idx3-ubyte.gz")[:count]
    labels = read_idx(folder / "train-labels-idx1-ubyte.gz")[:count]
    return torch.tensor(np.array(images), dtype=torch.float32)[:, None] / 255, torch.tensor(labels.astype(np.int64))


def mlp(inputs: int, classes: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, classes))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 49, 10),
    )


def train(model: nn.Module, x: Tensor, y: Tensor, epochs: int) -> None:
    """Adam without any regularisation, far past zero training error."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        for part in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[part]), y[part]).backward()
            optimizer.step()


def measure(build: object, data: tuple[Tensor, Tensor], trained_on: int, epochs: int, seed: int) -> list[list[float]]:
    """Figures before, and after each of the three scalings."""
    torch.manual_seed(seed)
    x, y = data
    order = torch.randperm(len(x))
    x, y = x[order], y[order]
    half = trained_on + (len(x) - trained_on) // 2
    model = build()  # type: ignore[operator]
    train(model, x[:trained_on], y[:trained_on], epochs)
    fitted = float((model(x[:trained_on]).argmax(1) == y[:trained_on]).double().mean())
    held = pellucid.measure_calibration(model, (x[trained_on:half], y[trained_on:half]), split="validation")
    before = pellucid.measure_calibration(model, (x[half:], y[half:]), split="test")
    found = [before, before.temperature(held), before.vector_scaling(held), before.isotonic(held)]
    assert found[1]["accuracy"] == before["accuracy"], "a temperature cannot change a decision"
    temperature = float(found[1].scaling.parameters[0, 0])
    rows = [[one[name] for name in ("accuracy", "ece", "classwise_ece", "nll", "brier")] for one in found]
    return [[fitted, temperature, before["ece_chance_high"], len(x) - half], *rows]


def main() -> None:
    """One line a network and map."""
    torch.set_num_threads(1)
    cases = {
        "digits, MLP 256-256": (lambda: mlp(64, 10), digits(), 400, 200),
        "breast_cancer, a tenth of the labels flipped, MLP 256-256": (lambda: mlp(30, 2), breast_cancer(), 200, 200),
    }
    if len(sys.argv) > 1:
        cases["MNIST, 1,500 of 6,000 images, CNN"] = (cnn, mnist(Path(sys.argv[1])), 1500, 40)
    names = ("as trained", "temperature", "vector", "isotonic")
    print("| network | scaling | accuracy | ECE | class-wise ECE | NLL | Brier |\n|---|---|---|---|---|---|---|")
    for title, (build, data, trained_on, epochs) in cases.items():
        runs = np.array(
            [
                [
                    *map(
                        np.array,
                        (row + [np.nan] * (5 - len(row)) for row in measure(build, data, trained_on, epochs, s)),
                    )
                ]
                for s in SEEDS
            ]
        )
        head, rows = runs[:, 0].mean(0), runs[:, 1:].mean(0)
        lowered = (runs[:, 2, 1] < runs[:, 1, 1]).sum()
        said = f"{title} (train accuracy {head[0]:.3f}, T = {head[1]:.2f}, {head[3]:.0f} test examples)"
        for place, (name, row) in enumerate(zip(names, rows, strict=True)):
            print(f"| {said if place == 0 else ''} | {name} | " + " | ".join(f"{value:.4f}" for value in row) + " |")
        print(
            f"  lowered the ECE in {lowered} of {len(SEEDS)}; chance alone gives up to {head[2]:.4f}", file=sys.stderr
        )


if __name__ == "__main__":
    main()
