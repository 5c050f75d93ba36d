"""The check catches wrong rules, and says where: each is healthy but for one planted mistake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import pellucid
from pellucid.core.rules.activations import RULES as ACTIVATIONS
from pellucid.core.rules.base import Rule
from pellucid.core.rules.registry import find_rule
from pellucid.results.trace_check import CheckedStep


class Small(nn.Module):
    """A product, a curve and a contraction, on numbers of very different sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([1e4, 1.0, 1e-3, 1e-2]))
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(x * self.scale))


def disagreements() -> list[CheckedStep]:
    torch.manual_seed(0)
    found = pellucid.trace(
        Small(), torch.rand(5, 4) + 0.5, target=torch.tensor([0, 1, 2, 0, 1]), loss=nn.functional.cross_entropy
    ).check(differences=8)
    wrong = [check for check in found.checks if check.verdict == "disagrees"]
    assert found.agrees == (not wrong)
    return wrong


def spoilt(function: Callable[..., Any], spoil: Callable[[Any], None]) -> Callable[..., Any]:
    def changed(*args: Any, **kwargs: Any) -> Any:
        made = function(*args, **kwargs)
        made = {k: v.clone() for k, v in made.items()} if isinstance(made, dict) else tuple(m.clone() for m in made)
        spoil(made)
        return made

    return changed


def the_rule(name: str) -> Rule:
    rule = find_rule(name)
    assert rule is not None
    return rule


def test_nothing_is_wrong_before() -> None:
    assert disagreements() == []
    assert any("tanh" in rule.names for rule in ACTIVATIONS)


@pytest.mark.parametrize(("name", "place"), [("mul", (2, 2)), ("tanh", (3, 2)), ("mul", (4, 3))])
def test_a_small_entry_off_by_one_in_ten_thousand_is_caught(
    monkeypatch: pytest.MonkeyPatch, name: str, place: tuple[int, int]
) -> None:
    """Beside entries of 10,000, whose own rounding is larger than the whole mistake."""

    def spoil(made: Any) -> None:
        made[0][place] *= 1 + 1e-4

    rule = the_rule(name)
    monkeypatch.setattr(rule, "forward", spoilt(rule.forward, spoil))
    (wrong,) = disagreements()
    assert (wrong.name, wrong.oracle) == (name, "forward replay")
    assert str(place) in wrong.detail
    assert wrong.error > 30 * wrong.bound


@pytest.mark.parametrize("argument", ["input", "weight", "bias"])
def test_a_contraction_with_a_dropped_term_is_caught(monkeypatch: pytest.MonkeyPatch, argument: str) -> None:
    rule = the_rule("linear")
    plain = rule.forward

    def dropped(args: Any, outputs: Any = None) -> Any:
        part = args[argument].detach().clone()
        part[..., 2] = 0
        return plain({**args, argument: part}, outputs)

    monkeypatch.setattr(rule, "forward", dropped)
    (wrong,) = disagreements()
    assert (wrong.name, wrong.oracle, wrong.module) == ("linear", "forward replay", "head")


@pytest.mark.parametrize(("name", "argument"), [("tanh", "input"), ("linear", "weight"), ("cross_entropy", "input")])
def test_a_gradient_of_the_wrong_sign_is_caught_and_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, argument: str
) -> None:
    def spoil(made: Any) -> None:
        made[argument].neg_()

    rule = the_rule(name)
    monkeypatch.setattr(rule, "backward", spoilt(rule.backward, spoil))
    wrong = disagreements()
    assert "backward against autograd" in {item.oracle for item in wrong}
    assert {item.name for item in wrong} == {name}
    assert all("∂L/∂" in item.detail for item in wrong if item.oracle == "backward against autograd")


def test_one_small_entry_of_a_gradient_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(made: Any) -> None:
        flat = made["other"].reshape(-1)
        flat[2] *= 1 + 1e-3

    rule = the_rule("mul")
    monkeypatch.setattr(rule, "backward", spoilt(rule.backward, spoil))
    wrong = disagreements()
    assert [item.name for item in wrong if item.oracle == "backward against autograd"] == ["mul"]


def test_the_person_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = the_rule("tanh")
    monkeypatch.setattr(rule, "forward", spoilt(rule.forward, lambda made: made[0].mul_(-1)))
    torch.manual_seed(0)
    found = pellucid.trace(Small(), torch.rand(5, 4), loss=lambda y: y.sum()).check(differences=0)
    assert not found.agrees
    assert "disagree" in str(found)
    assert "tanh" in str(found)
