"""Which call is the loss, of which prediction and which target, and how it enters what is back-propagated."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from pellucid.results.watched_script import CodeLine
from pellucid.watch.wiring_calls import CallRecord, SeenCall
from pellucid.watch.wiring_kinds import Reading, read_comparison
from pellucid.watch.wiring_names import LOSSES, REDUCTIONS
from pellucid.watch.wiring_paths import Hit, Summand, explore, source, split
from pellucid.watch.wiring_tensors import SeenTensor

__all__ = ["Term", "dissect", "last_operation"]

_PENALTY = 0
_TARGETLESS = 1
_WEAK = 2
_STRONG = 3
_KNOWN = 4


@dataclass(frozen=True, slots=True)
class Term:
    """One summand of a loss.

    Attributes:
        kind: As ``ScriptLoss.kind``; "penalty" for one of weights alone.
        call: The loss function's call, or that which brings prediction and target together.
        value: What the loss function gave, before factors.
        made_before: The prediction stood before this call.
        rank: How sure it is that this is the loss proper.
        factor: What ``value`` is multiplied by on its way into the loss.
    """

    kind: str
    call: SeenCall | None
    place: CodeLine
    prediction: SeenTensor | None
    target: SeenTensor | None
    value: SeenTensor
    made_before: int
    sign: int
    scale: float
    reduction: str
    rank: int
    factor: float


def dissect(record: CallRecord, loss: SeenTensor, before: int) -> list[Term]:
    """The summands of a loss, the loss proper first.

    Args:
        record: The calls of the step.
        loss: The tensor that is back-propagated.
        before: The number of calls when it was.
    """
    by_flow = loss.is_parameter or not loss.requires_grad

    def is_live(tensor: SeenTensor) -> bool:
        return tensor.requires_grad or (by_flow and tensor.key in record.derived)

    summands = split(record, loss, before, is_live)
    terms = [_term(record, summand, is_live, alone=len(summands) == 1) for summand in summands]
    return sorted(terms, key=lambda term: (-term.rank, -term.scale if math.isfinite(term.scale) else 0.0))


def last_operation(record: CallRecord, term: Term) -> SeenCall | None:
    """The call that made the prediction, rearrangements left out."""
    if term.prediction is None:
        return None
    call, _ = source(record, term.prediction, term.made_before)
    return call


def _term(record: CallRecord, summand: Summand, is_live: Callable[[SeenTensor], bool], *, alone: bool) -> Term:
    hits = explore(record, summand, is_live)
    known = next((hit for hit in hits if hit.kind == "known"), None)
    if known is not None and known.call is not None:
        return _known_term(record, summand, known, known.call, is_live)
    readings = [(hit, read_comparison(record, hit, hits)) for hit in hits if hit.kind == "comparison"]
    readings.sort(key=lambda pair: not pair[1].is_strong)
    if readings:
        hit, reading = readings[0]
        if alone or not hit.live.is_parameter:
            return _read_term(record, summand, hit, reading)
    networks = [hit for hit in hits if hit.kind == "network" and hit.live.key != summand.tensor.key]
    call = record.producer(summand.tensor.key, summand.before)
    place = _place(record, call, summand)
    kind, rank = ("custom", _TARGETLESS) if networks or (alone and not readings) else ("penalty", _PENALTY)
    prediction = networks[0].live if networks else None
    before = networks[0].path[-1].order if networks and networks[0].path else summand.before
    reduction = _reduction([call] if call else [], summand, prediction)
    return Term(
        kind=kind,
        call=call,
        place=place,
        prediction=prediction,
        target=None,
        value=summand.tensor,
        made_before=before,
        sign=0,
        scale=summand.scale,
        reduction=reduction[0],
        rank=rank,
        factor=summand.sign * summand.scale,
    )


def _known_term(
    record: CallRecord, summand: Summand, hit: Hit, call: SeenCall, is_live: Callable[[SeenTensor], bool]
) -> Term:
    """A summand that one of torch's loss functions gave."""
    kind, first, second = LOSSES[call.name]
    prediction, target = call.named.get(first), call.named.get(second)
    if prediction is not None and target is not None and is_live(target) and not is_live(prediction):
        prediction, target = target, prediction
    reduction, scale = _reduction(list(hit.path), summand, prediction)
    given = call.settings.get("reduction")
    if isinstance(given, str) and given != "none":
        reduction = given if given == "mean" or scale == summand.scale else "mean"
    sign = hit.sign
    if call.name == "cosine_similarity":
        sign, target = -sign, target if target is not None and not is_live(target) else None
    return Term(
        kind=kind,
        call=call,
        place=call.place,
        prediction=prediction,
        target=target,
        value=call.outputs[0] if hit.path == summand.path else summand.tensor,
        made_before=call.order,
        sign=sign,
        scale=scale,
        reduction=reduction,
        rank=_KNOWN,
        factor=summand.sign * summand.scale,
    )


def _read_term(record: CallRecord, summand: Summand, hit: Hit, reading: Reading) -> Term:
    """A summand that was written by hand."""
    assert hit.call is not None
    reduction, scale = _reduction(list(hit.path), summand, reading.prediction)
    strong = reading.is_strong
    return Term(
        kind=reading.kind,
        call=hit.call,
        place=hit.call.place,
        prediction=reading.prediction,
        target=reading.target,
        value=summand.tensor,
        made_before=hit.call.order,
        sign=hit.sign * reading.natural,
        scale=scale,
        reduction=reduction,
        rank=_STRONG if strong else _WEAK if reading.natural or reading.kind != "custom" else _TARGETLESS,
        factor=summand.sign * summand.scale,
    )


def _reduction(path: list[SeenCall], summand: Summand, prediction: SeenTensor | None) -> tuple[str, float]:
    """How entries became one number, and the factor that is left: a sum divided by a size of the batch is a mean."""
    names = [call.name for call in path if call.name in REDUCTIONS]
    if any(name in ("mean", "nanmean") for name in names):
        return "mean", summand.scale
    if not names and summand.scale == 1.0:
        return "none", summand.scale
    divisors = [call.settings.get("other") for call in path if call.name == "div"]
    sizes = set(prediction.shape) | {prediction.numel} if prediction is not None else set()
    for divisor in divisors:
        if isinstance(divisor, int | float) and divisor > 1 and divisor in sizes:
            return "mean", summand.scale * float(divisor)
    return ("sum" if names else "none"), summand.scale


def _place(record: CallRecord, call: SeenCall | None, summand: Summand) -> CodeLine:
    if call is not None:
        return call.place
    if summand.path:
        return summand.path[-1].place
    return CodeLine("", 0, "", "")
