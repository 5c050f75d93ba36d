"""Losses against torch.nn.functional and formulas written out here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor
from torch.nn import functional

from pellucid.errors import SettingsError
from pellucid.training.losses import build_loss, to_probabilities
from pellucid.training.spec import LossSpec

LOGITS = torch.randn(12, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TARGETS = torch.tensor([0, 1, 2, 3, 0, 0, 0, 1, 2, 0, 0, 1])
WEIGHTS = (0.5, 1.0, 2.0, 4.0)


def loss(logits: Tensor, targets: Tensor, name: str, **values: Any) -> float:
    module = build_loss(LossSpec.from_dict({"name": name, **values}), "classification", outputs=4)
    return float(module.double()(logits, targets))


def one_hot(targets: Tensor) -> Tensor:
    return functional.one_hot(targets, 4).double()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_cross_entropy_is_torchs(smoothing: float, weights: tuple[float, ...] | None) -> None:
    values: dict[str, Any] = {"label_smoothing": smoothing, "class_weights": weights or "none"}
    expected = functional.cross_entropy(
        LOGITS, TARGETS, None if weights is None else torch.tensor(weights).double(), label_smoothing=smoothing
    )
    assert loss(LOGITS, TARGETS, "cross_entropy", **values) == pytest.approx(float(expected))


@pytest.mark.parametrize("name", ["cross_entropy", "binary_cross_entropy", "hinge"])
@pytest.mark.parametrize("weights", ["none", WEIGHTS])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_soft_targets_that_are_hard_give_the_same(name: str, weights: Any, smoothing: float) -> None:
    if name == "hinge" and smoothing:
        return
    values = {"class_weights": weights, "label_smoothing": smoothing}
    hard, soft = loss(LOGITS, TARGETS, name, **values), loss(LOGITS, one_hot(TARGETS), name, **values)
    assert soft == pytest.approx(hard)


@pytest.mark.parametrize("name", ["cross_entropy", "binary_cross_entropy", "hinge"])
@given(share=st.floats(0, 1))
def test_mixed_targets_give_the_mixture_of_losses(name: str, share: float) -> None:
    """All three are linear in the target, which is what mixup relies on."""
    other = TARGETS.flip(0)
    mixed = share * one_hot(TARGETS) + (1 - share) * one_hot(other)
    expected = share * loss(LOGITS, TARGETS, name) + (1 - share) * loss(LOGITS, other, name)
    assert loss(LOGITS, mixed, name) == pytest.approx(expected)


def test_binary_cross_entropy_by_hand() -> None:
    probability = LOGITS.sigmoid()
    target = one_hot(TARGETS)
    expected = -(target * probability.log() + (1 - target) * (1 - probability).log()).mean()
    assert loss(LOGITS, TARGETS, "binary_cross_entropy") == pytest.approx(float(expected))


def test_hinge_by_hand() -> None:
    expected = np.mean(
        [
            sum(max(0.0, 1 - float(z[y]) + float(z[j])) for j in range(4) if j != y) / 4
            for z, y in zip(LOGITS, TARGETS.tolist(), strict=True)
        ]
    )
    assert loss(LOGITS, TARGETS, "hinge") == pytest.approx(float(expected))
    assert loss(LOGITS, TARGETS, "hinge") == pytest.approx(float(functional.multi_margin_loss(LOGITS, TARGETS)))


@pytest.mark.parametrize("name", ["binary_cross_entropy", "hinge"])
def test_class_weights_give_the_weighted_mean(name: str) -> None:
    each = torch.tensor([loss(z[None], y[None], name) for z, y in zip(LOGITS, TARGETS, strict=True)])
    weights = torch.tensor(WEIGHTS)[TARGETS]
    expected = float((weights * each).sum() / weights.sum())
    assert loss(LOGITS, TARGETS, name, class_weights=WEIGHTS) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["cross_entropy", "binary_cross_entropy", "hinge"])
def test_steps_without_a_target_do_not_count(name: str) -> None:
    targets = TARGETS.reshape(3, 4).clone()
    targets[1, 2:] = -100
    kept = targets.flatten() != -100
    steps = loss(LOGITS.reshape(3, 4, 4), targets, name)
    assert steps == pytest.approx(loss(LOGITS[kept], TARGETS[kept], name))


def test_balanced_weights_are_scikit_learns() -> None:
    counts = np.bincount(TARGETS)
    module = build_loss(LossSpec(class_weights="balanced"), "classification", outputs=4, class_counts=counts)
    expected = compute_class_weight("balanced", classes=np.arange(4), y=TARGETS.numpy())
    assert module.class_weights.numpy() == pytest.approx(expected)


def test_a_class_absent_from_training_weighs_nothing() -> None:
    module = build_loss(LossSpec(class_weights="balanced"), "classification", outputs=3, class_counts=[4, 0, 2])
    assert module.class_weights.tolist() == pytest.approx([0.5, 0.0, 1.0])


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("mse", lambda e: (e**2).mean()),
        ("mae", lambda e: e.abs().mean()),
        ("huber", lambda e: torch.where(e.abs() < 0.5, e**2 / 2, 0.5 * (e.abs() - 0.25)).mean()),
    ],
)
def test_regression_losses_by_hand(name: str, formula: Any) -> None:
    module = build_loss(LossSpec.from_dict({"name": name, "huber_delta": 0.5}), "regression")
    targets = LOGITS.flip(0)
    assert float(module(LOGITS, targets)) == pytest.approx(float(formula(LOGITS - targets)))
    # One output: a column of predictions against a row of targets must not broadcast to a square.
    assert float(module(LOGITS[:, :1], targets[:, 0])) == pytest.approx(float(formula((LOGITS - targets)[:, 0])))


@pytest.mark.parametrize(
    ("spec", "task", "message"),
    [
        (LossSpec(name="mse"), "classification", "no loss for classification"),
        (LossSpec(name="hinge"), "regression", "no loss for regression"),
        (LossSpec(class_weights=(1.0, 2.0)), "classification", "2 class weights were given for 4 classes"),
        (LossSpec(class_weights="balanced"), "classification", "need the classes' counts"),
    ],
)
def test_losses_refuse_what_does_not_suit(spec: LossSpec, task: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        build_loss(spec, task, outputs=4)


def test_probabilities() -> None:
    logits = LOGITS.float()
    softmax = to_probabilities(logits, LossSpec(name="cross_entropy"))
    assert softmax.dtype == torch.float64
    torch.testing.assert_close(softmax, logits.double().exp() / logits.double().exp().sum(dim=1, keepdim=True))
    each = logits.double().sigmoid()
    binary = to_probabilities(logits, LossSpec(name="binary_cross_entropy"))
    torch.testing.assert_close(binary, each / each.sum(dim=1, keepdim=True))
    unlikely = to_probabilities(torch.full((1, 3), -2000.0), LossSpec(name="binary_cross_entropy"))
    torch.testing.assert_close(unlikely, torch.full((1, 3), 1 / 3, dtype=torch.float64))
