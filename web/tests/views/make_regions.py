"""Writes what ``region_parts.test.ts`` reads: linear regions as a whole, as a picture, and every part of them.

Run it from the root of the repository when their form changes: ``python web/tests/views/make_regions.py``.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import torch
from torch import nn

from pellucid.core.slices import Slice
from pellucid.lenses.linear_regions import measure_linear_regions
from pellucid.server.region_parts import PartQuery, pack_part, pack_picture

__all__ = ["main"]


def main() -> None:
    """A network that bends by thresholds and by maxima, over a slice that is not about the origin."""
    torch.manual_seed(0)
    pooled = nn.Sequential(nn.Unflatten(1, (1, 10)), nn.MaxPool1d(2), nn.Flatten())
    model = nn.Sequential(nn.Linear(2, 14), nn.ReLU(), nn.Linear(14, 10), pooled, nn.Linear(5, 9), nn.ReLU())
    model.append(nn.Linear(9, 3))
    plane = Slice(np.array([0.2, -0.1]), np.eye(2)[0], np.eye(2)[1], (-3.0, 4.0), (-2.5, 2.5), (2,))
    regions = measure_linear_regions(model.double(), plane)
    folder = Path(__file__).parent / "regions"
    folder.mkdir(exist_ok=True)
    (folder / "whole.safetensors").write_bytes(regions.to_bytes())
    (folder / "picture.safetensors").write_bytes(pack_picture(regions))
    queries = [{"what": "cell", "cell": cell} for cell in range(0, regions.cells, 10)]
    for what in ("active", "pattern"):
        queries += [{"what": what, "layer": layer} for layer in range(-1, len(regions.kinks))]
    for layer in range(len(regions.kinks)):
        queries += [{"what": "state", "layer": layer, "unit": unit} for unit in range(3)]
        queries += [{"what": "bends", "layer": layer, "unit": unit} for unit in (-1, 0, 2)]
    queries += [{"what": "slope", "output": output} for output in range(3)]
    parts = {urlencode(query): base64.b64encode(pack_part(regions, PartQuery(**query))).decode() for query in queries}
    (folder / "parts.json").write_text(json.dumps(parts, indent=1) + "\n")


if __name__ == "__main__":
    main()
