"""Watched scripts made by hand, small enough to be read whole."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from pellucid.diagnosis.evidence import Evidence
from pellucid.diagnosis.records import GivenRecords
from pellucid.results.watched_script import (
    CodeLine,
    OptimizerGroup,
    ScriptCall,
    ScriptLoss,
    ScriptOptimizer,
    SourceFile,
    TensorFacts,
    WatchedScript,
)

__all__ = ["call", "evidence", "facts", "loss", "optimizer", "place"]

SOURCE = "train.py"


def place(line: int, text: str = "") -> CodeLine:
    return CodeLine(SOURCE, line, text, "<module>")


def facts(key: int, *shape: int, origin: str = "activation", **given: Any) -> TensorFacts:
    plain = TensorFacts(
        key=key,
        origin=origin,
        shape=shape,
        dtype="float32",
        requires_grad=origin in ("activation", "parameter"),
        minimum=-1.0,
        maximum=1.0,
        mean=0.0,
        std=1.0,
        zero=0.0,
        nonfinite=0.0,
        whole=False,
    )
    return dataclasses.replace(plain, **given)


def call(
    order: int, function: str, inputs: tuple[TensorFacts, ...], outputs: tuple[TensorFacts, ...], **given: Any
) -> ScriptCall:
    plain = ScriptCall(
        step=0,
        phase="train",
        order=order,
        function=function,
        module="net",
        model=0,
        training=True,
        place=place(1),
        inputs=inputs,
        outputs=outputs,
        settings={},
        reaches_loss=True,
    )
    return dataclasses.replace(plain, **given)


def loss(**given: Any) -> ScriptLoss:
    plain = ScriptLoss(
        kind="cross_entropy",
        place=place(3),
        backward=place(4),
        reduction="mean",
        settings={},
        prediction=facts(9, 32, 4),
        target=facts(10, 32, origin="target", dtype="int64", whole=True),
        graph=("NllLossBackward0", "LogSoftmaxBackward0", "AddmmBackward0"),
        terms=0,
        last_operation="linear",
        last_module="net.2",
        rows_sum_to_one=0.0,
        log_rows_sum_to_one=0.0,
        target_values=(0.0, 1.0, 2.0, 3.0),
        target_one_hot=False,
        classes=4,
        first=1.4,
        last=0.5,
        steps=100,
        sign=1,
        scale=1.0,
    )
    return dataclasses.replace(plain, **given)


def optimizer(**given: Any) -> ScriptOptimizer:
    plain = ScriptOptimizer(
        kind="SGD",
        place=place(2),
        groups=(OptimizerGroup(settings={"lr": 0.1}, parameters=4, last_rate=0.1),),
        steps=100,
        instances=1,
        cleared=1.0,
        backwards_per_step=1.0,
        half=False,
    )
    return dataclasses.replace(plain, **given)


def evidence(text: str = "", losses_over_steps: np.ndarray | None = None, **given: Any) -> Evidence:
    values = np.linspace(1.4, 0.5, 100) if losses_over_steps is None else losses_over_steps
    plain = WatchedScript(
        script=SOURCE,
        arguments=(),
        ended="finished",
        error="",
        error_place=CodeLine("", 0, "", ""),
        steps=len(values),
        epochs=0,
        epoch_steps=math.nan,
        sources=(SourceFile(SOURCE, text),),
        models=(),
        optimizers=(optimizer(),),
        schedulers=(),
        losses=(loss(),),
        loaders=(),
        calls=(),
        nonfinite=None,
        examples=(),
        warnings=(),
        cost=0.01,
        coverage={},
    )
    steps = {"step": np.arange(len(values)), "loss": values, "gradient_norm": np.ones(len(values))}
    return Evidence(dataclasses.replace(plain, **given), GivenRecords(steps=steps))
