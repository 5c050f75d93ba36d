"""Too few units to express the function.

The training loss has come to rest, the rate is usual and gradients are there, yet the network scores clearly less
on its own training examples than a forest of trees does on examples it never saw; and some hidden layer is narrow:
at most four units, or fewer than half the classes; of a convolution its channels count at every position. A network
that is not narrow has another reason.
"""

from __future__ import annotations

import ast
import math
from typing import TYPE_CHECKING

from pellucid.diagnosis.edits import named_number
from pellucid.diagnosis.rivals import odd_scales
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.results.diagnosis import LineChange
from pellucid.results.watched_script import CodeLine, ScriptParameter

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.results.diagnosis import Finding

__all__ = ["RULE", "find"]

_NARROW = 4
_REACHED = 0.9
_FAR = 0.75
"""Of the way from chance to what trees reach: below, the width spoils the run."""
_BETTER = 32


def find(evidence: Evidence) -> Finding | None:
    """A narrow hidden layer in a network at rest below what its data offer."""
    narrow = _narrowest(evidence)
    outcome, loss, rate = evidence.outcome, evidence.loss_curve, evidence.rate
    if narrow is None or not loss.finite or outcome.diverged or not outcome.reached < _REACHED:
        return None
    parameter, width = narrow
    usual = rate is not None and rate.excess <= 1 and rate.lack <= 1
    certainty = 0.62 + 0.08 * (width <= 2) + 0.08 * usual + 0.07 * (not loss.still_falling)
    certainty -= 0.25 * bool(odd_scales(evidence)) + 0.15 * (not usual) + 0.2 * (loss.at_chance)
    place, changes = _wider(evidence, width)
    return make_finding(
        "undersized_network",
        severity="fault" if certainty >= 0.5 and outcome.reached < _FAR else "warning",
        certainty=certainty,
        title=f"A hidden layer of {width} units is too narrow for the function",
        place=place,
        layer=parameter.module,
        parameter=parameter.name,
        since=0,
        evidence=[
            figure("units of the narrowest hidden layer", width, f"{_BETTER} or more"),
            figure("score on training examples", outcome.best_score),
            figure("score of trees on examples they never saw", outcome.reachable),
            figure("loss at the end", loss.last),
        ],
        curves=[curve("loss", evidence.loss, level=loss.constant, level_name="the best constant answer")],
        why="Everything that the network knows of an example must pass through these few units.",
        fix=f"Widen the hidden layers to {_BETTER} units or more.",
        changes=changes,
        disproof=f"With {_BETTER} units a layer the training loss is no lower.",
    )


def _narrowest(evidence: Evidence) -> tuple[ScriptParameter, int] | None:
    """The weight of the narrowest hidden layer, if narrow: weights but the last, of a depth of two or more."""
    found: tuple[ScriptParameter, int] | None = None
    for model in evidence.trained_models:
        kinds = {module.name: module.kind for module in model.modules}
        weights = [
            one
            for one in model.parameters
            if len(one.shape) >= 2 and one.used and not kinds.get(one.module, "").startswith("Embedding")
        ]
        for one in weights[:-1]:
            width = _width(evidence, one, kinds.get(one.module, ""))
            if found is None or width < found[1]:
                found = (one, width)
    if found is None:
        return None
    limit = max(_NARROW, math.ceil(0.5 * evidence.outcome.classes) - 1)
    return found if found[1] <= limit else None


def _width(evidence: Evidence, weight: ScriptParameter, kind: str) -> int:
    """How many numbers of an example come out of a layer."""
    units = weight.shape[0]
    if len(weight.shape) > 2:
        made = (call for call in evidence.calls(phase="train", module=weight.module) if "conv" in call.function)
        shape: tuple[int, ...] = next((call.outputs[0].shape for call in made if call.outputs), ())
        return math.prod(shape[1:]) if len(shape) == len(weight.shape) else units
    return units // {"LSTM": 4, "GRU": 3}.get(kind, 1)


def _wider(evidence: Evidence, width: int) -> tuple[CodeLine | None, list[LineChange]]:
    """The line that gives the width, where it is a name with one number."""
    code = evidence.code(evidence.main_file)
    for call in code.calls("Linear", "Conv1d", "Conv2d", "LSTM", "GRU", "RNN", "LazyLinear"):
        if len(call.args) < 2:
            continue
        given = call.args[1]
        if isinstance(given, ast.Name) and (number := named_number(code, given.id)) is not None:
            if isinstance(number, ast.Constant) and number.value == width:
                return evidence.place(code.file, number.lineno), [code.replaced(number, str(_BETTER))]
        elif isinstance(given, ast.Constant) and given.value == width:
            return evidence.place(code.file, given.lineno), []
    return None, []


RULE = Rule("undersized_network", find, explains=("vanishing_gradient",), needs=("models", "examples"))
