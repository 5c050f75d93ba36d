"""What keeps rules from calling a sound run faulty: a second piece of evidence, and what a figure is worth."""

from __future__ import annotations

import dataclasses
import math
from importlib import import_module

import numpy as np
import pytest

from pellucid.diagnosis.evidence import Evidence
from pellucid.diagnosis.judge import judge
from pellucid.diagnosis.phases import loss_of_rows
from pellucid.diagnosis.rule import Rule, make_finding
from pellucid.diagnosis.series import Series
from pellucid.results.diagnosis import Finding
from pellucid.results.watched_script import CodeLine, SourceFile
from tests.diagnosis import made_by_hand as hand
from tests.diagnosis.rules import made_runs as made


def found(code: str, evidence: Evidence) -> Finding | None:
    return import_module(f"pellucid.diagnosis.rules.{code}").RULE.find(evidence)


def severity(code: str, evidence: Evidence) -> str:
    finding = found(code, evidence)
    return finding.severity if finding is not None else ""


def rule(code: str, *explains: str) -> Rule:
    told = make_finding(code, severity="fault", certainty=0.6, title=code, why="", fix="", disproof="")
    return Rule(code, lambda _: told, explains)


def test_of_three_that_explain_each_other_in_a_ring_one_stays_on_top():
    ring = [rule("lr_too_high", "exploding_gradient"), rule("exploding_gradient", "nan_origin"),
            rule("nan_origin", "lr_too_high")]  # fmt: skip
    told = judge(made.run(), "r", ring)
    assert [one.severity for one in told.findings] == ["fault", "note", "note"]


# -- how well a run came out -----------------------------------------------------------------------------------------


def scored(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, 4, 400)
    return (rng.uniform(0, 6) * np.eye(4)[numbers] + 2 * rng.standard_normal((400, 4))).astype(np.float32), numbers


@pytest.mark.parametrize("seed", range(8))
def test_a_cross_entropy_leaves_room_for_so_many_errors_and_no_more(seed):
    scores, numbers = scored(seed)
    value = loss_of_rows("cross_entropy", scores, numbers.astype(float))
    implied = made.run(losses=np.full(400, value)).outcome.implied
    assert implied <= (scores.argmax(1) == numbers).mean()
    assert implied == pytest.approx(1 - value / math.log(2))


def test_a_squared_error_says_how_much_of_the_variance_is_explained():
    rng = np.random.default_rng(0)
    aims = 3 * rng.standard_normal(400)
    guess = aims + rng.standard_normal(400)
    seen = made.examples(targets=aims, predictions=guess[:, None].astype(np.float32))
    numbers = made.loss("mse", classes=1, target_values=())
    run = made.run(made.script(losses=(numbers,), examples=(seen,)), np.full(400, np.square(aims - guess).mean()))
    assert run.outcome.implied == pytest.approx(1 - np.square(aims - guess).sum() / np.square(aims - aims.mean()).sum())


def test_weighted_losses_imply_nothing():
    weighted = made.loss(settings={"weight": "tensor of 4"})
    assert math.isnan(made.run(made.script(losses=(weighted,))).outcome.implied)


def test_rows_that_are_older_than_the_last_quarter_count_only_if_the_loss_has_come_to_rest():
    early = made.examples(step=np.linspace(0, 200, 400).astype(np.int64))
    at_rest = made.run(made.script(examples=(early,)), np.full(400, 0.3))
    assert at_rest.outcome.score("train") == 1.0
    assert at_rest.outcome.late(early).sum() == (early.step >= 180).sum()
    falling = made.run(made.script(examples=(early,)), np.linspace(1.4, 0.3, 400))
    assert math.isnan(falling.outcome.score("train"))


def test_a_class_for_each_place_of_a_sequence_is_not_scored_as_one_class():
    seen = made.examples(targets=np.tile(np.arange(5.0), (400, 1)), predictions=np.ones((400, 50), np.float32))
    assert made.run(made.script(examples=(seen,))).outcome.task == "other"


def test_what_trees_make_of_a_copy_is_nothing_to_reach():
    rows = made.examples().inputs
    seen = made.examples(targets=rows.astype(np.float64), predictions=rows)
    run = made.run(made.script(losses=(made.loss("mse", classes=6, target_values=()),), examples=(seen,)))
    assert run.outcome.task == "regression"
    assert math.isnan(run.outcome.reachable)


def test_the_accuracy_that_is_printed_counts_as_reached():
    wrong = made.examples(predictions=np.tile(np.float32([1, 0, 0, 0]), (400, 1)))
    watched, losses = made.script(examples=(wrong,)), np.full(400, 1.0)
    assert made.run(watched, losses).outcome.reached < 0.3
    told = {("test", "accuracy"): made.series(0.5, 0.9, 1.0)}
    assert made.run(watched, losses, metrics=told).outcome.reached > 0.9


# -- rules -----------------------------------------------------------------------------------------------------------


def half_right() -> np.ndarray:
    return made.examples().predictions * np.where(np.arange(400) % 2, 1, -1)[:, None].astype(np.float32)


@pytest.mark.parametrize(("last", "expected"), [(0.8, "fault"), (0.3, "warning")])
def test_a_run_is_undertrained_if_score_and_loss_say_so(last, expected):
    watched = made.script(examples=(made.examples(predictions=half_right()),))
    assert severity("undertrained", made.run(watched, np.linspace(1.4, last - 0.05, 400))) == expected


def test_a_few_updates_on_words_that_left_the_loss_where_it_was():
    words = made.examples(tokens=True, step=np.zeros(400, np.int64))
    watched = made.script(examples=(words,), epochs=1, steps=44)
    assert severity("undertrained", made.run(watched, np.linspace(1.4, 1.2, 44))) == "fault"
    assert severity("undertrained", made.run(watched, np.linspace(1.4, 0.6, 44))) == "warning"


def test_a_high_rate_with_a_loss_that_goes_down_steadily_is_not_too_high():
    poor = made.examples(predictions=half_right())
    watched = made.script(optimizers=(made.optimizer(lr=4.0),), examples=(poor,))
    assert found("lr_too_high", made.run(watched, np.linspace(1.4, 0.9, 400), np.full(400, 4.0))) is None
    assert severity("lr_too_high", made.run(watched, np.full(400, 1.45), np.full(400, 4.0))) == "fault"


@pytest.mark.parametrize(("final", "expected"), [(1.5, "fault"), (6.0, "")])
def test_a_decay_that_dominates_has_shrunk_some_matrix(final, expected):
    grown = dataclasses.replace(
        made.model(), parameters=tuple(dataclasses.replace(p, final_norm=final) for p in made.model().parameters)
    )
    poor = made.examples(predictions=half_right())
    watched = made.script(models=(grown,), optimizers=(made.optimizer(weight_decay=0.05),), examples=(poor,))
    assert severity("over_regularised", made.run(watched, np.full(400, 1.3))) == expected


def test_a_decay_in_an_adaptive_step_is_a_warning_where_nothing_says_what_is_reached():
    small = made.model(parameters=(made.parameter("emb.weight", (30, 8), final_norm=1.0),))
    words = made.examples(tokens=True, predictions=np.zeros((0, 4), np.float32))
    watched = made.script(
        models=(small,), optimizers=(made.optimizer("Adam", lr=1e-3, weight_decay=0.01),), examples=(words,)
    )
    assert severity("over_regularised", made.run(watched, made.falling(1.4, 0.5))) == "warning"
    decoupled = dataclasses.replace(watched, optimizers=(made.optimizer("AdamW", lr=1e-3, weight_decay=0.01),))
    assert severity("over_regularised", made.run(decoupled, made.falling(1.4, 0.5))) == ""


def test_the_channels_of_a_convolution_count_at_every_position():
    kernel = made.parameter("conv.weight", (2, 1, 3, 3))
    net = made.model(
        modules=(made.module("conv", "Conv2d"), made.module("out", "Linear")),
        parameters=(kernel, made.parameter("out.weight", (4, 18))),
    )
    poor = made.examples(predictions=half_right())
    for side, expected in ((3, ""), (1, "fault")):
        ran = hand.call(0, "conv2d", (hand.facts(1, 32, 1, 8, 8),), (hand.facts(2, 32, 2, side, side),), module="conv")
        watched = made.script(models=(net,), calls=(ran,), examples=(poor,))
        assert severity("undersized_network", made.run(watched, np.full(400, 1.0))) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pick = SelectKBest(k=9).fit(X, y)", "fault"),
        ("pick = SelectKBest(k=9).fit(X[:cut], y[:cut])", ""),
        ("pick = SelectKBest(k=9).fit(X[:, 5:], y)", "fault"),
        ("pick = SelectKBest(k=9)\npick.fit(train_x, train_y)", ""),
        ("pick = SelectKBest(k=9)\npick.fit(features, y)", "fault"),
    ],
)
def test_features_chosen_on_training_rows_are_no_leak(text, expected):
    source = SourceFile("train.py", text + "\nXtr, Xte = train_test_split(pick.transform(X))\n")
    assert severity("data_leakage", made.run(made.script(sources=(source,)))) == expected


def test_a_held_out_loss_in_other_units_says_nothing():
    aims = np.random.default_rng(0).standard_normal(400)
    numbers = made.loss("mse", classes=1, target_values=())
    train = made.examples(targets=aims, predictions=aims[:, None].astype(np.float32))
    rows = made.examples("evaluation", seed=1, targets=aims + 1.0, predictions=np.zeros((400, 1), np.float32))
    run = made.script(losses=(numbers,), examples=(train, rows))
    steps = dataclasses.replace(rows, step=np.where(np.arange(400) < 200, 10, 390))
    losses = made.falling(1.0, 0.01)
    assert severity("overfitting", made.run(dataclasses.replace(run, examples=(train, steps)), losses)) == "fault"
    raw = dataclasses.replace(steps, targets=aims + 14.0)
    assert severity("overfitting", made.run(dataclasses.replace(run, examples=(train, raw)), losses)) == ""


def test_a_number_called_val_beside_the_training_loss_is_the_held_out_loss():
    told = {("train", "train"): made.series(0.9, 0.2, 0.1), ("validation", "val"): made.series(0.9, 1.3, 1.9, 2.4)}
    run = made.script(examples=(made.examples(),))
    assert severity("overfitting", made.run(run, made.falling(1.4, 0.1), metrics=told)) == "fault"
    shares = {("train", "train"): made.series(0.3, 0.9, 1.0), ("validation", "val"): made.series(0.3, 0.8, 0.9)}
    assert severity("overfitting", made.run(run, made.falling(1.4, 0.1), metrics=shares)) == ""


def test_a_difference_of_two_means_is_no_mean_of_differences():
    one = made.loss("custom", first=0.3, last=-0.1, graph=("SubBackward0", "NegBackward0", "MeanBackward0"))
    assert found("wrong_loss", made.run(made.script(losses=(one,)))) is None


@pytest.mark.parametrize(("shape", "expected"), [((32, 2), "fault"), ((32, 1), "")])
def test_one_unit_for_several_numbers(shape, expected):
    one = made.loss(
        "mse",
        classes=1,
        target_values=(),
        prediction=hand.facts(1, 32, 1),
        target=hand.facts(2, *shape, origin="target"),
    )
    seen = made.examples(targets=np.random.default_rng(0).standard_normal((400, shape[1])))
    assert severity("wrong_output_size", made.run(made.script(losses=(one,), examples=(seen,)))) == expected


@pytest.mark.parametrize(("terms", "expected"), [(1, "fault"), (0, "")])
def test_a_summand_without_a_floor_takes_the_loss_along(terms, expected):
    one = made.loss("mse", sign=1, terms=terms, others=("custom",) * terms, backward=CodeLine("train.py", 7, "", ""))
    falls = -np.geomspace(1.0, 1e4, 400) + 2
    assert severity("loss_sign_flipped", made.run(made.script(losses=(one,)), falls)) == expected


@pytest.mark.parametrize(("noise", "expected"), [(False, "fault"), (True, "")])
def test_units_that_rounding_alone_parts_in_the_end_were_equal_for_long(noise, expected):
    equal = made.parameter("hidden.weight", (32, 6), initial_unit_spread=0.0, initial_std=0.0, initial_mean=0.01)
    watched = made.script(models=(made.model(parameters=(equal, made.parameter("out.weight", (4, 32)))),))
    spread = Series(
        np.array([0.0, 20.0, 39.0, 399.0]), np.array([0.0, 0.1, 0.2, 0.3] if noise else [0.0, 1e-9, 1e-8, 0.3])
    )
    run = made.run(watched, observations={("train", "layer:hidden", "unit_spread"): spread})
    assert severity("symmetric_init", run) == expected


# -- how grave a sign is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "expected"), [(0.5, "fault"), (1.0, "warning")])
def test_a_held_out_loss_that_rises_while_answers_stay_right(share, expected):
    held = made.examples("evaluation", seed=1)
    right = np.random.default_rng(0).random(400) < share
    sure = np.where(right[:, None], held.predictions, -held.predictions)
    told = {("validation", "val loss"): made.series(0.4, 0.3, 1.9, 2.4)}
    watched = made.script(examples=(made.examples(), dataclasses.replace(held, predictions=sure)))
    assert severity("overfitting", made.run(watched, made.falling(1.4, 0.01), metrics=told)) == expected


@pytest.mark.parametrize("averaged", [True, False])
def test_dropout_that_is_left_on_to_be_averaged_over_is_meant(averaged):
    asked = (
        "torch.stack([net(x) for _ in range(20)]).mean(0)" if averaged else "torch.cat([net(x[i]) for i in range(20)])"
    )
    root, layer = made.module("", "Net", evaluated_mode=1.0), made.module("drop", "Dropout", evaluated_mode=1.0)
    watched = made.script(models=(made.model(modules=(root, layer)),), sources=(SourceFile("train.py", asked),))
    assert (found("train_eval_mode", made.run(watched)) is None) == averaged


def test_dropout_switched_on_alone_is_meant():
    root, layer = made.module("", "Net", evaluated_mode=0.0), made.module("drop", "Dropout", evaluated_mode=1.0)
    watched = made.script(models=(made.model(modules=(root, layer)),))
    assert found("train_eval_mode", made.run(watched)) is None


def test_logarithms_of_counts_are_not_scored_against_the_counts():
    counts = made.loss("poisson_nll", classes=1, target_values=())
    seen = made.examples(targets=np.arange(400.0), predictions=np.log1p(np.arange(400.0))[:, None].astype(np.float32))
    assert math.isnan(made.run(made.script(losses=(counts,), examples=(seen,))).outcome.score("train"))


@pytest.mark.parametrize(("known", "expected"), [(True, "fault"), (False, "warning")])
def test_a_linear_map_is_a_fault_only_where_it_fell_short(known, expected):
    weights = hand.facts(7, 8, 16, origin="parameter")
    first = hand.call(0, "linear", (hand.facts(1, 32, 8), weights), (hand.facts(2, 32, 16),), module="a")
    second = hand.call(1, "linear", (hand.facts(2, 32, 16), weights), (hand.facts(3, 32, 4),), module="b")
    poor = made.examples(predictions=half_right() if known else np.zeros((0, 4), np.float32))
    watched = made.script(calls=(first, second), examples=(poor,))
    assert severity("missing_activation", made.run(watched, np.full(400, 1.0) if known else made.falling())) == expected


def test_a_class_of_which_three_were_seen_goes_unfound_by_chance():
    numbers = made.examples().targets.copy()
    numbers[:3] = 4.0
    seen = made.examples(targets=numbers, predictions=np.hstack([made.examples().predictions, np.full((400, 1), -9.0)]))
    late = dataclasses.replace(seen, step=np.full(400, 399))
    assert severity("class_imbalance", made.run(made.script(examples=(late,)))) == "warning"


def test_weights_that_moved_had_a_gradient_whether_or_not_it_was_looked_at():
    unseen = made.parameter("hidden.weight", (32, 6), got_gradient=False, moved=2.2)
    still = dataclasses.replace(unseen, moved=0.0)
    source = SourceFile("train.py", "for b in batches:\n    loss = f(net(x).detach())\n")
    for parameter, expected in ((unseen, ""), (still, "fault")):
        net = made.model(parameters=(parameter, made.parameter("out.weight", (4, 32))))
        assert severity("detached_graph", made.run(made.script(models=(net,), sources=(source,)))) == expected


def test_numbers_that_nothing_predicts_may_be_noise():
    rng = np.random.default_rng(0)
    numbers = made.loss("mse", classes=1, target_values=())
    seen = made.examples(targets=rng.standard_normal(400), predictions=np.zeros((400, 1), np.float32))
    watched = made.script(losses=(numbers,), examples=(seen,))
    assert severity("label_corruption", made.run(watched, np.full(400, 1.0))) == "warning"
