"""Settings changed where the user wrote them: in the call, or in the assignment that names the value."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pellucid.diagnosis.source_changes import SourceCode
from pellucid.results.diagnosis import LineChange
from pellucid.results.watched_script import CodeLine

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence

__all__ = ["find_call", "named_number", "set_argument", "trees"]


def trees(evidence: Evidence) -> Iterator[tuple[str, ast.Module]]:
    """The syntax trees of all files of the user's."""
    for code in evidence.codes:
        yield code.file, code.tree


def find_call(evidence: Evidence, place: CodeLine, *names: str) -> tuple[SourceCode, ast.Call] | None:
    """The call at a line of a function of one of these names, else the only one of the file."""
    file = place.file or evidence.main_file
    code = evidence.code(file)
    here = code.calls(*names, line=place.line) if place.line else []
    if not here:
        here = code.calls(*names)
        if len(here) != 1:
            return None
    return code, here[0]


def set_argument(
    evidence: Evidence, place: CodeLine, function: str, keyword: str, value: str, *, position: int = -1
) -> tuple[LineChange, ...]:
    """A call's argument set to a value: in the call, or where the name that it is given by gets its number.

    Args:
        evidence: Of the run.
        place: Where the call stands.
        function: The last name of what is called.
        keyword: The argument.
        value: The new text.
        position: Where it stands if it is given without keyword; −1: never.
    """
    found = find_call(evidence, place, function)
    if found is None:
        return ()
    code, call = found
    given = next((one.value for one in call.keywords if one.arg == keyword), None)
    if given is None and 0 <= position < len(call.args):
        given = call.args[position]
    if isinstance(given, ast.Name) and (defined := named_number(code, given.id)) is not None:
        return (code.replaced(defined, value),)
    if isinstance(given, ast.Name | ast.Attribute | ast.Subscript):
        return ()
    return (code.with_argument(call, keyword, value, position),)


def named_number(code: SourceCode, name: str) -> ast.expr | None:
    """The number that is assigned to a name, where one line does it; None otherwise."""
    values: list[ast.expr] = []
    for node in ast.walk(code.tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                values += _assigned(target, node.value, name)
    return values[0] if len(values) == 1 and isinstance(values[0], ast.Constant) else None


def _assigned(target: ast.expr, value: ast.expr, name: str) -> list[ast.expr]:
    if isinstance(target, ast.Name) and target.id == name:
        return [value]
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        return [
            given
            for one, given in zip(target.elts, value.elts, strict=True)
            if isinstance(one, ast.Name) and one.id == name
        ]
    return []
