"""Rules on outputs, losses, gradients and shapes, each against a script made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pellucid.diagnosis.judge import judge
from pellucid.diagnosis.registry import all_rules
from pellucid.diagnosis.rules.shape_broadcast import is_spread
from pellucid.diagnosis.rules.wrong_reshape import stretches
from tests.diagnosis.made_by_hand import call, evidence, facts, loss, optimizer, place


def told(code: str, **given):
    """The finding of one rule."""
    rule = next(one for one in all_rules() if one.code == code)
    findings = judge(evidence(**given), "r", [rule]).findings
    return findings[0] if findings else None


def test_softmax_before_cross_entropy_names_the_floor_that_torch_gives():
    text = "net = nn.Sequential(nn.Linear(8, 4), nn.Softmax(dim=1))\n"
    found = told("softmax_before_ce", text=text, losses=(loss(last_operation="softmax", rows_sum_to_one=1.0),))
    best = torch.eye(4)
    floor = torch.nn.functional.cross_entropy(best, torch.arange(4)).item()
    assert found.severity == "fault"
    assert found.evidence[0].value == pytest.approx(floor, abs=1e-6)
    assert found.changes[0].after == ("net = nn.Sequential(nn.Linear(8, 4))",)
    assert told("softmax_before_ce", text=text) is None


@pytest.mark.parametrize(
    ("kind", "operation", "minimum", "expected"),
    [
        ("cross_entropy", "relu", 0.0, True),
        ("cross_entropy", "linear", -1.0, False),
        ("bce_with_logits", "sigmoid", 0.0, True),
        ("bce", "sigmoid", 0.0, False),
        ("nll", "log_softmax", -5.0, False),
        ("nll", "softmax", 0.0, True),
    ],
)
def test_activations_are_held_against_what_the_loss_needs(kind, operation, minimum, expected):
    rows = 1.0 if operation == "softmax" else 0.0
    one = loss(kind=kind, last_operation=operation, rows_sum_to_one=rows, prediction=facts(9, 32, 4, minimum=minimum))
    assert (told("output_activation_mismatch", losses=(one,)) is not None) == expected


def test_a_sigmoid_is_wrong_for_signed_targets_and_right_for_shares():
    signed = loss(kind="mse", last_operation="sigmoid", classes=1, target_values=(-1.5, -0.2, 0.4, 1.3))
    shares = loss(kind="mse", last_operation="sigmoid", classes=1, target_values=(0.1, 0.2, 0.4, 0.9))
    assert told("output_activation_mismatch", losses=(signed,)).evidence[0].value == pytest.approx(0.75)
    assert told("output_activation_mismatch", losses=(shares,)) is None


def test_gradients_that_are_never_clear_are_a_fault_with_the_line_to_add():
    text = "for b in data:\n    opt = 1\n    loss = f(b)\n    loss.backward()\n    opt.step()\n"
    found = told("missing_zero_grad", text=text, optimizers=(optimizer(cleared=0.01),))
    assert found.severity == "fault"
    assert found.changes[0].after == ("    opt.zero_grad()",)
    assert told("missing_zero_grad", text=text) is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((32, 1), (32,)),
        ((32,), (32, 1)),
        ((32, 10), (10,)),
        ((32, 1), (32, 1)),
        ((5, 7, 1), (5, 7)),
        ((5, 5, 1), (5, 5)),
        ((4, 1, 3), (4, 3)),
    ],
)
def test_a_spread_has_more_entries_than_either_side(first, second):
    try:
        entries = torch.broadcast_shapes(first, second).numel()
    except RuntimeError:
        entries = 0  # refused, so nothing spreads
    grows = entries > max(math.prod(first), math.prod(second))
    assert is_spread(first, second) == (grows and len(first) != len(second))


def test_a_broadcast_loss_is_squeezed():
    text = "x = 1\n\nloss = ((out - y) ** 2).mean()\nloss.backward()\n"
    one = loss(kind="mse", prediction=facts(9, 32, 1), target=facts(10, 32, origin="target"), classes=1)
    found = told("shape_broadcast", text=text, losses=(one,))
    assert found.changes[0].after == ("loss = ((out.squeeze(-1) - y) ** 2).mean()",)


@pytest.mark.parametrize(
    ("old", "new"),
    [((4, 6, 5), (4, 30)), ((4, 6, 5), (24, 5)), ((4, 6, 5), (6, 4, 5)), ((4, 6, 5), (4, 5, 6)), ((4, 30), (4, 3, 10))],
)
def test_a_stretch_is_where_rows_of_a_view_are_no_longer_those_of_its_input(old, new):
    """Merged or split axes keep each entry's place among its own; anything else is a stretch."""
    mixed = bool(stretches(old, new))
    grid = torch.arange(math.prod(old)).view(old)
    permuted = sorted(old) == sorted(new) and old != new
    if permuted:
        axes = [old.index(size) for size in new]
        assert mixed == (not torch.equal(grid.view(new), grid.permute(axes)))
    else:
        assert not mixed


def test_a_softmax_over_the_batch_is_the_wrong_axis():
    scores, weights = facts(1, 32, 4), facts(2, 32, 4)
    over_batch = call(1, "softmax", (scores,), (weights,), settings={"dim": 0})
    door = call(0, "linear", (facts(0, 32, 8, origin="input"), facts(5, 4, 8, origin="parameter")), (scores,))
    assert told("wrong_dim", calls=(door, over_batch)).severity == "fault"
    over_classes = call(1, "softmax", (scores,), (weights,), settings={"dim": 1})
    assert told("wrong_dim", calls=(door, over_classes)) is None


@pytest.mark.parametrize(("axis", "sums", "expected"), [(0, (1, 4), True), (1, (32, 1), False)])
def test_a_softmax_written_out_over_the_batch_is_the_wrong_axis(axis, sums, expected):
    scores, powers, total, shares = facts(1, 32, 4), facts(2, 32, 4), facts(3, *sums), facts(4, 32, 4)
    calls = (
        call(0, "linear", (facts(0, 32, 8, origin="input"), facts(5, 4, 8, origin="parameter")), (scores,)),
        call(1, "exp", (scores,), (powers,), model=-1),
        call(2, "sum", (powers,), (total,), model=-1, settings={"dim": axis, "keepdim": True}),
        call(3, "div", (powers, total), (shares,), model=-1),
    )
    assert (told("wrong_dim", calls=calls) is not None) == expected


def test_layers_back_to_back_are_found_and_a_code_between_them_is_spared():
    x, w = facts(0, 32, 8, origin="input"), facts(7, 16, 8, origin="parameter")
    first = call(0, "linear", (x, w), (facts(1, 32, 16),), module="a")
    second = call(1, "linear", (facts(1, 32, 16), w), (facts(2, 32, 4),), module="b")
    assert told("missing_activation", calls=(first, second)) is not None
    relu = call(1, "relu", (facts(1, 32, 16),), (facts(3, 32, 16),))
    third = call(2, "linear", (facts(3, 32, 16), w), (facts(2, 32, 4),), module="b")
    assert told("missing_activation", calls=(first, relu, third)) is None


def test_a_target_without_a_unit_is_read_from_the_error():
    found = told(
        "wrong_output_size",
        text="net = nn.Linear(4, 3)\n",
        ended="failed",
        error="IndexError: Target 3 is out of bounds.",
        losses=(loss(classes=3),),
    )
    assert found.changes[0].after == ("net = nn.Linear(4, 4)",)


def test_a_negated_loss_that_falls_below_zero_is_turned():
    text = "a = 1\nb = 2\nloss = -F.cross_entropy(out, y)\nloss.backward()\n"
    falling = -np.linspace(1.4, 60.0, 100)
    found = told(
        "loss_sign_flipped", text=text, losses_over_steps=falling, losses=(loss(sign=-1, first=-1.4, last=-60.0),)
    )
    assert found.severity == "fault"
    assert found.changes[0].after == ("loss = F.cross_entropy(out, y)",)
    assert told("loss_sign_flipped", text=text) is None


def test_a_sum_is_a_fault_only_where_the_run_came_out_badly():
    summed = loss(reduction="sum", prediction=facts(9, 256, 4))
    good = np.linspace(300.0, 3.0, 100)
    bad = np.concatenate([np.full(20, 300.0), np.full(80, math.nan)])
    assert told("loss_reduction_sum", losses=(summed,), losses_over_steps=good).severity == "note"
    assert told("loss_reduction_sum", losses=(summed,), losses_over_steps=bad).severity == "fault"


def test_an_argmax_over_one_column_is_a_wrong_metric():
    out = facts(1, 40, 1)
    made = call(
        0, "linear", (facts(0, 40, 8, origin="input"), facts(5, 1, 8, origin="parameter")), (out,), phase="evaluation"
    )
    pick = call(
        1,
        "argmax",
        (out,),
        (facts(2, 40),),
        phase="evaluation",
        model=-1,
        reaches_loss=False,
        settings={"dim": 1},
        place=place(2),
    )
    found = told("wrong_metric", text="out = net(x)\nacc = (out.argmax(dim=1) == y).mean()\n", calls=(made, pick))
    assert found.changes[0].after == ("acc = ((out.squeeze(1) > 0).float() == y).mean()",)
