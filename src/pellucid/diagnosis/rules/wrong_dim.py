"""Softmax, mean or norm over the wrong axis; a recurrent or attention layer that takes the batch for time.
The batch's axis is known from the targets' rows. A softmax that feeds a product must be normalised along the axis that
the product sums over. Tables of pairs within a batch (contrastive losses) are square and normalised along the batch on
purpose.
"""

from __future__ import annotations

import ast
from collections import Counter

from pellucid.diagnosis.evidence import Evidence
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.diagnosis.source_changes import SourceCode
from pellucid.diagnosis.wiring import VIEWS, Wiring
from pellucid.results.diagnosis import Finding, LineChange
from pellucid.results.watched_script import CodeLine, ScriptCall

__all__ = ["RULE", "find"]

_SOFT = ("softmax", "log_softmax", "softmin", "logsumexp", "gumbel_softmax")
_MIXING = ("mean", "norm", "normalize", "std", "var", "sum", "max", "amax", "cumsum", "argmax")
_SEQUENCES = ("LSTM", "GRU", "RNN", "MultiheadAttention", "TransformerEncoderLayer", "TransformerEncoder")
_LEAST_BATCH = 2


def find(evidence: Evidence) -> Finding | None:
    """The first operation on the way to the loss that normalises or mixes along the batch, or along the wrong axis."""
    for wiring in evidence.wirings("train")[:2]:
        rows = _batch(evidence, wiring)
        for call in wiring.calls:
            if not call.reaches_loss or not call.inputs:
                continue
            found = (
                _soft(evidence, wiring, call, rows)
                or _soft_by_hand(evidence, wiring, call, rows)
                or _mixing(evidence, wiring, call, rows)
            )
            if found is not None:
                return found
    return _sequences(evidence) or _evaluation(evidence)


def _batch(evidence: Evidence, wiring: Wiring) -> int:
    """The number of examples in the step: that of the inputs at the model's door, else of the targets."""
    doors = [
        facts.shape[0] for call in wiring.calls for facts in call.inputs if facts.origin == "input" and facts.shape
    ]
    if doors:
        return Counter(doors).most_common(1)[0][0]
    loss = evidence.main_loss
    return loss.target.shape[0] if loss is not None and loss.target is not None and loss.target.shape else 0


def _axis(call: ScriptCall) -> int | None:
    """The axis of a call as counted from the front; None for none or several."""
    axis = call.settings.get("dim", call.settings.get("axis"))
    rank = len(call.inputs[0].shape)
    if axis is None and call.function in ("softmax", "log_softmax"):
        return 0 if rank in (0, 1, 3) else 1  # what torch takes for want of one
    if isinstance(axis, str) and axis.lstrip("-").isdigit():
        axis = int(axis)
    if isinstance(axis, bool) or not isinstance(axis, int):
        return None
    return axis % rank if rank else None


def _soft(evidence: Evidence, wiring: Wiring, call: ScriptCall, rows: int) -> Finding | None:
    if call.function not in _SOFT:
        return None
    shape, axis = call.inputs[0].shape, _axis(call)
    if axis is None or len(shape) < 2:
        return _one_axis(evidence, call, rows)
    square = shape[0] == shape[-1] and len(shape) == 2
    loss = evidence.main_loss
    per_row = loss is None or loss.prediction is None or not loss.prediction.shape or loss.prediction.shape[0] >= rows
    if axis == 0 and shape[0] == rows >= _LEAST_BATCH and not square and per_row and shape[-1] > 1:
        return _finding(evidence, call=call, axis=axis, wanted=len(shape) - 1, certainty=0.95, how="over the batch")
    summed = _summed_axis(wiring, call)
    if summed is not None and summed != axis:
        return _finding(
            evidence,
            call=call,
            axis=axis,
            wanted=summed,
            certainty=0.9,
            how="along another axis than the product after it sums over",
        )
    last = loss is not None and loss.last_operation == call.function and loss.prediction is not None
    if last and loss is not None and loss.prediction is not None and len(shape) > 2 and loss.prediction.shape == shape:
        wanted = 1 if loss.kind in ("nll", "cross_entropy") else len(shape) - 1
        if axis != wanted and shape[wanted] > 1 and axis != 0:
            return _finding(
                evidence, call=call, axis=axis, wanted=wanted, certainty=0.7, how="along another axis than the classes'"
            )
    return None


def _soft_by_hand(evidence: Evidence, wiring: Wiring, call: ScriptCall, rows: int) -> Finding | None:
    """Exponentials divided by their sum over the batch."""
    fed = wiring.feeding(call)
    if call.function != "sum" or fed is None or fed.function != "exp" or len(call.inputs[0].shape) != 2:
        return None
    shape = call.inputs[0].shape
    divides = any(user.function == "div" and user.inputs[0].shape == shape for user in wiring.users(call))
    if not divides or _axis(call) != 0 or shape[0] != rows or rows < _LEAST_BATCH or shape[1] in (1, rows):
        return None
    return _finding(evidence, call=call, axis=0, wanted=1, certainty=0.93, how="over the batch")


def _one_axis(evidence: Evidence, call: ScriptCall, rows: int) -> Finding | None:
    """A softmax over a vector with one entry an example."""
    shape = call.inputs[0].shape
    if len(shape) == 1 and shape[0] == rows >= _LEAST_BATCH and call.function in ("softmax", "log_softmax"):
        loss = evidence.main_loss
        if loss is not None and loss.last_operation == call.function:
            return _finding(evidence, call=call, axis=0, wanted=0, certainty=0.8, how="over the batch")
    return None


def _summed_axis(wiring: Wiring, call: ScriptCall) -> int | None:
    """The axis of a softmax's output that a matrix product after it sums over; None where there is none to compare."""
    rank = len(call.outputs[0].shape) if call.outputs else 0
    keys = {facts.key for facts in call.outputs}
    pending = list(wiring.users(call))
    for user in pending:
        if user.function in ("dropout", "to", "type_as", "float") and len(pending) < 16:
            keys |= {facts.key for facts in user.outputs}
            pending.extend(wiring.users(user))
    for user in pending:
        if user.function not in ("matmul", "bmm") or len(user.inputs) < 2 or rank < 3:
            continue
        if any(facts.origin == "parameter" for facts in user.inputs):
            continue
        if user.inputs[0].key in keys:
            return rank - 1
        if user.inputs[1].key in keys:
            return rank - 2
    return None


def _mixing(evidence: Evidence, wiring: Wiring, call: ScriptCall, rows: int) -> Finding | None:
    """A statistic along the batch within a model, whose result goes on to a prediction an example."""
    if call.function not in _MIXING or call.model < 0 or len(call.inputs[0].shape) < 2 or rows < _LEAST_BATCH:
        return None
    shape, axis = call.inputs[0].shape, _axis(call)
    if axis != 0 or shape[0] != rows or call.inputs[0].origin == "parameter" or shape[0] == shape[-1]:
        return None
    if call.function in ("mean", "std", "var", "sum", "max") and not _comes_back(wiring, call, rows):
        return None
    certainty = 0.9 if call.function in ("normalize", "norm") else 0.7
    return _finding(
        evidence,
        call=call,
        axis=0,
        wanted=len(shape) - 1 if len(shape) == 2 else 1,
        certainty=certainty,
        how="over the batch",
    )


def _comes_back(wiring: Wiring, call: ScriptCall, rows: int) -> bool:
    """Whether what was taken over the batch is mixed into rows of examples again."""
    for user in wiring.users(call):
        if user.function in VIEWS or any(facts.shape[:1] == (rows,) for facts in user.outputs):
            return True
    return False


def _sequences(evidence: Evidence) -> Finding | None:
    """A layer that expects time first, given the batch first."""
    for wiring in evidence.wirings("train")[:1]:
        rows = _batch(evidence, wiring)
        loss = evidence.main_loss
        wanted = loss.target.shape[0] if loss is not None and loss.target is not None and loss.target.shape else rows
        for call in wiring.calls:
            first_is_time = call.settings.get("batch_first") in (False, "False", None)
            known = call.function in ("lstm", "gru", "rnn_tanh", "rnn_relu", "multi_head_attention_forward")
            if not known or not call.inputs or len(call.inputs[0].shape) != 3:
                continue
            kind = _module_of(evidence, call)
            if kind is None or not first_is_time or "batch_first=True" in kind[1] or kind[0] not in _SEQUENCES:
                continue
            length, batch = call.inputs[0].shape[:2]
            if length == rows == wanted and batch != rows and not _is_turned(wiring, call):
                return _sequence_finding(evidence, call, kind[0])
    return None


def _is_turned(wiring: Wiring, call: ScriptCall) -> bool:
    """Whether the layer's input was transposed to time first just before."""
    fed = wiring.feeding(call)
    while fed is not None and fed.function in VIEWS | {"dropout"}:
        if fed.function in ("transpose", "permute", "swapaxes", "movedim", "t"):
            return True
        fed = wiring.feeding(fed)
    return False


def _module_of(evidence: Evidence, call: ScriptCall) -> tuple[str, str] | None:
    """Kind and settings of the innermost module of a call that is made for sequences."""
    if not 0 <= call.model < len(evidence.script.models):
        return None
    for module in evidence.script.models[call.model].modules:
        if module.name == call.module:
            return module.kind, module.settings
    return None


def _sequence_finding(evidence: Evidence, call: ScriptCall, kind: str) -> Finding:
    length, batch = call.inputs[0].shape[:2]
    changes: tuple[LineChange, ...] = ()
    place = call.place
    for code in evidence.codes:
        made = code.calls(kind)
        if made:
            changes = (code.with_argument(made[0], "batch_first", "True"),)
            place = evidence.place(code.file, made[0].lineno)
            break
    return make_finding(
        "wrong_dim",
        severity="fault",
        certainty=0.88,
        title=f"{kind} takes the batch for time",
        place=place,
        layer=call.module,
        since=0,
        evidence=[
            figure("first axis, taken for time", length, f"{batch}"),
            figure("second axis, taken for the batch", batch, f"{length}"),
        ],
        curves=[curve("loss", evidence.loss)],
        why="Without batch_first=True the first axis is time: each example's result depends on the examples before it.",
        fix="Make the layer with batch_first=True, or transpose its input.",
        changes=changes,
        disproof="An example's output stays the same when its companions in the batch change.",
    )


def _evaluation(evidence: Evidence) -> Finding | None:
    """A softmax over the batch in evaluation alone."""
    for wiring in evidence.wirings("evaluation")[:1]:
        rows = _batch(evidence, wiring)
        for call in wiring.calls:
            if call.function not in ("softmax", "log_softmax") or not call.inputs:
                continue
            shape = call.inputs[0].shape
            if len(shape) > 1 and _axis(call) == 0 and shape[0] == rows != shape[-1] and shape[-1] > 1:
                return _finding(
                    evidence,
                    call=call,
                    axis=0,
                    wanted=len(shape) - 1,
                    certainty=0.7,
                    how="over the batch, in evaluation",
                )
    return None


def _finding(evidence: Evidence, *, call: ScriptCall, axis: int, wanted: int, certainty: float, how: str) -> Finding:
    shape = call.inputs[0].shape
    given = wanted - len(shape) if wanted == len(shape) - 1 else wanted
    place, changes = _change(evidence, call, axis, given)
    return make_finding(
        "wrong_dim",
        severity="fault",
        certainty=certainty,
        title=f"{call.function} {how} (dim {axis} of {len(shape)})",
        place=place,
        layer=call.module,
        since=0,
        evidence=[
            figure("axis", axis, f"{given}"),
            figure("size of that axis", shape[axis]),
            figure("size of the axis meant", shape[wanted]),
        ],
        curves=[curve("loss", evidence.loss)],
        why="Along that axis lie values that do not belong together, so each example's result depends on others."
        if "batch" in how
        else "The weights of one sum do not add up to 1, and those of different sums compete.",
        fix=f"Use dim={given}.",
        changes=changes if given != axis else (),
        disproof="An example's output stays the same when its companions in the batch change.",
    )


def _change(evidence: Evidence, call: ScriptCall, axis: int, wanted: int) -> tuple[CodeLine, tuple[LineChange, ...]]:
    names = {"softmax": ("softmax", "Softmax"), "log_softmax": ("log_softmax", "LogSoftmax")}
    wordings = names.get(call.function, (call.function,))
    for code in evidence.codes:
        here = code.calls(*wordings, line=call.place.line) if code.file == call.place.file else []
        for made in here or code.calls(*(name for name in wordings if name[0].isupper())):
            change = _with_axis(code, made, wanted)
            return evidence.place(code.file, made.lineno), (change,)
    return call.place, ()


def _with_axis(code: SourceCode, made: ast.Call, wanted: int) -> LineChange:
    for keyword in ("dim", "axis"):
        if any(given.arg == keyword for given in made.keywords):
            return code.with_argument(made, keyword, str(wanted))
    numbers = [i for i, given in enumerate(made.args) if _is_number(given)]
    return code.with_argument(made, "dim", str(wanted), numbers[-1] if numbers else -1)


def _is_number(node: ast.expr) -> bool:
    try:
        return isinstance(ast.literal_eval(node), int)
    except ValueError:
        return False


RULE = Rule(
    "wrong_dim",
    find,
    explains=(
        *(
            "undersized_network",
            "undertrained",
            "lr_too_low",
            "label_corruption",
            "wrong_metric",
            "train_test_mismatch",
        ),
        *("data_leakage", "vanishing_gradient", "overfitting"),
    ),
    needs=("calls",),
)
