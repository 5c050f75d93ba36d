"""Linear regions of ReLU networks: cells a CPU second beside a peer's, a million cells and their memory, convolutions.

Run with ``OMP_NUM_THREADS=1``; ``--million 6`` with two threads; ``--models MNIST`` for networks of convolutions, with
the folder of MNIST's files. The peer is SyReNN's algorithm compiled (``region_peer.py``), in the same run. No other can
be installed: SplineCam needs graph-tool and a graphics card, and is on no package index; pysyrenn is on one, without
the server that computes. Cited, not measured here, on the networks of ``network``: SplineCam 250–580 cells/s, Berzins'
edge subdivision 800–8,000, SyReNN's C++ 21,000–98,000.
"""

from __future__ import annotations

import argparse
import gzip
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pellucid.core.slices import Slice
from pellucid.lenses.linear_regions import measure_linear_regions
from pellucid.lenses.slicing import slice_examples
from pellucid.results.linear_regions import LinearRegions
from region_peer import count_cells

COUNTS = {16: 178, 64: 6_668, 128: 20_714, 256: 79_783, 512: 358_790}
BARS = {64: 300_000, 128: 150_000, 256: 80_000}


def network(width: int) -> Any:
    """The network whose counts are known."""
    torch.manual_seed(0)
    hidden = [nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(width, 1))


def square(half: float = 1.0) -> Slice:
    """[−half, half]²."""
    return Slice(np.zeros(2), np.eye(2)[0], np.eye(2)[1], (-half, half), (-half, half), (2,))


def speed(width: int, rounds: int) -> None:
    """The best of some rounds: the cells alone, and with the outputs and all proofs, which is what a call does."""
    best = {False: np.inf, True: np.inf}
    theirs = np.inf
    net = network(width)
    found = None
    for _ in range(rounds):
        for full in (False, True):
            start = time.process_time()
            found = measure_linear_regions(net, square(), outputs=full)
            best[full] = min(best[full], time.process_time() - start)
        start = time.process_time()
        counted = count_cells(net, 2 * COUNTS[width] + 1024)
        theirs = min(theirs, time.process_time() - start)
        assert counted == COUNTS[width], (counted, COUNTS[width])
    assert found is not None
    assert found.cells == COUNTS[width], (found.cells, COUNTS[width])
    assert abs(found.proofs.area - 4) < 1e-9
    bar = f" (bar {BARS[width]:,})" if width in BARS else ""
    rates = [found.cells / best[full] for full in (True, False)]
    print(
        f"w={width}: {found.cells:,} cells; cells per CPU second{bar}: {rates[0]:,.0f} with outputs and proofs, "
        f"{rates[1]:,.0f} without; SyReNN's algorithm, without either: {found.cells / theirs:,.0f}, ours is "
        f"{theirs / best[True]:.1f} and {theirs / best[False]:.1f} × as fast; proofs hold: {found.proofs.hold}"
    )


def lines(width: int, count: int = 200) -> None:
    """Brute force: along fine lines, the cell changes exactly where the activation pattern does."""
    net = network(width)
    found = measure_linear_regions(net, square(), outputs=False)
    doubled, wrong, changes = net.double(), 0, 0
    for row in np.linspace(-0.999, 0.999, count):
        line = np.stack([np.linspace(-1, 1, 4001), np.full(4001, row)], 1)
        hidden, signs = torch.from_numpy(line), []
        for layer in doubled[:-1]:
            if isinstance(layer, nn.ReLU):
                signs.append((hidden > 0).numpy())
            hidden = layer(hidden)
        pattern, cells = np.concatenate(signs, 1), found.locate(line)
        changed = (pattern[1:] != pattern[:-1]).any(1)
        changes += int(changed.sum())
        wrong += int(((cells[1:] != cells[:-1]) != changed).sum())
    print(f"w={width}: {count} lines of 4,001 points, {changes:,} changes of pattern, {wrong} disagree with the cells")


def deeper(layers: int, width: int = 256, *, he: bool = False) -> nn.Sequential:
    """A network with as many hidden layers, initialised as torch does, or its weights as He et al. (2015) do."""
    torch.manual_seed(0)
    found, given = nn.Sequential(), 2
    for _ in range(layers):
        layer = nn.Linear(given, width)
        if he:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        found.extend([layer, nn.ReLU()])
        given = width
    return found.append(nn.Linear(width, 1))


def million(options: argparse.Namespace) -> None:
    """About a million cells of a deep network; memory is the process's, above that when all is compiled."""
    layers, width, full = options.million, options.width, not options.bare
    for one in (3, layers):
        measure_linear_regions(deeper(one, width), square(0.1))  # everything is loaded now
    net = deeper(layers, width, he=options.he)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    start, cpu = time.perf_counter(), time.process_time()
    found = measure_linear_regions(net, square(options.half), outputs=full, max_cells=5_000_000)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    size = output_bytes(found)
    print(
        f"w={width}, {layers} hidden layers, {'He' if options.he else 'torch'}'s weights, [−{options.half:g}, "
        f"{options.half:g}]²: {found.cells:,} cells in {seconds:.1f} s, {cpu:.1f} CPU s ({torch.get_num_threads()} "
        f"threads), {'with' if full else 'without'} outputs and proofs; output {size / 2**20:.0f} MiB, peak above the "
        f"start {peak / 2**20:.0f} MiB, {peak / size:.2f} × the output; proofs hold: {found.proofs.hold}"
    )


class LeNet(nn.Module):
    """Two convolutions, each followed by a maximum over 2 × 2, and two dense layers."""

    def __init__(self, first: int = 3, second: int = 6) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, first, 5), nn.Conv2d(first, second, 5)
        self.dense, self.last = nn.Linear(16 * second, 32), nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Ten logits an image."""
        x = nn.functional.relu(nn.functional.max_pool2d(self.first(x), 2))
        x = nn.functional.relu(nn.functional.max_pool2d(self.second(x), 2))
        return self.last(nn.functional.relu(self.dense(x.flatten(1))))


class Block(nn.Module):
    """Two convolutions with batch normalization beside a shortcut."""

    def __init__(self, given: int, made: int, stride: int = 1) -> None:
        super().__init__()
        self.one, self.one_norm = nn.Conv2d(given, made, 3, stride, 1, bias=False), nn.BatchNorm2d(made)
        self.two, self.two_norm = nn.Conv2d(made, made, 3, 1, 1, bias=False), nn.BatchNorm2d(made)
        short = nn.Sequential(nn.Conv2d(given, made, 1, stride, bias=False), nn.BatchNorm2d(made))
        self.short = nn.Identity() if stride == 1 and given == made else short

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One residual block."""
        hidden = nn.functional.relu(self.one_norm(self.one(x)))
        return nn.functional.relu(self.two_norm(self.two(hidden)) + self.short(x))


class ResNet(nn.Module):
    """A stem of stride 4, two residual blocks, and a mean over the picture."""

    def __init__(self, first: int = 4, second: int = 8) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, first, 5, 4, 2, bias=False), nn.BatchNorm2d(first)
        self.blocks, self.head = nn.Sequential(Block(first, first), Block(first, second, 2)), nn.Linear(second, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Ten logits an image."""
        return self.head(self.blocks(nn.functional.relu(self.norm(self.stem(x)))).mean((2, 3)))


def models(folder: Path, steps: int = 100) -> None:
    """Networks of convolutions, trained a little, on the plane through the first three images, or its middle."""
    with gzip.open(folder / "train-images-idx3-ubyte.gz") as file:
        images = torch.frombuffer(bytearray(file.read()[16:]), dtype=torch.uint8).reshape(-1, 1, 28, 28)
    with gzip.open(folder / "train-labels-idx1-ubyte.gz") as file:
        classes = torch.frombuffer(bytearray(file.read()[8:]), dtype=torch.uint8).long()
    plane = slice_examples(*(image.float() / 255 for image in images[:3]))
    measure_linear_regions(network(16), square())  # everything is loaded now
    for kind, channels, share in ((ResNet, (4, 8), 1.0), (LeNet, (3, 6), 1.0), (LeNet, (6, 16), 0.3)):
        torch.manual_seed(0)
        net = kind(*channels)
        optimizer = torch.optim.Adam(net.parameters(), 1e-3)
        for _ in range(steps):
            chosen = torch.randint(len(images), (64,))
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images[chosen].float() / 255), classes[chosen]).backward()
            optimizer.step()
        start, cpu = time.perf_counter(), time.process_time()
        found = measure_linear_regions(net.eval(), middle(plane, share))
        print(
            f"{kind.__name__} {channels}, {share:.0%} of the plane's sides: {found.cells:,} cells in "
            f"{time.perf_counter() - start:.1f} s ({time.process_time() - cpu:.1f} CPU s, {torch.get_num_threads()} "
            f"threads); proofs hold: {found.proofs.hold}, worst error "
            f"{max(found.proofs.vertex_error, found.proofs.inside_error):.0e} in {found.proofs.checked:,} cells"
        )


def middle(plane: Slice, share: float) -> Slice:
    """The middle of a plane, whose sides are a share of its own."""
    ranges = []
    for low, high in (plane.u_range, plane.v_range):
        centre, half = (low + high) / 2, (high - low) / 2 * share
        ranges.append((centre - half, centre + half))
    return replace(plane, u_range=ranges[0], v_range=ranges[1])


def output_bytes(found: LinearRegions) -> int:
    """The bytes of a result's arrays."""
    arrays = [found.vertices, found.cell_start, found.cell_vertex, found.cell_edge, found.edge_vertex, found.edge_cell]
    arrays += [found.edge_kink, found.outputs]
    for one in found.patterns:
        arrays += [one.bits, one.parent]
    return sum(array.nbytes for array in arrays)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--million", type=int, default=0, metavar="LAYERS", help="how many hidden layers: 6")
    parser.add_argument("--half", type=float, default=13.0, help="half a side of the square of --million")
    parser.add_argument("--width", type=int, default=256, help="of the layers of --million")
    parser.add_argument("--he", action="store_true", help="--million with weights as He et al. initialise them")
    parser.add_argument("--bare", action="store_true", help="--million without outputs and proofs")
    parser.add_argument("--widths", type=int, nargs="*", default=[16, 64, 128, 256])
    parser.add_argument("--lines", type=int, default=0, metavar="WIDTH")
    parser.add_argument("--models", type=Path, metavar="MNIST", help="the folder of MNIST's files")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.models:
        models(options.models)
    elif options.million:
        million(options)
    elif options.lines:
        lines(options.lines)
    else:
        for one in options.widths:
            speed(one, options.rounds)
