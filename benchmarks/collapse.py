"""Neural collapse: CPU time and memory beside the authors' notebook, 30,000 classes, and the cost on a model.

OMP_NUM_THREADS=1 python benchmarks/collapse.py [--classes 30000] [--turns 3]

Features are drawn about random centres and read in batches of 500; every measurement runs in a fresh process on one
thread. Memory is the rise of the process's peak resident size (Linux: /proc/self/clear_refs) above the data, after a
small measurement has loaded the code. The peer is the algorithm of the notebook that Papyan, Han and Donoho published:
two passes, a loop over the classes of a batch, a features × features covariance, a truncated SVD of Σ_B; it is written
here with the classifier's bias and CDNV left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.capture.features import find_classifier, read_features
from pellucid.data.batches_of import batches_of
from pellucid.lenses.neural_collapse import measure_neural_collapse

Data = tuple[Tensor, Tensor, Tensor, Tensor]
BATCH = 500


def draw(examples: int, width: int, classes: int) -> Data:
    """Features with a common mean of norm 10 about random centres, in one float32 tensor."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(classes, width, generator=generator) / width**0.5
    common = torch.randn(width, generator=generator)
    centres += 10 * common / common.norm()
    labels = torch.arange(examples) % classes
    features = torch.empty(examples, width)
    for begin in range(0, examples, BATCH):
        part = features[begin : begin + BATCH].normal_(generator=generator)
        part.mul_(0.3 / width**0.5).add_(centres[labels[begin : begin + BATCH]])
    weight = torch.randn(classes, width, generator=generator)
    return features, labels, weight, torch.zeros(classes)


class Batches:
    """Slices of a tensor, 500 rows each, to be walked again and again."""

    def __init__(self, features: Tensor, labels: Tensor) -> None:
        self.features, self.labels = features, labels

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(self.features.split(BATCH), self.labels.split(BATCH), strict=True)


def pellucid(data: Data) -> float:
    features, labels, weight, bias = data
    return measure_neural_collapse(features=Batches(features, labels), weight=weight, bias=bias)["nc1_notebook"]


def notebook(data: Data) -> float:
    from scipy.sparse.linalg import svds

    features, labels, weight, _ = data
    classes, width = weight.shape
    counts, mean = [0] * classes, [torch.zeros(width) for _ in range(classes)]
    for h, y in Batches(features, labels):
        for c in range(classes):
            own = (y == c).nonzero().flatten()
            if len(own):
                mean[c] += h[own].sum(dim=0)
                counts[c] += len(own)
    centres = torch.stack([one / count for one, count in zip(mean, counts, strict=True)]).T
    within, net, nearest = torch.zeros(width, width), 0, 0
    for h, y in Batches(features, labels):
        for c in range(classes):
            own = (y == c).nonzero().flatten()
            if not len(own):
                continue
            z = h[own] - centres[:, c]
            within += (z[:, :, None] @ z[:, None, :]).sum(dim=0) if width <= 64 else z.T @ z
            guess = (h[own] @ weight.T).argmax(dim=1)
            close = torch.stack([torch.norm(one[:, None] - centres, dim=0).argmin() for one in h[own]])
            net += int((guess == y[own]).sum())
            nearest += int((close == guess).sum())
    within /= len(labels)
    overall = centres.mean(dim=1, keepdim=True)
    moved = centres - overall
    between = (moved @ moved.T / classes).numpy()
    vectors, values, _ = svds(between, k=classes - 1)
    inverse = vectors @ np.diag(values ** (-1)) @ vectors.T
    for one in (moved, weight.T):
        lengths = one.norm(dim=0)
        units = one / lengths
        coherence = units.T @ units + torch.ones(classes, classes) / (classes - 1)
        coherence -= torch.diag(torch.diag(coherence))
        _ = (lengths.std() / lengths.mean()).item(), torch.norm(coherence, 1).item()
    _ = (torch.norm(weight.T / weight.norm() - moved / moved.norm()) ** 2).item()
    return float(np.trace(within.numpy() @ inverse))


def accumulators(data: Data) -> float:
    """The fastest public way: one-hot products for the means, a features × features covariance, a pseudo-inverse."""
    features, labels, weight, _ = data
    classes, width = weight.shape
    counts, sums = torch.zeros(classes), torch.zeros(classes, width)
    for h, y in Batches(features, labels):
        hot = nn.functional.one_hot(y, classes).float()
        counts += hot.sum(dim=0)
        sums += hot.T @ h
    centres = sums / counts[:, None]
    within, squares, agreed = torch.zeros(width, width), torch.zeros(classes), 0
    for h, y in Batches(features, labels):
        z = h - centres[y]
        within += z.T @ z
        squares += nn.functional.one_hot(y, classes).float().T @ z.square().sum(dim=1)
        agreed += int((torch.cdist(h, centres).argmin(dim=1) == (h @ weight.T).argmax(dim=1)).sum())
    moved = centres - centres.mean(dim=0)
    within /= len(labels)
    between = moved.T @ moved / classes
    distance = torch.cdist(centres, centres).square_().fill_diagonal_(float("inf"))
    squares /= counts
    _ = float(((squares[:, None] + squares) / (2 * distance)).sum()) / (classes * (classes - 1))
    return float(torch.trace(torch.linalg.pinv(between) @ within))


WAYS = {"pellucid": pellucid, "notebook": notebook, "accumulators": accumulators}


def status(field: str) -> int:
    """Bytes that the kernel says of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    return 0


def reset_peak() -> int:
    """Forget the peak; what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")
    return status("VmRSS:")


def measure(way: str, examples: int, width: int, classes: int) -> dict[str, float]:
    WAYS[way](draw(2000, min(width, 128), 20))
    data = draw(examples, width, classes)
    before, began = reset_peak(), time.process_time()
    value = WAYS[way](data)
    spent = time.process_time() - began
    return {"cpu_s": spent, "peak_mb": (status("VmHWM:") - before) / 1e6, "nc1": value}


def exact(examples: int, width: int, classes: int) -> dict[str, float]:
    """Tr(Σ_W Σ_B†) in float64, by a pseudo-inverse."""
    features, labels, _, _ = draw(examples, width, classes)
    h = features.double()
    means = torch.zeros(classes, width, dtype=torch.float64).index_add_(0, labels, h)
    means /= torch.bincount(labels)[:, None]
    z, moved = h - means[labels], means - means.mean(dim=0)
    between = moved.T @ moved / classes
    value = float(torch.trace(torch.linalg.pinv(between, rtol=1e-12, hermitian=True) @ (z.T @ z / len(h))))
    return {"cpu_s": 0.0, "peak_mb": 0.0, "nc1": value}


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(512, 100),
    ).eval()


def on_model(memory: int, turns: int) -> dict[str, float]:
    """CPU time of measuring a model over that of its features alone, in turns; 32 × 32 pixels, 100 classes."""
    torch.manual_seed(0)
    model, images, labels = network(), torch.randn(5000, 3, 32, 32), torch.arange(5000) % 100
    loader = Batches(images, labels)
    ratios = []
    for _ in range(turns + 1):
        began = time.process_time()
        for _ in read_features(model, batches_of(loader), find_classifier(model, images[:1])):
            pass
        alone = time.process_time() - began
        began = time.process_time()
        measure_neural_collapse(model, loader, memory=memory)
        ratios.append((time.process_time() - began) / alone)
    return {"ratio": statistics.median(ratios[1:]), "least": min(ratios[1:]), "most": max(ratios[1:])}


def child(*given: object) -> dict[str, float]:
    """The same script in a fresh process on one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--child", *map(str, given)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def race(examples: int, width: int, classes: int, turns: int) -> None:
    truth = child("exact", examples, width, classes)["nc1"]
    print(f"N = {examples:,}, d = {width:,}, C = {classes}, batches of {BATCH}; medians of {turns} turns")
    found = {way: [child(way, examples, width, classes) for _ in range(1)] for way in WAYS}
    for _ in range(turns - 1):
        for way in ("pellucid", "accumulators"):
            found[way].append(child(way, examples, width, classes))
    ours = statistics.median(one["cpu_s"] for one in found["pellucid"])
    for way, runs in found.items():
        spent = statistics.median(one["cpu_s"] for one in runs)
        peak = max(one["peak_mb"] for one in runs)
        error = abs(runs[0]["nc1"] / truth - 1)
        shown = f"{spent:7.2f} CPU-s ({spent / ours:5.1f}×)  {peak:7.0f} MB beyond the data"
        print(f"  {way:13} {shown}  NC1 off by {error:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, default=30_000, help="of the large case; 0 leaves it out")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.child:
        what, *rest = asked.child
        sizes = [int(one) for one in rest]
        found = exact(*sizes) if what == "exact" else on_model(*sizes) if what == "model" else measure(what, *sizes)
        print(json.dumps(found))
        return
    race(50_000, 512, 100, asked.turns)
    race(50_000, 2048, 100, asked.turns)
    for memory, name in ((1 << 30, "features kept"), (0, "features computed twice")):
        found = child("model", memory, asked.turns)
        print(
            f"on a convolutional network, {name}: {found['ratio']:.2f}× the feature extraction "
            f"({found['least']:.2f}–{found['most']:.2f})"
        )
    if asked.classes:
        found = child("pellucid", 2 * asked.classes, 1024, asked.classes)
        print(
            f"{asked.classes:,} classes × d = 1,024, {2 * asked.classes:,} examples: {found['cpu_s']:.0f} CPU-s, "
            f"{found['peak_mb']:,.0f} MB beyond the data"
        )


if __name__ == "__main__":
    main()
