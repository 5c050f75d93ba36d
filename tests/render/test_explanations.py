"""Explanations of real passes as texts that a newcomer reads, and the numbers in them added up by hand.

To accept a changed text: ``PELLUCID_WRITE_GOLDEN=1 pytest tests/render``, then read the difference.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from pellucid.render.explanation_numbers import apportion, show_sum
from pellucid.results.base import Result
from pellucid.results.explanation import Equation, ExplainedFactor, ExplainedTerm, Explanation
from tests.render.explanations_to_render import EXPLANATIONS

GOLDEN = Path(__file__).parent / "golden" / "explanations"


def _explain(name: str) -> Explanation:
    found = EXPLANATIONS[name]()
    # The line of the test's own file moves whenever the file is edited.
    return replace(found, source_line=min(found.source_line, 1), source_file=found.source_file and "model.py")


@pytest.mark.parametrize("name", EXPLANATIONS)
def test_text_is_as_agreed(name: str) -> None:
    text = str(_explain(name)) + "\n"
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("PELLUCID_WRITE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 112


def _number(text: str) -> float:
    return float(text.replace("−", "-"))


@pytest.mark.parametrize("name", EXPLANATIONS)
def test_what_is_shown_adds_up_exactly(name: str) -> None:
    for equation in _explain(name).equations:
        if equation.form != "sum":
            continue
        shown = show_sum(equation)
        unit = 10.0 ** (shown.exponent - shown.decimals)
        parts = [*shown.terms, *filter(None, (shown.others, shown.rounding))]
        whole = sum(round(_number(part) / unit) for part in parts)
        assert whole == round(_number(shown.value) / unit)
        for term, text in zip(equation.terms, shown.terms, strict=True):
            assert abs(_number(text) - term.value) <= unit * (1 + 1e-9)


@pytest.mark.parametrize("name", EXPLANATIONS)
def test_terms_multiply_out_and_the_sum_is_exact(name: str) -> None:
    for equation in _explain(name).equations:
        if equation.form == "sum":
            total = sum(term.value for term in equation.terms) + equation.others_value + equation.rounding
            assert total == pytest.approx(equation.value, rel=1e-12, abs=1e-15)
        for term in equation.terms:
            if term.factors:
                product = 1.0
                for factor in term.factors:
                    product *= factor.value
                assert product == pytest.approx(term.value, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("name", EXPLANATIONS)
def test_every_medium_draws_it(name: str) -> None:
    explanation = _explain(name)
    latex, page = explanation.to_latex(), explanation.to_html()
    assert latex.count(r"\begin{align*}") == len(explanation.equations) == latex.count(r"\end{align*}")
    assert latex.count("{") == latex.count("}")
    for text in re.findall(r"\\text\{[^{}]*\}", latex):
        assert text.isascii(), "not every engine knows the letter"
        assert not re.search(r"(?<![\\$])_", text), "a bare underscore stops LaTeX"
    rows = re.findall(r"&=? ?(.*?)(?:\\\\|\n\\end)", latex)
    assert max(row.count("underbrace") for row in rows) <= 9, "a row fits a page"
    assert "script" not in page
    assert explanation.to_frame().columns.tolist() == ["quantity", "label", "value"]
    assert explanation.plot().get_title()
    assert str(Result.from_bytes(explanation.to_bytes())) == str(explanation)


def _equation(values: tuple[float, ...], *, others: float = 0.0, count: int = 0) -> Equation:
    terms = tuple(ExplainedTerm("", (ExplainedFactor("a", "a", value, None),), value) for value in values)
    total = sum(values) + others
    return Equation("", "", "", "", "s", "s", "sum", terms, count, others, 0.0, total)


def test_rounded_terms_add_up_to_the_rounded_sum() -> None:
    shown = show_sum(_equation((1 / 3, 1 / 3, 1 / 3)))
    assert sorted(shown.terms) == ["+0.3333", "+0.3333", "+0.3334"]
    assert shown.value == "1.0000"


def test_cancellation_gets_more_decimals() -> None:
    shown = show_sum(_equation((0.5, -0.49998766)))
    assert shown.value == "0.0000123"
    assert shown.terms == ("+0.5000000", "−0.4999877")


def test_small_and_large_numbers_share_a_power_of_ten() -> None:
    shown = show_sum(_equation((2.5e-7, -1.25e-8), others=5e-9, count=3))
    assert shown.terms == ("+2.5000e−07", "−0.1250e−07")
    assert shown.others == "+0.0500e−07"
    assert shown.value == "2.4250e−07"


def test_what_is_not_finite_is_said() -> None:
    shown = show_sum(_equation((float("inf"), 1.0)))
    assert shown.terms == ("∞", "1")
    assert shown.value == "∞"
    assert "nan" in show_sum(_equation((float("nan"),))).value


def test_apportioning_never_moves_by_more_than_one() -> None:
    parts = [0.5, 0.5, 0.5, 0.5, -0.25, 2.75]
    counts = apportion(parts, 5)
    assert sum(counts) == 5
    assert all(abs(count - part) < 1 for count, part in zip(counts, parts, strict=True))


def test_text_in_html_is_escaped() -> None:
    found = replace(_explain("dense_neuron"), title="<b>fc</b>")
    assert "&lt;b&gt;fc&lt;/b&gt;" in found.to_html()
    assert not re.search("<b>fc", found.to_html())
