# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportUnknownLambdaType=false
# SciPy and scikit-learn have no types.
"""Maps that make a network's probabilities honest, fitted on examples that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pellucid.results.calibration_figures import probabilities_of

__all__ = ["FittedScaling", "ScalingMethod", "fit_isotonic", "fit_scaling", "fit_temperature", "fit_vector"]

ScalingMethod = Literal["temperature", "vector", "isotonic"]

_COLDEST, _HOTTEST = 1e-3, 1e3
_FLOOR = -745.0  # where float64's exponential becomes 0


@dataclass(frozen=True, eq=False)
class FittedScaling:
    """A map of logits to logits, and what it was fitted as."""

    apply: Callable[[np.ndarray], np.ndarray]
    parameters: np.ndarray  # temperature: (1,); vector: (2, classes) scale and shift; isotonic: empty
    converged: bool
    note: str


def fit_scaling(method: ScalingMethod, logits: np.ndarray, labels: np.ndarray) -> FittedScaling:
    """Fit one of the three maps."""
    return {"temperature": fit_temperature, "vector": fit_vector, "isotonic": fit_isotonic}[method](logits, labels)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> FittedScaling:
    """One number T by which all logits are divided (Guo et al. 2017), of the greatest likelihood.

    In β = 1/T the negative log-likelihood is convex with slope mean(Eₚ[z] − z_y), whose root is found by bracketing.
    The order of the classes, and so the accuracy, stays.
    """
    from scipy.optimize import brentq

    z = np.maximum(np.asarray(logits, dtype=np.float64), _FLOOR)
    z = z - z.max(axis=1, keepdims=True)
    own = z[np.arange(len(z)), labels]

    def slope(log_beta: float) -> float:
        p = np.exp(np.exp(log_beta) * z)
        return float(((p * z).sum(axis=1) / p.sum(axis=1) - own).mean())

    low, high = -np.log(_HOTTEST), -np.log(_COLDEST)
    if slope(low) >= 0:
        beta, note = 1 / _HOTTEST, f"the likelihood grows up to the limit T = {_HOTTEST:g}: no better than guessing"
    elif slope(high) <= 0:
        beta, note = 1 / _COLDEST, f"the likelihood grows down to the limit T = {_COLDEST:g}: no example is wrong"
    else:
        root: Any = brentq(slope, low, high, xtol=1e-13)
        beta, note = float(np.exp(root)), ""
    temperature = 1 / beta
    return FittedScaling(lambda given: given / temperature, np.array([temperature]), not note, note)


def fit_vector(logits: np.ndarray, labels: np.ndarray) -> FittedScaling:
    """A scale and a shift for every class (Guo et al. 2017), of the greatest likelihood; from the temperature on."""
    from scipy.optimize import minimize

    z = np.maximum(np.asarray(logits, dtype=np.float64), _FLOOR)
    count, classes = z.shape
    target = np.eye(classes)[labels]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        scale, shift = flat.reshape(2, classes)
        scaled = z * scale + shift
        top = scaled.max(axis=1, keepdims=True)
        total = np.log(np.exp(scaled - top).sum(axis=1, keepdims=True)) + top
        residual = np.exp(scaled - total) - target
        value = float((total[:, 0] - (scaled * target).sum(axis=1)).mean())
        return value, np.concatenate([(residual * z).mean(axis=0), residual.mean(axis=0)])

    begin = 1 / float(fit_temperature(logits, labels).parameters[0])
    start = np.concatenate([np.full(classes, min(begin, 10.0)), np.zeros(classes)])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 1000, "ftol": 1e-13, "gtol": 1e-9})
    scale, shift = found.x.reshape(2, classes)
    shift = shift - shift.mean()  # the softmax does not see a common shift
    steepest = float(np.abs(loss(found.x)[1]).max())
    converged = steepest < 1e-4
    note = "" if converged else f"not converged: the steepest slope is {steepest:.1e} (are the examples separable?)"
    if count < 10 * classes:
        note = "; ".join(filter(None, [note, f"{2 * classes} numbers fitted to {count} examples"]))
    return FittedScaling(
        lambda given: np.maximum(given, _FLOOR) * scale + shift, np.stack([scale, shift]), converged, note
    )


def fit_isotonic(logits: np.ndarray, labels: np.ndarray) -> FittedScaling:
    """A rising step function of every class's probability, one against the rest, rows then divided by their sums.

    Zadrozny and Elkan (2002). Probabilities stay within 1/(n + 2) of 0 and 1, since a function fitted on n examples
    cannot know more. The order of the classes can change, and with it the accuracy.
    """
    from sklearn.isotonic import IsotonicRegression

    p = probabilities_of(logits)
    least = 1 / (len(p) + 2)
    maps = [
        IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip").fit(p[:, k], labels == k)
        for k in range(p.shape[1])
    ]

    def apply(given: np.ndarray) -> np.ndarray:
        before = probabilities_of(given)
        after = np.stack([one.predict(before[:, k]) for k, one in enumerate(maps)], axis=1)
        return np.log(after / after.sum(axis=1, keepdims=True))

    return FittedScaling(apply, np.empty(0), True, "")
