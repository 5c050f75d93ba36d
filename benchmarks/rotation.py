"""How often a planted sparse basis is found again after a random rotation, and how often chance is taken for one.

    python benchmarks/rotation.py [trials]

Classes use so many of the features each, with noise on all loadings, its size relative to their root mean square; the
basis is turned at random inside 64 neurons. Found means: every planted direction has |cosine| above 0.95 with one found
direction of its own. Beside it the same of the ℓ₁ norm with an ideal search, which starts at the planted basis too:
where that fails, the norm is less at a wrong basis. False alarms are random Gaussian centres judged at p ≤ 0.05.
"""

import sys
import time

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import ortho_group

from pellucid.core.sparse_rotation import find_sparse_rotation, judge_sparse_rotation

SETTINGS = ((20, 5, 1), (40, 8, 2), (100, 12, 3), (24, 6, 2), (20, 8, 2), (30, 8, 3), (10, 5, 2), (10, 9, 2))


def plant(generator, classes, features, used, noise):
    loadings = np.zeros((classes, features))
    for row in loadings:
        chosen = generator.choice(features, used, replace=False)
        row[chosen] = generator.choice([-1, 1], used) * (0.5 + generator.random(used))
    basis = ortho_group.rvs(64, random_state=generator)[:features]
    jitter = noise * np.sqrt((loadings**2).mean()) * generator.standard_normal((classes, features))
    return (loadings + jitter) @ basis, basis


def is_found(rotation, planted):
    cosines = np.abs(rotation.T @ planted)
    rows, columns = linear_sum_assignment(-cosines)
    return float(cosines[rows, columns].min()) > 0.95


def polar(matrices):
    left, _, right = np.linalg.svd(matrices)
    return left @ right


def least_l1(rows, planted, generator, starts=24):
    """The rotation of the least ℓ₁ norm, by soft thresholds from random starts and from the planted basis."""
    random = [ortho_group.rvs(len(planted), random_state=generator) for _ in range(starts)]
    turn = np.stack([planted, *random])
    for threshold in (0.8, 0.4, 0.2, 0.1, 0.05, 0.02):
        for _ in range(15):
            loadings = rows @ turn
            turn = polar(rows.T @ (loadings - np.clip(loadings, -threshold, threshold)))
    turn = np.concatenate([turn, planted[None]])
    return turn[np.abs(rows @ turn).mean(axis=(1, 2)).argmin()]


def recover(generator, classes, features, used, noise):
    """Whether the planted basis was found, whether by ℓ₁, and the CPU seconds of the former."""
    centres, basis = plant(generator, classes, features, used, noise)
    _, _, right = np.linalg.svd(centres, full_matrices=False)
    rows = centres @ right[:features].T
    planted = polar(right[:features] @ basis.T)
    began = time.process_time()
    found = find_sparse_rotation(rows[None]).rotation
    seconds = time.process_time() - began
    scaled = rows / np.sqrt((rows**2).mean())
    return is_found(found, planted), is_found(least_l1(scaled, planted, generator), planted), seconds


def main():
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    print("classes features used noise   found   by ideal l1   CPU seconds each")
    for classes, features, used in SETTINGS:
        for noise in (0.1, 0.2, 0.3):
            generator = np.random.default_rng(0)
            rows = [recover(generator, classes, features, used, noise) for _ in range(trials)]
            found, by_l1, seconds = np.mean(np.array(rows, dtype=float), axis=0)
            print(
                f"{classes:7} {features:8} {used:4} {noise:5}   {found:5.2f}   {by_l1:11.2f}   {seconds:.3f}",
                flush=True,
            )
    for classes, features in ((16, 4), (40, 8), (10, 9)):
        values = [
            judge_sparse_rotation(
                np.random.default_rng(seed).standard_normal((1, classes, features)), starts=12, draws=39
            ).p_value
            for seed in range(2 * trials)
        ]
        alarms = float(np.mean(np.array(values) <= 0.05))
        print(
            f"random centres, {classes} × {features}: p ≤ 0.05 in {alarms:.3f}, mean p {np.mean(values):.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
