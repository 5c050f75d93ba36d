"""Figures of what goes into a model, of what comes out at the loss, and of what it is held against.

Everything stays on the tensors' device, without a synchronisation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pellucid.watch.wiring_targets import class_axis

__all__ = ["class_rows", "column_figures", "plain_figures", "prediction_figures", "target_figures"]

_MOST_ENTRIES = 1 << 16
"""The figures of a larger tensor are over an even share of its entries."""

_MOST_COLUMNS = 4_096
_MOST_ROWS = 4_096
_PLAIN = ("mean", "std", "minimum", "maximum", "nonfinite", "zero")
_CLASSES = {"cross_entropy", "nll", "categorical", "policy_gradient"}
_BINARY = {"bce", "bce_with_logits"}

Figures = dict[str, Tensor]


def plain_figures(tensor: Tensor) -> Figures:
    """Location, spread, extremes, share of zeros and of what is not finite.

    >>> {k: round(v.item(), 3) for k, v in plain_figures(torch.tensor([0.0, 2.0, math.nan, 4.0])).items()}
    {'mean': 2.0, 'std': 1.633, 'minimum': 0.0, 'maximum': 4.0, 'nonfinite': 0.25, 'zero': 0.25}
    """
    flat = _flat(tensor)
    low, high = torch.aminmax(flat)
    mean = flat.mean()
    if flat.device.type == "cpu" and math.isfinite(mean.item()) and math.isfinite((high - low).item()):
        std = torch.linalg.vector_norm(flat - mean) / flat.numel() ** 0.5
        values = (mean, std, low, high, mean.new_zeros(()), (flat == 0).float().mean())
        return dict(zip(_PLAIN, values, strict=True))
    finite = torch.isfinite(flat)
    count = finite.sum()
    values = torch.where(finite, flat, 0.0)
    mean = values.sum() / count
    std = (torch.where(finite, values - mean, 0.0).square().sum() / count).sqrt()
    low = torch.where(finite, flat, math.inf).amin()
    high = torch.where(finite, flat, -math.inf).amax()
    share = 1.0 - count / flat.numel()
    return dict(zip(_PLAIN, (mean, std, low, high, share, (flat == 0).float().mean()), strict=True))


def column_figures(tensor: Tensor) -> Figures:
    """How features differ over the examples of a batch, feature by feature; constant ones are left out of the ratio.

    >>> x = torch.tensor([[1.0, 100.0, 5.0], [-1.0, -100.0, 5.0]])
    >>> {k: v.item() for k, v in column_figures(x).items() if k in ("column_std_max", "column_scale_ratio")}
    {'column_std_max': 100.0, 'column_scale_ratio': 100.0}
    """
    if tensor.ndim < 1 or len(tensor) < 2 or not tensor.dtype.is_floating_point:
        return {}
    rows = tensor.detach()[:_MOST_ROWS].flatten(1) if tensor.ndim > 1 else tensor.detach()[:, None]
    rows = rows[:, :: -(-rows.shape[1] // _MOST_COLUMNS)]
    rows = rows[:: -(-rows.numel() // (4 * _MOST_ENTRIES))].float()
    means = rows.mean(0)
    stds = (rows - means).square().mean(0).sqrt()
    rms = rows.square().mean(0).sqrt()
    varies = stds > 1e-6 * rms
    largest = torch.where(varies, rms, 0.0).amax()
    smallest = torch.where(varies, rms, math.inf).amin()
    return {
        "column_std_max": stds.amax(),
        "column_std_min": stds.amin(),
        "column_std_median": stds.median(),
        "column_mean_abs_max": means.abs().amax(),
        "column_scale_ratio": largest / smallest,
    }


def target_figures(target: Tensor) -> Figures:
    """How many values the targets take in this batch, and the share of the commonest."""
    flat = _flat(target)[:_MOST_ROWS]
    lengths, _ = _runs(flat)
    return {"distinct": (lengths > 0).sum().float(), "majority": lengths.amax().float() / flat.numel()}


def prediction_figures(kind: str, prediction: Tensor, target: Tensor | None) -> Figures:
    """What a model predicts for a batch, and how well; see ``observations`` for the quantities.

    Args:
        kind: Of the loss, as ``ScriptLoss.kind``.
        prediction: What went into it.
        target: What it was held against, where that is known.
    """
    rows = prediction.detach()
    figures: Figures = {}
    if len(rows) > 1:
        spread = rows[:_MOST_ROWS].reshape(min(len(rows), _MOST_ROWS), -1)[:, :_MOST_COLUMNS].float()
        figures["row_spread"] = (spread - spread.mean(0)).square().mean(0).sqrt().mean()
    outputs, classes = class_rows(kind, rows, target)
    if kind in _CLASSES and outputs.shape[1] > 1:
        return figures | _class_figures(kind, outputs, classes)
    if kind in _BINARY:
        return figures | _binary_figures(kind, rows, target)
    if classes is not None and outputs.shape[1] > 1:
        figures |= _hit_figures(outputs, classes)
    return figures | _fit_figures(rows, target)


def class_rows(kind: str, prediction: Tensor, target: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Predictions as rows of classes, and the class of each row where the target names one."""
    axis = class_axis(kind, prediction)
    width = prediction.shape[axis] if prediction.ndim > 1 else 1
    outputs = prediction.movedim(axis, -1).reshape(-1, width)[:_MOST_ROWS].float()
    if target is None or width < 2:
        return outputs, None
    rows = prediction.numel() // width
    if target.shape == prediction.shape:
        spread = target.movedim(axis, -1).reshape(-1, width)[:_MOST_ROWS].float()
        is_choice = kind in _CLASSES or not (kind in _BINARY or target.dtype.is_floating_point)
        return outputs, spread.argmax(1) if is_choice or _is_one_hot(spread) else None
    if target.numel() == rows and not target.dtype.is_floating_point:
        return outputs, target.reshape(-1)[:_MOST_ROWS]
    return outputs, None


def _is_one_hot(rows: Tensor) -> bool:
    """Whether every row is; asked on the processor alone, where asking costs nothing."""
    if rows.device.type != "cpu":
        return False
    return bool((((rows == 0) | (rows == 1)).all() & (rows.sum(1) == 1).all()).item())


def _class_figures(kind: str, outputs: Tensor, classes: Tensor | None) -> Figures:
    if kind == "cross_entropy":
        probabilities = torch.softmax(outputs, 1)
    elif kind == "categorical":
        probabilities = outputs
    else:
        probabilities = outputs.exp()
    entropy = -torch.xlogy(probabilities, probabilities).sum(1).mean()
    figures = {"entropy": entropy, "confidence": probabilities.amax(1).mean()}
    return figures | (_hit_figures(outputs, classes) if classes is not None else _common(outputs.argmax(1)))


def _common(chosen: Tensor) -> Figures:
    lengths, _ = _runs(chosen.double() if chosen.device.type != "mps" else chosen.float())
    return {"majority": lengths.amax().float() / chosen.numel()}


def _hit_figures(outputs: Tensor, classes: Tensor) -> Figures:
    """Share right, share of the commonest answer, and share right among the rarest class."""
    chosen = outputs.argmax(1)
    counted = classes >= 0
    right = (chosen == classes) & counted
    accuracy = right.sum() / counted.sum()
    lengths, values = _runs(classes.float())
    rare = torch.where(lengths > 0, lengths, lengths.amax() + 1).argmin()
    rarest = classes == values.gather(0, rare[None])
    return {
        "accuracy": accuracy.float(),
        "minority_recall": (right & rarest).sum() / rarest.sum(),
        **_common(chosen),
    }


def _binary_figures(kind: str, rows: Tensor, target: Tensor | None) -> Figures:
    """Of yes-or-no predictions, one or several a row."""
    logits = rows.reshape(-1)[:_MOST_ENTRIES].float()
    p = torch.sigmoid(logits) if kind == "bce_with_logits" else logits
    p = p.clamp(0.0, 1.0)
    yes = p > 0.5
    figures = {
        "entropy": -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p)).mean(),
        "confidence": torch.maximum(p, 1 - p).mean(),
        "majority": torch.maximum(yes.float().mean(), 1 - yes.float().mean()),
    }
    if target is None or target.numel() != rows.numel():
        return figures
    truth = target.reshape(-1)[:_MOST_ENTRIES].float() > 0.5
    minority = torch.where(truth.float().mean() > 0.5, ~truth, truth)
    figures["accuracy"] = (yes == truth).float().mean()
    figures["minority_recall"] = ((yes == truth) & minority).sum() / minority.sum()
    return figures


def _fit_figures(rows: Tensor, target: Tensor | None) -> Figures:
    """Share of the targets' variance explained, and correlation, of predictions of quantities."""
    if target is None or target.numel() != rows.numel() or target.numel() < 2 or target.is_complex():
        return {}
    p, t = rows.reshape(-1)[:_MOST_ENTRIES].float(), target.reshape(-1)[:_MOST_ENTRIES].float()
    p_centred, t_centred = p - p.mean(), t - t.mean()
    total = t_centred.square().sum()
    correlation = (p_centred * t_centred).sum() / (p_centred.square().sum() * total).sqrt()
    return {"explained": 1.0 - (p - t).square().sum() / total, "correlation": correlation}


def _flat(tensor: Tensor) -> Tensor:
    flat = tensor.detach()
    flat = (flat.abs() if flat.is_complex() else flat).reshape(-1)
    flat = flat[:: -(-flat.numel() // _MOST_ENTRIES)]
    return flat if flat.dtype in (torch.float32, torch.float64) else flat.float()


def _runs(flat: Tensor) -> tuple[Tensor, Tensor]:
    """How often each value occurs, at the last place of its run in sorted order and 0 elsewhere, with the values."""
    ordered = flat.sort().values
    places = torch.arange(len(ordered), device=flat.device)
    is_new = torch.ones_like(places, dtype=torch.bool)
    is_new[1:] = ordered[1:] != ordered[:-1]
    is_last = torch.ones_like(is_new)
    is_last[:-1] = is_new[1:]
    began = torch.where(is_new, places, 0).cummax(0).values
    return torch.where(is_last, places - began + 1, 0), ordered
