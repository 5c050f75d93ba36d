"""The largest Hessian eigenvalue: products, CPU time and error, ours against PyHessian and curvlinops with eigsh.

python benchmarks/curvature.py [--epochs 0 2 20] [--turns 3]

A convolutional network of 20,500 parameters on 1,000 images (scikit-learn's digits), trained for so many epochs; the
methods take turns in one process and each is asked for a relative error of 1e-4 in its own terms. The truth is eigsh
to 1e-12 on our float64 products. PyHessian and curvlinops are skipped where they are not installed.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from sklearn.datasets import load_digits
from torch import Tensor, nn

from pellucid.capture.loss_surface import loss_surface
from pellucid.lenses.curvature import measure_curvature

Answer = tuple[float, float]


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 30),
        nn.ReLU(),
        nn.Linear(30, 10),
    )


def train(model: nn.Module, x: Tensor, y: Tensor, epochs: int) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()


def pellucid(model: nn.Module, x: Tensor, y: Tensor) -> Answer:
    found = measure_curvature(model, (x, y), trace=0, density=0)
    # The products for the start go over an eighth of the examples.
    start = sum(count for name, count in found.products.items() if name.startswith("start"))
    return found.sharpness, found.products["eigenvalues"] + start / 8


def pyhessian(model: nn.Module, x: Tensor, y: Tensor) -> Answer:
    import pyhessian as peer

    counted = peer.hessian(model, nn.CrossEntropyLoss(), data=(x, y), cuda=False)
    calls = 0
    original = peer.hessian.eigenvalues.__globals__["hessian_vector_product"]

    def count(*given: object) -> object:
        nonlocal calls
        calls += 1
        return original(*given)

    peer.hessian.eigenvalues.__globals__["hessian_vector_product"] = count
    try:
        values, _ = counted.eigenvalues(maxIter=200, tol=1e-4, top_n=1)
    finally:
        peer.hessian.eigenvalues.__globals__["hessian_vector_product"] = original
        model.zero_grad()
    return float(values[0]), calls


def curvlinops(model: nn.Module, x: Tensor, y: Tensor) -> Answer:
    from curvlinops import HessianLinearOperator

    parameters = dict(model.named_parameters())
    try:
        matrix = HessianLinearOperator(model, nn.CrossEntropyLoss(), parameters, [(x, y)], check_deterministic=False)
    except (TypeError, AttributeError):
        matrix = HessianLinearOperator(
            model, nn.CrossEntropyLoss(), list(parameters.values()), [(x, y)], check_deterministic=False
        )
    inner, calls = matrix.to_scipy(), 0

    def times(vector: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        return inner @ vector

    counted = LinearOperator(inner.shape, matvec=times, dtype=np.float32)
    start = np.random.default_rng(0).standard_normal(inner.shape[0]).astype(np.float32)
    values = eigsh(counted, k=1, which="LA", tol=1e-4, v0=start, return_eigenvectors=False)
    return float(values[0]), calls


def truth(model: nn.Module, x: Tensor, y: Tensor) -> float:
    batches = list(zip(x.split(250), y.split(250), strict=True))
    with loss_surface(model, batches, dtype=torch.float64) as surface:
        product, _, _ = surface.product()
        matrix = LinearOperator(
            (surface.size, surface.size), matvec=lambda v: product(torch.from_numpy(v.ravel())).numpy(), dtype=float
        )
        return float(eigsh(matrix, k=1, which="LA", tol=1e-12, return_eigenvectors=False)[0])


def race(model: nn.Module, x: Tensor, y: Tensor, turns: int) -> None:
    exact = truth(model, x, y)
    methods: dict[str, Callable[[nn.Module, Tensor, Tensor], Answer]] = {"pellucid": pellucid}
    for name, method in (("pyhessian", pyhessian), ("curvlinops", curvlinops)):
        try:
            __import__(name)
            methods[name] = method
        except ImportError as error:
            print(f"  {name} skipped: {error}")
    times: dict[str, list[float]] = {name: [] for name in methods}
    answers: dict[str, Answer] = {}
    for _ in range(turns):
        for name, method in methods.items():
            begun = time.process_time()
            answers[name] = method(model, x, y)
            times[name].append(time.process_time() - begun)
    ours = statistics.median(times["pellucid"])
    print(f"  largest eigenvalue {exact:.8g}")
    for name, (value, products) in answers.items():
        middle = statistics.median(times[name])
        print(
            f"  {name:11s} {products:5.2f} products  relative error {abs(value / exact - 1):.1e}"
            f"  {middle:6.2f} s CPU  {middle / ours:5.2f} × ours"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, nargs="+", default=[0, 2, 20])
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32)[:1000, None] / 16
    y = torch.tensor(digits.target)[:1000]
    for epochs in options.epochs:
        torch.manual_seed(0)
        model = network()
        train(model, x, y, epochs)
        model.eval()
        print(f"{sum(p.numel() for p in model.parameters()):,} parameters, 1,000 images, {epochs} epochs")
        race(model, x, y, options.turns)


if __name__ == "__main__":
    main()
