"""How findings are weighed: against what the text of the docstrings promises."""

import dataclasses
import math

import numpy as np
import pytest

from pellucid.diagnosis.codes import CODES
from pellucid.diagnosis.judge import judge
from pellucid.diagnosis.registry import all_rules
from pellucid.diagnosis.rule import Rule, make_finding
from pellucid.diagnosis.series import Series
from pellucid.results.diagnosis import EvidenceCurve
from tests.diagnosis.made_by_hand import evidence


def found(code: str, severity: str, certainty: float):
    return make_finding(
        code, severity=severity, certainty=certainty, title=f"about {code}", why="w", fix="f", disproof="d"
    )


def rule(
    code: str, severity: str, certainty: float, explains: tuple[str, ...] = (), needs: tuple[str, ...] = ()
) -> Rule:
    return Rule(code, lambda _: found(code, severity, certainty), explains, needs)


def test_a_symptom_drops_beneath_its_cause_and_is_told_there():
    told = judge(evidence(), "r", [rule("dead_relu", "fault", 0.9), rule("lr_too_high", "fault", 0.8, ("dead_relu",))])
    assert [(one.code, one.severity) for one in told.findings] == [("lr_too_high", "fault"), ("dead_relu", "note")]
    assert told.findings[0].symptoms == ("dead_relu: about dead_relu",)
    assert told.findings[1].certainty <= told.findings[0].certainty
    assert told.verdict == "faulty"


def test_a_warning_explains_no_fault_and_two_do_not_explain_each_other_away():
    told = judge(evidence(), "r", [rule("dead_relu", "fault", 0.9), rule("bad_init", "warning", 0.9, ("dead_relu",))])
    assert [one.severity for one in told.findings] == ["fault", "warning"]
    told = judge(
        evidence(),
        "r",
        [rule("bad_init", "fault", 0.9, ("lr_too_high",)), rule("lr_too_high", "fault", 0.8, ("bad_init",))],
    )
    assert [(one.code, one.severity) for one in told.findings] == [("bad_init", "fault"), ("lr_too_high", "note")]


def test_warnings_leave_a_run_healthy_and_needs_are_said():
    told = judge(evidence(), "r", [rule("bad_init", "warning", 0.9), rule("wrong_dim", "fault", 0.9, needs=("calls",))])
    assert told.verdict == "healthy"
    assert told.checked == ("bad_init",)
    assert told.unchecked == ("wrong_dim: no calls were seen",)


def test_a_rule_that_fails_silences_no_other():
    def fails(_):
        raise ZeroDivisionError("by zero")

    told = judge(evidence(), "r", [Rule("bad_init", fails), rule("dead_relu", "fault", 0.9)])
    assert [one.code for one in told.findings] == ["dead_relu"]
    assert "ZeroDivisionError" in told.unchecked[0]


def test_every_rule_is_named_after_its_code_and_explains_codes_of_the_list():
    rules = all_rules()
    assert len({one.code for one in rules}) == len(rules)
    for one in rules:
        assert one.code in CODES
        assert set(one.explains) <= set(CODES)
        assert one.find.__module__.endswith(f".{one.code}")


def test_all_rules_stand_a_script_of_which_nothing_was_seen():
    bare = evidence("", np.zeros(0), losses=(), optimizers=())
    told = judge(bare)
    assert told.findings == ()
    assert not [said for said in told.unchecked if "failed" in said]


def test_a_series_is_summed_up_by_its_finite_part():
    series = Series(np.arange(6.0), np.array([4.0, np.nan, 2.0, 1.0, np.inf, 3.0]))
    assert (series.first, series.last, series.lowest, series.highest) == (4.0, 3.0, 1.0, 4.0)
    assert series.median == pytest.approx(2.5)
    assert math.isnan(Series(np.zeros(0), np.zeros(0)).first)
    line = Series(np.arange(101.0), 3 - 0.02 * np.arange(101.0))
    assert line.slope == pytest.approx(-2.0)
    assert line.smooth(10).y[0] == pytest.approx(3 - 0.02 * 4.5)


@pytest.mark.parametrize(("need", "said"), [("calls", "no calls were seen"), ("evaluation", "no evaluation was seen")])
def test_what_is_missing_is_said_in_its_number(need, said):
    assert evidence().missing(need) == said


def test_a_finding_shows_itself_without_its_arrays():
    curve = EvidenceCurve("loss", np.arange(999.0), np.ones(999), "step", 0.0, "")
    pictured = dataclasses.replace(found("bad_init", "fault", 0.9), curves=(curve,))
    assert repr(pictured) == "Finding('bad_init', fault, 0.90: 'about bad_init')"
    assert repr(pictured.curves[0]) == "EvidenceCurve('loss', 999 points)"
