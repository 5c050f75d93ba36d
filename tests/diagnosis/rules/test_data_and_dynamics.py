"""Each rule on data and dynamics finds its own cause in a run made with it, and nothing in a sound one."""

from __future__ import annotations

import dataclasses
from importlib import import_module

import numpy as np
import pytest

from pellucid.diagnosis.evidence import Evidence
from pellucid.results.diagnosis import Finding
from pellucid.results.watched_script import (
    CodeLine,
    NonFiniteOrigin,
    ScriptCall,
    ScriptLoader,
    ScriptScheduler,
    SourceFile,
)
from tests.diagnosis import made_by_hand as hand
from tests.diagnosis.rules import made_runs as made

CODES = [
    "unnormalised_inputs",
    "double_normalisation",
    "unscaled_targets",
    "no_shuffle",
    "label_corruption",
    "class_imbalance",
    "data_leakage",
    "train_test_mismatch",
    "nan_in_data",
    "wrong_augmentation",
    "batch_size",
    "undersized_network",
    "overfitting",
    "undertrained",
    "lr_too_high",
    "lr_too_low",
    "over_regularised",
    "optimizer_settings",
    "scheduler_misuse",
    "vanishing_gradient",
    "exploding_gradient",
    "dead_relu",
    "saturated_activation",
    "bad_init",
    "symmetric_init",
]


def found(code: str, evidence: Evidence) -> Finding | None:
    return import_module(f"pellucid.diagnosis.rules.{code}").RULE.find(evidence)


def fault(code: str, evidence: Evidence) -> Finding:
    finding = found(code, evidence)
    assert finding is not None
    assert finding.code == code
    assert finding.severity == "fault"
    assert 0.5 <= finding.certainty <= 1
    assert finding.evidence
    assert finding.fix
    assert finding.disproof
    return finding


def seen_with(inputs: np.ndarray | None = None, **changed: object) -> tuple:
    train, held = made.examples(), made.examples("evaluation", seed=1)
    if inputs is not None:
        changed["inputs"] = inputs.astype(np.float32)
    return dataclasses.replace(train, **changed), held


@pytest.mark.parametrize("code", CODES)
def test_a_sound_run_is_left_alone(code: str) -> None:
    assert found(code, made.run()) is None


def test_a_rate_above_the_usual_with_a_loss_at_chance() -> None:
    untaught = seen_with(predictions=np.zeros((400, 4), np.float32))
    watched = made.script(optimizers=(made.optimizer(lr=30.0),), examples=untaught)
    finding = fault("lr_too_high", made.run(watched, np.full(400, 2.5), np.full(400, 30.0)))
    assert "lr=0.05" in finding.changes[0].after[0]
    assert finding.where.place.line == 2


def test_a_high_rate_is_no_fault_where_the_run_ends_well() -> None:
    watched = made.script(optimizers=(made.optimizer("SGD", lr=3.0),))
    assert found("lr_too_high", made.run(watched, rates=np.full(400, 3.0))) is None


def test_a_tiny_rate_with_a_loss_that_hardly_falls() -> None:
    untaught = seen_with(predictions=np.zeros((400, 4), np.float32))
    watched = made.script(optimizers=(made.optimizer(lr=1e-5),), examples=untaught)
    finding = fault("lr_too_low", made.run(watched, np.linspace(1.40, 1.36, 400), np.full(400, 1e-5)))
    assert finding.changes[0].after[0] == "optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.0)"


def test_a_loss_still_falling_when_training_stops() -> None:
    half = made.examples().predictions * np.where(np.arange(400) % 2, 1, -1)[:, None].astype(np.float32)
    watched = made.script(examples=seen_with(predictions=half), epochs=2)
    finding = fault("undertrained", made.run(watched, np.linspace(1.4, 0.7, 120)))
    assert finding.changes[0].after == ("for epoch in range(100):",)


def test_raw_columns_with_a_diverging_loss() -> None:
    inputs = made.examples().inputs * np.array([1, 1, 1, 5000, 20, 1])
    watched = made.script(examples=seen_with(inputs, predictions=np.zeros((400, 4), np.float32)))
    assert fault("unnormalised_inputs", made.run(watched, np.full(400, 1.39))).evidence[0].value > 1000


def test_inputs_scaled_twice() -> None:
    text = made.SOURCE + "x = x / 255\nx = x / 255\n"
    seen = seen_with(made.examples().inputs / 255, predictions=np.zeros((400, 4), np.float32))
    watched = made.script(examples=seen, sources=(SourceFile("train.py", text),))
    assert fault("double_normalisation", made.run(watched, np.full(400, 1.39))).certainty >= 0.9


def test_targets_in_dollars() -> None:
    inputs = made.examples().inputs
    prices = 2e5 + 3e4 * inputs[:, 0].astype(np.float64)
    seen = seen_with(targets=prices, predictions=np.full((400, 1), 20.0, np.float32))
    regression = made.loss("mse", target_values=(2e5, 2.1e5, 1.9e5), classes=1)
    evidence = made.run(made.script(examples=seen, losses=(regression,)), np.linspace(4e10, 3.9e10, 400))
    fault("unscaled_targets", evidence)


def test_batches_of_one_class() -> None:
    train = made.examples()
    order = np.argsort(train.targets, kind="stable")
    sorted_rows = {name: getattr(train, name)[order] for name in ("inputs", "targets", "predictions")}
    held = made.examples("evaluation", seed=1)
    loaders = (ScriptLoader(made.line(4), "TensorDataset", 400, 16, False, "SequentialSampler", False, 0, 10, True),)
    watched = made.script(examples=(dataclasses.replace(train, **sorted_rows), held), loaders=loaders)
    finding = found("no_shuffle", made.run(watched))
    assert finding is not None
    assert finding.severity == "warning"  # others are answered well: the order did no harm
    untaught = dataclasses.replace(held, predictions=np.zeros((400, 4), np.float32))
    fault("no_shuffle", made.run(dataclasses.replace(watched, examples=(watched.examples[0], untaught))))


def test_labels_of_other_inputs() -> None:
    train, held = made.examples(), made.examples("evaluation", seed=1)
    order = np.random.default_rng(5).permutation(400)
    lost = dataclasses.replace(train, targets=train.targets[order])
    untaught = dataclasses.replace(held, predictions=np.zeros((400, 4), np.float32))
    fault("label_corruption", made.run(made.script(examples=(lost, untaught)), np.full(400, 1.39)))
    # a network that comes out well on others was taught by its own labels, mixed examples or not
    assert found("label_corruption", made.run(made.script(examples=(lost, held)))) is None


def test_some_wrong_labels_are_a_warning() -> None:
    train, held = made.examples(), made.examples("evaluation", seed=1)
    wrong = np.random.default_rng(5).random(400) < 0.27
    noisy = dataclasses.replace(train, targets=np.where(wrong, (train.targets + 1) % 4, train.targets))
    half = held.predictions * np.where(np.arange(400) % 2, 1, -1)[:, None].astype(np.float32)
    run = made.run(made.script(examples=(noisy, dataclasses.replace(held, predictions=half))))
    finding = found("label_corruption", run)
    assert finding is not None
    assert finding.severity == "warning"


def test_a_rare_class_that_is_never_found() -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random(400) < 0.05).astype(np.float64)
    scores = (2 * targets + rng.standard_normal(400) - 5).astype(np.float32)[:, None]
    binary = made.loss("bce_with_logits", target_values=(0.0, 1.0), classes=1)
    watched = made.script(examples=seen_with(targets=targets, predictions=scores)[:1], losses=(binary,))
    assert fault("class_imbalance", made.run(watched, np.full(400, 0.19))).certainty > 0.8
    weighted = dataclasses.replace(binary, settings={"pos_weight": "tensor of 1"})
    assert found("class_imbalance", made.run(dataclasses.replace(watched, losses=(weighted,)))) is None


def test_a_column_that_is_the_target() -> None:
    inputs = made.examples().inputs.copy()
    inputs[:, 3] = 0.5 * made.examples().targets + 2
    assert "column 3" in fault("data_leakage", made.run(made.script(examples=seen_with(inputs)))).title


@pytest.mark.parametrize(("rows", "expected"), [(100, True), (400, False)])
def test_rows_that_come_back_in_the_test_but_for_an_evaluation_of_everything(rows: int, expected: bool) -> None:
    train, held = made.examples(), made.examples("evaluation", seed=1)
    again = np.arange(400) % 5 < 3
    mixed = np.where(again[:, None], np.roll(train.inputs, 200, axis=0), held.inputs)
    whole, picked = hand.facts(1, 400, 6, origin="input"), hand.facts(2, 32, 6, origin="input")
    calls = (
        hand.call(0, "getitem", (whole, hand.facts(3, 32)), (picked,), model=-1),
        hand.call(1, "linear", (picked,), (hand.facts(4, 32, 4),)),
        hand.call(2, "linear", (hand.facts(5, rows, 6, origin="input"),), (), phase="evaluation"),
    )
    text = made.SOURCE + "test_accuracy = accuracy(net, test_x)\n"
    seen = (train, dataclasses.replace(held, inputs=mixed.astype(np.float32)))
    watched = made.script(sources=(SourceFile("train.py", text),), examples=seen, calls=calls)
    assert (found("data_leakage", made.run(watched)) is not None) == expected


def test_features_chosen_before_the_split() -> None:
    text = "X = SelectKBest(f_classif, k=3).fit_transform(X, y)\nxa, xb, ya, yb = train_test_split(X, y)\n"
    assert fault("data_leakage", made.run(made.script(sources=(SourceFile("train.py", text),)))).where.place.line == 1


def test_evaluation_inputs_of_another_scale() -> None:
    train, held = made.examples(), made.examples("evaluation", seed=1)
    wrong = np.roll(held.predictions, 1, axis=1)
    moved = dataclasses.replace(held, inputs=held.inputs * 40 + 9, predictions=wrong)
    fault("train_test_mismatch", made.run(made.script(examples=(train, moved))))


def test_nan_in_a_batch() -> None:
    origin = NonFiniteOrigin(7, "data", "input", "", made.line(5), False, "nan", "12 entries of the batch")
    losses = made.falling()
    losses[7:] = np.nan
    finding = fault("nan_in_data", made.run(made.script(nonfinite=origin), losses))
    assert finding.since_step == 7
    assert finding.certainty > 0.9


def test_noise_that_drowns_the_signal() -> None:
    train, held = made.examples(), made.examples("evaluation", seed=1)
    noisy = train.inputs + 25 * np.random.default_rng(3).standard_normal(train.inputs.shape)
    text = (
        "def jitter(x):\n    return x + 25 * torch.randn_like(x)\n\nloss = criterion(net(jitter(train_x[b])), y[b])\n"
    )
    held = dataclasses.replace(held, predictions=0 * held.predictions)
    seen = (dataclasses.replace(train, inputs=noisy.astype(np.float32), predictions=0 * train.predictions), held)
    evidence = made.run(made.script(examples=seen, sources=(SourceFile("train.py", text),)), np.full(400, 1.39))
    assert fault("wrong_augmentation", evidence).where.place.line == 2


def test_batch_norm_on_single_examples() -> None:
    normed = made.model(modules=(made.module("norm", "BatchNorm1d"), made.module("out", "Linear")))
    fault("batch_size", made.run(made.script(models=(normed,)), batch=1.0))


def test_a_few_updates_of_everything_at_once() -> None:
    untaught = seen_with(predictions=np.zeros((400, 4), np.float32))
    evidence = made.run(made.script(steps=15, examples=untaught), np.linspace(1.4, 1.1, 15), batch=1400.0)
    fault("batch_size", evidence)


def test_a_hidden_layer_of_two_units() -> None:
    narrow = made.model(parameters=(made.parameter("hidden.weight", (2, 6)), made.parameter("out.weight", (4, 2))))
    half = np.where(np.arange(400)[:, None] % 2, made.examples().predictions, 0).astype(np.float32)
    evidence = made.run(made.script(models=(narrow,), examples=seen_with(predictions=half)), made.falling(1.4, 0.7))
    assert fault("undersized_network", evidence).where.layer == "hidden"


def test_a_held_out_loss_that_rises() -> None:
    held = {("validation", "loss"): made.series(1.3, 0.9, 1.0, 1.4, 1.9, 2.4)}
    others = dataclasses.replace(made.examples("evaluation", seed=1), predictions=np.zeros((400, 4), np.float32))
    watched = made.script(examples=(made.examples(), others))
    assert fault("overfitting", made.run(watched, made.falling(1.4, 1e-3), metrics=held)).since_step > 0


def test_decay_that_pulls_the_weights_to_nothing() -> None:
    untaught = seen_with(predictions=np.zeros((400, 4), np.float32))
    strong = made.optimizer(weight_decay=0.5)
    evidence = made.run(made.script(optimizers=(strong,), examples=untaught), np.full(400, 1.39))
    assert fault("over_regularised", evidence).changes[0].after[0].endswith("weight_decay=1e-4)")


@pytest.mark.parametrize(
    ("kind", "settings", "half"),
    [
        ("Adam", {"eps": 1e-8}, True),
        ("Adam", {"eps": 1.0}, False),
        ("SGD", {"momentum": 0.999}, False),
        ("Adam", {"betas": "0.999, 0.9"}, False),
    ],
)
def test_odd_settings(kind: str, settings: dict, half: bool) -> None:
    untaught = seen_with(predictions=np.zeros((400, 4), np.float32))
    watched = made.script(optimizers=(made.optimizer(kind, half=half, **settings),), examples=untaught)
    fault("optimizer_settings", made.run(watched, np.full(400, 1.39)))


def test_an_optimiser_made_in_every_step() -> None:
    watched = made.script(optimizers=(made.optimizer("Adam", instances=400),))
    fault("optimizer_settings", made.run(watched))


def test_two_phases_with_two_optimisers_are_sound() -> None:
    watched = made.script(optimizers=(made.optimizer("Adam", instances=2, lr=1e-3),))
    assert found("optimizer_settings", made.run(watched, rates=np.full(400, 1e-3))) is None


def test_a_schedule_stepped_for_every_batch() -> None:
    stepped = ScriptScheduler("StepLR", made.line(8), {"step_size": 10, "gamma": 0.5}, 400, 1.0, 40.0, False)
    rates = 0.1 * 0.5 ** (np.arange(400) // 10)
    untaught = seen_with(predictions=np.zeros((400, 4), np.float32))
    fault("scheduler_misuse", made.run(made.script(schedulers=(stepped,), examples=untaught), rates=rates))


def test_a_schedule_that_ends_with_the_run_is_sound() -> None:
    stepped = ScriptScheduler("CosineAnnealingLR", made.line(8), {"T_max": 400}, 400, 1.0, 40.0, False)
    rates = 0.05 * (1 + np.cos(np.pi * np.arange(400) / 400)) + 1e-5
    assert found("scheduler_misuse", made.run(made.script(schedulers=(stepped,)), rates=rates)) is None


def test_gradients_that_die_out() -> None:
    weights = tuple(made.parameter(f"l{i}.weight", (16, 16)) for i in range(5))
    untaught = seen_with(predictions=np.zeros((400, 4), np.float32))
    layers = {(f"l{i}", "gradient_norm"): made.series(*[10.0 ** (2 * i - 8)] * 6) for i in range(5)}
    watched = made.script(models=(made.model(parameters=weights),), examples=untaught)
    assert fault("vanishing_gradient", made.run(watched, np.full(400, 1.39), layers=layers)).where.layer == "l0"


def test_gradients_that_explode() -> None:
    losses = np.concatenate([made.falling(steps=50), 10.0 ** np.linspace(0, 12, 50), np.full(300, np.nan)])
    norms = np.concatenate([np.ones(50), 10.0 ** np.linspace(0, 12, 50), np.full(300, np.nan)])
    assert fault("exploding_gradient", made.run(losses=losses, gradient_norms=norms)).since_step >= 50


def test_units_that_are_zero_for_every_input() -> None:
    layers = {("act", "dead_units"): made.series(*[1.0] * 6)}
    untaught = seen_with(predictions=np.zeros((400, 4), np.float32))
    assert (
        fault("dead_relu", made.run(made.script(examples=untaught), np.full(400, 1.39), layers=layers)).since_step == 0
    )


def test_units_at_their_bounds() -> None:
    out = made.facts(mean=0.1, std=0.98)
    call = ScriptCall(
        0,
        "train",
        3,
        "tanh",
        "act",
        0,
        True,
        CodeLine("train.py", 5, "", ""),
        (made.facts(std=300.0),),
        (out,),
        {},
        True,
    )
    untaught = seen_with(predictions=np.zeros((400, 4), np.float32))
    fault("saturated_activation", made.run(made.script(calls=(call,), examples=untaught), np.full(400, 1.39)))


def test_wide_first_weights() -> None:
    wide = made.parameter("hidden.weight", (32, 6), initial_scale=28.0, initial_std=1.0, initial_uniform=False)
    watched = made.script(models=(made.model(parameters=(wide, made.parameter("out.weight", (4, 32)))),))
    assert fault("bad_init", made.run(watched, np.linspace(300, 40, 400))).where.parameter == "hidden.weight"


def test_units_that_start_equal() -> None:
    equal = made.parameter("hidden.weight", (32, 6), initial_unit_spread=0.0)
    watched = made.script(models=(made.model(parameters=(equal, made.parameter("out.weight", (4, 32)))),))
    assert fault("symmetric_init", made.run(watched)).certainty > 0.9
    last = made.parameter("out.weight", (4, 32), initial_unit_spread=0.0)
    watched = made.script(models=(made.model(parameters=(made.parameter("hidden.weight", (32, 6)), last)),))
    assert found("symmetric_init", made.run(watched)) is None
