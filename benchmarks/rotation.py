"""How often a planted sparse basis is found again after a random rotation, and how often chance is taken for one.

    python benchmarks/rotation.py [trials]

Classes use so many of the features each, with noise on all; the basis is turned at random inside 64 neurons. Found
means: every planted direction has |cosine| above 0.95 with a direction of its own. The false alarms are random Gaussian
centres judged at p ≤ 0.05.
"""

import sys
import time

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import ortho_group

from pellucid.core.sparse_rotation import find_sparse_rotation, judge_sparse_rotation


def plant(generator, classes, features, used, noise):
    loadings = np.zeros((classes, features))
    for row in loadings:
        chosen = generator.choice(features, used, replace=False)
        row[chosen] = generator.choice([-1, 1], used) * (0.5 + generator.random(used))
    basis = ortho_group.rvs(64, random_state=generator)[:features]
    jitter = noise * np.sqrt((loadings**2).mean()) * generator.standard_normal((classes, features))
    return (loadings + jitter) @ basis, basis


def worst_cosine(centres, basis):
    _, _, right = np.linalg.svd(centres, full_matrices=False)
    span = right[: len(basis)]
    found = find_sparse_rotation((centres @ span.T)[None])
    cosines = np.abs(found.rotation.T @ span @ basis.T)
    rows, columns = linear_sum_assignment(-cosines)
    return float(cosines[rows, columns].min()), float(found.varimax - found.density)


def main():
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    print("classes features used noise   found   seconds each")
    for classes, features, used in ((20, 5, 1), (40, 8, 2), (100, 12, 3), (20, 8, 2), (10, 9, 2)):
        for noise in (0.1, 0.2, 0.3):
            generator = np.random.default_rng(0)
            began = time.process_time()
            found = [worst_cosine(*plant(generator, classes, features, used, noise))[0] for _ in range(trials)]
            seconds = (time.process_time() - began) / trials
            right = float(np.mean(np.array(found) > 0.95))
            print(f"{classes:7} {features:8} {used:4} {noise:5}   {right:5.2f}   {seconds:.3f}", flush=True)
    for classes, features in ((16, 4), (40, 8)):
        values = [
            judge_sparse_rotation(
                np.random.default_rng(seed).standard_normal((1, classes, features)), starts=12, draws=39
            ).p_value
            for seed in range(trials)
        ]
        alarms = float(np.mean(np.array(values) <= 0.05))
        print(f"random centres, {classes} × {features}: p ≤ 0.05 in {alarms:.2f}, mean p {np.mean(values):.2f}")


if __name__ == "__main__":
    main()
