"""Where a pass ended early, and how to say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.capture.source_lines import Site, Source, is_foreign, resolve
from pellucid.capture.tape_values import Step
from pellucid.errors import TraceError

__all__ = ["Failure", "explain_failure", "locate_failure"]

_REENTRANT = "use_reentrant=True"

_PLACES = {"forward": "the model", "loss": "the loss", "backward": "the backward pass", "update": "the optimizer"}


@dataclass(frozen=True, slots=True)
class Failure:
    """Where a pass ended early.

    Attributes:
        phase: "forward", "loss", "backward" or "update".
        module: The qualified name of the module that ran; "" for the model itself.
        function: The torch function that raised; "" if it was the module's own code.
        source: The person's line.
        message: What was raised.
    """

    phase: str
    module: str
    function: str
    source: Source | None
    message: str


def locate_failure(
    error: Exception, phase: str, module: str, steps: Sequence[Step], raised_in: tuple[str, Site | None] | None
) -> Failure:
    """Where an error arose.

    Args:
        error: What was raised.
        phase: What ran.
        module: The module that ran.
        steps: The steps until then.
        raised_in: The torch function that raised and its place in the code, if one did.
    """
    function, site = raised_in or ("", None)
    if phase == "backward":
        function, site = _refused(steps, str(error)) or _overwriting(steps, str(error))
    return Failure(phase, module, function, resolve(site) or _raised_at(error), f"{type(error).__name__}: {error}")


def explain_failure(failure: Failure, tape: Any) -> TraceError:
    """The error for the person, with the tape as far as it got."""
    function = f" in {failure.function}" if failure.function else ""
    module = f"module {failure.module}, " if failure.module else ""
    explained = TraceError(
        f"{_PLACES[failure.phase]} raised{function}: {failure.message}",
        place=f"{module}{failure.source}" if failure.source else module.rstrip(", "),
        remedy=f"{_remedy(failure.message)}; the error's .tape holds what was recorded until then",
    )
    explained.tape = tape
    return explained


def _remedy(message: str) -> str:
    """What to do about an error of torch's."""
    if _REENTRANT in message:
        return "call checkpoint(…, use_reentrant=False), whose numbers are the same"
    return "mend the line"


def _refused(steps: Sequence[Step], message: str) -> tuple[str, Site | None] | None:
    """The step whose derivative torch does not have, or does not give here."""
    if _REENTRANT in message:
        alike = [step for step in steps if step.op.startswith("CheckpointFunction")]
        return ("torch.utils.checkpoint.checkpoint", alike[-1].site if alike else None)
    _, without, rest = message.partition("derivative for aten::")
    name = rest.partition(" ")[0].partition(".")[0].rstrip("_")
    alike = [step for step in steps if name and name in (step.op, step.function.rpartition(".")[2].strip("_"))]
    alike = alike or [step for step in steps if name and name.replace("_", "") in step.function.replace("_", "")]
    if not (without and alike):
        return None
    return alike[-1].function, alike[-1].site


def _overwriting(steps: Sequence[Step], message: str) -> tuple[str, Site | None]:
    """The in-place step to which autograd's complaint about an overwritten tensor most likely refers."""
    if "modified by an inplace operation" not in message:
        return "", None
    writing = [step for step in steps if step.in_place and step.written]
    alike = [s for s in writing if f"{list(s.written[0][0].shape)}]" in message]
    if not (alike or writing):
        return "", None
    step = (alike or writing)[-1]
    return step.function, step.site


def _raised_at(error: Exception) -> Source | None:
    """The innermost line of a traceback that belongs to the person."""
    found = None
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if not is_foreign(code.co_filename):
            found = resolve((code, trace.tb_lasti))
        trace = trace.tb_next
    return found
