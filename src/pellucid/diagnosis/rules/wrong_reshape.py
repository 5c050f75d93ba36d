"""A view that mixes: after it, a row holds pieces of several examples, or axes have changed places.
A view keeps the order of entries. It may merge neighbouring axes or split one; what it cannot do is swap axes or move a
size from one place to another. The sizes of both shapes are aligned from the front: a stretch in which several axes
become several others has cut across them. Where that stretch takes in the batch, rows are mixed; where a size turns up
at another place, axes were meant to be swapped.
"""

from __future__ import annotations

import math

from pellucid.diagnosis.evidence import Evidence
from pellucid.diagnosis.looks import raised
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.diagnosis.wiring import Wiring
from pellucid.results.diagnosis import Finding, LineChange
from pellucid.results.watched_script import CodeLine, ScriptCall

__all__ = ["RULE", "find", "stretches"]

_RESHAPES = ("view", "reshape", "flatten", "unflatten", "ravel", "resize", "resize_")
_SAID = (
    "mat1 and mat2 shapes cannot be multiplied",
    "is invalid for input of size",
    "to match target batch_size",
    "size mismatch",
)


def find(evidence: Evidence) -> Finding | None:
    """A reshape in training that cuts across axes, or one that torch refused."""
    if raised(evidence, *_SAID):
        return _finding(
            evidence,
            place=evidence.script.error_place,
            old=(),
            new=(),
            certainty=0.75,
            title="The shapes do not fit",
            layer="",
        )
    for phase in ("train", "evaluation"):
        for wiring in evidence.wirings(phase)[:2]:
            for call in wiring.calls:
                counts = call.reaches_loss if phase == "train" else call.model >= 0
                if (
                    call.function in _RESHAPES
                    and call.inputs
                    and call.outputs
                    and (counts or _feeds_loss(wiring, call))
                ):
                    found = _look(evidence, call)
                    if found is not None:
                        return found
    return None


def _feeds_loss(wiring: Wiring, call: ScriptCall) -> bool:
    """Inputs and targets are reshaped before anything is learned from them."""
    return any(user.reaches_loss for user in wiring.users(call))


def _look(evidence: Evidence, call: ScriptCall) -> Finding | None:
    old, new = call.inputs[0].shape, call.outputs[0].shape
    for first, before, after in stretches(old, new):
        moved = [
            size
            for size in before
            if size > 1 and size in after and before.index(size) != _same_place(before, after, size)
        ]
        if first == 0:
            if sorted(before) == sorted(after):
                return _finding(
                    evidence,
                    place=call.place,
                    old=old,
                    new=new,
                    certainty=0.93,
                    title="A view where axes were to be swapped",
                    layer=call.module,
                )
            return _finding(
                evidence,
                place=call.place,
                old=old,
                new=new,
                certainty=0.85,
                title="A view mixes the examples of a batch",
                layer=call.module,
            )
        if moved and _displaced(before, after):
            return _finding(
                evidence,
                place=call.place,
                old=old,
                new=new,
                certainty=0.85,
                title="A view where axes were to be swapped",
                layer=call.module,
            )
    return None


def stretches(old: tuple[int, ...], new: tuple[int, ...]) -> list[tuple[int, tuple[int, ...], tuple[int, ...]]]:
    """The stretches in which several axes became several others: where each begins, its old and its new sizes.

    >>> stretches((32, 10, 8), (32, 80)), stretches((32, 10, 8), (32, 8, 10)), stretches((32, 10), (10, 32))
    ([], [(1, (10, 8), (8, 10))], [(0, (32, 10), (10, 32))])
    """
    if math.prod(old) != math.prod(new) or 0 in old:
        return []
    found: list[tuple[int, tuple[int, ...], tuple[int, ...]]] = []
    i = j = 0
    while i < len(old) and j < len(new):
        start_old, start_new = i, j
        left, right = old[i], new[j]
        i, j = i + 1, j + 1
        while left != right:
            if left < right:
                left *= old[i]
                i += 1
            else:
                right *= new[j]
                j += 1
        before = tuple(size for size in old[start_old:i] if size > 1)
        after = tuple(size for size in new[start_new:j] if size > 1)
        if len(before) > 1 and len(after) > 1:
            found.append((start_old, before, after))
    return found


def _same_place(before: tuple[int, ...], after: tuple[int, ...], size: int) -> int:
    return after.index(size)


def _displaced(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    """Whether a size of the old shape stands behind another product in the new one: (T, D) to (h, T, d)."""
    for place, size in enumerate(before):
        if size in after:
            ahead, now = math.prod(before[:place]), math.prod(after[: after.index(size)])
            if ahead != now:
                return True
    return False


def _finding(
    evidence: Evidence,
    *,
    place: CodeLine,
    old: tuple[int, ...],
    new: tuple[int, ...],
    certainty: float,
    title: str,
    layer: str,
) -> Finding:
    shapes = f" ({_words(old)} to {_words(new)})" if old else ""
    return make_finding(
        "wrong_reshape",
        severity="fault",
        certainty=certainty,
        title=f"{title}{shapes}",
        place=place,
        layer=layer,
        since=0,
        evidence=[
            figure(f"size of axis {axis}", size, f"{new[axis]} after it" if axis < len(new) else "")
            for axis, size in enumerate(old)
        ],
        curves=[curve("loss", evidence.loss)],
        why="A view keeps the order of numbers in memory: when sizes change places, each row gets pieces of others."
        if old
        else f"torch says: {evidence.script.error}",
        fix="Swap axes with transpose or permute; keep the batch's axis first and its size as it is.",
        changes=_change(evidence, place, old, new),
        disproof="Row i of the result holds the entries of example i alone.",
    )


def _words(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def _change(evidence: Evidence, place: CodeLine, old: tuple[int, ...], new: tuple[int, ...]) -> tuple[LineChange, ...]:
    """A permutation in place of the view, where the sizes tell which."""
    if not old or sorted(old) != sorted(new) or len(set(old)) != len(old) or not place.line:
        return ()
    order = ", ".join(str(old.index(size)) for size in new)
    code = evidence.code(place.file)
    for call in code.calls("view", "reshape", line=place.line):
        import ast

        if isinstance(call.func, ast.Attribute):
            return (code.replaced(call, f"{code.segment(call.func.value)}.permute({order})"),)
    return ()


RULE = Rule(
    "wrong_reshape",
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
        *("overfitting", "unnormalised_inputs"),
    ),
)
