# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
# SciPy has no types.
"""One linear model, or one output layer, for a group of examples."""

from __future__ import annotations

import numpy as np

__all__ = ["average_models", "fit_output_layer", "refit_model"]

_RIDGE = 0.1
"""For features in units of their standard deviation. Less follows the examples closer, and goes astray elsewhere."""


def average_models(
    chosen: np.ndarray, region: np.ndarray, coefficients: np.ndarray, intercepts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the local models of some examples."""
    counts = np.bincount(region[chosen], minlength=len(coefficients)).astype(np.float64)
    share = counts / max(1.0, counts.sum())
    return np.einsum("r,rof->of", share, coefficients), share @ intercepts


def refit_model(
    points: np.ndarray,
    wanted: np.ndarray,
    start: tuple[np.ndarray, np.ndarray],
    scale: np.ndarray,
    *,
    logistic: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Least squares (or, to classes, logistic regression) around the mean of the local models.

    The ridge draws towards that mean, so that a group of few examples keeps it.
    """
    weights, shifts = start
    if logistic:
        return _logistic(points / scale, wanted, weights * scale, shifts, scale)
    if not len(points):
        return start
    residual = wanted - (points @ weights.T + shifts)
    middle = points.mean(axis=0)
    rows = (points - middle) / scale
    ridge = np.sqrt(_RIDGE * len(points))
    stacked = np.concatenate([rows, ridge * np.eye(rows.shape[1])])
    moved = np.concatenate([residual - residual.mean(axis=0), np.zeros((rows.shape[1], residual.shape[1]))])
    change = np.linalg.lstsq(stacked, moved, rcond=None)[0].T / scale
    return weights + change, shifts + residual.mean(axis=0) - change @ middle


def _logistic(
    rows: np.ndarray, wanted: np.ndarray, weights: np.ndarray, shifts: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The logits' change that lowers the log loss of the classes, with a unit ridge; by L-BFGS from no change."""
    from scipy.optimize import minimize

    base = rows @ weights.T + shifts
    outputs, inputs = weights.shape

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        change = flat.reshape(outputs, inputs + 1)
        logits = base + rows @ change[:, :-1].T + change[:, -1]
        value, slope = _log_loss(logits, wanted)
        value += 0.5 * float((change[:, :-1] ** 2).sum())
        slope = np.concatenate([slope.T @ rows + change[:, :-1], slope.sum(axis=0)[:, None]], axis=1)
        return value, slope.ravel()

    found = minimize(loss, np.zeros(outputs * (inputs + 1)), jac=True, method="L-BFGS-B").x.reshape(outputs, -1)
    return (weights + found[:, :-1]) / scale, shifts + found[:, -1]


def _log_loss(logits: np.ndarray, wanted: np.ndarray) -> tuple[float, np.ndarray]:
    """Σ −log p of one-hot (or, of one logit, 0/1) targets, and its slope by the logits."""
    if logits.shape[1] == 1:
        value = np.logaddexp(0, logits) - wanted * logits
        return float(value.sum()), 1 / (1 + np.exp(-np.clip(logits, -700, 700))) - wanted
    top = logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(logits - top).sum(axis=1, keepdims=True)) + top
    return float((total[:, 0] - (wanted * logits).sum(axis=1)).sum()), np.exp(logits - total) - wanted


def fit_output_layer(units: np.ndarray, output: np.ndarray, wanted: np.ndarray, *, logistic: bool) -> np.ndarray:
    """The output layer by least squares, of smallest norm where several are equally good; to classes by logistic."""
    size = np.sqrt((units**2).mean(axis=0))
    size = np.where(size > 0, size, 1.0)
    start = np.linalg.lstsq(units / size, output if logistic else wanted, rcond=1e-10)[0] / size[:, None]
    if not logistic:
        return start
    weights, shifts = _logistic(units / size, wanted, start.T * size, np.zeros(len(start.T)), size)
    weights[:, -1] += shifts  # The last unit is the constant 1.
    return weights.T
