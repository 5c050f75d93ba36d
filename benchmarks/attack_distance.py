"""The exact distance to a decision boundary beside the distances that published attacks find.

A network of two moons has two inputs, so its slice is its whole input space, and no attack may find a nearer point of
another class than the exact distance says. The attacks are those of maintained libraries, each used if it is there:
foolbox (DeepFool, decoupling direction and norm, Carlini and Wagner) and adversarial-robustness-toolbox (DeepFool).
They need no torch of their own; ``pip install --no-deps --target SITE foolbox eagerpy adversarial-robustness-toolbox``
and ``PYTHONPATH=SITE`` will do.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.datasets import make_moons
from torch import nn

from pellucid.core.slices import Slice
from pellucid.lenses.linear_regions import measure_linear_regions

REACH = 4.0


def moons(seed: int = 0) -> tuple[nn.Sequential, np.ndarray, np.ndarray]:
    """A trained network, and points with their classes as it predicts them."""
    torch.manual_seed(seed)
    made: Any = make_moons(600, noise=0.2, random_state=seed)
    points, classes = made
    x, y = torch.from_numpy(points).float(), torch.from_numpy(classes)
    net = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(300):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    return net.double().eval(), points, net(torch.from_numpy(points)).argmax(1).numpy()


def exact(net: nn.Module, points: np.ndarray) -> np.ndarray:
    """The distance of every point from the boundary, on a slice that reaches far beyond them."""
    axes = np.eye(2)
    plane = Slice(np.zeros(2), axes[0], axes[1], (-REACH, REACH), (-REACH, REACH), (2,))
    return measure_linear_regions(net, plane).distance(points)


def deep_fool(net: nn.Module, points: np.ndarray, classes: np.ndarray, overshoot: float = 1e-6) -> np.ndarray:
    """DeepFool (Moosavi-Dezfooli et al., 2016) for two classes, as published; the points at which it ends."""
    x, start = torch.from_numpy(points).clone(), torch.from_numpy(points)
    sign = torch.from_numpy(np.where(classes == 1, 1.0, -1.0))
    for _ in range(100):
        x.requires_grad_()
        logits = net(x)
        gap = logits[:, 1] - logits[:, 0]
        (slope,) = torch.autograd.grad(gap.sum(), x)
        going = (gap * sign > 0)[:, None]
        step = (gap[:, None] / (slope**2).sum(1, keepdim=True).clamp_min(1e-300)) * slope
        x = torch.where(going, x - (1 + overshoot) * step, x).detach()
    assert x.shape == start.shape
    return x.numpy()


def foolbox_attacks(net: nn.Module) -> dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    """Foolbox's attacks that minimise the Euclidean distance."""
    try:
        import foolbox  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        print(f"foolbox is not used: {error}")
        return {}
    model = foolbox.PyTorchModel(net, bounds=(-REACH, REACH), device="cpu")
    attacks = {
        "foolbox DeepFool": foolbox.attacks.L2DeepFoolAttack(overshoot=1e-6),
        "foolbox DDN": foolbox.attacks.DDNAttack(steps=300),
        "foolbox Carlini–Wagner": foolbox.attacks.L2CarliniWagnerAttack(binary_search_steps=6, steps=400),
    }

    def run(attack: Any) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        def found(points: np.ndarray, classes: np.ndarray) -> np.ndarray:
            x, y = torch.from_numpy(points), torch.from_numpy(classes)
            return attack(model, x, y, epsilons=None)[0].numpy()

        return found

    return {name: run(attack) for name, attack in attacks.items()}


def art_attacks(net: nn.Module) -> dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    """DeepFool of the adversarial-robustness-toolbox, on a float32 copy, which is what it takes."""
    try:
        from art.attacks.evasion import DeepFool  # pyright: ignore[reportMissingImports]
        from art.estimators.classification import PyTorchClassifier  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        print(f"adversarial-robustness-toolbox is not used: {error}")
        return {}
    import copy

    classifier: Any = PyTorchClassifier(
        copy.deepcopy(net).float(), nn.CrossEntropyLoss(), (2,), 2, device_type="cpu", clip_values=(-REACH, REACH)
    )
    attack = DeepFool(classifier, epsilon=1e-5, nb_grads=2, batch_size=64, verbose=False)
    return {"ART DeepFool": lambda points, _: np.asarray(attack.generate(points.astype(np.float32)), dtype=np.float64)}


def compare(seed: int, tolerance: float = 1e-9) -> int:
    """Print a table; returns how often an attack found a nearer point than the exact distance."""
    net, points, classes = moons(seed)
    start = time.process_time()
    distance = exact(net, points)
    print(f"seed {seed}: {len(points)} points, exact distances in {time.process_time() - start:.2f} CPU s")
    attacks: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
        "DeepFool, written here": lambda x, y: deep_fool(net, x, y),
        **foolbox_attacks(net),
        **art_attacks(net),
    }
    print(f"{'attack':<26}{'succeeded':>10}{'nearer than exact':>19}{'median ratio':>14}{'worst':>8}{'CPU s':>8}")
    nearer = 0
    for name, attack in attacks.items():
        start = time.process_time()
        ends = attack(points, classes)
        seconds = time.process_time() - start
        reached = net(torch.from_numpy(ends)).argmax(1).numpy() != classes
        ratio = np.linalg.norm(ends - points, axis=1)[reached] / distance[reached]
        below = int((ratio < 1 - tolerance).sum())
        nearer += below
        print(f"{name:<26}{reached.sum():>10}{below:>19}{np.median(ratio):>14.4f}{ratio.max():>8.2f}{seconds:>8.1f}")
    return nearer


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    wrong = sum(compare(seed) for seed in parser.parse_args().seeds)
    raise SystemExit(f"{wrong} attacks beat the exact distance" if wrong else 0)
