"""Have a regression network's last features collapsed onto as many directions as there are targets?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.capture.feature_walk import FeatureWalk, walk_model, walk_tensors
from pellucid.core.regression_moments import NRC3, RegressionMoments, fit_gram, outside_share
from pellucid.data.batches_of import Batches, batches_of
from pellucid.errors import DataError, SettingsError
from pellucid.results.collapse_quantities import CollapseQuantity
from pellucid.results.regression_collapse import RegressionCollapse

__all__ = ["measure_regression_collapse"]

_SOURCE = "Andriopoulos et al. 2024"
_GIVEN_BATCH = 4096


def measure_regression_collapse(
    model: nn.Module | None = None,
    loader: Batches | None = None,
    *,
    features: Any = None,
    targets: Any = None,
    weight: Any = None,
    bias: Any = None,
    target_names: Sequence[str] = (),
    split: str = "",
) -> RegressionCollapse:
    """Has a regression collapsed? NRC1–NRC3 of Andriopoulos, Dong, Guo, Zhao and Ross (2024, section 3.1), in one pass.

    With h̃ = h/‖h‖ and n targets: NRC1 is the mean squared distance of h̃ to the span of the n principal components of h,
    NRC2 that to the rows of W, NRC3 = ‖WWᵀ/‖WWᵀ‖ − (Σ^½ − γ^½I)/‖·‖‖² with Σ the covariance of the targets, at its
    least over γ in [0, λ_min]. Two features × features matrices are formed (16·d² bytes).

    Args:
        model: A network whose output comes from a linear layer; its input there are the features.
        loader: (inputs, targets) batches, targets in the unit in which the network gives them.
        features: In place of model and loader: (examples, features).
        targets: What they are to predict, (examples, targets) or (examples,).
        weight: The last layer's, (targets, features).
        bias: The last layer's, (targets,).
        target_names: What the targets are called.
        split: What to call the data.

    Returns:
        The measures; 0 is full collapse. NRC3 says nothing of a single target and is nan there.

    Raises:
        DataError: shapes do not fit, something is not finite, or the targets do not vary.
        SettingsError: the arguments contradict each other, or the model's last layer is not linear.

    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <torch._C.Generator object at ...>
    >>> y = torch.randn(50, 2)
    >>> found = measure_regression_collapse(features=y @ torch.eye(2, 8), targets=y, weight=torch.eye(2, 8))
    >>> round(found["nrc1"], 9), round(found["nrc2"], 9)
    (0.0, 0.0)
    """
    walk = _walk(model, loader, features, targets)
    rows = walk.weight if weight is None else torch.as_tensor(weight).detach()
    if rows is None:
        raise SettingsError("there is no last layer to compare with", place="weight", remedy="give weight=")
    offset = walk.bias if bias is None else torch.as_tensor(bias).detach()
    moments = _gather(walk, rows, offset)
    covariance = moments.target_covariance()
    if not float(covariance.trace()) > 0:
        raise DataError("the targets are all the same", place="targets", remedy="give examples whose targets differ")
    weights = rows.double().cpu()
    gram = weights @ weights.T
    fitted = fit_gram(gram, covariance)
    spectrum, vectors = torch.linalg.eigh(moments.feature_covariance())
    total = float(spectrum.clamp(min=0).sum())
    return RegressionCollapse(
        layer=walk.layer,
        split=split,
        examples=moments.examples,
        features=rows.shape[1],
        targets=len(rows),
        target_names=tuple(target_names),
        quantities=_quantities(moments, weights, vectors, fitted),
        error=moments.squared_error / (moments.examples * len(rows)),
        gamma=fitted.place,
        gammas=fitted.grid.numpy(),
        nrc3_curve=fitted.curve.numpy(),
        spectrum=(spectrum.clamp(min=0).flip(0) / total).numpy() if total > 0 else spectrum.numpy(),
        gram=gram.numpy(),
        ideal_gram=fitted.ideal.numpy(),
    )


def _quantities(
    moments: RegressionMoments, weights: Tensor, vectors: Tensor, fitted: NRC3
) -> tuple[CollapseQuantity, ...]:
    """The measures with their conventions."""
    count, width = weights.shape
    directions = moments.directions()
    seen = float(directions.trace()) > 0
    around = torch.linalg.eigh(moments.feature_moment())[1]
    full = "" if count < width else "; no fewer targets than features: 0 whatever they are"
    silent = f"; {moments.zeros} examples without any feature count as 0" if moments.zeros else ""
    one = "" if count > 1 else "; of one target it says nothing"
    rounding = 4 * torch.finfo(torch.float64).eps * width**0.5

    def made(name: str, group: str, label: str, formula: str, value: float, *, note: str) -> CollapseQuantity:
        error = rounding if name != "nrc3" else math.nan
        return CollapseQuantity(name, group, label, formula, value, 0.0, error, _SOURCE, note)

    top, top_around = vectors[:, -count:].T, around[:, -count:].T
    distance = "mean ‖h̃ − proj(h̃ | {})‖²".format
    values = [outside_share(directions, one) if seen else math.nan for one in (top, top_around, weights)]
    return (
        made("nrc1", "features", "features outside their own components", distance("n PCs"), values[0],
             note=f"NRC1; components about the mean{full}{silent}"),
        made("nrc1_uncentred", "features", "features outside their own components", distance("n PCs"), values[1],
             note=f"components about the origin{full}{silent}"),
        made("nrc2", "duality", "features outside the span of the weights", distance("Wᵀ"), values[2],
             note=f"NRC2{full}{silent}"),
        made("nrc3", "duality", "weights against the targets' covariance",
             "‖WWᵀ/‖·‖ − (Σ^½ − γ^½I)/‖·‖‖²", fitted.value,
             note=f"NRC3; least over γ in [0, λ_min]{one}"),
    )  # fmt: skip


def _gather(walk: FeatureWalk, rows: Tensor, offset: Tensor | None) -> RegressionMoments:
    """One pass over the features."""
    if offset is not None and offset.shape != rows.shape[:1]:
        raise SettingsError(
            f"a bias of shape {tuple(offset.shape)} does not go with {len(rows)} targets",
            place="bias",
            remedy="give (targets,)",
        )
    moments = RegressionMoments(rows.shape[1], len(rows))
    for h, y, _ in walk.read():
        wanted = y[:, None] if y.ndim == 1 else y
        if h.ndim != 2 or h.shape[1] != rows.shape[1] or wanted.shape != (len(h), len(rows)):
            raise DataError(
                f"features of shape {tuple(h.shape)} and targets of shape {tuple(y.shape)} do not go with a weight of "
                f"shape {tuple(rows.shape)}",
                place="targets",
                remedy="give (examples, features), (examples, targets) and (targets, features)",
            )
        predicted = nn.functional.linear(h.double(), rows.double(), None if offset is None else offset.double())
        moments.update(h, wanted, predicted - wanted.double())
    return moments


def _walk(model: nn.Module | None, loader: Any, features: Any, targets: Any) -> FeatureWalk:
    """What the caller gave."""
    if model is not None:
        if loader is None:
            raise SettingsError("a model without data", place="loader", remedy="give a loader of (inputs, targets)")
        return walk_model(model, lambda: batches_of(loader), memory=0)
    if features is None or targets is None:
        raise SettingsError(
            "there is nothing to measure", place="model", remedy="give model and loader, or features= and targets="
        )
    return walk_tensors(lambda: batches_of((features, targets), size=_GIVEN_BATCH))
