"""Joining regions whose linear models are alike."""

from __future__ import annotations

import heapq

import numpy as np

__all__ = ["merge_regions"]

_BLOCK = 1 << 22


def merge_regions(
    effects: np.ndarray, patterns: np.ndarray, support: np.ndarray, count: int, neighbours: int
) -> np.ndarray:
    """Ward's agglomeration of neighbouring regions, each weighing as many examples as it has.

    Args:
        effects: regions × numbers; what decides whether two are alike.
        patterns: regions × bytes; those that differ in the fewest bits are neighbours.
        support: The examples of each.
        count: How many groups are wanted.
        neighbours: How many others each region may join.

    Returns:
        The group of each region, from 0.

    Source: Ward 1963; Sudjianto et al. 2020 for joining neighbours only.
    """
    regions = len(effects)
    if count >= regions:
        return np.arange(regions)
    near = _neighbour_pairs(patterns, min(neighbours, regions - 1))
    group = np.arange(regions)
    weight, middle = support.astype(np.float64), effects.copy()
    links: list[set[int]] = [set() for _ in range(regions)]
    for first, second in near:
        links[first].add(second)
        links[second].add(first)
    alive = set(range(regions))
    heap = [(_ward(weight, middle, a, b), a, b, 0) for a in alive for b in links[a] if a < b]
    heapq.heapify(heap)
    age = np.zeros(regions, dtype=np.int64)
    while len(alive) > count:
        if not heap:  # What is left is not connected: the nearest remaining pair joins.
            left = sorted(alive)
            heap = [(_ward(weight, middle, a, b), a, b, int(age[a] + age[b])) for a in left for b in left if a < b]
            heapq.heapify(heap)
        _, a, b, seen = heapq.heappop(heap)
        if a not in alive or b not in alive or seen != age[a] + age[b]:
            continue
        middle[a] = (weight[a] * middle[a] + weight[b] * middle[b]) / (weight[a] + weight[b])
        weight[a] += weight[b]
        age[a] += regions
        alive.discard(b)
        group[group == b] = a
        links[a] = {other for other in links[a] | links[b] if other in alive and other != a}
        for other in links[a]:
            links[other].discard(b)
            links[other].add(a)
            low, high = min(a, other), max(a, other)
            heapq.heappush(heap, (_ward(weight, middle, low, high), low, high, int(age[low] + age[high])))
    return np.unique(group, return_inverse=True)[1]


def _ward(weight: np.ndarray, middle: np.ndarray, a: int, b: int) -> float:
    """How much the squared distances to the groups' means grow when two groups join."""
    return float(weight[a] * weight[b] / (weight[a] + weight[b]) * ((middle[a] - middle[b]) ** 2).sum())


def _neighbour_pairs(patterns: np.ndarray, neighbours: int) -> list[tuple[int, int]]:
    """Each region with those whose patterns differ in the fewest bits."""
    bits = np.unpackbits(patterns, axis=1).astype(np.float32)
    ones = bits.sum(axis=1)
    pairs: list[tuple[int, int]] = []
    rows = max(1, _BLOCK // len(bits))
    for start in range(0, len(bits), rows):
        block = bits[start : start + rows]
        apart = ones[start : start + rows, None] + ones - 2 * (block @ bits.T)
        apart[np.arange(len(block)), np.arange(start, start + len(block))] = np.inf
        nearest = np.argsort(apart, axis=1, kind="stable")[:, :neighbours]
        pairs += [(start + at, int(other)) for at, others in enumerate(nearest) for other in others]
    return pairs
