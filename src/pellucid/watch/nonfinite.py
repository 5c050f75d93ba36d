"""The first NaN or infinity of a script's training, traced to the batch, the operation or the update it came from."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pellucid.results.watched_script import CodeLine, NonFiniteOrigin, ScriptCall
from pellucid.watch.call_site import CallSite, calling_site
from pellucid.watch.nonfinite_search import (
    Origin,
    Singular,
    all_leaves,
    at_singular_point,
    find_in_graph,
    find_in_record,
    has_nonfinite,
    singular_places,
)
from pellucid.watch.script_events import ScriptContext, ScriptObserver
from pellucid.watch.wiring import wiring_of
from pellucid.watch.wiring_calls import SeenCall
from pellucid.watch.wiring_graph import follow
from pellucid.watch.wiring_recipes import HeldForward
from pellucid.watch.wiring_settings import is_plain

__all__ = ["NonFiniteHunt"]

_NOWHERE = CodeLine("", 0, "", "")
_MOST_PROBED = 1 << 16


class NonFiniteHunt(ScriptObserver):
    """Looks at the loss and at one gradient of each step on the processor, and searches once one is not finite.

    In a light step the loss alone is looked at: a gradient that is not finite shows in the next step's.

    On other devices nothing is looked at but learned steps: looking would make the script wait for them.
    """

    part = "nonfinite"

    def __init__(self, context: ScriptContext) -> None:
        super().__init__(context)
        self._wiring = wiring_of(context)
        self._origin: NonFiniteOrigin | None = None
        self._suspect: NonFiniteOrigin | None = None
        self._probe: Tensor | None = None
        self._singular: dict[CallSite, list[Singular]] = {}
        self._held: list[tuple[Singular, Tensor]] = []
        self._point: Origin | None = None
        self._is_finite = True
        self._place = _NOWHERE

    def wants(self, step: int) -> bool:
        """Whether there are operations whose derivative may be infinite: they are looked at in every step."""
        return self._origin is None and any(self._singular.values())

    def backward_begins(self, loss: Tensor, step: int) -> None:
        """Look at the loss."""
        if self._origin is not None or loss.device.type != "cpu" or loss.numel() == 0 or not is_plain(loss):
            return
        self._suspect, self._point = None, None
        self._is_finite = math.isfinite(loss.item()) if loss.numel() == 1 else not has_nonfinite(loss)
        if not self._is_finite:
            self._origin = self._trace_loss(loss, step)
            self._let_go()
            return
        self._prepare(loss)

    def backward_ends(self, loss: Tensor, step: int) -> None:
        """Look at a gradient: the farthest from the loss, which every other one flows into."""
        if self._origin is not None or loss.device.type != "cpu" or not self._is_finite:
            return
        if self._probe is None:
            self._probe = _choose_probe(all_leaves(loss))
        gradient = None if self._probe is None else self._probe.grad
        if gradient is not None and not gradient.is_sparse and not math.isfinite(gradient.float().sum().item()):
            self._suspect = self._trace_gradient(step)
        self._held, self._point = [], None

    def update_ends(self, optimizer: Any, step: int) -> None:
        """A gradient that was not finite has reached the weights; one that a scaler throws away does not."""
        if self._origin is None and self._suspect is not None:
            self._origin = self._suspect
            self._let_go()

    def ended(self, error: BaseException | None) -> None:
        """Let go."""
        self._let_go()

    def parts(self) -> dict[str, Any]:
        """The origin."""
        return {"nonfinite": self._origin}

    def _let_go(self) -> None:
        self._held, self._singular, self._probe = [], {}, None

    def _prepare(self, loss: Tensor) -> None:
        """Hold what would tell of a singular derivative, as long as the graph lives."""
        record = self._wiring.record
        if record is None and not self._singular:
            return
        site = calling_site()
        if record is None:
            places = self._singular.get(site, ())
            held = [(singular, follow(loss, singular.place)) for singular in places]
            self._held = [(singular, tensor.detach()) for singular, tensor in held if tensor is not None]
            return
        before = len(record.calls)
        seen = record.book.see(loss)
        self._place = self.context.place()
        self._singular[site] = singular_places(record, loss, seen, before)
        self._point = at_singular_point(record, seen, before) if self._singular[site] else None

    def _trace_loss(self, loss: Tensor, step: int) -> NonFiniteOrigin:
        """Of a loss that is not finite."""
        kind = "nan" if bool(loss.isnan().any()) else "inf"
        return (
            self._from_data(loss, step, kind)
            or self._from_weights(loss, step, kind)
            or self._from_forward(loss, step, kind)
        )

    def _from_data(self, loss: Tensor, step: int, kind: str) -> NonFiniteOrigin | None:
        """The batch."""
        forwards = list(self._wiring.held.values())
        for place, forward in enumerate(forwards):
            bad = next((tensor for tensor in forward.inputs if has_nonfinite(tensor)), None)
            if bad is not None and not _is_made_by_model(bad, forwards[:place]):
                place_in_script = self.context.place_at(forward.site)
                return _origin(step, "data", "input", place_in_script, kind, _share(bad), inputs_finite=False)
        seen = self._wiring.read(loss)
        if seen is not None and seen.target is not None and has_nonfinite(seen.target):
            return _origin(step, "data", "target", self.context.place(), kind, _share(seen.target), inputs_finite=False)
        return None

    def _from_weights(self, loss: Tensor, step: int, kind: str) -> NonFiniteOrigin | None:
        """Weights that were not finite already."""
        bad = [leaf for leaf in all_leaves(loss) if has_nonfinite(leaf)]
        if not bad:
            return None
        name, module = self._name(bad[-1])
        if step == 0:
            return _origin(step, "initial", name, _NOWHERE, kind, _share(bad[-1]), module=module)
        optimizer = next((each for each in self.context.optimizers if _holds(each, bad[-1])), None)
        state = {} if optimizer is None else optimizer.state.get(bad[-1], {})
        moments = [value for value in state.values() if isinstance(value, Tensor) and value.numel() > 1]
        finite = bool(moments) and not any(has_nonfinite(value) for value in moments)
        what = type(optimizer).__name__ if optimizer is not None else "update"
        if finite:
            detail = f"{what} made {_share(bad[-1])} of {name} from finite gradients, in {_dtype(bad[-1])}"
            return _origin(step - 1, "update", what, _NOWHERE, kind, detail, module=module)
        detail = f"{name} is not finite after the update of step {step - 1}"
        return _origin(step - 1, "backward", "gradient", self._place, kind, detail, module=module)

    def _from_forward(self, loss: Tensor, step: int, kind: str) -> NonFiniteOrigin:
        """An operation on the way from the batch to the loss."""
        wiring = self._wiring
        record = wiring.record
        if record is not None:
            found = find_in_record(record, record.book.see(loss), len(record.calls))
            if found is not None and found.call is not None:
                return self._at_call(step, found, found.call)
        calls = wiring.latest_calls
        seen = find_in_graph(loss, calls)
        inside = any(has_nonfinite(tensor) for forward in wiring.held.values() for tensor in forward.outputs)
        phase = "forward" if inside or not wiring.held else "loss"
        if seen is None:
            return _origin(step, phase, "unknown", self.context.place(), kind, "", inputs_finite=True)
        found, call = seen
        place = call.place if call is not None else self.context.place()
        return _origin(step, phase, found.what, place, kind, found.detail, module=_module(call), inputs_finite=True)

    def _at_call(self, step: int, found: Origin, call: SeenCall) -> NonFiniteOrigin:
        phase = "forward" if call.model >= 0 or not self._is_after_models(call) else "loss"
        return _origin(
            step, phase, found.what, call.place, found.kind, found.detail, module=call.module, inputs_finite=True
        )

    def _is_after_models(self, call: SeenCall) -> bool:
        record = self._wiring.record
        return record is None or call.order >= max(record.roots.values(), default=0)

    def _trace_gradient(self, step: int) -> NonFiniteOrigin:
        """Of a gradient that is not finite, of a loss that is."""
        for singular, tensor in self._held:
            is_singular = bool((tensor == 0).any()) or singular.call.name in ("acos", "asin", "atanh")
            if is_singular or has_nonfinite(tensor):
                zeros = int((tensor == 0).sum())
                detail = f"the derivative of {singular.call.name} at {zeros} zeros"
                return self._of_derivative(step, singular.call, detail)
        if self._point is not None and self._point.call is not None:
            return self._of_derivative(step, self._point.call, f"the derivative of {self._point.detail}")
        name, module = self._name(self._probe) if self._probe is not None else ("", "")
        return _origin(
            step, "backward", "gradient", self.context.place(), "nan", f"gradient of {name}", module=module,
            inputs_finite=True,
        )  # fmt: skip

    def _of_derivative(self, step: int, call: SeenCall, detail: str) -> NonFiniteOrigin:
        return _origin(step, "backward", call.name, call.place, "nan", detail, module=call.module, inputs_finite=True)

    def _name(self, parameter: Tensor) -> tuple[str, str]:
        """A parameter's name and its module's."""
        for model in self.context.models:
            for name, each in model.named_parameters():
                if each is parameter:
                    return name, name.rpartition(".")[0]
        return f"a parameter of {' × '.join(map(str, parameter.shape))}", ""


def _origin(  # noqa: PLR0917  # the fields of the result, in order
    step: int,
    phase: str,
    what: str,
    place: CodeLine,
    kind: str,
    detail: str,
    *,
    module: str = "",
    inputs_finite: bool = True,
) -> NonFiniteOrigin:
    return NonFiniteOrigin(
        step=step,
        phase=phase,
        what=what,
        module=module,
        place=place,
        inputs_finite=inputs_finite,
        kind=kind,
        detail=detail,
    )


def _choose_probe(leaves: list[Tensor]) -> Tensor | None:
    """A small leaf far from the loss."""
    small = [leaf for leaf in leaves if 0 < leaf.numel() <= _MOST_PROBED and is_plain(leaf)]
    return min(small[-4:], key=lambda leaf: leaf.numel(), default=None)


def _share(tensor: Tensor) -> str:
    bad = int((~torch.isfinite(tensor.detach())).sum())
    return f"{bad} of {tensor.numel()} entries"


def _is_made_by_model(tensor: Tensor, earlier: list[HeldForward]) -> bool:
    """Whether an earlier model of the same step gave it."""
    outputs = [made for forward in earlier for made in forward.outputs]
    return any(made.data_ptr() == tensor.data_ptr() or has_nonfinite(made) for made in outputs)


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _holds(optimizer: Any, parameter: Tensor) -> bool:
    return any(each is parameter for group in optimizer.param_groups for each in group["params"])


def _module(call: ScriptCall | None) -> str:
    return call.module if call is not None else ""
