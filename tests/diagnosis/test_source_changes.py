"""Changes of source: what they give must parse, and say what a person would have written."""

import ast

import pytest

from pellucid.diagnosis.source_changes import SourceCode
from pellucid.results.diagnosis import LineChange


def applied(text: str, change: LineChange) -> str:
    """The text with the change made, by its own account of lines."""
    lines = text.splitlines()
    first = change.line - 1
    assert tuple(lines[first : first + len(change.before)]) == change.before
    lines[first : first + len(change.before)] = change.after
    return "\n".join(lines)


def same(text: str, other: str) -> bool:
    return ast.dump(ast.parse(text)) == ast.dump(ast.parse(other))


def test_a_keyword_is_replaced_added_or_found_by_place():
    text = "opt = torch.optim.Adam(net.parameters(), lr=0.5)  # fast"
    code = SourceCode("a.py", text)
    made = code.calls("Adam")[0]
    assert applied(text, code.with_argument(made, "lr", "0.01")) == text.replace("0.5", "0.01")
    assert same(
        applied(text, code.with_argument(made, "eps", "1e-4")),
        "opt = torch.optim.Adam(net.parameters(), lr=0.5, eps=1e-4)",
    )
    text = "y = torch.softmax(x, 0)"
    code = SourceCode("a.py", text)
    assert applied(text, code.with_argument(code.calls("softmax")[0], "dim", "-1", 1)) == "y = torch.softmax(x, -1)"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("net = S(a(1), b(2),\n    Softmax(dim=1),\n)", "net = S(a(1), b(2))"),
        ("net = S(a(1), b(2), Softmax(dim=1))", "net = S(a(1), b(2))"),
        ("net = S(Softmax(dim=1), b(2))", "net = S(b(2))"),
        ("layers = [a(1), Softmax(1), b('ä', 2)]", "layers = [a(1), b('ä', 2)]"),
        ("net = S(\n    a('é'), Softmax(),\n    b(2),\n)", "net = S(a('é'), b(2))"),
    ],
)
def test_an_element_is_taken_out_with_its_comma(text, wanted):
    code = SourceCode("a.py", text)
    change = code.without_element(code.calls("Softmax")[0])
    assert change is not None
    assert same(applied(text, change), wanted)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("y = torch.relu(self.fc(x))", "y = self.fc(x)"),
        ("y = F.relu(self.fc(x), inplace=True)", "y = self.fc(x)"),
        ("y = self.fc(x).relu()", "y = self.fc(x)"),
    ],
)
def test_a_call_is_unwrapped(text, wanted):
    code = SourceCode("a.py", text)
    assert applied(text, code.unwrapped(code.calls("relu")[0])) == wanted


def test_lines_are_added_with_the_indentation_of_their_place():
    text = "for b in data:\n    loss = f(b)\n    loss.backward()\n    opt.step()"
    code = SourceCode("a.py", text)
    assert applied(text, code.added_before(3, "opt.zero_grad()")).splitlines()[2] == "    opt.zero_grad()"
    assert applied(text, code.added_after(4, "done()")).splitlines()[4] == "    done()"
    loop = code.loop_around(3)
    assert loop is not None
    assert loop.lineno == 1


def test_a_file_that_does_not_parse_has_no_calls():
    assert SourceCode("a.py", "def (").calls() == []
