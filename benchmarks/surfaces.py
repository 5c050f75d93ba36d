"""How fast every neuron of a network of 6 hidden layers of 8 is computed over a grid: against TensorFlow Playground.

TensorFlow Playground (playground.ts, ``updateDecisionBoundary``) walks over the pixels of a 100 × 100 grid, runs the
network for each by scalar arithmetic, node by node and link by link, and stores every node's output. Its algorithm is
written down here twice: with objects, as it stands there, in plain Python; and as loops over arrays that numba compiles
to machine code. Its own code, run by V8, is known to take 164 ms for 100 × 100 with a network of this size: that figure
is cited, not measured here.

Each figure is the median of the process's CPU time over the turns, all contenders taking turns; ``surfaces`` is the
whole public call, with its float64 samples, and is checked against the peer's numbers.

    OMP_NUM_THREADS=1 python benchmarks/surfaces.py [--turns 15] [--threads 1]
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from itertools import pairwise

import numpy as np
import torch
from numba import njit
from torch import nn

import pellucid
from pellucid.results.neuron_surface import NeuronSurface

WIDTHS = (2, 8, 8, 8, 8, 8, 8, 1)
SIZE = 6.0  # the Playground's plane reaches from −6 to 6
CITED_MS = 164.0


def make_network(activation: type[nn.Module]) -> nn.Sequential:
    torch.manual_seed(0)
    parts: list[nn.Module] = []
    for inputs, outputs in pairwise(WIDTHS):
        parts += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*parts)


class Link:
    """playground's Link."""

    def __init__(self, source: Node, weight: float) -> None:
        self.source, self.weight = source, weight


class Node:
    """playground's Node."""

    def __init__(self, bias: float) -> None:
        self.bias, self.links, self.output = bias, [], 0.0

    def update_output(self) -> float:
        """updateOutput: the sum of the links, and tanh of it."""
        total = self.bias
        for link in self.links:
            total += link.weight * link.source.output
        self.output = math.tanh(total)
        return self.output


def playground_objects(model: nn.Sequential, density: int) -> np.ndarray:
    """Nodes and links, pixel by pixel."""
    layers = [[Node(0.0), Node(0.0)]]
    for linear in model[::2]:
        nodes = []
        for weights, bias in zip(linear.weight.tolist(), linear.bias.tolist(), strict=True):
            node = Node(bias)
            node.links = [Link(source, weight) for source, weight in zip(layers[-1], weights, strict=True)]
            nodes.append(node)
        layers.append(nodes)
    boundary = np.empty((sum(WIDTHS[1:]), density, density))
    for i in range(density):
        for j in range(density):
            layers[0][0].output = -SIZE + 2 * SIZE * j / (density - 1)
            layers[0][1].output = -SIZE + 2 * SIZE * i / (density - 1)
            place = 0
            for nodes in layers[1:]:
                for node in nodes:
                    boundary[place, i, j] = node.update_output()
                    place += 1
    return boundary


@njit
def _scalar(weights, biases, widths, density, size):  # pragma: no cover
    total_nodes = 0
    for width in widths[1:]:
        total_nodes += width
    boundary = np.empty((total_nodes, density, density))
    now, then = np.empty(64), np.empty(64)
    for i in range(density):
        for j in range(density):
            now[0], now[1] = -size + 2 * size * j / (density - 1), -size + 2 * size * i / (density - 1)
            at_weight = at_bias = 0
            for layer in range(len(widths) - 1):
                for node in range(widths[layer + 1]):
                    total = biases[at_bias]
                    for source in range(widths[layer]):
                        total += weights[at_weight] * now[source]
                        at_weight += 1
                    then[node] = math.tanh(total)
                    boundary[at_bias, i, j] = then[node]
                    at_bias += 1
                now, then = then, now
    return boundary


def playground_compiled(model: nn.Sequential, density: int) -> np.ndarray:
    """The same loops over arrays, as machine code."""
    weights = np.concatenate([linear.weight.detach().numpy().ravel() for linear in model[::2]]).astype(np.float64)
    biases = np.concatenate([linear.bias.detach().numpy() for linear in model[::2]]).astype(np.float64)
    return _scalar(weights, biases, np.array(WIDTHS), density, SIZE)


def surfaces(model: nn.Sequential, density: int) -> NeuronSurface:
    plane = pellucid.slice_directions([0.0, 0.0], [1.0, 0.0], [0.0, 1.0], u_range=(-SIZE, SIZE), v_range=(-SIZE, SIZE))
    return pellucid.measure_neuron_surface(model, plane, resolution=density)


def main() -> None:
    """Take turns and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, bent = make_network(nn.Tanh), make_network(nn.ReLU)
    print(f"{'':34}{'CPU ms':>10}{'wall ms':>10}{'surfaces is faster by':>24}")
    for density in (100, 256):
        contenders = {
            f"surfaces, tanh, {density}²": lambda d=density: surfaces(model, d),
            f"surfaces, ReLU, {density}²": lambda d=density: surfaces(bent, d),
            f"Playground compiled, tanh, {density}²": lambda d=density: playground_compiled(model, d),
        }
        if density == 100:
            contenders["Playground objects, tanh, 100²"] = lambda: playground_objects(model, 100)
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
        found, wanted = surfaces(model, density), playground_compiled(model, density)
        apart = np.abs(np.concatenate([layer.values for layer in found.layers]) - wanted).max()
        for turn in range(options.turns + 2):
            for name, run in contenders.items():
                if "objects" in name and turn > 4:
                    continue
                wall, cpu = time.perf_counter(), time.process_time()
                run()
                if turn > 1:
                    taken[name].append((time.process_time() - cpu, time.perf_counter() - wall))
        ours = statistics.median(cpu for cpu, _ in taken[f"surfaces, tanh, {density}²"])
        for name, pairs in taken.items():
            cpu, wall = (1e3 * statistics.median(pair[k] for pair in pairs) for k in (0, 1))
            ratio = "" if "ReLU" in name else f"{cpu / (1e3 * ours):23.1f}×"
            print(f"{name:34}{cpu:10.2f}{wall:10.2f}{ratio}")
        if density == 100:
            print(f"{'Playground in V8, 100² (cited)':34}{CITED_MS:10.0f}{'':10}{CITED_MS / (1e3 * ours):23.1f}×")
        print(f"  largest difference of any neuron from the peer: {apart:.1e} (float32 against float64)")
    print(f"{options.threads} threads, {options.turns} turns")


if __name__ == "__main__":
    main()
