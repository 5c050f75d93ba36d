"""Layers or weights that the model runs and does not own: kept in a list or dict, or as plain tensors.
``parameters()`` walks registered attributes alone; what sits in a Python container, or is a tensor rather than an
``nn.Parameter``, is left out of the optimiser, of ``state_dict`` and of ``to(device)``. Where some optimiser holds it
all the same, its gradients are used and it is only worth a note.
"""

from __future__ import annotations

import ast

from pellucid.diagnosis.evidence import NOWHERE, Evidence
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.diagnosis.source_changes import SourceCode, call_name
from pellucid.results.diagnosis import Finding, LineChange
from pellucid.results.watched_script import CodeLine, ScriptParameter

__all__ = ["RULE", "find"]


def find(evidence: Evidence) -> Finding | None:
    """Modules that run unowned with weights in no optimiser; tensors with gradients that no module owns."""
    return _modules(evidence) or _tensors(evidence)


def _modules(evidence: Evidence) -> Finding | None:
    for model in evidence.trained_models:
        strangers = [module for module in model.modules if not module.registered and module.parameters > 0]
        if not strangers:
            continue
        names = {module.name for module in strangers}
        own = [p for p in model.parameters if p.module in names]
        left = [p for p in own if p.optimizer < 0 and p.got_gradient]
        if own and not left:
            continue
        place, changes = _container(evidence, strangers[0].name)
        return _finding(
            evidence,
            certainty=0.96,
            title=f"{', '.join(module.name for module in strangers[:3])}: run by the model, yet not registered",
            place=place,
            changes=changes,
            figures=[
                figure("modules that run unregistered", len(strangers), "0"),
                figure("their parameters", sum(m.parameters for m in strangers)),
            ],
            layer=strangers[0].name,
            why="Modules in a plain list or dict are no part of parameters(), so the optimiser never moves them.",
            fix="Keep them in nn.ModuleList or nn.ModuleDict.",
        )
    return None


def _tensors(evidence: Evidence) -> Finding | None:
    """A tensor with ``requires_grad`` that lives in a model's attributes and gets gradients."""
    if not any(module.parameters for _, module in evidence.modules()) and not evidence.script.optimizers:
        return None
    loose: list[ScriptParameter] = [
        p for _, p in evidence.parameters() if p.module == "?" and p.got_gradient and p.optimizer < 0 and p.moved == 0
    ]
    for parameter in loose:
        name = parameter.name.rpartition(".")[2]
        for code in evidence.codes:
            made = _attribute(code, name) or _with_gradient(code)
            if made is None:
                continue
            value = code.segment(made.value)
            change = code.replaced(made.value, f"torch.nn.Parameter({_plain(value)})")
            return _finding(
                evidence,
                certainty=0.92,
                title=f"{ast.unparse(made.targets[0])} is a tensor, no nn.Parameter",
                place=evidence.place(code.file, made.lineno),
                changes=(change,),
                figures=[figure("way that it went", parameter.moved, "above 0")],
                layer="",
                why="Only nn.Parameter registers itself with its module; nobody uses a plain tensor's gradient.",
                fix="Make it an nn.Parameter.",
                parameter=parameter.name,
            )
    return None


def _attribute(code: SourceCode, name: str) -> ast.Assign | None:
    """``self.<name> = …`` within a class."""
    for node in ast.walk(code.tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Attribute) and target.attr == name and ast.unparse(target.value) == "self":
                    return node
    return None


def _with_gradient(code: SourceCode) -> ast.Assign | None:
    """``self.x = torch.…(…, requires_grad=True)`` within a class, whatever its name."""
    for node in ast.walk(code.tree):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).startswith("self."):
            text = code.segment(node.value)
            if ("requires_grad=True" in text or "requires_grad_()" in text) and "Parameter(" not in text:
                return node
    return None


def _plain(text: str) -> str:
    return (
        text.replace(", requires_grad=True", "").replace(".requires_grad_()", "").replace(".requires_grad_(True)", "")
    )


def _container(evidence: Evidence, name: str) -> tuple[CodeLine, tuple[LineChange, ...]]:
    """``self.x = []`` made a ``ModuleList``, ``{}`` a ``ModuleDict``."""
    attribute = name.split(".", maxsplit=1)[0].split("[", maxsplit=1)[0].lstrip("?")
    for code in evidence.codes:
        found = [
            node
            for node in ast.walk(code.tree)
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Attribute)
            and ast.unparse(node.targets[0].value) == "self"
            and _is_container(node.value)
        ]
        named = [
            node for node in found if isinstance(node.targets[0], ast.Attribute) and node.targets[0].attr == attribute
        ]
        for node in named or found[:1]:
            text = code.segment(node.value)
            kind = (
                "ModuleDict"
                if isinstance(node.value, ast.Dict | ast.DictComp) or text.startswith("dict")
                else "ModuleList"
            )
            empty = text in ("[]", "{}", "list()", "dict()", "()", "tuple()")
            change = code.replaced(node.value, f"{_nn(code)}.{kind}({'' if empty else text})")
            return evidence.place(code.file, node.lineno), (change,)
    return NOWHERE, ()


def _is_container(node: ast.expr) -> bool:
    if isinstance(node, ast.List | ast.Dict | ast.Tuple | ast.ListComp | ast.DictComp):
        return True
    return isinstance(node, ast.Call) and call_name(node.func) in ("list", "dict", "tuple")


def _nn(code: SourceCode) -> str:
    return "nn" if "nn." in code.text.replace("torch.nn.", "") else "torch.nn"


def _finding(
    evidence: Evidence,
    *,
    certainty: float,
    title: str,
    place: CodeLine,
    changes: tuple[LineChange, ...],
    figures: list,
    layer: str,
    why: str,
    fix: str,
    parameter: str = "",
) -> Finding:
    return make_finding(
        "params_not_registered",
        severity="fault",
        certainty=certainty,
        title=title,
        place=place,
        layer=layer,
        parameter=parameter,
        since=0,
        evidence=figures,
        curves=[curve("loss", evidence.loss)],
        why=why,
        fix=fix,
        changes=changes,
        disproof="list(model.parameters()) holds them.",
    )


RULE = Rule(
    "params_not_registered",
    find,
    explains=("params_not_in_optimizer", "undersized_network", "undertrained", "lr_too_low"),
    needs=("models",),
)
