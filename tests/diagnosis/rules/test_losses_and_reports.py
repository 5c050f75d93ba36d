"""Rules on what a loss measures, what a report says, and where the first NaN came from: hand-made records."""

from __future__ import annotations

import dataclasses
from importlib import import_module

import numpy as np
import pytest

from pellucid.diagnosis.evidence import Evidence
from pellucid.diagnosis.series import Series
from pellucid.results.diagnosis import Finding
from pellucid.results.watched_script import CodeLine, ExamplesSeen, NonFiniteOrigin, SourceFile
from tests.diagnosis import made_by_hand as hand
from tests.diagnosis.rules import made_runs as made

REPORTED = {("test", "accuracy"): made.series(0.3, 0.3, 0.3)}


def found(code: str, evidence: Evidence) -> Finding | None:
    return import_module(f"pellucid.diagnosis.rules.{code}").RULE.find(evidence)


def sure(code: str, evidence: Evidence) -> Finding:
    finding = found(code, evidence)
    assert finding is not None
    return finding


def seen(phase: str = "train", **changed: np.ndarray) -> ExamplesSeen:
    return made.examples(phase, seed=int(phase != "train"), **changed)


def run_of(
    text: str = made.SOURCE,
    metrics: dict[tuple[str, str], Series] | None = None,
    over_steps: np.ndarray | None = None,
    gradient_norms: np.ndarray | None = None,
    **script: object,
) -> Evidence:
    watched = made.script(sources=(SourceFile("train.py", text),), **script)
    return made.run(watched, over_steps, metrics=metrics, gradient_norms=gradient_norms)


def at(number: int) -> CodeLine:
    return CodeLine("train.py", number, "", "<module>")


# -- wrong_loss ------------------------------------------------------------------------------------------------------


def test_binary_cross_entropy_of_real_targets_is_exchanged_for_a_distance():
    numbers = np.linspace(-3, 3, 400)
    one = made.loss("bce_with_logits", classes=1, place=at(1))
    finding = sure(
        "wrong_loss", run_of("criterion = nn.BCEWithLogitsLoss()", losses=(one,), examples=(seen(targets=numbers),))
    )
    assert finding.changes[0].after == ("criterion = nn.MSELoss()",)
    assert finding.evidence[0].value == pytest.approx(np.mean((numbers < 0) | (numbers > 1)))


def test_binary_cross_entropy_of_signed_labels_asks_for_other_labels():
    signs = np.where(np.arange(400) % 2, 1.0, -1.0)
    one = made.loss("bce", classes=1)
    finding = sure("wrong_loss", run_of(losses=(one,), examples=(seen(targets=signs),)))
    assert "0 and 1" in finding.fix
    assert finding.changes == ()
    assert found("wrong_loss", run_of(losses=(one,), examples=(seen(targets=(signs + 1) / 2),))) is None


@pytest.mark.parametrize(("right", "expected"), [(False, "fault"), (True, None)])
def test_a_distance_to_one_hot_rows_is_a_fault_where_the_class_is_not_found(right, expected):
    numbers = made.examples().targets.astype(int)
    hot = np.eye(4)[numbers]
    scores = hot if right else np.full((400, 4), 0.25) + 1e-3 * np.eye(4)[(numbers + 1) % 4]
    one = made.loss("l1", target_one_hot=True)
    told = found(
        "wrong_loss", run_of(losses=(one,), examples=(seen(targets=hot, predictions=scores.astype(np.float32)),))
    )
    assert (told.severity if told else None) == expected


def test_cross_entropy_over_labels_that_do_not_exclude_each_other():
    labels = (np.random.default_rng(0).random((400, 4)) < 0.4).astype(np.float64)
    one = made.loss(place=at(1))
    finding = sure(
        "wrong_loss", run_of("loss = F.cross_entropy(out, y)", losses=(one,), examples=(seen(targets=labels),))
    )
    assert finding.changes[0].after == ("loss = F.binary_cross_entropy_with_logits(out, y)",)


def test_a_margin_loss_takes_signed_labels():
    one = made.loss("soft_margin", classes=1)
    zeros = seen(targets=(np.arange(400) % 2).astype(np.float64))
    assert sure("wrong_loss", run_of(losses=(one,), examples=(zeros,))).severity == "fault"
    signs = seen(targets=np.where(np.arange(400) % 2, 1.0, -1.0))
    assert found("wrong_loss", run_of(losses=(one,), examples=(signs,))) is None


def test_a_mean_of_signed_differences_has_no_floor():
    one = made.loss("custom", graph=("MeanBackward0", "SubBackward0"), first=1.0, last=-9.0)
    assert sure("wrong_loss", run_of(losses=(one,))).evidence[0].value == -9.0
    squared = dataclasses.replace(one, graph=("MeanBackward0", "PowBackward0", "SubBackward0"), last=0.1)
    assert found("wrong_loss", run_of(losses=(squared,))) is None


# -- wrong_metric ----------------------------------------------------------------------------------------------------


def test_a_report_that_the_predictions_contradict_is_wrong():
    finding = sure("wrong_metric", run_of(metrics=REPORTED))
    assert finding.severity == "fault"
    assert [round(one.value, 2) for one in finding.evidence] == [0.3, 1.0]


@pytest.mark.parametrize("values", [(0.4, 0.9, 1.0), (40.0, 90.0, 100.0)])
def test_a_share_or_a_percentage_that_agrees_is_left_alone(values):
    assert found("wrong_metric", run_of(metrics={("test", "accuracy"): made.series(*values)})) is None


def test_more_than_all_is_no_accuracy():
    text = "for epoch in range(9):\n    print(f'accuracy {right / batches}')\n"
    finding = sure(
        "wrong_metric", run_of(text, metrics={("test", "accuracy"): made.series(0.9, 1.3)}, examples=(seen(),))
    )
    assert finding.where.place.line == 2


def test_an_argmax_along_the_batch_is_turned():
    scores = hand.facts(5, 32, 4)
    out = hand.call(
        0, "linear", (hand.facts(1, 32, 6, origin="input"),), (scores,), phase="evaluation", reaches_loss=False
    )
    pick = hand.call(
        1, "argmax", (scores,), (hand.facts(6, 4),), phase="evaluation", reaches_loss=False, model=-1, module="",
        settings={"dim": 0}, place=at(1),
    )  # fmt: skip
    finding = sure("wrong_metric", run_of("right = (net(x).argmax(dim=0) == y).sum()", calls=(out, pick)))
    assert finding.changes[0].after == ("right = (net(x).argmax(dim=1) == y).sum()",)
    classes = dataclasses.replace(pick, settings={"dim": 1})
    assert found("wrong_metric", run_of("right = (net(x).argmax(dim=1) == y).sum()", calls=(out, classes))) is None


def test_a_comparison_that_spreads_is_wrong():
    scores, labels = hand.facts(5, 32, 1, whole=True), hand.facts(7, 32, origin="target", whole=True)
    compare = hand.call(
        1, "eq", (scores, labels), (hand.facts(8, 32, 32),), phase="evaluation", reaches_loss=False, model=-1, module=""
    )
    assert "(32, 1) with (32,)" in sure("wrong_metric", run_of(calls=(compare,))).title
    flat = dataclasses.replace(compare, inputs=(dataclasses.replace(scores, shape=(32,)), labels))
    assert found("wrong_metric", run_of(calls=(flat,))) is None


def test_a_report_is_held_against_rows_of_its_own_time():
    rows = made.examples("evaluation", seed=1)
    early = dataclasses.replace(
        rows, step=np.full(400, 205), predictions=np.tile(np.float32([1, 0, 0, 0]), (400, 1)), batch=rows.batch * 0
    )
    told = made.series(0.25, 0.25, 0.9, 1.0)
    steps = {("test", "accuracy"): Series(np.array([0.0, 204.0, 300.0, 399.0]), told.y)}
    assert found("wrong_metric", run_of(metrics=steps, examples=(seen(), early))) is None
    other = {("test", "accuracy"): Series(np.array([0.0, 204.0, 300.0, 399.0]), np.array([0.25, 0.8, 0.9, 0.9]))}
    assert (
        found("wrong_metric", run_of(metrics=other, examples=(seen(predictions=early.predictions), early))) is not None
    )


# -- loss_sign_flipped -----------------------------------------------------------------------------------------------


def test_an_optimiser_that_climbs_is_turned():
    text = "optimizer = torch.optim.SGD(net.parameters(), lr=0.1, maximize=True)"
    climbing = dataclasses.replace(made.optimizer(maximize=True), place=at(1))
    finding = sure("loss_sign_flipped", run_of(text, optimizers=(climbing,)))
    assert finding.changes[0].after == ("optimizer = torch.optim.SGD(net.parameters(), lr=0.1, maximize=False)",)
    assert (
        found("loss_sign_flipped", run_of(text, optimizers=(climbing,), losses=(made.loss(sign=-1, kind="custom"),)))
        is None
    )


@pytest.mark.parametrize(("rises", "expected"), [(True, "w -= lr * w.grad"), (False, None)])
def test_an_update_by_hand_that_goes_up_the_gradient(rises, expected):
    values = np.linspace(1.0, 9.0, 400) if rises else made.falling()
    told = found("loss_sign_flipped", run_of("w += lr * w.grad", over_steps=values))
    assert (told.changes[0].after[0] if told else None) == expected


@pytest.mark.parametrize(("values", "expected"), [((2.3, 0.1), False), ((-0.1, -9.0), True)])
def test_a_minus_that_another_turns_back_leaves_the_loss_above_zero(values, expected):
    """As in Σ t log(t ÷ p), where the prediction stands below the line."""
    first, last = values
    one = made.loss("categorical", sign=-1, first=first, last=last)
    told = found("loss_sign_flipped", run_of(losses=(one,), over_steps=np.linspace(first, last, 400)))
    assert (told is not None) == expected


def test_an_adversary_may_be_maximised():
    pair = (made.optimizer(), made.optimizer())
    negated = made.loss("mse", sign=-1, first=-0.1, last=-2.3)
    assert found("loss_sign_flipped", run_of(losses=(negated,), optimizers=pair)) is None
    assert found("loss_sign_flipped", run_of(losses=(negated,))) is not None


# -- missing_zero_grad -----------------------------------------------------------------------------------------------


def test_weights_moved_by_hand_need_their_gradients_cleared():
    text = "for step in range(400):\n    loss.backward()\n    with torch.no_grad():\n        w -= lr * w.grad\n"
    finding = sure("missing_zero_grad", run_of(text, optimizers=(), losses=(made.loss(backward=at(2)),)))
    assert finding.changes[0].after == ("        w.grad.zero_()",)
    cleared = text + "        w.grad = None\n"
    assert found("missing_zero_grad", run_of(cleared, optimizers=())) is None


def test_gradients_cleared_before_the_update_reach_nothing():
    text = "for b in batches:\n    loss.backward()\n    optimizer.zero_grad()\n    optimizer.step()\n"
    assert sure("missing_zero_grad", run_of(text, gradient_norms=np.zeros(400))).severity == "fault"
    assert found("missing_zero_grad", run_of(text)) is None


# -- nan_origin ------------------------------------------------------------------------------------------------------

SPOILT = np.concatenate([np.linspace(1.0, 0.9, 200), np.full(200, np.nan)])


@pytest.mark.parametrize(
    ("text", "what", "after"),
    [
        ("loss = -torch.log(p).mean()", "log", "loss = -torch.log((p).clamp_min(1e-8)).mean()"),
        ("loss = torch.log(torch.softmax(z, 1))", "log", "loss = torch.log_softmax(z, 1)"),
        ("d = torch.sqrt(s)", "sqrt", "d = torch.sqrt(s + 1e-8)"),
        ("d = a / b.norm()", "div", "d = a / (b.norm() + 1e-8)"),
    ],
)
def test_the_operation_that_made_nan_is_kept_from_its_singular_point(text, what, after):
    origin = NonFiniteOrigin(200, "forward", what, "", at(1), True, "nan", f"{what} of 3 zeros")
    finding = sure("nan_origin", run_of(text, nonfinite=origin, over_steps=SPOILT))
    assert (finding.severity, finding.since_step) == ("fault", 200)
    assert finding.changes[0].after == (after,)


def test_nan_after_a_loss_that_exploded_comes_from_the_growth():
    origin = NonFiniteOrigin(200, "forward", "linear", "", at(1), True, "inf", "")
    grown = np.concatenate([np.geomspace(1.0, 1e20, 200), np.full(200, np.nan)])
    assert found("nan_origin", run_of("y = f(x)", nonfinite=origin, over_steps=grown)) is None
    assert found("nan_origin", run_of("y = f(x)", nonfinite=origin, over_steps=SPOILT)) is not None


def test_a_root_that_stood_at_zero_is_read_from_the_calls():
    zero = hand.facts(2, 32, minimum=0.0)
    root = hand.call(0, "sqrt", (hand.facts(1, 32, requires_grad=True),), (zero,), place=at(1))
    finding = sure("nan_origin", run_of("d = torch.sqrt(s)", calls=(root,), over_steps=SPOILT))
    assert finding.title.startswith("sqrt gives NaN")


# -- shapes ----------------------------------------------------------------------------------------------------------


def test_a_view_where_axes_were_to_be_swapped_is_permuted():
    turn = hand.call(0, "view", (hand.facts(1, 32, 10, 8),), (hand.facts(2, 32, 8, 10),), place=at(1))
    finding = sure("wrong_reshape", run_of("x = x.view(32, 8, 10)", calls=(turn,)))
    assert finding.changes[0].after == ("x = x.permute(0, 2, 1)",)
    merged = dataclasses.replace(turn, outputs=(hand.facts(2, 32, 80),))
    assert found("wrong_reshape", run_of("x = x.view(32, 80)", calls=(merged,))) is None


def test_shapes_that_torch_refuses_are_told_by_its_error():
    error = "RuntimeError: mat1 and mat2 shapes cannot be multiplied (32x10 and 8x4)"
    assert sure("wrong_reshape", run_of(ended="failed", error=error, error_place=at(1))).where.place.line == 1


def test_a_recurrent_layer_that_takes_the_batch_for_time_gets_batch_first():
    net = made.model(modules=(made.module("lstm", "LSTM", settings="8, 16"),))
    run = hand.call(0, "lstm", (hand.facts(1, 32, 10, 8, origin="input"),), (hand.facts(2, 32, 10, 16),), module="lstm")
    wanted = made.loss(target=hand.facts(9, 32, origin="target"))
    finding = sure("wrong_dim", run_of("lstm = nn.LSTM(8, 16)", models=(net,), calls=(run,), losses=(wanted,)))
    assert finding.changes[0].after == ("lstm = nn.LSTM(8, 16, batch_first=True)",)
    first = made.model(modules=(made.module("lstm", "LSTM", settings="8, 16, batch_first=True"),))
    assert found("wrong_dim", run_of(models=(first,), calls=(run,), losses=(wanted,))) is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"kind": "bce_with_logits", "classes": 1}, "One output unit for 4 classes"),
        ({"kind": "cross_entropy", "classes": 1, "prediction": hand.facts(9, 32, 1)}, "Cross-entropy over a single"),
        ({"classes": 40, "prediction": hand.facts(9, 32, 40)}, "40 output units for 4 classes"),
        ({"classes": 10, "prediction": hand.facts(9, 32, 10)}, None),
    ],
)
def test_output_units_are_held_against_the_targets(given, expected):
    finding = found("wrong_output_size", run_of(losses=(made.loss(**given),)))
    assert (finding is None) == (expected is None)
    if finding is not None and expected is not None:
        assert finding.title.startswith(expected)


@pytest.mark.parametrize(("shape", "columns"), [((32,), 1), ((32, 1), 0)])
def test_another_column_is_proposed_only_where_the_loss_takes_it(shape, columns):
    labels = hand.facts(10, *shape, origin="target", dtype="int64", whole=True, minimum=0.0, maximum=1.0)
    one = made.loss(classes=1, prediction=hand.facts(9, 32, 1), target=labels)
    finding = sure("wrong_output_size", run_of("out = nn.Linear(32, 1)", losses=(one,)))
    assert len(finding.changes) == columns
