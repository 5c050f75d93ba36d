"""Widgets of results and traces, without a browser: what they carry, what they answer, where there are none."""

import builtins
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional

import pellucid
from pellucid.errors import MissingExtraError, SettingsError
from pellucid.results.base import Result
from pellucid.results.rendering import notebook_bundle

VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def trace():
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    return pellucid.trace(model, torch.randn(4, 3), target=torch.tensor([0, 1, 1, 0]), loss=functional.cross_entropy)


@pytest.fixture
def in_notebook(monkeypatch):
    """What a kernel looks like from within."""
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell, version_info=(9, 0)))


def heard(widget, message):
    """What a widget sends on a message."""
    sent = []
    widget.send = lambda content, buffers=(): sent.append((content, list(buffers)))
    widget._hear(widget, message, [])
    return sent


def test_a_trace_is_its_walk_and_answers(trace):
    widget = pellucid.widgets.show(trace)
    assert (widget.view, widget.live) == ("trace_stepper", True)
    assert Result.from_bytes(widget.payload).walk == trace.stepper().walk
    question = {"ask": "gradient", "name": "weight", "index": [0, 1]}
    [(content, [payload])] = heard(widget, {"kind": "ask", "turn": 7, "question": question})
    assert content == {"kind": "answer", "turn": 7}
    assert Result.from_bytes(payload).value == pytest.approx(float(trace.gradient("weight", (0, 1)).value))


def test_a_refusal_says_where_and_what_to_do(trace):
    widget = pellucid.widgets.show(trace)
    [(content, _)] = heard(widget, {"kind": "ask", "turn": 1, "question": {"ask": "value", "name": "nowhere"}})
    assert content["kind"] == "refusal"
    assert "nowhere" in content["message"]
    [(content, _)] = heard(widget, {"kind": "ask", "turn": 2, "question": "what?"})
    assert "there is no question" in content["message"]
    assert heard(widget, "noise") == heard(widget, {"kind": "noise"}) == []


def test_any_result_is_shown_and_asks_nobody(trace):
    for result in (trace.check(), trace.outline(), trace.loss.explain(), trace.what_if("bias", 0, value=1.0)):
        widget = pellucid.widgets.show(result)
        assert widget.view == result.schema.split("/")[0]
        assert not widget.live
        assert heard(widget, {"kind": "ask", "turn": 1, "question": {"ask": "loss"}}) == []
    with pytest.raises(SettingsError, match="a list is neither a result nor a trace"):
        pellucid.widgets.show([])


def test_the_script_in_each_widgets_state_is_small(trace):
    widget = pellucid.widgets.show(trace.outline())
    assert len(widget._esm) < 4000
    [(_, [script, styles])] = heard(widget, {"kind": "views"})
    assert b"mountResult" in script
    assert b"@media (width" not in styles, "a cell's width counts, not the window's"


def test_a_cells_last_line_becomes_a_view_in_a_notebook_only(trace, in_notebook):
    for shown in (trace, trace.outline()):
        bundle = shown._repr_mimebundle_(include=None, exclude=None)
        assert bundle[VIEW]["model_id"]
        assert bundle["text/plain"] == str(shown)
    sys.modules["IPython"].get_ipython().kernel = None
    assert trace._repr_mimebundle_() is None
    assert notebook_bundle(trace.outline()) is None


def test_without_anywidget_the_static_forms_stay(trace, in_notebook, monkeypatch):
    importing = builtins.__import__

    def refuse(name, *arguments, **keywords):
        if name == "anywidget":
            raise ModuleNotFoundError("No module named 'anywidget'", name="anywidget")
        return importing(name, *arguments, **keywords)

    monkeypatch.delitem(sys.modules, "pellucid.widgets.result_widget", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"pip install 'pellucid\[notebook\]'"):
        pellucid.widgets.show(trace)
    assert trace._repr_mimebundle_() is None
    assert "<table" in trace._repr_html_()


def test_a_text_stays_a_text_in_a_notebook(trace, in_notebook, capsys):
    assert "linear" in str(trace)
    assert capsys.readouterr().out == ""


def test_neither_torch_nor_anywidget_is_loaded_before_it_is_needed():
    code = "import pellucid.widgets, sys; print({'torch', 'anywidget', 'ipywidgets'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"
