"""Whether a classifier's confidence is to be trusted, and what makes it so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from pellucid.errors import DataError, SettingsError
from pellucid.results.base import Result
from pellucid.results.calibration_figures import (
    BrierParts,
    ReliabilityBins,
    bin_reliability,
    classwise_errors,
    decompose_brier,
    log_likelihood,
    probabilities_of,
)
from pellucid.results.calibration_scaling import FittedScaling, ScalingMethod, fit_scaling

__all__ = ["Calibration", "CalibrationFigures", "Scaling", "judge_calibration"]

_LIMIT = 4_000_000
"""Logits kept: 16 MB."""


@dataclass(frozen=True)
class CalibrationFigures:
    """Every figure of one set of probabilities."""

    accuracy: float
    confidence: float  # mean probability of the predicted class; above the accuracy: over-confident
    ece: float  # expected calibration error, bins of equal width (Naeini et al. 2015; Guo et al. 2017)
    ece_mass: float  # the same with bins of equal mass (Nguyen and O'Connor 2015)
    mce: float  # the largest gap of a bin of equal width
    classwise_ece: float  # mean over classes, equal widths (Kull et al. 2019; Nixon et al. 2019's SCE)
    adaptive_ece: float  # mean over classes, equal mass (Nixon et al. 2019's ACE)
    brier: float  # Σₖ (pₖ − yₖ)², 0 to 2
    nll: float  # nats
    ece_chance: float  # mean ECE of labels drawn from the confidences themselves: what the sample size alone gives
    ece_chance_high: float  # their 95 % quantile: an ECE below it is no evidence of miscalibration


@dataclass(frozen=True, eq=False)
class Scaling:
    """What the probabilities went through, and what they were before."""

    method: ScalingMethod
    fitted_on: str  # in words
    fitted_examples: int  # the fewest that one fit saw
    parameters: np.ndarray  # (fits, …) one row a fold; temperature: (fits, 1), vector: (fits, 2, classes)
    converged: bool
    notes: tuple[str, ...]
    before: CalibrationFigures
    before_bins: ReliabilityBins


@dataclass(frozen=True, eq=False)
class Calibration(Result):
    """Reliability of a classifier's probabilities on one split, and the logits to try a remedy on."""

    schema: ClassVar[str] = "calibration/1"

    split: str  # '' where nobody said
    examples: int
    classes: int
    class_names: tuple[str, ...]
    absent_classes: tuple[int, ...]  # without an example; they count in the class-wise errors
    figures: CalibrationFigures
    width: ReliabilityBins
    mass: ReliabilityBins
    brier: BrierParts
    class_errors: np.ndarray  # (classes,) calibration error of every class's probability, equal widths
    resamples: int  # bootstrap samples behind the bands, draws behind the chance ECE
    seed: int
    logits: np.ndarray  # (kept, classes) float32; logarithms of probabilities where those were given
    labels: np.ndarray  # (kept,) int32
    scaling: Scaling | None  # None: as the network gave them

    def __getitem__(self, name: str) -> float:
        """A figure by its name, e.g. ``result["ece"]``."""
        return getattr(self.figures, name)

    @property
    def kept(self) -> int:
        """Examples whose logits are kept; fewer than all above 4,000,000 logits."""
        return len(self.labels)

    def temperature(self, fit_on: Calibration | None = None, *, folds: int = 5, seed: int = 0) -> Calibration:
        """Divide all logits by one number fitted on held-out examples; the accuracy cannot change.

        Args:
            fit_on: The calibration of the same network on other examples, such as the validation split. Without it the
                examples at hand are parted at random: each fold is scaled by what the others gave.
            folds: How many parts, without ``fit_on``.
            seed: Of the parting.

        Returns:
            The figures after scaling; ``scaling.before`` has those before.

        Raises:
            SettingsError: fewer than two folds, or another number of classes.
            DataError: there are too few examples to part.
        """
        return self._scaled("temperature", fit_on, folds, seed)

    def vector_scaling(self, fit_on: Calibration | None = None, *, folds: int = 5, seed: int = 0) -> Calibration:
        """Scale and shift every class's logit by numbers fitted on held-out examples; see ``temperature``."""
        return self._scaled("vector", fit_on, folds, seed)

    def isotonic(self, fit_on: Calibration | None = None, *, folds: int = 5, seed: int = 0) -> Calibration:
        """Map every class's probability by a rising step function fitted on held-out examples; see ``temperature``."""
        return self._scaled("isotonic", fit_on, folds, seed)

    def _scaled(self, method: ScalingMethod, fit_on: Calibration | None, folds: int, seed: int) -> Calibration:
        logits, labels = self.logits.astype(np.float64), self.labels.astype(np.int64)
        before = self
        if self.kept < self.examples:
            before = judge_calibration(logits, labels, like=self)
        if fit_on is not None:
            fits, scaled = self._with_other(method, fit_on)
            where = f"{fit_on.split or 'other examples'}, {fit_on.kept:,} examples"
            fewest = fit_on.kept
        else:
            fits, scaled, fewest = _cross_fitted(method, logits, labels, folds, seed)
            where = f"these examples in {folds} folds, each scaled by a fit to the others, seed {seed}"
        after = judge_calibration(scaled, labels, like=self)
        scaling = Scaling(
            method=method,
            fitted_on=where,
            fitted_examples=fewest,
            parameters=np.stack([one.parameters for one in fits]),
            converged=all(one.converged for one in fits),
            notes=tuple(dict.fromkeys(one.note for one in fits if one.note)),
            before=before.figures,
            before_bins=before.width,
        )
        return replace(after, scaling=scaling)

    def _with_other(self, method: ScalingMethod, fit_on: Calibration) -> tuple[list[FittedScaling], np.ndarray]:
        if fit_on.classes != self.classes:
            raise SettingsError(
                f"a fit on {fit_on.classes} classes does not go with {self.classes}",
                place="fit_on",
                remedy="measure the same network on held-out examples",
            )
        fit = fit_scaling(method, fit_on.logits, fit_on.labels.astype(np.int64))
        return [fit], fit.apply(self.logits.astype(np.float64))


def judge_calibration(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    probabilities: np.ndarray | None = None,
    bins: int = 15,
    resamples: int = 1000,
    seed: int = 0,
    split: str = "",
    class_names: Sequence[str] = (),
    like: Calibration | None = None,
) -> Calibration:
    """Every figure of checked logits and labels, in float64.

    Args:
        logits: (n, classes).
        labels: (n,) from 0 to classes − 1.
        probabilities: Their softmax, where that is what was given.
        bins: Of equal width or, for the other errors, of equal mass.
        resamples: Bootstrap samples.
        seed: Of them.
        split: What to call the data.
        class_names: What the classes are called.
        like: Take all the above from this one.
    """
    if like is not None:
        bins, resamples, seed = len(like.width.counts), like.resamples, like.seed
        split, class_names = like.split, like.class_names
    p = probabilities_of(logits) if probabilities is None else probabilities
    predicted = (logits if probabilities is None else p).argmax(axis=1)
    confidence, correct = p[np.arange(len(p)), predicted], predicted == labels
    width, mass = (
        bin_reliability(confidence, correct, bins, binning, resamples=resamples, seed=seed)
        for binning in ("width", "mass")
    )
    brier = decompose_brier(p, labels, bins)
    class_errors = classwise_errors(p, labels, bins, "width")
    chance = _chance(confidence, width, resamples, seed)
    count, classes = p.shape
    kept = _kept(count, classes)
    return Calibration(
        split=split,
        examples=count,
        classes=classes,
        class_names=tuple(class_names),
        absent_classes=tuple(int(k) for k in np.flatnonzero(np.bincount(labels, minlength=classes) == 0)),
        figures=CalibrationFigures(
            accuracy=float(correct.mean()),
            confidence=float(confidence.mean()),
            ece=width.error,
            ece_mass=mass.error,
            mce=width.largest,
            classwise_ece=float(class_errors.mean()),
            adaptive_ece=float(classwise_errors(p, labels, bins, "mass").mean()),
            brier=brier.score,
            nll=log_likelihood(logits, labels),
            ece_chance=chance[0],
            ece_chance_high=chance[1],
        ),
        width=width,
        mass=mass,
        brier=brier,
        class_errors=class_errors,
        resamples=resamples,
        seed=seed,
        logits=np.asarray(logits[kept], dtype=np.float32),
        labels=np.asarray(labels[kept], dtype=np.int32),
        scaling=None,
    )


def _kept(count: int, classes: int) -> np.ndarray:
    """All places, or as many evenly spread ones as fit the limit."""
    most = max(_LIMIT // classes, 1)
    return np.arange(count) if count <= most else np.linspace(0, count - 1, most).round().astype(np.int64)


def _chance(confidence: np.ndarray, bins: ReliabilityBins, resamples: int, seed: int) -> tuple[float, float]:
    """Mean and 95 % quantile of the ECE of a network of these confidences whose every probability is right.

    Consistency resampling (Bröcker and Smith 2007): at most 200 draws, since each asks for n random numbers.
    """
    if not resamples:
        return float("nan"), float("nan")
    generator = np.random.default_rng(seed)
    count = len(bins.counts)
    place = np.clip(np.searchsorted(bins.edges, confidence, side="right") - 1, 0, count - 1)
    total = np.nan_to_num(bins.confidence) * bins.counts
    errors = np.empty(min(resamples, 200))
    for draw in range(len(errors)):
        right = np.bincount(place[generator.random(len(place)) < confidence], minlength=count)
        errors[draw] = np.abs(right - total).sum() / len(place)
    return float(errors.mean()), float(np.quantile(errors, 0.95))


def _cross_fitted(
    method: ScalingMethod, logits: np.ndarray, labels: np.ndarray, folds: int, seed: int
) -> tuple[list[FittedScaling], np.ndarray, int]:
    """Each fold scaled by a fit to the others."""
    if folds < 2:
        raise SettingsError(
            "without other examples to fit on, the scaling needs at least 2 folds",
            place="folds",
            remedy="give 2 or more, or fit_on=",
        )
    if len(labels) < 2 * folds:
        raise DataError(
            f"{len(labels)} examples cannot be parted into {folds} folds of at least 2",
            place="examples",
            remedy="give fewer folds, more examples, or fit_on=",
        )
    fold = np.random.default_rng(seed).permutation(len(labels)) % folds
    fits: list[FittedScaling] = []
    scaled = np.empty_like(logits)
    for place in range(folds):
        mine = fold == place
        fit = fit_scaling(method, logits[~mine], labels[~mine])
        scaled[mine] = fit.apply(logits[mine])
        fits.append(fit)
    return fits, scaled, int(min((fold != place).sum() for place in range(folds)))
