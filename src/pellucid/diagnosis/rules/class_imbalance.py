"""A rare class is not made up for: the network answers with the common one.

A class is rare with less than a fifth of an even share's examples, or below 15 % of two. Nothing weights it (no
``weight``, no ``pos_weight``, no weighted sampler), and of its examples the network finds less than 40 % at the
end: half of what a balanced threshold would find with an error of 20 % on both sides. That the scores rank rare
examples above common ones (area under the curve above 0.6) shows that something was learned, and that the weights
alone are wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.diagnosis.edits import find_call
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.results.diagnosis import LineChange
from pellucid.results.watched_script import ExamplesSeen, ScriptLoss

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.results.diagnosis import Finding

__all__ = ["RULE", "find"]

_RARE_OF_TWO = 0.15
_RARE_SHARE = 0.2
_FOUND = 0.4
_RANKED = 0.6
_LEAST = 3
_SURE = 10
"""Examples of a rare class among many: of fewer, some class goes unfound by chance."""
_NAN = float("nan")


def find(evidence: Evidence) -> Finding | None:
    """A rare class that the network does not find."""
    loss, seen, outcome = evidence.main_loss, evidence.examples("train"), evidence.outcome
    if seen is None or not len(seen.targets) or outcome.task not in ("classes", "binary"):
        return None
    if loss is None or _weighted(evidence, loss):
        return None
    numbers = _classes(seen.targets)
    values, counts = np.unique(numbers, return_counts=True)
    if len(values) < 2 or not evidence.loss_curve.finite:
        return None
    share = counts / counts.sum()
    limit = _RARE_OF_TWO if len(values) == 2 else _RARE_SHARE / len(values)
    if share.min() >= limit:
        return None
    rare = int(values[share.argmin()])
    recall, ranked, rows = _found(evidence, seen, rare)
    if not recall < _FOUND:
        return None
    certainty = 0.85 if ranked > _RANKED else 0.6
    return make_finding(
        "class_imbalance",
        severity="fault" if len(values) == 2 or rows >= _SURE else "warning",
        certainty=certainty,
        title=f"Class {rare:g} has {share.min():.1%} of the examples, and the network finds {recall:.0%} of them",
        place=loss.place,
        since=0,
        evidence=[
            figure("share of the rarest class", float(share.min()), f"{1 / len(values):.2g} when even"),
            figure("share of it that is found (recall)", recall, "near 1"),
            figure("area under the curve of its scores", ranked, "0.5 knows nothing, 1 separates"),
            figure("rare examples looked at", rows),
            figure("share of the commonest class", float(share.max()), "what accuracy alone shows"),
        ],
        curves=[curve("minority recall", evidence.series("train", "prediction", "minority_recall"))],
        why="With so few of them, answering with the common class costs the loss next to nothing.",
        fix=_fix(len(values), share),
        changes=_change(evidence, loss, share),
        disproof="With the class weighted, its recall does not rise.",
    )


def _classes(targets: np.ndarray) -> np.ndarray:
    flat = np.asarray(targets, dtype=np.float64).reshape(len(targets), -1)
    return (flat.argmax(axis=1) if flat.shape[1] > 1 else flat[:, 0].round()).astype(np.int64)


def _weighted(evidence: Evidence, loss: ScriptLoss) -> bool:
    weights = (loss.settings.get("weight"), loss.settings.get("pos_weight"))
    if any(given not in (None, "", False) for given in weights):
        return True
    return any("Weighted" in loader.sampler for loader in evidence.script.loaders if loader.trained)


def _found(evidence: Evidence, seen: ExamplesSeen, rare: int) -> tuple[float, float, int]:
    """Recall of the rare class at the end, the area under the curve of its scores, and of how many examples."""
    best = (_NAN, _NAN, 0)
    for phase in (seen, evidence.examples("evaluation")):
        if phase is None or len(phase.predictions) != len(phase.targets) or not len(phase.targets):
            continue
        late = evidence.outcome.late(phase)
        if not late.any():
            continue
        scores = np.asarray(phase.predictions, dtype=np.float64).reshape(len(phase.predictions), -1)[late]
        hit = _classes(phase.targets)[late] == rare
        if hit.sum() < _LEAST or hit.all() or not np.isfinite(scores).all() or hit.sum() <= best[2]:
            continue
        best = (*_recall(scores, hit, rare), int(hit.sum()))
    if best[2]:
        return best
    return evidence.last("prediction", "minority_recall"), _NAN, 0


def _recall(scores: np.ndarray, hit: np.ndarray, rare: int) -> tuple[float, float]:
    if scores.shape[1] == 1:
        cut = 0.5 if scores.min() >= 0 and scores.max() <= 1 else 0.0
        score = scores[:, 0] if rare > 0 else -scores[:, 0]
        chosen = (scores[:, 0] > cut) == (rare > 0)
    else:
        score = scores[:, min(int(rare), scores.shape[1] - 1)] - scores.max(axis=1)
        chosen = scores.argmax(axis=1) == rare
    order = score.argsort(kind="stable")
    ranks = np.empty(len(score))
    ranks[order] = np.arange(1, len(score) + 1)
    positives = int(hit.sum())
    area = (ranks[hit].sum() - positives * (positives + 1) / 2) / (positives * (len(hit) - positives))
    return float(chosen[hit].mean()), float(area)


def _fix(classes: int, share: np.ndarray) -> str:
    if classes == 2:
        return (
            f"Weight the rare class: pos_weight={share.max() / share.min():.3g} in "
            "BCEWithLogitsLoss, or weight=… in CrossEntropyLoss."
        )
    return "Give CrossEntropyLoss weight = 1 / (classes · share), or draw batches by WeightedRandomSampler."


def _change(evidence: Evidence, loss: ScriptLoss, share: np.ndarray) -> list[LineChange]:
    if loss.kind != "bce_with_logits":
        return []
    for name in ("BCEWithLogitsLoss", "binary_cross_entropy_with_logits"):
        found = find_call(evidence, loss.place, name)
        if found is not None:
            code, call = found
            return [code.with_argument(call, "pos_weight", f"torch.tensor({share.max() / share.min():.3g})")]
    return []


RULE = Rule(
    "class_imbalance",
    find,
    explains=("undertrained", "lr_too_low", "label_corruption", "undersized_network"),
    needs=("losses", "examples"),
)
