"""Small results made by hand, so that renderings can be read against what stands here."""

from __future__ import annotations

import numpy as np

from pellucid.results.base import Result
from pellucid.results.classification_evaluation import ClassificationEvaluation, Curve
from pellucid.results.cross_validation import CrossValidation
from pellucid.results.data_report import ColumnReport, DataReport, LeakageSuspect
from pellucid.results.layer_map import LayerMap
from pellucid.results.learning_rate_range import LearningRateRange
from pellucid.results.network_outline import LayerOutline, NetworkOutline
from pellucid.results.regression_evaluation import RegressionEvaluation
from pellucid.results.trace_check import CheckedStep, TraceCheck
from pellucid.results.trace_outline import ParameterOutline, StepOutline, TraceOutline
from pellucid.results.trace_stepper import (
    SourceExcerpt,
    StepperEdge,
    StepperLayer,
    StepperStop,
    StepperValue,
    TraceStepper,
)
from pellucid.results.what_if import WhatIf
from pellucid.results.worst_examples import WorstExamples
from tests.render.collapse_results_to_render import neural_collapse, regression_collapse
from tests.render.diagnosed_results_to_render import diagnosis, watched_script
from tests.render.geometry_results_to_render import class_geometry, layer_collapse
from tests.render.history_results_to_render import geometry_history
from tests.render.judged_results_to_render import calibration, information_plane, margins, robustness
from tests.render.local_linear_results_to_render import input_jacobian, local_linear_models
from tests.render.surface_results_to_render import input_folding, neuron_surface


def _worst(confidence: bool) -> WorstExamples:
    return WorstExamples(
        rows=np.array([7, 2]),
        loss=np.array([2.5, 0.25]),
        target=("yes", "no"),
        prediction=("no", "yes"),
        confidence=np.array([0.9179, 0.5]) if confidence else None,
        texts=("age 29 · sex male", "age 3 · [red]x[/red]"),
        images=None,
        series=None,
    )


def classification() -> ClassificationEvaluation:
    curve = Curve(x=np.array([0.0, 0.5, 1.0]), y=np.array([0.0, 1.0, 1.0]), area=0.75)
    return ClassificationEvaluation(
        split="test",
        classes=("no", "yes"),
        examples=10,
        accuracy=0.7,
        balanced_accuracy=0.6875,
        majority_share=0.6,
        log_loss=0.5123456,
        precision=np.array([2 / 3, 3 / 4]),
        recall=np.array([0.8, 0.6]),
        f1=np.array([8 / 11, 2 / 3]),
        support=np.array([6, 4]),
        averages={
            "macro": {"precision": 0.7083, "recall": 0.7, "f1": 0.697},
            "micro": {"precision": 0.7, "recall": 0.7, "f1": 0.7},
            "weighted": {"precision": 0.7, "recall": 0.72, "f1": 0.7},
        },
        confusion=np.array([[5, 1], [2, 2]]),
        roc=(curve,),
        precision_recall=(curve,),
        worst=_worst(True),
    )


def regression() -> RegressionEvaluation:
    return RegressionEvaluation(
        split="validation",
        targets=("load", "price"),
        examples=3,
        mae=0.5,
        mse=0.36,
        rmse=0.6,
        r2=0.81,
        baseline_mae=1.25,
        mae_per_output=np.array([0.25, 0.75]),
        r2_per_output=np.array([0.9, 0.72]),
        sample_rows=np.array([4, 5, 9]),
        sample_target=np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
        sample_prediction=np.array([[1.5, 2.0], [3.0, 4.5], [4.0, 6.0]]),
        residual_histogram=np.array([1, 3, 2]),
        residual_edges=np.array([-1.0, -0.5, 0.0, 0.5]),
        worst=_worst(False),
    )


def cross_validation() -> CrossValidation:
    return CrossValidation(
        folds=3,
        method="stratified 3-fold",
        values={"accuracy": np.array([0.9, 0.8, 1.0]), "log_loss": np.array([0.3, 0.5, 0.1])},
        mean={"accuracy": 0.9, "log_loss": 0.3},
        std={"accuracy": 0.1, "log_loss": 0.2},
        sizes=np.array([10, 10, 9]),
    )


def learning_rate_range() -> LearningRateRange:
    rate = np.geomspace(1e-5, 1.0, 6)
    return LearningRateRange(
        learning_rate=rate,
        loss=np.array([2.3, 2.2, 1.9, 1.2, 1.0, 9.0]),
        smoothed_loss=np.array([2.3, 2.25, 2.0, 1.5, 1.2, np.inf]),
        suggestion=0.01,
        steepest=0.005,
        diverged_at=1.0,
        optimizer="adamw",
        reason="a tenth of the rate at which the loss was lowest",
    )


def network_outline() -> NetworkOutline:
    return NetworkOutline(
        model="CNN",
        layers=(
            LayerOutline("stage1.conv1", "Conv2d", "3×3, 1 → 4", (1, 8, 8), (4, 8, 8), 40, 40, 1),
            LayerOutline("stage1.act1", "ReLU", "", (4, 8, 8), (4, 8, 8), 0, 0, 1),
            LayerOutline("flatten", "Flatten", "", (4, 8, 8), (256,), 0, 0, 1),
            LayerOutline("output", "Linear", "256 → 10", (256,), (10,), 2570, 0, 1),
        ),
        edges=((-1, 0), (0, 1), (1, 2), (2, 3)),
        parameters=2610,
        trainable_parameters=40,
        parameter_bytes=10440,
    )


def _column(name: str, **changes: object) -> ColumnReport:
    values: dict[str, object] = {
        "name": name,
        "kind": "number",
        "role": "feature",
        "missing": 0,
        "distinct": 12,
        "treatment": ("standardised",),
        "note": "",
        "mean": 1.5,
        "std": 0.5,
        "low": 0.0,
        "median": 1.5,
        "high": 3.0,
        "histogram": np.array([3, 6, 3]),
        "edges": np.array([0.0, 1.0, 2.0, 3.0]),
        "top_values": (),
        "top_counts": (),
    }
    return ColumnReport(**{**values, **changes})  # type: ignore[arg-type]


def data_report(classes: tuple[str, ...] = ("no", "yes")) -> DataReport:
    return DataReport(
        source="titanic.csv",
        fingerprint="0" * 64,
        modality="table",
        task="classification" if classes else "regression",
        rows=12,
        rows_without_target=1,
        columns=(
            _column("age", missing=3, treatment=("missing → median 29.7 (+ indicator)", "standardised")),
            _column("ticket", kind="identifier", role="dropped", treatment=(), note="every value is different"),
            _column("survived", kind="boolean", role="target", treatment=(), distinct=2),
        ),
        features_out=2,
        split_sizes={"train": 8, "validation": 2, "test": 2},
        split_method="stratified by survived",
        classes=classes,
        class_counts={"train": np.array([5, 3]), "validation": np.array([1, 1]), "test": np.array([1, 1])}
        if classes
        else {},
        duplicate_rows=2,
        duplicates_across_splits=1,
        leakage=(LeakageSuspect("boat", 0.99, "a tree on it alone reaches 0.99"),),
        facts={"rows with missing values": "3"},
        warnings=("few rows",),
        sample_images=None,
        sample_texts=(),
        sample_labels=(),
    )


def _step(index: int, op: str, **other: object) -> StepOutline:
    fields: dict[str, object] = {
        "phase": "forward",
        "function": f"torch.nn.functional.{op}",
        "module": "fc1",
        "call": 0,
        "source_file": "model.py",
        "source_line": 12,
        "source_text": "hidden = torch.relu(self.fc1(features))",
        "inputs": ("features",),
        "shape": (4, 8),
        "dtype": "float32",
        "low": -1.5,
        "high": 2.25,
        "gradient_low": -0.125,
        "gradient_high": 0.0625,
        "in_place": False,
        "opaque": False,
    }
    return StepOutline(index=index, op=op, **(fields | other))  # type: ignore[arg-type]  # as the fields above


def trace_outline() -> TraceOutline:
    return TraceOutline(
        model="Net",
        steps=(
            _step(0, "linear"),
            _step(1, "relu", module="", in_place=True, low=0.0),
            _step(2, "strange", module="head[red]", opaque=True, call=1, gradient_low=np.nan, gradient_high=np.nan),
            _step(3, "cross_entropy", phase="loss", module="", shape=(), low=0.5, high=0.5, source_text=""),
        ),
        parameters=(
            ParameterOutline("fc1.weight", (8, 5), 0.25, 0.01, 2.5),
            ParameterOutline("fc1.bias", (8,), np.nan, np.nan, 0.0),
        ),
        loss=0.5,
        optimizer="AdamW",
        kept_bytes=1024,
        dropped=0,
        note="The model looked at 1 of its own numbers to decide what to run: model.py:9.",
    )


def trace_check() -> TraceCheck:
    return TraceCheck(
        model="Net",
        checks=(
            CheckedStep(0, "linear", "fc1", "forward replay", "bit-equal", 0.0, 0.0, ""),
            CheckedStep(1, "relu", "", "forward replay", "within bound", 1e-8, 1e-7, "at (0, 1): 0.5 and 0.5"),
            CheckedStep(2, "strange", "head", "forward replay", "opaque", np.nan, np.nan, "no rule for strange"),
            CheckedStep(0, "linear", "fc1", "backward against autograd", "disagrees", 1e-3, 1e-6, "∂L/∂x at (0, 0)"),
            CheckedStep(-1, "fc1.weight", "", "update terms", "within bound", 1e-9, 1e-8, ""),
        ),
        steps=3,
        opaque=("strange",),
        opaque_steps=1,
        bound="Bound: twice the rounding of the sum.",
        agrees=False,
    )


def what_if() -> WhatIf:
    return WhatIf(
        name="fc1.weight",
        index=(0, 1),
        before=0.25,
        after=0.5,
        loss_before=1.0,
        loss_after=0.9,
        slope=-0.5,
        predicted_loss=0.875,
        output_name="output",
        output_before=np.array([1.0, 2.0, 3.0, 4.0]),
        output_after=np.array([1.0, 2.5, 3.0, 3.0]),
        output_shape=(2, 2),
        changed_outputs=2,
        note="",
    )


def _value(at: int, name: str, kind: str, cells: list[list[float]], **other: object) -> StepperValue:
    tensor = np.array(cells, dtype=np.float32)
    fields: dict[str, object] = {
        "module": name.rpartition(".")[0],
        "shape": tensor.shape,
        "dtype": "float32",
        "producer": -1,
        "gradient": -tensor / 2,
        "update": None,
        "reduced": False,
        "block": (1, 1),
        "entries": None,
        "gradient_entries": None,
        "update_entries": None,
        "minimum": float(tensor.min()),
        "maximum": float(tensor.max()),
        "gradient_norm": float(np.linalg.norm(tensor / 2)),
        "update_norm": np.nan,
    }
    return StepperValue(id=at, name=name, kind=kind, tensor=tensor, **(fields | other))  # type: ignore[arg-type]  # as the fields above


def trace_stepper() -> TraceStepper:
    """y = relu(W x), loss = y: one neuron with two inputs."""
    nothing = np.zeros(1, dtype=np.float32)
    layer = StepperLayer(
        module="fc[red]",
        step=0,
        weight=0,
        bias=-1,
        source=1,
        before=2,
        after=3,
        activation="relu",
        inputs=2,
        units=1,
        shown_inputs=(0, 1),
        shown_units=(0,),
        input_values=np.array([2.0, 1.0], dtype=np.float32),
        input_gradients=np.array([0.5, -0.25], dtype=np.float32),
        sums=np.array([0.75], dtype=np.float32),
        sum_gradients=np.ones(1, dtype=np.float32),
        outputs=np.array([0.75], dtype=np.float32),
        output_gradients=np.ones(1, dtype=np.float32),
        biases=nothing,
        weights=np.array([[0.5, -0.25]], dtype=np.float32),
        weight_gradients=np.array([[2.0, 1.0]], dtype=np.float32),
        weight_updates=np.array([[-0.02, -0.01]], dtype=np.float32),
    )
    move = np.array([[-0.02, -0.01]], dtype=np.float32)
    return TraceStepper(
        model="Net",
        subject="row 12 of the train split",
        optimizer="SGD",
        training=False,
        loss=0.75,
        steps=(_step(0, "linear", module="fc[red]"), _step(1, "relu", module=""), _step(2, "sum", phase="loss")),
        values=(
            _value(
                0, "fc[red].weight", "parameter", [[0.5, -0.25]], update=move, update_norm=float(np.hypot(2, 1) / 100)
            ),
            _value(1, "features", "input", [[2.0, 1.0]]),
            _value(2, "fc[red]", "activation", [[0.75]], producer=0),
            _value(3, "step 1", "activation", [[0.75]], producer=1),
            _value(4, "loss", "loss", [[0.75]], producer=2, shape=()),
        ),
        edges=(StepperEdge(0, 0, 2), StepperEdge(1, 0, 2), StepperEdge(2, 1, 3), StepperEdge(3, 2, 4)),
        walk=(
            StepperStop("forward", 0, 2),
            StepperStop("forward", 1, 3),
            StepperStop("loss", 2, 4),
            StepperStop("backward", 2, 4),
            StepperStop("backward", 1, 3),
            StepperStop("backward", 0, 2),
            StepperStop("update", -1, 0),
        ),
        sources=(
            SourceExcerpt("model.py", 11, ("def forward(self, features):", "    return torch.relu(self.fc(features))")),
        ),
        level="neurons",
        network=(layer,),
        note="",
    )


def layer_map() -> LayerMap:
    line = np.linspace(-1, 1, 5)
    grid = np.stack([np.stack([np.full(5, at), line], -1) for at in line])
    return LayerMap(
        layers=("fc1", "fc2"),
        shape=(2, 2),
        singular_values=np.array([2.0, 0.5]),
        singular_values_exact=True,
        rank=2,
        matrix=np.array([[2.0, 0.0], [0.0, 0.5]]),
        bias=np.array([0.0, 0.0]),
        composition_error=1e-8,
        grid=grid,
        image=grid * np.array([2.0, 0.5]),
        activated=np.maximum(grid * np.array([2.0, 0.5]), 0),
        activation="relu",
        explained=1.0,
    )


EVERY: dict[str, Result] = {
    "classification_evaluation": classification(),
    "regression_evaluation": regression(),
    "cross_validation": cross_validation(),
    "learning_rate_range": learning_rate_range(),
    "network_outline": network_outline(),
    "data_report": data_report(),
    "trace_outline": trace_outline(),
    "trace_check": trace_check(),
    "trace_stepper": trace_stepper(),
    "what_if": what_if(),
    "layer_map": layer_map(),
    "local_linear_models": local_linear_models(),
    "input_jacobian": input_jacobian(),
    "neural_collapse": neural_collapse(),
    "neuron_surface": neuron_surface(),
    "regression_collapse": regression_collapse(),
    "input_folding": input_folding(),
    "class_geometry": class_geometry(),
    "layer_collapse": layer_collapse(),
    "geometry_history": geometry_history(),
    "calibration": calibration(),
    "margins": margins(),
    "robustness": robustness(),
    "information_plane": information_plane(),
    "diagnosis": diagnosis(),
    "watched_script": watched_script(),
}
