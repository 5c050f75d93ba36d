"""How much noise, and how small an attack, does a classifier's accuracy bear?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.capture.features import evaluating, first_tensor
from pellucid.core.attacks import Bounds, Decide, deepfool, fast_gradient_sign, projected_descent
from pellucid.data.batches_of import Batches, batches_of
from pellucid.errors import DataError, SettingsError
from pellucid.results.robustness import Robustness, RobustnessCurve

__all__ = ["ATTACKS", "measure_robustness"]

ATTACKS = ("fgsm", "pgd_linf", "pgd_l2", "deepfool")
"""Attacks that there are."""

_CHUNK = 256
_SIZES = (0.25, 0.5, 1.0, 2.0)
_NORMS = {"noise": "standard deviation", "fgsm": "L∞", "pgd_linf": "L∞", "pgd_l2": "L2", "deepfool": "L2"}
_LABELS = {
    "noise": "Gaussian noise",
    "fgsm": "FGSM",
    "pgd_linf": "PGD in L∞",
    "pgd_l2": "PGD in L2",
    "deepfool": "DeepFool",
}


@dataclass(frozen=True)
class _Examples:
    """What is disturbed."""

    x: Tensor
    y: Tensor
    clean: Tensor  # right undisturbed
    distance: np.ndarray  # DeepFool's; empty without


@dataclass(frozen=True)
class _Setting:
    """What every attack is told."""

    bounds: Bounds
    steps: int
    starts: int
    generator: torch.Generator


def measure_robustness(
    model: nn.Module,
    loader: Batches,
    *,
    noise: Sequence[float] | None = None,
    linf: Sequence[float] | None = None,
    l2: Sequence[float] | None = None,
    attacks: Sequence[str] = ATTACKS,
    bounds: Bounds = None,
    steps: int = 20,
    starts: int = 1,
    most: int = 1000,
    slice_distance: Any = None,
    split: str = "",
    seed: int = 0,
) -> Robustness:
    """Count what stays right under Gaussian noise, FGSM, PGD (L∞ and L2) and DeepFool, with binomial intervals.

    An example counts as lost to PGD at a size if any start and step at this size or a smaller one fooled the network
    (each ball holds the smaller ones), and to DeepFool if its perturbation is no longer than that. FGSM is the single
    step at each size. No attack gives more than an upper bound of the accuracy that the worst perturbation leaves.

    Args:
        model: A classifier that returns logits; it is left as it is.
        loader: (inputs, class numbers) batches; inputs of real numbers.
        noise: Standard deviations. By default 0.25, 0.5, 1 and 2 times the inputs' own, over ten.
        linf: Sizes of FGSM and PGD in L∞; by default likewise, over ten.
        l2: Sizes of PGD in L2 and of DeepFool; by default likewise, times √dimension.
        attacks: Which of ``ATTACKS`` to run.
        bounds: The range of valid inputs, such as (0, 1); None for any number.
        steps: Of PGD.
        starts: Of PGD: the first at the example, the others at random points of the ball.
        most: At most so many examples, evenly spread.
        slice_distance: (examples,) exact distances to the boundary within a slice, of the same examples, to stand
            beside DeepFool's; nan where there is none.
        split: What to call the data.
        seed: Of noise and starts.

    Raises:
        DataError: inputs or outputs are not finite, labels out of range, or there are no examples.
        SettingsError: the inputs are not of real numbers, or a setting is out of range.

    >>> linear = nn.Linear(2, 2, bias=False)
    >>> _ = linear.weight.data.copy_(torch.eye(2))
    >>> x, y = torch.tensor([[3.0, 1.0], [1.0, 1.5]]), torch.tensor([0, 1])
    >>> found = measure_robustness(linear, (x, y), noise=[], linf=[0.2, 0.5, 2.0], l2=[1.0])
    >>> found["fgsm"].correct, found.distance.round(2)  # the gaps 2 and 0.5 close by 2ε, or over √2
    (array([2, 1, 0]), array([1.44, 0.36], dtype=float32))
    """
    _check_settings(attacks, bounds, steps, starts, most)
    x, y, places = _examples(loader, most)
    model_device = next((one.device for one in model.parameters()), torch.device("cpu"))
    x, y = x.to(model_device), y.to(model_device)
    sizes = _sizes(x, {"noise": noise, "linf": linf, "l2": l2})

    def decide(given: Tensor) -> Tensor:
        return first_tensor(model(given))

    setting = _Setting(bounds, steps, starts, torch.Generator().manual_seed(seed))
    with evaluating(model):
        clean, classes = _clean(decide, x, y)
        curves = [_noise(decide, x, y, sizes["noise"], setting)] if len(sizes["noise"]) else []
        distance = _deepfool(decide, x, clean, setting) if "deepfool" in attacks else np.empty(0, np.float32)
        for name in attacks:
            levels = sizes["l2" if name in ("pgd_l2", "deepfool") else "linf"]
            if len(levels):
                curves.append(_attack(name, decide, _Examples(x, y, clean, distance), levels, setting))
    held = _slice_distances(slice_distance, places)
    low, high = _interval(np.array([int(clean.sum())]), len(x))
    return Robustness(
        split=split,
        examples=len(x),
        classes=classes,
        correct=int(clean.sum()),
        accuracy=float(clean.double().mean()),
        low=float(low[0]),
        high=float(high[0]),
        bounds=() if bounds is None else tuple(map(float, bounds)),
        curves=tuple(curves),
        distance=distance,
        median_distance=_median(distance[clean.cpu().numpy()]) if len(distance) else math.nan,
        slice_distance=held,
        distance_ratio=_ratio(distance, held),
        seed=seed,
    )


def _check_settings(attacks: Sequence[str], bounds: Bounds, steps: int, starts: int, most: int) -> None:
    unknown = [name for name in attacks if name not in ATTACKS]
    if unknown:
        raise SettingsError(
            f"there is no attack {unknown[0]!r}", place="attacks", remedy=f"use some of {', '.join(ATTACKS)}"
        )
    if min(steps, starts, most) < 1:
        raise SettingsError("steps, starts or most is below 1", place="measure_robustness", remedy="give at least 1")
    if bounds is not None and not bounds[0] < bounds[1]:
        raise SettingsError(f"{bounds} is no range", place="bounds", remedy="give the smallest and the largest input")


def _examples(loader: Any, most: int) -> tuple[Tensor, Tensor, np.ndarray]:
    """The examples, thinned evenly, and their places."""
    batches = list(batches_of(loader))
    x, y = torch.cat([one for one, _ in batches]), torch.cat([one for _, one in batches])
    if not x.is_floating_point():
        raise SettingsError(
            "the inputs are not of real numbers, so nothing small can be added",
            place="loader",
            remedy="measure a network that reads real numbers",
        )
    wrong = ~torch.isfinite(x.flatten(1)).all(dim=1)
    if bool(wrong.any()):
        raise DataError(
            f"{int(wrong.sum())} inputs are not finite",
            place=f"example {int(wrong.int().argmax())}",
            remedy="leave these examples out",
        )
    if y.dim() != 1 or (y.is_floating_point() and bool((y != y.round()).any())):
        raise DataError("labels are no class numbers", place="labels", remedy="give one whole number an example")
    places = np.arange(len(x))
    if len(x) > most:
        places = np.linspace(0, len(x) - 1, most).round().astype(np.int64)
    return x[places], y[places].long(), places


def _sizes(x: Tensor, given: dict[str, Sequence[float] | None]) -> dict[str, np.ndarray]:
    """The sizes asked for, or such as fit the inputs' spread."""
    spread = float(x.double().std()) / 10 if x.numel() > 1 else 0.1
    spread = spread or 0.1
    wide = {"noise": 1.0, "linf": 1.0, "l2": math.sqrt(x[0].numel())}
    found = {
        name: np.array(
            [float(f"{level * spread * wide[name]:.3g}") for level in _SIZES] if sizes is None else sizes, dtype=float
        )
        for name, sizes in given.items()
    }
    for name, values in found.items():
        if values.ndim != 1 or (values < 0).any() or not np.isfinite(values).all() or (np.diff(values) <= 0).any():
            raise SettingsError(f"{values.tolist()} are no rising sizes", place=name, remedy="give numbers from 0 up")
    return found


def _clean(decide: Decide, x: Tensor, y: Tensor) -> tuple[Tensor, int]:
    """Which examples are right undisturbed, and the number of classes."""
    logits = torch.cat([decide(part) for part in x.split(_CHUNK)])
    if logits.dim() != 2 or logits.shape[1] < 2:
        raise SettingsError(
            f"outputs of shape {tuple(logits.shape)} are no logits of at least two classes",
            place="model",
            remedy="measure a classifier that returns (examples, classes)",
        )
    if not bool(torch.isfinite(logits).all()):
        raise DataError("the outputs are not finite", place="model", remedy="look for NaN among the weights")
    outside = (y < 0) | (y >= logits.shape[1])
    if bool(outside.any()):
        place = int(outside.int().argmax())
        raise DataError(
            f"label {int(y[place])} is no class number from 0 to {logits.shape[1] - 1}",
            place=f"example {place}",
            remedy="number the classes from 0",
        )
    return logits.argmax(dim=1) == y, logits.shape[1]


def _noise(decide: Decide, x: Tensor, y: Tensor, sizes: np.ndarray, setting: _Setting) -> RobustnessCurve:
    """One draw an example and level, so that the counts are binomial."""
    correct = []
    for size in sizes:
        right = 0
        for part, labels in zip(x.split(_CHUNK), y.split(_CHUNK), strict=True):
            moved = part + float(size) * torch.randn(part.shape, generator=setting.generator).to(part)
            moved = moved if setting.bounds is None else moved.clamp(*setting.bounds)
            right += int((decide(moved).argmax(dim=1) == labels).sum())
        correct.append(right)
    return _curve("noise", sizes, np.array(correct), len(x), "one draw an example and size")


def _attack(
    name: str,
    decide: Decide,
    examples: _Examples,
    sizes: np.ndarray,
    setting: _Setting,
) -> RobustnessCurve:
    """The curve of one attack; examples that are wrong undisturbed stay lost."""
    x, y, clean = examples.x, examples.y, examples.clean
    if name == "deepfool":
        held = examples.distance[clean.cpu().numpy()]
        correct = np.array([int((held > size).sum()) for size in sizes])
        return _curve(name, sizes, correct, len(x), "at most 50 steps, overshoot 0.02, 10 classes")
    fooled_at = torch.where(clean, math.inf, -math.inf)
    counts = []
    for size in sizes:
        tried = torch.nonzero(fooled_at == math.inf).flatten() if name != "fgsm" else torch.nonzero(clean).flatten()
        fools = _FOOLS[name]
        lost = torch.zeros_like(clean)
        for part in tried.split(_CHUNK):
            lost[part] = fools(decide, x[part], y[part], float(size), setting)
        if name == "fgsm":
            counts.append(int((clean & ~lost).sum()))
            continue
        fooled_at[lost] = float(size)
        counts.append(int((fooled_at == math.inf).sum()))
    said = (
        "one step" if name == "fgsm" else f"{setting.steps} steps of 2.5 ε ÷ {setting.steps}, starts: {setting.starts}"
    )
    return _curve(name, sizes, np.array(counts), len(x), said)


def _fgsm_fools(decide: Decide, x: Tensor, y: Tensor, size: float, setting: _Setting) -> Tensor:
    return decide(fast_gradient_sign(decide, x, y, size, setting.bounds)).argmax(dim=1) != y


def _pgd_fools(norm: Any) -> Callable[..., Tensor]:
    def fools(decide: Decide, x: Tensor, y: Tensor, size: float, setting: _Setting) -> Tensor:
        lost = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for start in range(setting.starts):
            left = torch.nonzero(~lost).flatten()
            if len(left):
                _, lost[left] = projected_descent(
                    decide,
                    x[left],
                    y[left],
                    size,
                    norm=norm,
                    steps=setting.steps,
                    bounds=setting.bounds,
                    generator=setting.generator if start else None,
                )
        return lost

    return fools


_FOOLS: dict[str, Callable[..., Tensor]] = {
    "fgsm": _fgsm_fools,
    "pgd_linf": _pgd_fools("linf"),
    "pgd_l2": _pgd_fools("l2"),
}


def _deepfool(decide: Decide, x: Tensor, clean: Tensor, setting: _Setting) -> np.ndarray:
    """‖δ‖₂ of every example."""
    found = torch.zeros(len(x), dtype=torch.float32)
    for part in torch.nonzero(clean).flatten().split(_CHUNK):
        moved, changed = deepfool(decide, x[part], bounds=setting.bounds)
        length = (moved - x[part]).flatten(1).norm(dim=1)
        found[part.cpu()] = torch.where(changed, length, math.inf).float().cpu()
    return found.numpy()


def _curve(name: str, sizes: np.ndarray, correct: np.ndarray, examples: int, settings: str) -> RobustnessCurve:
    low, high = _interval(correct, examples)
    return RobustnessCurve(
        name=name,
        label=_LABELS[name],
        norm=_NORMS[name],
        sizes=sizes,
        correct=correct,
        accuracy=correct / examples,
        low=low,
        high=high,
        settings=settings,
    )


def _interval(correct: np.ndarray, examples: int) -> tuple[np.ndarray, np.ndarray]:
    """Clopper and Pearson (1934): the 95 % interval that is never too short."""
    from scipy.stats import beta

    with np.errstate(invalid="ignore"):
        low = np.where(correct == 0, 0.0, beta.ppf(0.025, correct, examples - correct + 1))
        high = np.where(correct == examples, 1.0, beta.ppf(0.975, correct + 1, examples - correct))
    return low, high


def _slice_distances(given: Any, places: np.ndarray) -> np.ndarray:
    """Those of the examples that were taken."""
    if given is None:
        return np.empty(0, dtype=np.float32)
    values = np.asarray(given, dtype=np.float32)
    if values.ndim != 1 or len(values) <= places.max():
        raise SettingsError(
            f"distances of shape {values.shape} for {int(places.max()) + 1} examples",
            place="slice_distance",
            remedy="give one an example, nan where there is none",
        )
    return values[places]


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else math.nan


def _ratio(distance: np.ndarray, exact: np.ndarray) -> float:
    if not len(distance) or not len(exact):
        return math.nan
    both = np.isfinite(distance) & np.isfinite(exact) & (distance > 0) & (exact > 0)
    return _median(distance[both].astype(float) / exact[both])
