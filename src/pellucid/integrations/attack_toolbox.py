# pyright: reportMissingImports=false
# The toolbox is an extra.
"""The attacks of the Adversarial Robustness Toolbox beside Pellucid's own, on the same examples at the same sizes."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import binomtest
from torch import Tensor, nn

from pellucid.capture.features import first_tensor
from pellucid.data.batches_of import Batches, whole_of
from pellucid.errors import MissingExtraError
from pellucid.results.robustness import Robustness, RobustnessCurve

__all__ = ["check_robustness"]


def check_robustness(model: nn.Module, loader: Batches, measured: Robustness) -> Robustness:
    """Add a curve of the toolbox to every attack's curve of a result.

    Args:
        model: The network that was measured; it is left as it is.
        loader: The same examples.
        measured: What ``measure_robustness`` gave.

    Returns:
        The result with curves called ``fgsm_toolbox`` and so on after its own.

    Raises:
        MissingExtraError: the toolbox is not installed.
    """
    try:
        from art.estimators.classification import PyTorchClassifier
    except ImportError as error:
        raise MissingExtraError(
            f"the Adversarial Robustness Toolbox cannot be imported ({error})",
            place="pellucid.integrations.attack_toolbox",
            remedy="install it with: pip install 'pellucid[attacks]'",
        ) from error
    x, y = whole_of(loader)
    if len(x) > measured.examples:
        places = np.linspace(0, len(x) - 1, measured.examples).round().astype(np.int64)
        x, y = x[places], y[places]
    wrapped = PyTorchClassifier(
        _Logits(model),
        nn.CrossEntropyLoss(),
        tuple(x.shape[1:]),
        measured.classes,
        clip_values=measured.bounds or None,
        device_type="gpu" if x.is_cuda else "cpu",
    )
    added = [_curve(wrapped, one, x, y.long(), measured.classes) for one in measured.curves if one.name != "noise"]
    return replace(measured, curves=(*measured.curves, *added))


class _Logits(nn.Module):
    """The model, giving its logits alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval()  # the toolbox leaves gradients behind

    def forward(self, x: Tensor) -> Tensor:
        return first_tensor(self.model(x))


def _curve(wrapped: Any, own: RobustnessCurve, x: Tensor, y: Tensor, classes: int) -> RobustnessCurve:
    """What the toolbox leaves right at each size; examples that are wrong undisturbed stay lost."""
    given, labels = x.detach().cpu().numpy(), y.cpu().numpy()
    clean = wrapped.predict(given).argmax(axis=1) == labels
    correct = []
    if own.name == "deepfool":
        moved = _attack(wrapped, own.name, 0.0, classes).generate(given)
        lost = wrapped.predict(moved).argmax(axis=1) != labels
        length = np.where(lost, np.linalg.norm((moved - given).reshape(len(given), -1), axis=1), np.inf)
        correct = [int((clean & (length > size)).sum()) for size in own.sizes]
    else:
        for size in own.sizes:
            moved = given if size == 0 else _attack(wrapped, own.name, float(size), classes).generate(given, labels)
            clean_still = clean & (wrapped.predict(moved).argmax(axis=1) == labels)
            correct.append(int(clean_still.sum()))
            clean = clean_still if own.name.startswith("pgd") else clean
    intervals = [binomtest(count, len(labels)).proportion_ci(method="exact") for count in correct]
    return replace(
        own,
        name=f"{own.name}_toolbox",
        label=f"{own.label}, toolbox",
        correct=np.array(correct),
        accuracy=np.array(correct) / len(labels),
        low=np.array([one.low for one in intervals]),
        high=np.array([one.high for one in intervals]),
        settings="Adversarial Robustness Toolbox",
    )


def _attack(wrapped: Any, name: str, size: float, classes: int) -> Any:
    from art.attacks.evasion import DeepFool, FastGradientMethod, ProjectedGradientDescent

    if name == "deepfool":
        return DeepFool(wrapped, max_iter=50, epsilon=0.02, nb_grads=min(10, classes), batch_size=128, verbose=False)
    if name == "fgsm":
        return FastGradientMethod(wrapped, norm=np.inf, eps=size, batch_size=256)
    norm = np.inf if name == "pgd_linf" else 2
    return ProjectedGradientDescent(
        wrapped, norm=norm, eps=size, eps_step=2.5 * size / 20, max_iter=20, batch_size=256, verbose=False
    )
