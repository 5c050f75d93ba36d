"""Functions of the script that change inputs at random, and where they are used: on training data, on evaluation
data."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pellucid.diagnosis.edits import trees
from pellucid.diagnosis.source_changes import call_name

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence

__all__ = ["Augmentation", "augmentations", "held_out_name", "train_name"]

_RANDOM = (
    "randn_like",
    "rand_like",
    "randint_like",
    "bernoulli",
    "bernoulli_",
    "normal_",
    "uniform_",
    "randn",
    "rand",
    "randint",
    "normal",
    "uniform",
    "choice",
    "random",
    "randperm",
)
_CHANGING = re.compile(r"augment|jitter|noise|noisy|distort|corrupt|perturb|mixup|cutout|cutmix|transform|random", re.I)
_HELD_OUT = re.compile(
    r"(^|_)(te|test|val|valid|validation|eval|dev|holdout|vx|vy|tst|xt|xv)(_|$|\d)|test|valid|holdout|eval", re.I
)
_TRAIN = re.compile(r"(^|_)(tr|train|trn|training)(_|$|\d)|train", re.I)
_GUARD = re.compile(r"train|augment|aug|test|eval|valid", re.I)


@dataclass(frozen=True)
class Augmentation:
    """A function that changes its argument at random."""

    name: str
    file: str
    line: int  # of its definition
    changing: int  # the line where it draws
    guarded: bool  # it, or each of its calls, stands under a condition on the phase
    on_train: bool
    on_held_out: bool
    call_line: int  # of its first call


def held_out_name(text: str) -> bool:
    """Whether a name speaks of data that are not trained on.

    >>> held_out_name("test_x"), held_out_name("Xte"), held_out_name("train_x")
    (True, True, False)
    """
    return bool(_HELD_OUT.search(text) or re.search(r"[xXyY](te|val|t|v|b)$", text))


def train_name(text: str) -> bool:
    """Whether a name speaks of training data.

    >>> train_name("Xtr"), train_name("xval")
    (True, False)
    """
    return bool(_TRAIN.search(text) or re.search(r"[xXyY](tr|a)$", text))


def augmentations(evidence: Evidence) -> list[Augmentation]:
    """The script's functions that draw random numbers and give back a changed argument, with where they are used."""
    found: list[Augmentation] = []
    for file, tree in trees(evidence):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and (drawn := _draws(node)):
                found.append(_used(file, tree, node, drawn))
    return found


def _draws(function: ast.FunctionDef) -> int:
    """The line where a function with an argument draws, if it returns something made of the argument; 0 otherwise."""
    given = {one.arg for one in function.args.args} - {"self"}
    returns = [one for one in ast.walk(function) if isinstance(one, ast.Return | ast.Yield) and one.value is not None]
    if not given or not returns or function.name in ("forward", "__init__", "train", "sample", "generate", "make_data"):
        return 0
    used = any(isinstance(one, ast.Name) and one.id in given for back in returns for one in ast.walk(back))
    own = [one for one in _own(function) if isinstance(one, ast.Call) and call_name(one.func) in _RANDOM]
    order = (
        any(call_name(one.func) == "randperm" for one in own) and len(own) == 1 and not _CHANGING.search(function.name)
    )
    if not own or order or not (used or _CHANGING.search(function.name)):
        return 0
    return own[0].lineno


def _own(function: ast.FunctionDef) -> Iterator[ast.AST]:
    for statement in function.body:
        yield from ast.walk(statement)


def _used(file: str, tree: ast.Module, function: ast.FunctionDef, drawn: int) -> Augmentation:
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    names, calls, guarded = {function.name}, [], _conditional(function)
    for _ in range(3):  # what calls it without a condition is as random as it is
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or call_name(node.func) not in names:
                continue
            outer = _outer(node, parents)
            if _under_condition(node, parents):
                guarded = True
            elif outer is not None and outer.name not in names and outer.name != "forward":
                names.add(outer.name)
            if node not in calls:
                calls.append(node)
    open_calls = [node for node in calls if not _under_condition(node, parents)]
    places = [_data_of(node, parents) for node in open_calls]
    return Augmentation(
        name=function.name,
        file=file,
        line=function.lineno,
        changing=drawn,
        guarded=guarded,
        on_train=any("train" in place for place in places),
        on_held_out=any("held out" in place for place in places),
        call_line=min((node.lineno for node in calls), default=0),
    )


def _conditional(function: ast.FunctionDef) -> bool:
    return any(
        isinstance(node, ast.If | ast.IfExp) and _GUARD.search(ast.unparse(node.test)) for node in _own(function)
    )


def _under_condition(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    while (outer := parents.get(node)) is not None:
        if isinstance(outer, ast.If | ast.IfExp) and node is not outer.test and _GUARD.search(ast.unparse(outer.test)):
            return True
        node = outer
    return False


def _outer(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> ast.FunctionDef | None:
    while (outer := parents.get(node)) is not None:
        if isinstance(outer, ast.FunctionDef):
            return outer
        node = outer
    return None


def _data_of(call: ast.Call, parents: dict[ast.AST, ast.AST]) -> set[str]:
    """Whether a call's data are trained on or held out, by the names it is given and what it stands in."""
    names = {one.id for given in call.args for one in ast.walk(given) if isinstance(one, ast.Name)}
    found: set[str] = set()
    if any(held_out_name(name) and not train_name(name) for name in names) or _without_gradient(call, parents):
        found.add("held out")
    if any(train_name(name) for name in names):
        found.add("train")
    return found


def _without_gradient(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    while (outer := parents.get(node)) is not None:
        if isinstance(outer, ast.With) and any(
            "no_grad" in ast.unparse(one) or "inference" in ast.unparse(one) for one in outer.items
        ):
            return True
        if isinstance(outer, ast.FunctionDef) and any("no_grad" in ast.unparse(one) for one in outer.decorator_list):
            return True
        node = outer
    return False
