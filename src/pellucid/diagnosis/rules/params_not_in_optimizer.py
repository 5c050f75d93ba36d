"""A trainable part gets gradients, yet no optimiser holds it, so it stays as it was drawn.
Where the part does not look freshly drawn it may stay on purpose (a pretrained body): that is a warning. Torch's
default draws linear and convolutional weights uniformly within 1/√fan_in; ``initial_uniform`` says that weights look
like that.
"""

from __future__ import annotations

import ast

from pellucid.diagnosis.evidence import Evidence
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.results.diagnosis import Finding, LineChange
from pellucid.results.watched_script import CodeLine, ScriptParameter

__all__ = ["RULE", "find"]


def find(evidence: Evidence) -> Finding | None:
    """Parameters of the models that have gradients and no optimiser."""
    everything = [p for _, p in evidence.parameters() if p.trainable]
    left = [p for p in everything if p.got_gradient and p.optimizer < 0 and not p.gradient_zero]
    if not left or (not evidence.script.optimizers and not _steps_by_hand(evidence)):
        return None
    if not evidence.script.optimizers:
        left = [p for p in left if p.moved == 0]
    if not left:
        return None
    left = [p for p in left if p.module != "?" or not _is_input(evidence, p)]
    if not left:
        return None
    loose = [p for p in left if p.module == "?"]
    owned = [p for p in left if p.module != "?"]
    count, total = sum(_size(p) for p in left), sum(_size(p) for p in everything)
    idle = sum(not p.used and p.optimizer >= 0 for model in evidence.script.models for p in model.parameters)
    fresh = _are_fresh(owned)
    fault = fresh or bool(idle) or evidence.outcome.poor
    certainty = 0.93 if owned and fresh else 0.8 if owned else 0.7
    unregistered = {m.name for _, m in evidence.modules() if not m.registered}
    if owned and all(p.module.split(".")[0] in unregistered or p.module in unregistered for p in owned):
        certainty = 0.75
    worst = max(left, key=_size)
    place, changes = _correction(evidence, owned or loose)
    return make_finding(
        "params_not_in_optimizer",
        severity="fault" if fault else "warning",
        certainty=certainty,
        title=_title(left),
        place=place,
        layer="" if worst.module == "?" else worst.module,
        parameter=worst.name,
        since=0,
        evidence=[
            figure("entries that no optimiser holds", count, "0"),
            figure("share of all trainable entries", count / total if total else 1.0, "0", "share"),
            figure(
                "way that they went, relative to their size",
                max((p.moved for p in left if p.moved == p.moved), default=0.0),
            ),
        ],
        curves=[curve("loss", evidence.loss)],
        why="An optimiser changes only what it was given when it was made; the rest keeps its random start.",
        fix="Give the optimiser all parameters, after the last of them is made.",
        changes=changes,
        disproof="The weights differ at the end from what they were at the start.",
    )


def _is_input(evidence: Evidence, parameter: ScriptParameter) -> bool:
    """Whether a tensor that wants a gradient is what the model is asked about, as for an equation or an attack."""
    return any(
        call.model >= 0
        and call.inputs
        and call.inputs[0].origin == "parameter"
        and call.inputs[0].shape == parameter.shape
        for call in evidence.calls("linear", "conv1d", "conv2d", "conv3d", "getitem", "cat", phase="train")
    )


def _size(parameter: ScriptParameter) -> int:
    size = 1
    for axis in parameter.shape:
        size *= axis
    return size


def _are_fresh(parameters: list[ScriptParameter]) -> bool:
    """Whether weights look as torch draws them; vectors alone tell nothing and count as fresh."""
    matrices = [p for p in parameters if len(p.shape) > 1]
    return not matrices or any(p.initial_uniform or 0.5 < p.initial_std < 1.5 for p in matrices)


def _title(parameters: list[ScriptParameter]) -> str:
    layers = list(dict.fromkeys(p.name if p.module in ("?", "") else p.module for p in parameters))
    if len(layers) == 1:
        return f"{layers[0]} gets gradients and no optimiser updates it"
    more = f" and {len(layers) - 3} more" if len(layers) > 3 else ""
    return f"{', '.join(layers[:3])}{more} get gradients and no optimiser updates them"


def _steps_by_hand(evidence: Evidence) -> bool:
    return any(p.moved > 0 for _, p in evidence.parameters())


def _correction(evidence: Evidence, left: list[ScriptParameter]) -> tuple[CodeLine, tuple[LineChange, ...]]:
    """``model.parameters()`` in place of a part's, where the optimiser was given a part."""
    optimizer = evidence.main_optimizer
    if optimizer is None:
        return CodeLine("", 0, "", ""), ()
    place = optimizer.place
    code = evidence.code(place.file)
    owner = next((m for m in evidence.trained_models if any(p is q for p in left for q in m.parameters)), None)
    if owner is None or not place.line:
        return place, ()
    for made in code.calls(optimizer.kind, line=place.line):
        given = made.args[0] if made.args else None
        if isinstance(given, ast.Call) and isinstance(given.func, ast.Attribute) and given.func.attr == "parameters":
            base = ast.unparse(given.func.value)
            root = base.split(".")[0].split("[")[0]
            if owner.name and owner.name != base:
                name = owner.name if owner.name.isidentifier() else root
                if (name == root and base != root) or (name != root and base == root):
                    return place, (
                        code.replaced(given, f"{name}.parameters()" if base != root else _joined(given, base, name)),
                    )
    return place, ()


def _joined(given: ast.Call, base: str, name: str) -> str:
    return f"[*{base}.parameters(), *{name}.parameters()]"


RULE = Rule(
    "params_not_in_optimizer",
    find,
    explains=("undersized_network", "undertrained", "lr_too_low", "vanishing_gradient", "dead_relu"),
    needs=("models",),
)
