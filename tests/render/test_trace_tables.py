"""The tables of a trace at the widths of a terminal: a line a step, nothing folded into columns of letters."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from pellucid.results.trace_check import CheckedStep, TraceCheck
from pellucid.results.trace_outline import ParameterOutline, StepOutline, TraceOutline

MODULE = "transformer.encoder.layers.11.self_attn.out_projection"


def printed(result: Any, width: int) -> list[str]:
    buffer = io.StringIO()
    Console(file=buffer, width=width, color_system=None).print(result)
    return [line.rstrip() for line in buffer.getvalue().splitlines()]


def outline(steps: int) -> TraceOutline:
    step = {
        "phase": "forward", "function": "torch.f", "module": MODULE, "call": 3, "source_file": "m.py",
        "source_line": 123,
        "source_text": "return self.dropout(self.linear2(self.dropout(self.activation(self.linear1(x)))))",
        "inputs": (), "shape": (32, 12, 128, 128), "dtype": "float32", "low": -0.000123456, "high": 0.000987654,
        "gradient_low": -1.23e-05, "gradient_high": 9.87e-05, "in_place": False, "opaque": False,
    }  # fmt: skip
    rows = tuple(
        StepOutline(index=n, op="scaled_dot_product_attention" if n % 3 else "add", **step)  # type: ignore[arg-type]
        for n in range(steps)
    )
    weights = (ParameterOutline(f"{MODULE}.weight", (512, 512, 3, 3), 0.25, 0.01, 2.5),)
    return TraceOutline("Net", rows, weights, 0.5, "AdamW", 1024, 0, "")


def check() -> TraceCheck:
    checks = (
        CheckedStep(123, "linear", MODULE, "forward replay", "bit-equal", 0.0, 0.0, ""),
        CheckedStep(123, "linear", MODULE, "backward against autograd", "disagrees", 1e-3, 1e-6, "∂L/∂x at (0, 0)"),
        CheckedStep(124, "Clip", MODULE, "forward replay", "opaque", np.nan, np.nan, "no rule for opaque: Clip"),
        CheckedStep(1, "add", MODULE, "central differences", "within bound", 1e-9, 1e-8, ""),
        CheckedStep(-1, f"{MODULE}.weight", "", "update terms", "not comparable", np.nan, np.nan, "half precision"),
    )
    return TraceCheck("Net", checks, 200, ("Clip",), 1, "Bound: twice the rounding of the sum.", agrees=False)


@pytest.mark.parametrize("width", [80, 100, 120])
def test_a_step_takes_a_line(width: int) -> None:
    lines = printed(outline(150), width)
    assert max(map(len, lines)) <= width
    steps = [line for line in lines if line.strip()[:1].isdigit()]
    assert [int(line.split()[0]) for line in steps] == list(range(150))
    assert all("32 × 12 × 128 × 128" in line for line in steps)
    assert all("out_projection (4)" in line or "…" in line for line in steps)
    assert len(lines) <= 150 + 12
    assert any("123: ret" in line for line in steps) is (width == 120)


@pytest.mark.parametrize("width", [80, 120])
def test_the_check_keeps_its_words_whole(width: int) -> None:
    lines = printed(check(), width)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= width
    for word in (
        "bit-equal",
        "disagrees",
        "opaque",
        "comparable",
        "forward replay",
        "central differences",
        "update terms",
    ):
        assert word in text
    assert f"step 123 linear in {MODULE}, backward against autograd" in " ".join(text.split())
    assert len(lines) <= 36
