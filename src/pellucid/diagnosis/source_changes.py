"""Fixes as changes of the user's own lines: found by the syntax tree, everything around them left as it stands."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pellucid.results.diagnosis import LineChange

__all__ = ["SourceCode", "call_name"]


def call_name(node: ast.expr) -> str:
    """The last name of what is called: ``softmax`` of ``torch.nn.functional.softmax``; empty where it has none.

    >>> call_name(ast.parse("F.softmax(x)", mode="eval").body.func)
    'softmax'
    """
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


class SourceCode:
    """One file of the user's, to be searched and changed.

    Every change is a ``LineChange`` of whole lines; the text itself stays. A file that does not parse has no nodes.
    """

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self.lines = text.splitlines()
        try:
            self.tree = ast.parse(text)
        except (SyntaxError, ValueError):
            self.tree = ast.Module(body=[], type_ignores=[])
        self.parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    # -- finding -----------------------------------------------------------------------------------------------------

    def calls(self, *names: str, line: int = 0) -> list[ast.Call]:
        """Calls of functions of these last names, in the order of the text; of a line only where one is given."""
        found = [
            node
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Call)
            and (not names or call_name(node.func) in names)
            and (not line or node.lineno <= line <= (node.end_lineno or node.lineno))
        ]
        return sorted(found, key=lambda node: (node.lineno, node.col_offset))

    def segment(self, node: ast.AST) -> str:
        """The text of a node."""
        return ast.get_source_segment(self.text, node) or ""

    def statement(self, node: ast.AST) -> ast.stmt | None:
        """The innermost statement around a node."""
        found: ast.AST | None = node
        while found is not None and not isinstance(found, ast.stmt):
            found = self.parents.get(found)
        return found

    def statement_at(self, line: int) -> ast.stmt | None:
        """The innermost statement that holds a line."""
        holding = [
            node
            for node in ast.walk(self.tree)
            if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno)
        ]
        return max(holding, key=lambda node: (node.lineno, node.col_offset), default=None)

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """What a node stands in, from the inside outwards."""
        while (outer := self.parents.get(node)) is not None:
            yield outer
            node = outer

    def loop_around(self, line: int) -> ast.For | ast.While | None:
        """The innermost loop around a line."""
        statement = self.statement_at(line)
        if statement is None:
            return None
        return next((outer for outer in self.around(statement) if isinstance(outer, ast.For | ast.While)), None)

    # -- changing ----------------------------------------------------------------------------------------------------

    def replaced(self, node: ast.expr | ast.stmt, text: str) -> LineChange:
        """A node's text replaced."""
        last = node.end_lineno or node.lineno
        before = self.lines[node.lineno - 1 : last]
        head = before[0].encode()[: node.col_offset].decode()
        tail = before[-1].encode()[node.end_col_offset or 0 :].decode()
        return LineChange(self.file, node.lineno, tuple(before), tuple((head + text + tail).splitlines()))

    def with_argument(self, call: ast.Call, keyword: str, value: str, position: int = -1) -> LineChange:
        """A call with one argument set: the one given by keyword or at this position, else a new keyword."""
        for given in call.keywords:
            if given.arg == keyword:
                return self.replaced(given.value, value)
        if 0 <= position < len(call.args):
            return self.replaced(call.args[position], value)
        text = self.segment(call)
        inside = text[:-1].rstrip()
        joint = "" if inside.endswith("(") else " " if inside.endswith(",") else ", "
        return self.replaced(call, f"{inside}{joint}{keyword}={value})")

    def unwrapped(self, call: ast.Call) -> LineChange:
        """A call replaced by its first argument, or by what it is a method of."""
        inner: ast.expr | None = call.args[0] if call.args else None
        if isinstance(call.func, ast.Attribute) and not self._is_library(call.func.value):
            inner = call.func.value
        return self.replaced(call, self.segment(inner) if inner is not None else self.segment(call))

    @staticmethod
    def _is_library(node: ast.expr) -> bool:
        """Whether the owner of an attribute is a module such as ``torch`` or ``F``, judged by its name."""
        text = ast.unparse(node)
        return text in ("F", "nn", "np", "numpy") or text.split(".")[0] in ("torch", "nn", "functional", "np")

    def without_element(self, node: ast.expr) -> LineChange | None:
        """An element taken out of the call, list or tuple it stands in, its comma with it."""
        parent = self.parents.get(node)
        elements: list[ast.expr] = []
        if isinstance(parent, ast.Call):
            elements = parent.args
        elif isinstance(parent, ast.List | ast.Tuple):
            elements = parent.elts
        if parent is None or node not in elements:
            return None
        last = node.end_lineno or node.lineno
        alone = "\n".join(self.lines[node.lineno - 1 : last]).strip().rstrip(",").strip()
        if alone == self.segment(node).strip():
            return self.without_lines(node.lineno, last)
        index = elements.index(node)
        text, outer = self.segment(parent), parent
        assert isinstance(outer, ast.expr)
        start, end = (
            self._offset(outer, node.lineno, node.col_offset),
            self._offset(outer, last, node.end_col_offset or 0),
        )
        if index > 0:
            before = elements[index - 1]
            start = self._offset(outer, before.end_lineno or before.lineno, before.end_col_offset or 0)
        elif len(elements) > 1:
            end = self._offset(outer, elements[1].lineno, elements[1].col_offset)
        return self.replaced(outer, text[:start] + text[end:])

    def _offset(self, outer: ast.expr, line: int, column: int) -> int:
        """Where a place of the file stands in the text of a node around it."""
        if line == outer.lineno:
            return len(self.lines[line - 1].encode()[outer.col_offset : column].decode())
        first = len(self.lines[outer.lineno - 1].encode()[outer.col_offset :].decode()) + 1
        between = sum(len(self.lines[number - 1]) + 1 for number in range(outer.lineno + 1, line))
        return first + between + len(self.lines[line - 1].encode()[:column].decode())

    def without_lines(self, first: int, last: int) -> LineChange:
        """Lines taken out."""
        return LineChange(self.file, first, tuple(self.lines[first - 1 : last]), ())

    def added_before(self, line: int, *texts: str) -> LineChange:
        """Lines added before a line, indented as it is."""
        indent = self._indent(line)
        return LineChange(self.file, line, (), tuple(indent + text for text in texts))

    def added_after(self, line: int, *texts: str) -> LineChange:
        """Lines added after the statement that holds a line, indented as it is."""
        statement = self.statement_at(line)
        last = (statement.end_lineno or line) if statement is not None else line
        indent = self._indent(statement.lineno if statement is not None else line)
        return LineChange(self.file, last + 1, (), tuple(indent + text for text in texts))

    def _indent(self, line: int) -> str:
        text = self.lines[line - 1] if 0 < line <= len(self.lines) else ""
        return text[: len(text) - len(text.lstrip())]
