"""Arguments by torch's own names, however a call was written; the oracle is torch's documentation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from pellucid.capture.tape import record_tape
from pellucid.capture.tape_arguments import bind

X = torch.arange(6.0).reshape(2, 3)


class Seen(TorchFunctionMode):
    """Keeps the last call."""

    def __init__(self) -> None:
        super().__init__()
        self.last: tuple[Any, tuple[Any, ...], dict[str, Any]] | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.last = (func, args, kwargs or {})
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: X.view(3, 2), {"size": [3, 2]}),
        (lambda: X.view(torch.int32), {"dtype": torch.int32}),
        (lambda: X.permute(1, 0), {"dims": [1, 0]}),
        (lambda: X.sum(1, keepdim=True), {"dim": 1, "keepdim": True}),
        (lambda: torch.max(X, 1), {"dim": 1, "keepdim": False}),
        (lambda: X.clamp(min=1), {"min": 1, "max": None}),
        (lambda: torch.addmm(X[:, :2], X, X.T[:, :2], beta=2), {"beta": 2, "alpha": 1}),
        (lambda: torch.cat([X, X], dim=1), {"dim": 1}),
        (lambda: X[0], {"index": 0}),
        (lambda: functional.softmax(X, dim=1), {"dim": 1, "dtype": None}),
        (lambda: functional.max_pool2d(X[None], 2), {"kernel_size": 2, "return_indices": False}),
        (lambda: X.std(axis=1), {"dim": 1}),
    ],
)
def test_names_and_defaults(call: Any, expected: dict[str, Any]) -> None:
    with Seen() as seen:
        call()
    assert seen.last is not None
    bound = bind(*seen.last)
    assert {key: bound.get(key) for key in expected} == expected
    assert "self" not in bound


def test_every_step_of_a_model_has_named_arguments() -> None:
    tape = record_tape(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), torch.randn(2, 3, 8), loss="output")
    for step in tape.steps:
        assert step.arguments
        assert not any(name.startswith("arg") for name in step.arguments), step


@pytest.mark.parametrize("operator", ["x ** 2", "2 ** x", "x // 2", "2 // x", "5 % x", "2 - x", "x.__ipow__(2)"])
def test_operators_that_only_wrap_a_compiled_function(operator: str) -> None:
    """torch gives these methods no signature that Python could read."""

    class Model(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return eval(operator, {"x": x})

    tape = record_tape(Model(), X + 1)
    assert tape.steps[-1].outputs[0].shape == X.shape
    assert next(iter(tape.steps[-1].arguments)) in ("input", "other")
