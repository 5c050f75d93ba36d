"""Writes the payloads that ``geometry.test.ts`` draws: each geometry lens on a small problem, by Pellucid's own codec.

Run it from the root of the repository when a result of these changes: ``python web/tests/views/make_geometry.py``.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from pellucid.lenses.calibration import measure_calibration
from pellucid.lenses.class_geometry import measure_class_geometry
from pellucid.lenses.information_plane import measure_information_plane
from pellucid.lenses.layer_collapse import measure_layer_collapse
from pellucid.lenses.margins import measure_margins
from pellucid.lenses.neural_collapse import measure_neural_collapse
from pellucid.lenses.regression_collapse import measure_regression_collapse
from pellucid.lenses.robustness import measure_robustness

__all__ = ["main"]

NAMES = ("cat", "dog", "ship", "truck")


def main() -> None:
    """A network of four blobs, trained a little, and one of a plane's height."""
    torch.manual_seed(0)
    corners = 2.0 * torch.eye(4, 5)
    y = torch.arange(80) % 4
    x = corners[y] + torch.randn(80, 5)
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4))
    start = {name: value.clone() for name, value in model.state_dict().items()}
    early = measure_class_geometry(model, (x, y), class_names=NAMES, points=40, draws=9, starts=4)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    first = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4))
    first.load_state_dict(start)
    line = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 1))
    calibration = measure_calibration(model, (x, y), split="test", class_names=NAMES, resamples=20, bins=10)
    results = {
        "calibration": calibration,
        "calibration_scaled": calibration.temperature(),
        "class_geometry": measure_class_geometry(model, (x, y), class_names=NAMES, points=40, draws=9, starts=4),
        "class_geometry_early": early,
        "information_plane": measure_information_plane({0: first, 60: model}, (x, y), split="train"),
        "layer_collapse": measure_layer_collapse(model, (x, y), classes=4, split="train"),
        "margins": measure_margins(model, (x, y), split="test", class_names=NAMES),
        "neural_collapse": measure_neural_collapse(model, (x, y), class_names=NAMES, split="train"),
        "regression_collapse": measure_regression_collapse(line, (x, x[:, :1] - x[:, 1:2]), split="train"),
        "robustness": measure_robustness(model, (x[:24], y[:24]), split="test"),
    }
    folder = Path(__file__).with_name("geometry")
    folder.mkdir(exist_ok=True)
    for name, result in results.items():
        (folder / f"{name}.safetensors").write_bytes(result.to_bytes())


if __name__ == "__main__":
    main()
