"""How fast ``pellucid.fit`` trains, watch on: against a bare PyTorch loop and against scikit-learn's MLPClassifier.

The network is 784-256-128-10 with ReLU, trained by Adam on batches of 200, on 20,000 made-up 28 × 28 images. All take
turns within one process; each figure is the median over the turns of seconds per epoch. The bare loop does what people
write by hand: shuffle, slice, forward, backward, step, and the validation loss after each epoch. It runs twice, with
Adam as torch makes it and with ``fused=True``, which is what ``fit`` uses; and so does MLPClassifier, on float32 and on
float64, which is what it makes of images that are handed to it as bytes.

    python benchmarks/fit.py [--turns 5] [--epochs 6]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from torch import nn

import pellucid

EXAMPLES, BATCH, RATE = 20_000, 200, 1e-3


def make_images(folder: Path) -> Path:
    """Ten random prototypes with noise, as bytes."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, EXAMPLES)
    prototypes = rng.integers(0, 256, (10, 28, 28))
    images = np.clip(prototypes[labels] * 0.5 + rng.normal(64, 48, (EXAMPLES, 28, 28)), 0, 255).astype(np.uint8)
    path = folder / "images.npz"
    np.savez(path, images=images, labels=labels)
    return path


def fit_epoch_s(source: Path, folder: Path, epochs: int, *, watch: bool = True) -> float:
    """Seconds per epoch of ``fit``, validation and checkpoints included, from its own record."""
    run = pellucid.fit(
        source,
        runs_dir=folder,
        network={"kind": "mlp", "widths": (256, 128), "activation": "relu", "normalization": "none", "dropout": 0.0},
        optimizer={"name": "adam", "learning_rate": RATE, "weight_decay": 0.0},
        schedule="constant",
        epochs=epochs,
        batch_size=BATCH,
        patience=0,
        clip=0.0,
        watch=watch,
    )
    ends = run.table("metrics").to_pandas().groupby("epoch")["time_s"].max()
    return (ends.iloc[-1] - ends.iloc[0]) / (len(ends) - 1)


def split_like_fit(source: Path) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """As many training and validation examples as ``fit`` takes, as floats."""
    with np.load(source) as arrays:
        images = torch.from_numpy(arrays["images"]).reshape(EXAMPLES, -1).float() / 255
        labels = torch.from_numpy(arrays["labels"]).long()
    train, validation = round(0.7 * EXAMPLES), round(0.85 * EXAMPLES)
    return images[:train], labels[:train], images[train:validation], labels[train:validation]


def bare_epoch_s(data: tuple[torch.Tensor, ...], epochs: int, *, fused: bool | None) -> float:
    """Seconds per epoch of a loop written by hand."""
    x, y, x_validation, y_validation = data
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=fused)
    loss_of = nn.CrossEntropyLoss()
    ends = []
    for _ in range(epochs):
        model.train()
        for batch in torch.randperm(len(x)).split(BATCH):
            loss = loss_of(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            loss_of(model(x_validation), y_validation).item()
        ends.append(time.perf_counter())
    return (ends[-1] - ends[0]) / (len(ends) - 1)


def sklearn_epoch_s(data: tuple[torch.Tensor, ...], epochs: int, precision: type[np.floating]) -> float:
    """Seconds per epoch of MLPClassifier; it computes in the precision of its input."""
    x, y = data[0].numpy().astype(precision), data[1].numpy()
    model = MLPClassifier(
        (256, 128), batch_size=BATCH, learning_rate_init=RATE, alpha=0.0, max_iter=epochs, tol=0.0, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        began = time.perf_counter()
        model.fit(x, y)
    return (time.perf_counter() - began) / epochs


def main() -> None:
    """Take turns and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=6)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = make_images(folder)
        data = split_like_fit(source)
        contenders = {
            "fit, watch on": lambda: fit_epoch_s(source, folder / "runs", options.epochs),
            "fit, watch off": lambda: fit_epoch_s(source, folder / "runs", options.epochs, watch=False),
            "bare loop": lambda: bare_epoch_s(data, options.epochs, fused=None),
            "bare loop, fused Adam": lambda: bare_epoch_s(data, options.epochs, fused=True),
            "MLPClassifier, float32": lambda: sklearn_epoch_s(data, options.epochs, np.float32),
            "MLPClassifier, float64": lambda: sklearn_epoch_s(data, options.epochs, np.float64),
        }
        for turn in range(options.turns + 1):
            for contender, run in contenders.items():
                taken = run()
                if turn:  # the first turn warms up
                    seconds.setdefault(contender, []).append(taken)
    print(f"{'':24}{'s/epoch':>9}{'fit is faster by':>18}")
    ours = seconds["fit, watch on"]
    for contender, taken in seconds.items():
        ratio = statistics.median(theirs / mine for theirs, mine in zip(taken, ours, strict=True))
        print(f"{contender:24}{statistics.median(taken):9.3f}{ratio:17.2f}×")
    print(f"{torch.get_num_threads()} threads, {options.turns} turns of {options.epochs} epochs")


if __name__ == "__main__":
    main()
