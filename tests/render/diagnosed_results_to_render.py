"""A small watched script and what is wrong with it, so that renderings can be read against what stands here."""

from __future__ import annotations

import math

import numpy as np

from pellucid.results.diagnosis import (
    Diagnosis,
    EvidenceCurve,
    EvidenceFigure,
    Finding,
    LineChange,
    TriedChange,
    Where,
)
from pellucid.results.watched_script import (
    CodeLine,
    ExamplesSeen,
    NonFiniteOrigin,
    OptimizerGroup,
    ScriptCall,
    ScriptLoader,
    ScriptLoss,
    ScriptModel,
    ScriptModule,
    ScriptOptimizer,
    ScriptParameter,
    ScriptScheduler,
    SourceFile,
    TensorFacts,
    WatchedScript,
)

_NOWHERE = CodeLine("", 0, "", "")


def _line(number: int, text: str, function: str = "train") -> CodeLine:
    return CodeLine("train.py", number, text, function)


def _facts(*shape: int, dtype: str = "float32", origin: str = "activation") -> TensorFacts:
    return TensorFacts(1, origin, shape, dtype, dtype == "float32", -1.0, 2.0, 0.5, 1.0, 0.0, 0.0, dtype == "int64")


def watched_script() -> WatchedScript:
    """One model, trained for 40 updates in 2 epochs, until a logarithm gave an infinity."""
    logits, targets = _facts(8, 3), _facts(8, dtype="int64", origin="target")
    call = ScriptCall(
        step=0,
        phase="train",
        order=3,
        function="cross_entropy",
        module="",
        model=-1,
        training=True,
        place=_line(24, "loss = F.cross_entropy(net(x), y)"),
        inputs=(logits, targets),
        outputs=(_facts(),),
        settings={"reduction": "mean"},
        reaches_loss=True,
    )
    examples = ExamplesSeen(
        phase="train",
        step=np.arange(8),
        batch=np.zeros(8, np.int32),
        inputs=np.linspace(-1, 1, 16, dtype=np.float32).reshape(8, 2),
        features=2,
        shape=(2,),
        tokens=False,
        targets=np.arange(8.0) % 3,
        predictions=np.zeros((8, 3), np.float32),
    )
    return WatchedScript(
        script="train.py",
        arguments=("--lr", "0.1"),
        ended="failed",
        error="ValueError: [red]loss[/red] is <nan>",
        error_place=_line(30, "raise ValueError(...)"),
        steps=40,
        epochs=2,
        epoch_steps=20.0,
        sources=(SourceFile("train.py", "import torch\n"),),
        models=(_model(),),
        optimizers=(
            ScriptOptimizer(
                kind="SGD",
                place=_line(20, "optimizer = SGD(net.parameters(), lr=0.1)"),
                groups=(OptimizerGroup({"lr": 0.1, "momentum": 0.9, "weight_decay": 0.0, "maximize": False}, 2, 0.05),),
                steps=40,
                instances=1,
                cleared=0.0,
                backwards_per_step=1.0,
                half=False,
            ),
        ),
        schedulers=(
            ScriptScheduler(
                "StepLR", _line(28, "scheduler.step()"), {"step_size": 1, "gamma": 0.5}, 2, 0.05, 1.0, False
            ),
        ),
        losses=(_loss(call.place, logits, targets),),
        loaders=(
            ScriptLoader(
                _line(22, "for x, y in loader:"), "TensorDataset", 160, 8, True, "RandomSampler", False, 0, 2, True
            ),
        ),
        calls=(call,),
        nonfinite=NonFiniteOrigin(
            39, "loss", "log", "", _line(25, "loss = loss + p.log()"), True, "inf", "log of 3 zeros"
        ),
        examples=(examples,),
        warnings=(),
        cost=0.025,
        coverage={"steps": 1.0},
    )


def _model() -> ScriptModel:
    weight = ScriptParameter(
        name="weight",
        module="",
        shape=(3, 2),
        dtype="float32",
        trainable=True,
        optimizer=0,
        used=True,
        got_gradient=True,
        gradient_zero=False,
        initial_mean=0.0,
        initial_std=0.4,
        initial_unit_spread=0.5,
        initial_scale=0.57,
        initial_uniform=True,
        initial_norm=1.0,
        final_norm=2.5,
        moved=1.75,
    )
    module = ScriptModule("", "Linear", "in_features=2, out_features=3", 9, 1, True, 1.0, math.nan)
    return ScriptModel(
        "net", "Linear", _line(24, "loss = F.cross_entropy(net(x), y)"), 9, (module,), (weight,), 40, 2, False
    )


def _loss(place: CodeLine, prediction: TensorFacts, target: TensorFacts) -> ScriptLoss:
    return ScriptLoss(
        kind="cross_entropy",
        place=place,
        backward=_line(26, "loss.backward()"),
        reduction="mean",
        settings={},
        prediction=prediction,
        target=target,
        graph=("NllLossBackward0", "LogSoftmaxBackward0", "AddmmBackward0"),
        terms=1,
        last_operation="linear",
        last_module="",
        rows_sum_to_one=0.0,
        log_rows_sum_to_one=0.0,
        target_values=(0.0, 1.0, 2.0),
        target_one_hot=False,
        classes=3,
        first=1.25,
        last=math.inf,
        steps=40,
        sign=1,
        scale=1.0,
    )


def diagnosis() -> Diagnosis:
    """A fault with everything that a finding can have, a warning with nothing but words, and a note."""
    fault = Finding(
        code="missing_zero_grad",
        kind="cause",
        severity="fault",
        certainty=0.95,
        title="Gradients are never cleared <between> updates",
        where=Where("fc", "fc.weight", _line(26, "loss.backward()")),
        since_step=1,
        evidence=(
            EvidenceFigure("updates whose gradients were clear before", 0.0, "1, or all but the first", "share"),
            EvidenceFigure("gradient norm at the end", 12.5, "", ""),
        ),
        curves=(EvidenceCurve("gradient norm", np.arange(5.0), np.arange(5.0) ** 2, "step", 1.0, "at the start"),),
        why="Each backward pass adds to the gradients of all before it.",
        fix="Call optimizer.zero_grad() before loss.backward().",
        changes=(LineChange("train.py", 26, (), ("    optimizer.zero_grad()",)),),
        disproof="Gradients that are zero before each backward pass.",
        symptoms=("loss_oscillates: the loss jumps up and down",),
        tried=TriedChange(
            metric="accuracy",
            higher_is_better=True,
            before=np.array([0.5, 0.4]),
            after=np.array([0.5, 0.95]),
            x=np.array([1.0, 2.0]),
            x_after=np.array([1.0, 2.0]),
            x_name="epoch",
            improved=True,
            said="accuracy 0.4 → 0.95 after 40 steps",
        ),
    )
    nowhere = Where("", "", _NOWHERE)
    warning = _bare("lr_too_high", "warning", 0.6, "The learning rate may be too high", nowhere)
    note = _bare("no_shuffling", "note", 0.4, "The loader does not [red]shuffle[/red]", nowhere)
    return Diagnosis(
        run="20261121-0926-train",
        verdict="faulty",
        findings=(fault, warning, note),
        checked=("missing_zero_grad", "lr_too_high", "no_shuffling", "dead_relu"),
        unchecked=("data_leakage: no held-out data was seen",),
        steps=40,
        coverage="Every update was looked at.",
    )


def healthy_diagnosis() -> Diagnosis:
    """Nothing found."""
    return Diagnosis(
        "20261121-0926-train", "healthy", (), ("dead_relu", "lr_too_high"), (), 40, "Every update was looked at."
    )


def _bare(code: str, severity: str, certainty: float, title: str, where: Where) -> Finding:
    return Finding(
        code=code,
        kind="cause",
        severity=severity,  # pyright: ignore[reportArgumentType]
        certainty=certainty,
        title=title,
        where=where,
        since_step=-1,
        evidence=(),
        curves=(),
        why="It looks so.",
        fix="Look at it.",
        changes=(),
        disproof="A look at it.",
        symptoms=(),
        tried=None,
    )
