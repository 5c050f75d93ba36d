"""What happens to a network's geometry after its training error is gone: the tables of the concept page.

    OMP_NUM_THREADS=1 python benchmarks/collapse_along_training.py DATA_FOLDER [clean] [noise] [convolution] [full]

The folder holds ``mnist`` (four IDX files) and ``cifar10`` (Parquet).
``clean``: 2,000 images of MNIST, an MLP of 3 × 256 with batch norm, 150 epochs, three seeds. ``noise``: the same with a
tenth of the training labels changed. ``convolution``: convolutional networks on 7,000 images of MNIST and 3,000 of
CIFAR-10; ``full``: one on all of MNIST, which takes half an hour. Figures are measured during training by
``pellucid.fit(..., lenses=...)``; the test images decide nothing.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import pellucid
from pellucid.data.idx import read_idx
from pellucid.results.geometry_history import GeometryHistory

SEEDS = (0, 1, 2)
EXAMPLES = 2000

QUANTITIES = (
    ("train", "collapse", "nc1"),
    ("test", "collapse", "nc1"),
    ("train", "collapse", "equinorm_centres"),
    ("train", "collapse", "maximal_angle_centres"),
    ("train", "collapse", "nc3"),
    ("test", "collapse", "nc4"),
    ("test", "calibration", "accuracy"),
    ("test", "calibration", "ece"),
    ("test", "calibration", "nll"),
    ("train", "calibration", "confidence"),
    ("test", "margins", "output_median"),
    ("train", "margins", "feature_distance_low"),
)
MEMORY = ("accuracy_clean", "accuracy_flipped", "accuracy_flipped_true")


def small_mnist(folder: Path, to: Path) -> Path:
    """MNIST: the first 2,000 images to train on, the next 2,000 to validate, and the test images as published."""
    images, labels = (read_idx(folder / f"train-{name}-ubyte.gz") for name in ("images-idx3", "labels-idx1"))
    test_images, test_labels = (read_idx(folder / f"t10k-{name}-ubyte.gz") for name in ("images-idx3", "labels-idx1"))
    np.savez(
        to,
        x_train=images[:EXAMPLES],
        y_train=labels[:EXAMPLES],
        x_val=images[EXAMPLES : 2 * EXAMPLES],
        y_val=labels[EXAMPLES : 2 * EXAMPLES],
        x_test=test_images,
        y_test=test_labels,
    )
    return to


def fit_mlp(source: Path, runs: Path, label_noise: float = 0.0) -> GeometryHistory:
    """Three seeds of the small network, as one history."""
    found = [
        pellucid.fit(
            source,
            runs_dir=runs,
            network="mlp",
            widths=(256, 256, 256),
            normalization="batch",
            optimizer="sgd",
            momentum=0.9,
            weight_decay=5e-3,
            learning_rate=0.05,
            schedule="cosine",
            batch_size=128,
            epochs=150,
            seed=seed,
            threads=1,
            watch=False,
            lenses=("collapse", "calibration", "margins"),
            label_noise=label_noise,
        )
        for seed in SEEDS
    ]
    return pellucid.measure_geometry_history(*found)


def fit_cnn(
    folder: Path, runs: Path, *, limit: int | None, channels: tuple[int, ...], epochs: int, decay: float, rate: float
) -> GeometryHistory:
    """A convolutional network on a set of images, or a part of it."""
    run = pellucid.fit(
        folder,
        runs_dir=runs,
        limit=limit,
        network={"kind": "cnn", "channels": channels, "dropout": 0.0},
        optimizer="sgd",
        momentum=0.9,
        schedule="cosine",
        batch_size=128,
        epochs=epochs,
        threads=1,
        watch=False,
        lenses=("collapse", "layers", "calibration"),
        weight_decay=decay,
        learning_rate=rate,
    )
    return pellucid.measure_geometry_history(run)


def show(title: str, history: GeometryHistory) -> None:
    """Markdown: at zero error → last, and in how many runs it moved so."""
    print(f"\n## {title}\n")
    for run in history.runs:
        stays = f"stays 0 from epoch {run.zero_error}" if run.zero_error >= 0 else "does not stay 0"
        print(
            f"seed {run.seed}: training error first 0 after epoch {run.first_zero}, {stays}; "
            f"lowest {run.best_split} loss after epoch {run.best}; {run.flipped} labels changed"
        )
    print("\n| split | quantity | at zero error | last | runs in which it moved so |\n|---|---|---|---|---|")
    for split, lens, quantity in QUANTITIES:
        if lens not in history.lenses:
            continue
        one = history.get(quantity, split=split, lens=lens)
        moved = max((one.falls, "fell"), (one.rises, "rose"))
        print(
            f"| {split} | {one.label} | {one.at_zero.mean():.4g} | {one.final.mean():.4g} "
            f"| {moved[1]} in {moved[0]} of {len(history.runs)} |"
        )


def show_memory(history: GeometryHistory) -> None:
    """What became of the changed labels, and how far the weights went."""
    best = [run.best for run in history.runs]
    print("\n| quantity | epoch 1 | lowest validation loss | last |\n|---|---|---|---|")
    parts = [history.get(name, split="train", lens="errors") for name in MEMORY]
    parts += [history.get("error", split="test", lens="errors"), history.get("distance", lens="weights")]
    for one in parts:
        middle = int(np.abs(one.epochs - np.median(best)).argmin())
        print(f"| {one.label} | {one.values[1]:.4g} | {one.values[middle]:.4g} | {one.values[-1]:.4g} |")


def show_layers(history: GeometryHistory) -> None:
    """D of every layer at some moments, with the law's ρ and R²."""
    for split in ("train", "test"):
        layers = [history.get("separation", split=split, lens="layers", layer=layer) for layer in history.layers]
        decay, fit = (history.get(name, split=split, lens="layers") for name in ("decay", "decay_fit"))
        print(f"\nSeparation D on {split}\n")
        print("| epoch | " + " | ".join(history.layers) + " | ρ | R² |\n" + "|---" * (len(layers) + 3) + "|")
        for place, epoch in enumerate(decay.epochs):
            cells = [f"{one.values[place]:.3g}" for one in (*layers, decay, fit)]
            print(f"| {epoch} | " + " | ".join(cells) + " |")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder of the data sets")
    parser.add_argument("parts", nargs="*", default=["clean", "noise", "convolution"])
    parser.add_argument("--runs", type=Path, help="where to keep the runs; else they are thrown away")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = chosen.runs or Path(folder) / "runs"
        source = small_mnist(chosen.folder / "mnist", Path(folder) / "mnist2000.npz")
        if "clean" in chosen.parts:
            show("MNIST, 2,000 images, MLP 3 × 256 with batch norm", fit_mlp(source, runs))
        if "noise" in chosen.parts:
            noisy = fit_mlp(source, runs, label_noise=0.1)
            show("the same with a tenth of the labels changed", noisy)
            show_memory(noisy)
        if "full" in chosen.parts:
            whole = fit_cnn(
                chosen.folder / "mnist", runs, limit=None, channels=(16, 32, 64), epochs=24, decay=1e-3, rate=0.1
            )
            show("all of MNIST, a convolutional network", whole)
            show_layers(whole)
        if "convolution" in chosen.parts:
            digits: dict[str, Any] = {"limit": 7000, "channels": (8, 16, 32), "epochs": 40}
            things: dict[str, Any] = {"limit": 3000, "channels": (16, 32, 64), "epochs": 50}
            digits |= {"decay": 2e-3, "rate": 0.1}
            things |= {"decay": 5e-3, "rate": 0.05}
            for name, settings in (("mnist", digits), ("cifar10", things)):
                history = fit_cnn(chosen.folder / name, runs, **settings)
                show(f"{name}, {settings['limit']:,} images, a convolutional network", history)
                show_layers(history)


if __name__ == "__main__":
    main()
