"""Calibration against torchmetrics and netcal where these are right, against sums written out, and where they err."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as judges
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss
from torch import nn
from torch.nn import functional

from pellucid.errors import DataError, SettingsError
from pellucid.lenses.calibration import measure_calibration
from pellucid.results.base import Result
from pellucid.results.calibration import Calibration


def overconfident(seed: int = 0, count: int = 3000, classes: int = 5, heat: float = 3.0) -> tuple:
    """Logits whose softmax is exactly right at temperature ``heat``."""
    generator = torch.Generator().manual_seed(seed)
    true = torch.randn(count, classes, generator=generator)
    labels = torch.multinomial(true.softmax(1), 1, generator=generator)[:, 0]
    return true * heat, labels


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_errors_are_those_of_torchmetrics(bins: int) -> None:
    z, y = overconfident()
    found = measure_calibration(logits=z, labels=y, bins=bins)
    p = z.double().softmax(1)
    for norm, name in (("l1", "ece"), ("max", "mce")):
        theirs = judges.multiclass_calibration_error(p, y, p.shape[1], n_bins=bins, norm=norm)
        assert found[name] == pytest.approx(float(theirs), abs=2e-6)
    for k, error in enumerate(found.class_errors):
        theirs = judges.binary_calibration_error(p[:, k], (y == k).long(), n_bins=bins)
        assert error == pytest.approx(float(theirs), abs=2e-6)
    assert found["classwise_ece"] == pytest.approx(found.class_errors.mean())
    assert found["nll"] == pytest.approx(log_loss(y, p), rel=1e-12)
    assert found["nll"] == pytest.approx(float(functional.cross_entropy(z.double(), y)), rel=1e-12)
    assert found["brier"] == pytest.approx(float(((p - functional.one_hot(y)) ** 2).sum(1).mean()), rel=1e-12)


def test_errors_are_those_of_netcal() -> None:
    metrics = pytest.importorskip("netcal.metrics")
    z, y = overconfident()
    found = measure_calibration(logits=z, labels=y, bins=12)
    p = z.double().softmax(1).numpy()
    assert found["ece"] == pytest.approx(metrics.ECE(12).measure(p, y.numpy()), abs=1e-12)
    assert found["mce"] == pytest.approx(metrics.MCE(12).measure(p, y.numpy()), abs=1e-12)
    theirs = metrics.ECE(12, equal_intervals=False).measure(p, y.numpy())
    assert found["ece_mass"] == pytest.approx(theirs, abs=2e-3), "quantile edges lie between examples there"


def test_a_confidence_of_one_belongs_to_the_last_bin_and_torchmetrics_errs() -> None:
    """In one bin from 0.9 to 1 the gap is |0.5 − 0.975|; torchmetrics opens an eleventh bin for the ones."""
    p = torch.tensor([[0.95, 0.05], [1.0, 0.0]])
    y = torch.tensor([0, 1])
    found = measure_calibration(probabilities=p, labels=y, bins=10)
    assert found["ece"] == pytest.approx(0.475)
    assert found.width.counts.tolist() == [0] * 9 + [2]
    theirs = judges.multiclass_calibration_error(p, y, 2, n_bins=10)
    assert float(theirs) == pytest.approx(0.525), "when this fails torchmetrics has been mended"


def test_netcals_temperature_is_ours_in_float64_and_does_not_move_in_float32() -> None:
    scaling = pytest.importorskip("netcal.scaling")
    z, y = overconfident()
    p = z.double().softmax(1).numpy()
    before = measure_calibration(probabilities=p, labels=y)
    ours = before.temperature(fit_on=before)
    theirs = {}
    for precision in ("float64", "float32"):
        mapped = scaling.TemperatureScaling(method="mle")
        mapped.fit(p.astype(precision), y.numpy())
        scaled = mapped.transform(p.astype(precision)).astype(np.float64)
        theirs[precision] = measure_calibration(probabilities=scaled / scaled.sum(1, keepdims=True), labels=y)
    assert ours["ece"] < 0.1 * before["ece"]
    assert theirs["float64"]["ece"] == pytest.approx(ours["ece"], abs=1e-4)
    assert ours["nll"] <= theirs["float64"]["nll"] + 1e-9
    assert theirs["float32"]["ece"] == pytest.approx(before["ece"], abs=1e-4), "when this fails netcal has been mended"


def test_bins_of_equal_mass_and_adaptive_error_are_those_of_the_definition() -> None:
    z, y = overconfident(count=1200)
    found = measure_calibration(logits=z, labels=y, bins=8)
    p = z.double().softmax(1).numpy()

    def by_hand(confidence: np.ndarray, right: np.ndarray) -> float:
        parts = np.array_split(np.argsort(confidence), 8)
        return sum(len(part) / len(right) * abs(right[part].mean() - confidence[part].mean()) for part in parts)

    assert found.mass.counts.tolist() == [150] * 8
    assert found["ece_mass"] == pytest.approx(by_hand(p.max(1), p.argmax(1) == y.numpy()), abs=1e-12)
    each = [by_hand(p[:, k], y.numpy() == k) for k in range(p.shape[1])]
    assert found["adaptive_ece"] == pytest.approx(np.mean(each), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(2, 5), st.integers(1, 12))
def test_brier_parts_add_up_and_order_does_not_matter(seed: int, count: int, classes: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(classes, 0.3), size=count)
    p = np.round(p, 2) if seed % 2 else p  # ties
    p = p / p.sum(1, keepdims=True)
    y = rng.integers(classes, size=count)
    found = measure_calibration(probabilities=p, labels=y, bins=bins, resamples=0)
    parts = found.brier
    whole = parts.reliability - parts.resolution + parts.uncertainty + parts.within_spread - parts.within_covariance
    assert whole == pytest.approx(parts.score, abs=1e-12)
    assert parts.score == pytest.approx(((p - np.eye(classes)[y]) ** 2).sum(1).mean(), abs=1e-12)
    order = rng.permutation(count)
    again = measure_calibration(probabilities=p[order], labels=y[order], bins=bins, resamples=0)
    for name in ("ece", "ece_mass", "mce", "classwise_ece", "adaptive_ece", "brier", "nll"):
        assert again[name] == pytest.approx(found[name], abs=1e-12)


def test_of_constant_forecasts_murphys_three_parts_are_the_score() -> None:
    """Inside a bin of equal forecasts nothing is left over, and the parts are those of the 1973 paper by hand."""
    p1 = np.repeat([0.1, 0.5, 0.9], [10, 20, 10])
    y = np.concatenate([np.repeat([1, 0], [2, 8]), np.repeat([1, 0], [9, 11]), np.repeat([1, 0], [10, 0])])
    parts = measure_calibration(probabilities=p1, labels=y, bins=10).brier
    assert parts.within_spread == pytest.approx(0, abs=1e-15)
    assert parts.reliability / 2 == pytest.approx((10 * 0.1**2 + 20 * 0.05**2 + 10 * 0.1**2) / 40)
    base = 21 / 40
    assert parts.resolution / 2 == pytest.approx(
        (10 * (0.2 - base) ** 2 + 20 * (0.45 - base) ** 2 + 10 * (1 - base) ** 2) / 40
    )
    assert parts.uncertainty / 2 == pytest.approx(base * (1 - base))


def test_temperature_finds_the_planted_one_and_leaves_the_accuracy() -> None:
    held, test = (measure_calibration(logits=z, labels=y) for z, y in (overconfident(1, 8000), overconfident(2, 8000)))
    after = test.temperature(fit_on=held)
    assert after.scaling.parameters.item() == pytest.approx(3.0, rel=0.05)
    assert after["accuracy"] == test["accuracy"] == after.scaling.before.accuracy
    assert after.scaling.before.ece == test["ece"]
    assert after["ece"] < after["ece_chance_high"] < test["ece"]
    crossed = test.temperature()
    assert crossed.scaling.parameters.shape == (5, 1)
    assert crossed["ece"] < 0.1 * test["ece"]
    assert crossed["accuracy"] == test["accuracy"]
    assert "5 folds" in crossed.scaling.fitted_on


def test_temperature_is_the_minimum_of_the_likelihood() -> None:
    z, y = overconfident(3, 400)
    found = measure_calibration(logits=z, labels=y)
    own = found.temperature(fit_on=found).scaling.parameters.item()
    losses = {t: float(functional.cross_entropy(z.double() / t, y)) for t in (own * 0.999, own, own * 1.001)}
    assert min(losses, key=losses.get) == own


def test_vector_scaling_is_the_minimum_of_the_likelihood() -> None:
    z, y = overconfident(4, 2000)
    held = measure_calibration(logits=z * torch.tensor([1.0, 2.0, 0.5, 1.0, 1.0]) + torch.arange(5.0), labels=y)
    fitted = held.vector_scaling(fit_on=held)
    scale, shift = torch.from_numpy(fitted.scaling.parameters[0]).requires_grad_(True)
    leaves = [one.detach().requires_grad_(True) for one in (scale, shift)]
    loss = functional.cross_entropy(torch.from_numpy(held.logits).double() * leaves[0] + leaves[1], y)
    loss.backward()
    assert max(float(one.grad.abs().max()) for one in leaves) < 1e-4
    assert fitted.scaling.converged
    assert loss.item() == pytest.approx(fitted["nll"], abs=1e-9)
    assert fitted["nll"] < held.temperature(fit_on=held)["nll"]


def test_isotonic_lowers_the_error_and_keeps_the_likelihood_finite() -> None:
    held, test = (measure_calibration(logits=z, labels=y) for z, y in (overconfident(1), overconfident(2)))
    after = test.isotonic(fit_on=held)
    assert after["ece"] < 0.3 * test["ece"]
    assert after["classwise_ece"] < test["classwise_ece"]
    assert np.isfinite(after["nll"])
    assert np.exp(after.logits).sum(1) == pytest.approx(1, abs=1e-5)


def test_bands_hold_the_binomial_spread() -> None:
    z, y = overconfident(count=4000)
    bins = measure_calibration(logits=z, labels=y, resamples=4000).width
    n, a = bins.counts, bins.accuracy
    big = n > 100
    spread = 1.96 * np.sqrt(a * (1 - a) / n)
    assert bins.high[big] - a[big] == pytest.approx(spread[big], rel=0.12, abs=3e-3)
    assert a[big] - bins.low[big] == pytest.approx(spread[big], rel=0.12, abs=3e-3)


def test_chance_is_what_an_honest_network_scores() -> None:
    scores = []
    for seed in range(30):
        z, y = overconfident(seed, 500, heat=1.0)
        found = measure_calibration(logits=z, labels=y)
        scores.append((found["ece"], found["ece_chance"]))
    mine, chance = np.mean(scores, axis=0)
    assert mine == pytest.approx(chance, rel=0.1)


def test_a_model_is_run_and_left_as_it_was() -> None:
    z, y = overconfident(count=90)
    model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(5), nn.Identity())
    state = {name: value.clone() for name, value in model.state_dict().items()}
    found = measure_calibration(model, [(z[:50], y[:50]), (z[50:], y[50:])], split="test")
    direct = measure_calibration(logits=model.eval()(z), labels=y)
    assert found["ece"] == direct["ece"]
    assert found.split == "test"
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in state.items())


def test_one_logit_is_two_classes() -> None:
    z, y = torch.randn(200), torch.randint(2, (200,))
    one = measure_calibration(logits=z[:, None], labels=y[:, None])
    two = measure_calibration(logits=torch.stack([torch.zeros(200), z], 1), labels=y)
    given_p = measure_calibration(probabilities=z.double().sigmoid(), labels=y)
    assert one["ece"] == two["ece"] == pytest.approx(given_p["ece"], abs=1e-12)


def test_saved_and_loaded_it_can_still_be_scaled(tmp_path) -> None:
    z, y = overconfident(count=300)
    found = measure_calibration(logits=z, labels=y).temperature()
    again = Result.load(found.save(tmp_path / "a.bin"))
    assert isinstance(again, Calibration)
    assert again.figures == found.figures
    assert again.isotonic()["ece"] == found.isotonic()["ece"]


def test_above_the_limit_fewer_logits_are_kept_and_both_sides_are_of_these() -> None:
    z = torch.randn(2500, 2000)
    y = z.argmax(1)
    found = measure_calibration(logits=z, labels=y, resamples=0, bins=2)
    assert found.kept == 2000 < found.examples
    after = found.temperature(fit_on=found)
    assert after.examples == 2000
    assert not after.scaling.converged
    assert "no example is wrong" in after.scaling.notes[0]


def test_an_absent_class_is_said() -> None:
    found = measure_calibration(logits=torch.randn(20, 3), labels=torch.arange(20) % 2)
    assert found.absent_classes == (2,)
    assert np.isfinite(found["classwise_ece"])
    assert np.isfinite(found.vector_scaling()["nll"])
    alone = measure_calibration(logits=torch.randn(20, 3), labels=torch.zeros(20))
    assert alone.absent_classes == (1, 2)
    assert np.isfinite(alone.isotonic()["ece"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"logits": torch.full((4, 3), float("nan"))}, "not finite"),
        ({"labels": torch.tensor([0, 1, 2, 3])}, "label 3"),
        ({"labels": torch.tensor([0, 1, 2, -1])}, "label -1"),
        ({"labels": torch.tensor([0.5, 1, 2, 0])}, "label 0.5"),
        ({"labels": torch.tensor([0, 1])}, "labels of shape"),
        ({"logits": torch.zeros(0, 3)}, "shape"),
        ({"logits": None, "probabilities": torch.full((4, 3), 0.5)}, "no probabilities"),
        ({"logits": None}, "not clear"),
        ({"bins": 0}, "bins"),
        ({"class_names": ("a",)}, "names"),
    ],
)
def test_what_cannot_be_used_is_refused(change: dict, words: str) -> None:
    usable = {"logits": torch.randn(4, 3), "labels": torch.tensor([0, 1, 2, 0])}
    with pytest.raises((DataError, SettingsError), match=words) as caught:
        measure_calibration(**(usable | change))
    assert caught.value.place
    assert caught.value.remedy


def test_scaling_refuses_what_it_cannot_fit() -> None:
    small = measure_calibration(logits=torch.randn(4, 3), labels=torch.tensor([0, 1, 2, 0]))
    with pytest.raises(DataError, match="folds"):
        small.temperature()
    with pytest.raises(SettingsError, match="2 folds"):
        small.temperature(folds=1)
    other = measure_calibration(logits=torch.randn(4, 2), labels=torch.tensor([0, 1, 1, 0]))
    with pytest.raises(SettingsError, match="classes"):
        small.isotonic(fit_on=other)


def test_constant_logits_are_calibrated_where_classes_are_even() -> None:
    found = measure_calibration(logits=torch.zeros(40, 4), labels=torch.arange(40) % 4)
    assert found["ece"] == pytest.approx(0, abs=1e-12)
    assert found["nll"] == pytest.approx(np.log(4))
    assert np.isfinite(found.temperature()["nll"])
