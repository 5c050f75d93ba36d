"""What a hand-written loss measures, read from how it brings a prediction and a target together."""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.watch.wiring_calls import CallRecord, SeenCall
from pellucid.watch.wiring_names import LOGARITHMS, VIEWS
from pellucid.watch.wiring_paths import Hit, is_even, source
from pellucid.watch.wiring_tensors import SeenTensor

__all__ = ["Reading", "read_comparison"]

_GUARDED = VIEWS | {"clamp", "add", "clamp_min", "clamp_max", "maximum"}
"""What people put between probabilities and their logarithm."""

_HINGES = {"relu", "clamp", "clamp_min", "maximum", "max", "softplus"}
_SOFTENED = {"softplus", "log1p", "logaddexp"}


@dataclass(frozen=True, slots=True)
class Reading:
    """A kind with prediction and target; ``natural`` is the sign with which it is minimised, 0 where none is known."""

    kind: str
    prediction: SeenTensor
    target: SeenTensor | None
    natural: int
    is_strong: bool


def read_comparison(record: CallRecord, hit: Hit, hits: list[Hit]) -> Reading:
    """The kind of loss that one meeting of prediction and target makes.

    Args:
        record: The calls of the step.
        hit: The meeting.
        hits: All that was met in the same summand.
    """
    assert hit.call is not None
    if hit.call.name in ("sub", "rsub"):
        return _difference(hit)
    if hit.call.name == "where":
        return _choice(record, hit)
    if hit.call.name == "mul":
        return _product(record, hit, hits)
    return _pick(record, hit, hits)


def _difference(hit: Hit) -> Reading:
    """A prediction less a target."""
    evens = [call for call in hit.path if is_even(call)]
    if evens:
        names = {call.name for call in hit.path}
        # A number in the target's place is a meeting only where nothing better is met.
        return Reading(_difference_kind(hit, names, evens), hit.live, hit.dead, 1, hit.dead is not None)
    kind = "hinge" if any(call.name in _HINGES for call in hit.path) else "custom"
    return Reading(kind, hit.live, hit.dead, 0, False)


def _difference_kind(hit: Hit, names: set[str], evens: list[SeenCall]) -> str:
    squares = [call for call in evens if call.name in ("square", "pow", "mul")]
    absolute = any(call.name == "abs" for call in evens)
    if "cosh" in names:
        return "log_cosh"
    if absolute and squares:
        return "huber" if "where" in names else "mse"
    if not squares:
        return "l1" if absolute else "rmse"
    if "logsumexp" in names or _meets_live(hit.path, squares[-1]):
        return "gaussian_nll"
    return "rmse" if "sqrt" in names else "mse"


def _meets_live(path: tuple[SeenCall, ...], square: SeenCall) -> bool:
    """Whether something else that is learned is added to the squares, entry by entry: a log-variance."""
    for call in path:
        if call.order > square.order and call.name in ("add", "sub", "rsub"):
            large = [tensor for tensor in call.inputs if tensor.requires_grad and tensor.numel > 1]
            if len({tensor.key for tensor in large}) > 1:
                return True
    return False


def _pick(record: CallRecord, hit: Hit, hits: list[Hit]) -> Reading:
    """The entry at the target's class."""
    maker, _ = _maker(record, hit)
    if any(call.name in LOGARITHMS for call in hit.path):
        kind = "categorical"
    elif maker is not None and (maker.name in {"log_softmax", "sub"} | LOGARITHMS or maker.name == "logsigmoid"):
        kind = "nll"
    else:
        return Reading("custom", hit.live, hit.dead, 0, False)
    weights = [other.dead for other in hits if other.call in hit.path and other.call and other.call.name == "mul"]
    signed = [weight for weight in weights if weight is not None and record.book.facts(weight, "").minimum < 0]
    return Reading("policy_gradient" if signed else kind, hit.live, hit.dead, -1, True)


def _choice(record: CallRecord, hit: Hit) -> Reading:
    """``where(target == 1, p, 1 − p)`` under a logarithm."""
    assert hit.call is not None
    if not any(call.name in LOGARITHMS for call in hit.path) or hit.dead is None:
        return Reading("custom", hit.live, None, 0, False)
    asked = record.producer(hit.dead.key, hit.call.order)
    target = asked.inputs[0] if asked is not None and asked.inputs else hit.dead
    call, tensor = source(record, hit.live, hit.call.order)
    prediction = call.inputs[0] if call is not None and call.name == "rsub" else tensor
    return Reading("bce", prediction, target, -1, True)


def _product(record: CallRecord, hit: Hit, hits: list[Hit]) -> Reading:
    """A prediction times a target: a likelihood where a logarithm was taken of it, else a margin or an overlap."""
    maker, made = _maker(record, hit)
    if maker is None:
        return _margin(record, hit)
    if maker.name in LOGARITHMS:
        return _likelihood(record, maker, hit, hits)
    if maker.name == "log_softmax":
        return Reading("nll", hit.live, hit.dead, -1, True)
    if maker.name == "logsigmoid":
        call, tensor = source(record, maker.inputs[0], maker.order)
        logits = call.inputs[0] if call is not None and call.name == "neg" else tensor
        return Reading("bce_with_logits", logits, _plain_target(record, hits, hit), -1, True)
    if maker.name in ("softplus", "binary_cross_entropy"):
        return Reading("custom", made, hit.dead, 0, False)
    return _margin(record, hit)


def _likelihood(record: CallRecord, logarithm: SeenCall, hit: Hit, hits: list[Hit]) -> Reading:
    """A target times the logarithm of probabilities; with the other event's beside it, that of two classes."""
    p, complement = _probability(record, logarithm)
    twin = complement
    for other in hits:
        if other is hit or other.kind != "comparison" or other.call is None or other.call.name != "mul":
            continue
        maker, _ = _maker(record, other)
        if maker is not None and maker.name in LOGARITHMS:
            twin = twin or _probability(record, maker)[1] != complement
    if twin:
        return Reading("bce", p, _plain_target(record, hits, hit), -1, True)
    single = len(p.shape) < 2 or p.shape[-1] == 1
    return Reading("bce" if single else "categorical", p, hit.dead, -1, True)


def _probability(record: CallRecord, logarithm: SeenCall) -> tuple[SeenTensor, bool]:
    """What a logarithm was taken of, small guards left out, and whether it was of one less it."""
    call, tensor = source(record, logarithm.inputs[0], logarithm.order, _GUARDED)
    if call is not None and call.name == "rsub":
        _, inner = source(record, call.inputs[0], call.order, _GUARDED)
        return inner, True
    return tensor, False


def _plain_target(record: CallRecord, hits: list[Hit], hit: Hit) -> SeenTensor | None:
    """The target itself where ``1 − target`` stands beside it."""
    products = [other for other in hits if other.call is not None and other.call.name == "mul" and other.dead]
    for other in [*products, hit]:
        assert other.call is not None
        assert other.dead is not None
        maker = record.producer(other.dead.key, other.call.order)
        if maker is not None and maker.name == "rsub":
            return maker.inputs[0]
    return hit.dead


def _margin(record: CallRecord, hit: Hit) -> Reading:
    """Not of probabilities."""
    for call in hit.path:
        if call.name in ("add", "sub", "rsub"):
            for tensor in call.inputs:
                maker, _ = source(record, tensor, call.order)
                if maker is not None and maker.name in _SOFTENED:
                    return Reading("bce_with_logits", hit.live, hit.dead, -1, True)
    names = {call.name for call in hit.path}
    if names & _HINGES:
        return Reading("hinge", hit.live, hit.dead, 0, False)
    divided = any(call.name == "div" and sum(t.requires_grad for t in call.inputs) > 1 for call in hit.path)
    return Reading("dice" if divided else "custom", hit.live, hit.dead, 0, False)


def _maker(record: CallRecord, hit: Hit) -> tuple[SeenCall | None, SeenTensor]:
    assert hit.call is not None
    call, tensor = source(record, hit.live, hit.call.order)
    if call is not None and call.name in ("mul", "neg", "div", "rsub") and call.inputs:
        # −log p, or focal weights on it.
        for part in call.inputs:
            inner, made = source(record, part, call.order)
            if inner is not None and inner.name in LOGARITHMS | {"log_softmax", "logsigmoid"}:
                return inner, made
    return call, tensor
