"""The scale of what reaches the network's first layer, column by column, and what the source does to scale it."""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pellucid.diagnosis.edits import trees
from pellucid.diagnosis.source_changes import call_name
from pellucid.results.watched_script import CodeLine

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence

__all__ = ["InputScale", "column_figures", "input_scale", "scaling_lines"]

_NAN = float("nan")
_WEIGHTED = (
    "linear",
    "conv1d",
    "conv2d",
    "conv3d",
    "lstm",
    "gru",
    "rnn_tanh",
    "rnn_relu",
    "addmm",
    "matmul",
    "mm",
    "bmm",
)
_NORMS = ("batch_norm", "layer_norm", "instance_norm", "group_norm", "rms_norm")
_SCALERS = ("StandardScaler", "MinMaxScaler", "RobustScaler", "MaxAbsScaler", "Normalizer", "Normalize", "ToTensor")
_SCALING = ("scale", "minmax_scale", "normalize", "standardize", "normalise", "standardise", "to_tensor", "rescale")


@dataclass(frozen=True)
class InputScale:
    """Sizes of the inputs' columns as training began; nan where nothing was seen."""

    rms_most: float  # of the largest column
    rms_usual: float  # median over columns that are not constant
    ratio: float  # largest over least rms of columns that are not constant
    mean_most: float  # largest |mean| of a column
    std_most: float
    std_usual: float
    spread: float  # std over all entries
    largest: float  # |entry|
    column: int  # number of the largest column
    columns: int
    tokens: bool
    normed: bool  # the network normalises them itself before its first weights

    @property
    def known(self) -> bool:
        """Whether the inputs are numbers that were seen, and that no layer of the network rescales first."""
        return not self.tokens and math.isfinite(self.rms_most) and not self.normed


def input_scale(evidence: Evidence) -> InputScale:
    """The scale of the training inputs at the model's door."""
    seen = evidence.examples("train")
    if seen is None or not len(seen.inputs):
        return _of_observations(evidence)
    early = seen.step <= np.quantile(seen.step, 0.5)
    rows = np.asarray(seen.inputs, dtype=np.float64).reshape(len(seen.inputs), -1)[early]
    rows = rows[np.isfinite(rows).all(axis=1)]
    if len(rows) < 2:
        return _of_observations(evidence)
    mean, std = rows.mean(axis=0), rows.std(axis=0)
    rms = np.sqrt(mean**2 + std**2)
    alive = std > 1e-12 * max(1.0, float(np.abs(rows).max()))
    usual = rms[alive] if alive.any() else rms
    return InputScale(
        rms_most=float(rms.max()),
        rms_usual=float(np.median(usual)),
        ratio=float(usual.max() / max(float(usual.min()), 1e-300)),
        mean_most=float(np.abs(mean).max()),
        std_most=float(std.max()),
        std_usual=float(np.median(std[alive])) if alive.any() else 0.0,
        spread=float(rows.std()),
        largest=float(np.abs(rows).max()),
        column=int(rms.argmax()),
        columns=rows.shape[1],
        tokens=seen.tokens,
        normed=_rescaled_inside(evidence, float(np.abs(rows).max())),
    )


def _of_observations(evidence: Evidence) -> InputScale:
    def told(quantity: str) -> float:
        return evidence.first("input", quantity)

    mean, std = told("column_mean_abs_max"), told("column_std_max")
    rms = math.hypot(mean, std) if math.isfinite(mean) and math.isfinite(std) else _NAN
    largest = max(abs(told("minimum")), abs(told("maximum")))
    return InputScale(
        rms_most=rms,
        rms_usual=math.hypot(told("mean"), told("std")),
        ratio=told("column_scale_ratio"),
        mean_most=mean,
        std_most=std,
        std_usual=told("column_std_median"),
        spread=told("std"),
        largest=largest,
        column=-1,
        columns=0,
        tokens=any(call.function == "embedding" for call in evidence.script.calls[:20]),
        normed=_rescaled_inside(evidence, largest),
    )


def _rescaled_inside(evidence: Evidence, largest: float) -> bool:
    """Whether the model itself brings its inputs to another scale before its first weights."""
    for call in evidence.calls(phase="train"):
        name = call.function
        if any(norm in name for norm in _NORMS):
            return True
        if name in _WEIGHTED or name.startswith(("lstm", "gru", "rnn")):
            fed = [fact for fact in call.inputs if fact.origin != "parameter"]
            reach = max((max(abs(fact.minimum), abs(fact.maximum)) for fact in fed[:1]), default=_NAN)
            return bool(reach < 0.1 * largest or reach > 10 * largest)
    return False


def column_figures(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column over finite rows."""
    flat = np.asarray(rows, dtype=np.float64).reshape(len(rows), -1)
    flat = flat[np.isfinite(flat).all(axis=1)]
    return flat.mean(axis=0), flat.std(axis=0)


def scaling_lines(evidence: Evidence) -> list[CodeLine]:
    """Lines of the script that scale: divided by a number above 2, standardised, or given to a scaler."""
    found: dict[tuple[str, int, int], CodeLine] = {}
    for file, tree in trees(evidence):
        for node in ast.walk(tree):
            if _scales(node):
                assert isinstance(node, ast.expr | ast.stmt)
                found[file, node.lineno, node.col_offset] = evidence.place(file, node.lineno)
    return [found[key] for key in sorted(found)]


def _scales(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
        divisor = node.right if isinstance(node, ast.BinOp) else node.value
        if isinstance(divisor, ast.Constant):
            return isinstance(divisor.value, int | float) and abs(divisor.value) > 2
        return any(word in ast.unparse(divisor) for word in ("std", "sigma", "max", "ptp", "norm", "scale"))
    if isinstance(node, ast.Call):
        name = call_name(node.func)
        return (
            name in _SCALERS or name in _SCALING or name in ("div", "div_") or (name == "transform" and bool(node.args))
        )
    return False
