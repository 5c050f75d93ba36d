"""The one widget: a result's payload for the view of its name, and answers where a trace stands behind it."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
from traitlets import Bool, Bytes, Int, Unicode

import pellucid
from pellucid.errors import PellucidError, ServerError, SettingsError
from pellucid.results.base import Result

if TYPE_CHECKING:
    from pellucid.lenses.trace import Trace

__all__ = ["ResultWidget"]

_BUILT = Path(pellucid.__file__).parent / "server" / "static" / "widget"


class ResultWidget(anywidget.AnyWidget):
    """A view in a notebook.

    The script in its state is small: it asks for the views, which a page loads once for all widgets.

    Attributes:
        view: The stem of the result's schema.
        payload: The result's bytes.
        live: Whether a trace answers questions.
        position: The stop of the walk that is shown.
        selected: The open entry, as ``"value:12:3,7"``; '' for none.
        bundle: Names the built views.
    """

    _esm = Unicode().tag(sync=True)
    view = Unicode().tag(sync=True)
    payload = Bytes().tag(sync=True)
    live = Bool().tag(sync=True)
    position = Int(0).tag(sync=True)
    selected = Unicode().tag(sync=True)
    bundle = Unicode().tag(sync=True)

    def __init__(self, shown: Any) -> None:
        self._trace = shown if _is_trace(shown) else None
        result = shown if self._trace is None else self._trace.stepper()
        if not isinstance(result, Result):
            raise SettingsError(
                f"a {type(shown).__name__} is neither a result nor a trace",
                place="show",
                remedy="give it what a measure_… call or pellucid.trace returned",
            )
        loader, _, _, bundle = _read_views()
        super().__init__(
            _esm=loader,
            view=result.schema.split("/")[0],
            payload=result.to_bytes(),
            live=self._trace is not None,
            bundle=bundle,
        )
        self.on_msg(self._hear)

    def _hear(self, _widget: object, message: object, _buffers: object) -> None:
        """Answer the page: with the views, or with what the trace says."""
        if not isinstance(message, dict):
            return
        if message.get("kind") == "views":
            _, script, styles, _ = _read_views()
            self.send({"kind": "views"}, buffers=[script, styles])
        elif message.get("kind") == "ask" and self._trace is not None:
            self._answer(self._trace, message.get("turn"), message.get("question"))

    def _answer(self, trace: Trace, turn: object, question: object) -> None:
        from pellucid.lenses.trace_questions import answer

        try:
            found = answer(trace, question if isinstance(question, Mapping) else {})
        except PellucidError as error:
            said = {"message": error.message, "place": error.place, "remedy": error.remedy}
        except Exception as error:  # a model's own code may raise anything; the next question may fare better
            said = {"message": f"the question could not be answered ({type(error).__name__}: {str(error)[:300]})"}
        else:
            self.send({"kind": "answer", "turn": turn}, buffers=[found.to_bytes()])
            return
        self.send({"kind": "refusal", "turn": turn, **said})


def _is_trace(shown: object) -> bool:
    """Whether it is a live trace; torch is not loaded to find out."""
    module = sys.modules.get("pellucid.lenses.trace")
    return module is not None and isinstance(shown, module.Trace)


@cache
def _read_views() -> tuple[str, bytes, bytes, str]:
    """The script that every widget carries, the views' script and styles, and a name for them."""
    try:
        loader = (_BUILT / "loader.js").read_text("utf-8")
        script, styles = (_BUILT / "views.js").read_bytes(), (_BUILT / "views.css").read_bytes()
    except OSError as error:
        raise ServerError(
            "the views for notebooks are not built",
            place=str(_BUILT),
            remedy="run `make web` in the source checkout; an installed wheel carries them",
        ) from error
    return loader, script, styles, hashlib.sha256(script + styles).hexdigest()[:16]
