"""How do classes separate from layer to layer, and where has the network done its work?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.capture.layer_inputs import LayerBatch, LayerInput, find_layers, read_layers
from pellucid.core.class_moments import Centres, ClassMeans, ClassScatter
from pellucid.core.collapse_measures import measure_centres, measure_decisions, measure_variability
from pellucid.core.layer_similarity import LayerSimilarity
from pellucid.data.batches_of import Batches, batches_of
from pellucid.errors import DataError, SettingsError
from pellucid.results.layer_collapse import CollapseLayer, LayerCollapse

__all__ = ["measure_layer_collapse"]

_WIDEST = 1024
"""Up to so many features the covariance is gathered whole; beyond, its spectrum comes from so many examples."""

_CKA_BATCH = 256


def measure_layer_collapse(
    model: nn.Module,
    loader: Batches,
    *,
    layers: Sequence[str] | None = None,
    reduce: str = "auto",
    classes: int | None = None,
    split: str = "",
    tunnel_share: float = 0.98,
) -> LayerCollapse:
    """How far has each layer's input collapsed onto class centres? All layers in the same two passes over the data.

    The separation law of He and Su (2023) says D_l ≈ ρ^l D_0 with D = Tr(SS_W SS_B†), classes weighted by their
    examples; ρ and R² come from a straight line through log D. The tunnel of Masarczyk et al. (2023) begins where
    classes are decoded as well as at the end; they decode with linear probes, here the nearest class centre decodes.

    Args:
        model: A classifier; the features of a layer are what goes into it.
        loader: (inputs, class numbers) batches, walked twice.
        layers: Modules whose inputs to look at; None for every linear and convolutional layer.
        reduce: What becomes of positions in space or time: ``mean`` over them, ``flatten``, or ``auto``: the mean,
            but flattened where there are fewer channels than classes.
        classes: How many classes there are; None for as many as the model has outputs.
        split: What to call the data.
        tunnel_share: The tunnel begins at the first layer from which on the nearest centre is right at least so often,
            as a share of what it is at the last.

    Returns:
        Per layer D, the measures of neural collapse, effective rank and accuracy of the nearest centre; the law, the
        tunnel and linear CKA between layers.

    Raises:
        DataError: fewer than two classes have examples, or labels or features cannot be used.
        SettingsError: a layer or reduction does not exist.
    """
    if reduce not in ("auto", "mean", "flatten"):
        raise SettingsError(f"there is no reduction {reduce!r}", place="reduce", remedy="use auto, mean or flatten")
    pieces = list(_first_examples(loader))
    where = next((one.device for one in model.parameters()), torch.device("cpu"))
    found = find_layers(model, pieces[0].to(where), layers)
    walk = _Walk(model, loader, found, reduce, classes)
    means, similarity = _first_pass(walk)
    count = int((means[0].counts > 0).sum())
    if count < 2:
        raise DataError(
            "only one class has examples, and collapse is about several",
            place="labels",
            remedy="give examples of at least two classes",
        )
    gathered = _second_pass(walk, means)
    described = tuple(_describe(walk, layer, one) for layer, one in zip(found, gathered, strict=True))
    start, decay, fit = _law([one.separation for one in described])
    right = [one.quantities["nearest_centre_accuracy"] for one in described]
    cka, error = similarity.cka()
    return LayerCollapse(
        model=type(model).__name__,
        split=split,
        examples=int(means[0].counts.sum()),
        classes=means[0].classes,
        accuracy=described[-1].quantities["accuracy"],
        layers=described,
        decay=decay,
        decay_start=start,
        decay_fit=fit,
        tunnel=_tunnel(right, tunnel_share),
        tunnel_share=tunnel_share,
        cka=cka.numpy(),
        cka_error=error.numpy(),
        cka_batch=_CKA_BATCH,
    )


def _first_examples(loader: Batches) -> Iterator[Tensor]:
    for inputs, _ in batches_of(loader):
        yield inputs[:2]
        return


class _Walk:
    """Every layer's features, to be read twice."""

    def __init__(
        self, model: nn.Module, loader: Batches, layers: tuple[LayerInput, ...], reduce: str, classes: int | None
    ) -> None:
        self.model, self.loader, self.layers, self.reduce, self.classes = model, loader, layers, reduce, classes

    def read(self) -> Iterator[LayerBatch]:
        batches = batches_of(self.loader, size=_CKA_BATCH)
        yield from read_layers(self.model, batches, self.layers, self._reduced)

    def how(self, layer: LayerInput) -> str:
        """``mean``, ``flatten`` or '' for features without positions."""
        if len(layer.shape) == 1:
            return ""
        if self.reduce != "auto":
            return self.reduce
        channels = layer.shape[-1] if layer.channels_last else layer.shape[0]
        return "mean" if self.classes is None or channels >= self.classes else "flatten"

    def said(self, layer: LayerInput) -> str:
        how = self.how(layer)
        if how == "mean":
            positions = layer.shape[:-1] if layer.channels_last else layer.shape[1:]
            return "mean over " + " × ".join(map(str, positions))
        return "flattened" if how else "as it is"

    def _reduced(self, layer: LayerInput, features: Tensor) -> Tensor:
        how = self.how(layer)
        if how == "mean":
            inner = tuple(range(1, features.ndim - 1)) if layer.channels_last else tuple(range(2, features.ndim))
            return features.mean(dim=inner)
        return features.flatten(1)


def _first_pass(walk: _Walk) -> tuple[list[ClassMeans], LayerSimilarity]:
    """Class means of every layer, and how alike layers are."""
    means: list[ClassMeans] = []
    similarity = LayerSimilarity(len(walk.layers))
    if walk.classes is None:
        inputs, _ = next(iter(batches_of(walk.loader, size=2)))
        batch = next(iter(read_layers(walk.model, [(inputs, inputs)], walk.layers, lambda _layer, given: given)))
        walk.classes = max(2, batch.outputs.shape[-1])
    for batch in walk.read():
        if not means:
            means = [ClassMeans(walk.classes, one.shape[1], one.device) for one in batch.features]
        for one, features in zip(means, batch.features, strict=True):
            one.update(features, batch.targets)
        similarity.update([one.cpu() for one in batch.features])
    return means, similarity


class _Gathered:
    """What the second pass gathers of one layer."""

    def __init__(self, means: ClassMeans) -> None:
        self.scatter = ClassScatter(Centres.of(means))
        present = means.counts[means.counts > 0]
        even = bool((present == present[0]).all())
        # With classes of one size the plain and the weighted scatter of the centres are one.
        self.weighted = self.scatter if even else ClassScatter(Centres.of(means, overall="examples", weighted=True))
        self.examples = int(means.counts.sum())
        width = means.width
        self.total = means.sums.sum(dim=0) / self.examples
        self.covariance = means.sums.new_zeros(width, width) if width <= _WIDEST else None
        self.sample: list[Tensor] = []
        self._seen = 0

    def update(self, features: Tensor, labels: Tensor, decisions: Tensor) -> None:
        self.scatter.update(features, labels, decisions)
        if self.weighted is not self.scatter:
            self.weighted.update(features, labels)
        if self.covariance is not None:
            away = features.double() - self.total
            self.covariance.addmm_(away.T, away)
        else:
            step = -(-self.examples // _WIDEST)
            self.sample.append((features[(-self._seen) % step :: step]).double() - self.total)
            self._seen += len(features)

    def separation(self) -> float:
        """D = Tr(SS_W SS_B†), SS_B weighted by the classes' examples."""
        centres = self.weighted.centres
        if not len(centres.strengths):
            return math.nan
        # Unweighted strengths are sums over the classes that have examples, weighted ones sums that C classes weigh.
        classes = int(centres.present.sum()) if self.weighted is self.scatter else len(centres.counts)
        return float(self.weighted.projected.sum()) * classes / self.examples

    def spectrum(self) -> tuple[np.ndarray, int]:
        """Eigenvalues of the covariance, largest first, and how many examples they come from."""
        if self.covariance is not None:
            values = torch.linalg.eigvalsh(self.covariance / self.examples).flip(0)
            return values.clamp_(min=0).cpu().numpy(), self.examples
        rows = torch.cat(self.sample)
        rows = rows - rows.mean(dim=0)
        values = torch.linalg.eigvalsh(rows @ rows.T / len(rows)).flip(0)
        return values.clamp_(min=0).cpu().numpy(), len(rows)


def _second_pass(walk: _Walk, means: list[ClassMeans]) -> list[_Gathered]:
    gathered = [_Gathered(one) for one in means]
    for batch in walk.read():
        decisions = _decided(batch.outputs)
        for one, features in zip(gathered, batch.features, strict=True):
            one.update(features, batch.targets, decisions)
    return gathered


def _decided(outputs: Tensor) -> Tensor:
    """The model's classes; one number says yes or no by its sign."""
    flat = outputs.reshape(len(outputs), -1)
    return (flat[:, 0] > 0).long() if flat.shape[1] == 1 else flat.argmax(dim=1)


def _describe(walk: _Walk, layer: LayerInput, gathered: _Gathered) -> CollapseLayer:
    """One layer's figures."""
    scatter = gathered.scatter
    values = measure_variability(scatter) | measure_centres(scatter.centres) | measure_decisions(scatter)
    spectrum, examples = gathered.spectrum()
    singular = np.sqrt(spectrum)
    total, largest = float(singular.sum()), float(singular.max(initial=0.0))
    shares = singular[singular > 0] / total if total > 0 else np.empty(0)
    return CollapseLayer(
        name=layer.name,
        shape=layer.shape,
        features=scatter.centres.means.shape[1],
        reduction=walk.said(layer),
        separation=gathered.separation(),
        quantities=values,
        effective_rank=float(np.exp(-(shares * np.log(shares)).sum())) if len(shares) else 0.0,
        participation=float(spectrum.sum() ** 2 / (spectrum**2).sum()) if largest > 0 else 0.0,
        rank=int((singular > 1e-3 * largest).sum()) if largest > 0 else 0,
        spectrum=spectrum,
        spectrum_examples=examples,
    )


def _law(separations: Sequence[float]) -> tuple[float, float, float]:
    """D_0, ρ and R² of a straight line through log D."""
    values = np.array(separations)
    places = np.flatnonzero(np.isfinite(values) & (values > 0))
    if len(places) < 2:
        return math.nan, math.nan, math.nan
    logs = np.log(values[places])
    slope, level = np.polyfit(places, logs, 1)
    left = float(((logs - slope * places - level) ** 2).sum())
    spread = float(((logs - logs.mean()) ** 2).sum())
    return math.exp(level), math.exp(slope), 1 - left / spread if spread > 0 else 1.0


def _tunnel(right: Sequence[float], share: float) -> int:
    """The first layer from which on the nearest centre is right nearly as often as at the last."""
    enough = [one >= share * right[-1] for one in right]
    begin = len(enough)
    while begin > 0 and enough[begin - 1]:
        begin -= 1
    return begin if begin < len(right) - 1 else -1
