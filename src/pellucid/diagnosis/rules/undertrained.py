"""Training stopped too early: the loss was still going down steadily.

The last quarter of the steps lies below the third by more than three standard errors and by a fiftieth of the first
loss at least, and the network has not come to what its data offer. A symptom of a low rate or of a schedule that
ends it early where one of them is found.
"""

from __future__ import annotations

import ast
import math
from typing import TYPE_CHECKING

from pellucid.diagnosis.edits import named_number
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.results.diagnosis import LineChange

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.results.diagnosis import Finding

__all__ = ["RULE", "find"]

_REACHED = 0.92
"""Of the way from chance to the reachable: above, more steps would bring little."""
_FAR, _FAR_AFTER_FEW = 0.7, 0.85
"""Of the same way: below, the run is spoilt; a run that ends nearer has come to something."""
_LEFT, _LEFT_UNSEEN = 0.25, 0.5
"""Of the loss of the best constant answer, still left at the end: the loss must say the same as the score, and all the
more where that was not seen on late training examples, or is not that low."""
_HARDLY_ANY, _HARDLY_BEGUN = 100, 0.6
"""Updates, and of the constant answer's loss: where nothing says what can be reached."""
_FEW_EPOCHS = 5
_FEW_STEPS = 300
_FEW_ERRORS = 1.5
"""Standard errors: so short a run has not the steps to be surer."""


def find(evidence: Evidence) -> Finding | None:
    """A loss that still fell when training stopped."""
    loss, outcome = evidence.loss_curve, evidence.outcome
    few = evidence.script.steps < _FEW_STEPS or 0 < evidence.script.epochs <= _FEW_EPOCHS
    likely = few and loss.late_fall > max(_FEW_ERRORS * loss.late_error, 0.02 * abs(loss.first))
    if not loss.finite or not (loss.still_falling or likely) or loss.rises > 0.5 or loss.last <= 0:
        return None
    known = math.isfinite(outcome.reached) and not _reads(evidence)
    if not known and loss.last < 0.3 * loss.constant:
        return None
    if known and outcome.reached > _REACHED:
        return None
    more = loss.late_fall / max(abs(loss.last), 1e-300)
    if not known and more < 0.1 and not _hardly_begun(evidence):
        return None
    severity = "fault" if (_is_far(evidence, few) if known else _hardly_begun(evidence)) else "warning"
    change = _more_epochs(evidence)
    times = change[1] if change else 10
    return make_finding(
        "undertrained",
        severity=severity,
        certainty=0.55 + (0.2 if few else 0.0) + min(0.1, 0.3 * more),
        title=f"Training stopped after {evidence.script.steps:,} updates while the loss was still falling",
        place=evidence.place(change[0].file, change[0].line) if change else None,
        since=evidence.script.steps,
        evidence=[
            figure("loss in the third quarter", loss.last + loss.late_fall),
            figure("loss at the end", loss.last, "level with the quarter before"),
            figure("share of the reachable score that was reached", outcome.reached, "about 1"),
            figure("updates", evidence.script.steps),
        ],
        curves=[curve("loss", evidence.loss)],
        why="The network was on its way to a better answer and was not given the steps to get there.",
        fix=f"Train about {times} times as long.",
        changes=[change[0]] if change else [],
        disproof="With more epochs the loss does not fall further.",
    )


def _is_far(evidence: Evidence, few: bool) -> bool:
    """Whether score and loss both say that most of the way was still ahead."""
    reached, loss = evidence.outcome.reached, evidence.loss_curve
    left = loss.last / loss.constant if loss.constant > 0 else math.inf
    if reached < _FAR and math.isfinite(evidence.outcome.score("train")):
        return left > _LEFT
    return left > _LEFT_UNSEEN and reached < (_FAR_AFTER_FEW if few else _FAR)


def _reads(evidence: Evidence) -> bool:
    """Whether the inputs are numbers of words, of which trees know too little to say what can be reached."""
    seen = evidence.examples("train")
    return seen is not None and seen.tokens


def _hardly_begun(evidence: Evidence) -> bool:
    """Whether a few dozen updates left most of the loss of a constant answer, where data might offer much more."""
    loss = evidence.loss_curve
    unknown = _reads(evidence) or not math.isfinite(evidence.outcome.reachable)
    return unknown and evidence.script.steps < _HARDLY_ANY and loss.last > _HARDLY_BEGUN * loss.constant > 0


def _more_epochs(evidence: Evidence) -> tuple[LineChange, int] | None:
    """The line that says how many epochs, with ten times as many."""
    code = evidence.code(evidence.main_file)
    for node in ast.walk(code.tree):
        if not isinstance(node, ast.For) or not isinstance(node.iter, ast.Call) or len(node.iter.args) != 1:
            continue
        name, given = ast.unparse(node.target).lower(), node.iter.args[0]
        if ast.unparse(node.iter.func) not in ("range", "trange") or not any(
            word in name for word in ("ep", "step", "it")
        ):
            continue
        if isinstance(given, ast.Name):
            given = named_number(code, given.id) or given
        if isinstance(given, ast.Constant) and isinstance(given.value, int):
            return code.replaced(given, str(10 * given.value)), 10
    return None


RULE = Rule("undertrained", find, needs=("steps",))
