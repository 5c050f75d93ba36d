"""Losses of class scores: negative log-likelihood and cross-entropy, with weights, smoothing and soft targets.

Both are −Σ_c q_c ln p_c for every example (and position), q the target as shares of the classes: with class weights w,
smoothing ε and K classes q_c = w_c ((1 − ε)[c = y] + ε/K). An ignored target has q = 0. ``mean`` divides by the sum of
w_y over the targets that count (soft targets: by their number).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule, upstream
from pellucid.core.rules.indexing import grid, wide
from pellucid.core.rules.losses import reduction_of
from pellucid.core.rules.sums import Index, Number, Sum, column, constant, single

__all__ = ["RULES", "ClassLoss"]

_MANY = 1_000_000
"""With more float32 scores than this a loss's terms take the exponentials in float32 (error below 1e-7) to be quick."""

_SLAB = 65_536
"""Scores taken at a time."""


class ClassLoss(Rule):
    """−Σ_c q_c ln p_c; cross-entropy's gradient by a score is (p Σq − q)/N: what the model says minus the truth."""

    def __init__(self, name: str) -> None:
        self.names = (name,)
        self._normalizes = name == "cross_entropy"
        self.signature = (
            "input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction='mean'"
        )
        self.signature += ", label_smoothing=0.0" if self._normalizes else ""
        self.formula = r"L=-\frac1N\sum_{n,c}q_{nc}\ln p_{nc}"
        self.derivative = r"\frac{p-q}{N}" if self._normalizes else r"-\frac qN"

    def _axis(self, args: Arguments) -> int:
        """The classes' axis."""
        return 0 if args["input"].ndim == 1 else 1

    def _soft(self, args: Arguments) -> bool:
        """Whether targets are probabilities."""
        return self._normalizes and args["target"].dtype.is_floating_point

    def _rows(self, tensor: Tensor, axis: int) -> Tensor:
        """Examples and positions as rows, classes as columns."""
        return tensor.movedim(axis, -1).reshape(-1, tensor.shape[axis])

    def _targets(self, args: Arguments, rows: Tensor | slice = slice(None)) -> tuple[Tensor, Tensor]:
        """(q of some rows, each row's share of the divisor of ``mean``)."""
        x, axis, weight = args["input"], self._axis(args), args.get("weight")
        classes, smoothing = x.shape[axis], float(args.get("label_smoothing", 0.0) or 0.0)
        weights = torch.ones(classes, dtype=torch.float64) if weight is None else wide(weight.detach())
        if self._soft(args):
            q = wide(self._rows(args["target"].detach(), axis)[rows]) * (1 - smoothing) + smoothing / classes
            return q * weights, torch.ones(len(q), dtype=torch.float64)
        target = args["target"].reshape(-1)[rows]
        counts = target != args.get("ignore_index", -100)
        safe = torch.where(counts, target, 0)
        hit = (torch.arange(classes) == safe[:, None]).to(torch.float64)
        q = (hit * (1 - smoothing) + smoothing / classes) * weights * counts[:, None]
        return q, weights[safe] * counts

    def _log_shares(self, args: Arguments, rows: Tensor | slice = slice(None)) -> Tensor:
        """ln p of some rows: the scores normalised for cross-entropy, as they are for the likelihood."""
        scores = wide(self._rows(args["input"].detach(), self._axis(args))[rows])
        if not self._normalizes:
            return scores
        shifted = scores - scores.amax(1, keepdim=True)
        return shifted - torch.log(torch.exp(shifted).sum(1, keepdim=True))

    def _divisor(self, args: Arguments, counted: Tensor) -> Number:
        """What the sum of the rows' losses is divided by."""
        return float(counted.sum()) if reduction_of(args) == "mean" else 1.0

    def _all_counted(self, args: Arguments) -> Tensor:
        """Each row's share of the divisor, without building the targets' shares."""
        if self._soft(args) or reduction_of(args) != "mean":
            rows = args["input"].numel() // max(args["input"].shape[self._axis(args)], 1)
            return torch.ones(rows, dtype=torch.float64)
        target, weight = args["target"].reshape(-1), args.get("weight")
        counts = (target != args.get("ignore_index", -100)).to(torch.float64)
        return counts if weight is None else wide(weight.detach())[torch.where(counts > 0, target, 0)] * counts

    def _shape(self, args: Arguments) -> list[int]:
        """The shape of the rows' losses."""
        axis = self._axis(args)
        return [size for k, size in enumerate(args["input"].shape) if k != axis]

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        (q, counted), log_shares = self._targets(args), self._log_shares(args)
        losses = -torch.where(q == 0, 0.0, q * log_shares).sum(1)
        if reduction_of(args) == "none":
            value = losses.reshape(self._shape(args))
        else:
            value = losses.sum() / torch.tensor(self._divisor(args, counted), dtype=losses.dtype)
        return (value.to(args["input"].dtype),)

    def _row_gradients(self, args: Arguments, rows: Tensor | slice = slice(None)) -> Tensor:
        """The slopes of some rows' losses by their scores: p Σq − q, or −q."""
        q, _ = self._targets(args, rows)
        return torch.exp(self._log_shares(args, rows)) * q.sum(1, keepdim=True) - q if self._normalizes else -q

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        axis, x = self._axis(args), args["input"]
        divisor = self._divisor(args, self._all_counted(args))
        grad = wide(upstream(outputs, grads)).reshape(-1, 1) / (divisor or 1.0)
        shape = [*self._shape(args), x.shape[axis]]
        found = {"input": (grad * self._row_gradients(args)).reshape(shape).movedim(-1, axis).to(x.dtype)}
        if self._soft(args):
            found["target"] = (
                (grad * self._target_slopes(args)).reshape(shape).movedim(-1, axis).to(args["target"].dtype)
            )
        return found

    def _target_slopes(self, args: Arguments, rows: Tensor | slice = slice(None)) -> Tensor:
        """The slopes by soft targets: −w (1 − ε) ln p."""
        weight = args.get("weight")
        scale = 1.0 - float(args.get("label_smoothing", 0.0) or 0.0)
        return -self._log_shares(args, rows) * scale * (1.0 if weight is None else wide(weight.detach()))

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        shape = self._shape(args)
        whole = reduction_of(args) != "none"
        rows = torch.arange(math.prod(shape)) if whole else torch.tensor([self._row(index, shape)])
        counted, row, place, share, log_share = self._counting(args, rows)
        at = self._scores(grid(shape)[rows[row]], place, self._axis(args))
        columns = [column("q", at, share), column(r"-\ln p", at, -log_share)]
        divisor = self._divisor(args, counted) if whole else 1.0
        if divisor == 0:
            return Sum.of([], then="s/0", result=outputs[0][index], note="no target counts")
        if divisor != 1:
            columns.append(constant("1/N", 1 / divisor if divisor else math.nan, len(row)))
        total = Sum.of([single(" · ".join(c.name for c in columns), *columns)])
        # ln p is a score less ln of a sum of exponentials that is 1 or more: it is rounded like 1, however near 0.
        return replace(total, inside=float(share.abs().sum()) / abs(divisor)) if self._normalizes else total

    def _counting(self, args: Arguments, rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """(shares of the divisor, and of every q that is not 0 the row, the class, q and ln p) for some rows."""
        if self._soft(args) or args.get("label_smoothing"):
            (q, counted), log_shares = self._targets(args, rows), self._log_shares(args, rows)
            row, place = (q != 0).nonzero().unbind(1)
            return counted, row, place, q[row, place], log_shares[row, place]
        target, weight = args["target"].reshape(-1)[rows], args.get("weight")
        row = (target != args.get("ignore_index", -100)).nonzero().reshape(-1)
        place = target[row]
        share = torch.ones(len(row), dtype=torch.float64) if weight is None else wide(weight.detach()[place])
        scores, at = self._rows(args["input"].detach(), self._axis(args)), rows[row]
        log_share = wide(scores[at, place])
        if self._normalizes:
            log_share = log_share - _log_totals(scores, at)
        return share, row, place, share, log_share

    def _row(self, index: Index, shape: Sequence[int]) -> int:
        """The row of an example and position."""
        row = 0
        for place, size in zip(index, shape, strict=True):
            row = row * size + place
        return row

    def _scores(self, where: Tensor, place: Tensor, axis: int) -> Tensor:
        """Positions of scores from those of rows and the classes."""
        return torch.cat([where[:, :axis], place[:, None], where[:, axis:]], 1)

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        axis, shape = self._axis(args), self._shape(args)
        kept, place = (*index[:axis], *index[axis + 1 :]), index[axis]
        rows = torch.tensor([self._row(kept, shape)])
        grad = upstream(outputs, grads)
        at = () if reduction_of(args) != "none" else kept
        columns = [column("grad", at, grad[at])]
        divisor = self._divisor(args, self._all_counted(args))
        scale = [constant("1/N", 1 / divisor)] if divisor not in (0, 1) else []
        if argument == "target":
            columns.append(column(r"-w\ln p", index, self._target_slopes(args, rows)[0, place]))
            # -ln p is the score taken from the logarithm of a sum, and is rounded as these are.
            scores = float(wide(self._rows(args["input"].detach(), axis)[rows]).abs().max())
            inside = abs(float(grad[at])) / (divisor or 1) * (1 + 2 * scores)
            return replace(Sum.of([single("grad · -ln p", *columns, *scale)]), inside=inside)
        q, _ = self._targets(args, rows)
        blocks = []
        if self._normalizes:
            total = [] if float(q.sum()) == 1 else [constant(r"\sum q", float(q.sum()))]
            share = column("p", index, torch.exp(self._log_shares(args, rows))[0, place])
            blocks.append(single("p", *columns, share, *total, *scale))
        if float(q[0, place]) != 0:
            blocks.append(single("-q", *columns, column("-q", index, -q[0, place]), *scale))
        return Sum.of(blocks, note="p - q: what the model says minus what the target says" if self._normalizes else "")


def _log_totals(scores: Tensor, rows: Tensor) -> Tensor:
    """ln Σ_c exp of some rows, a few rows at a time so that the work stays in the processor's cache."""
    exact = len(rows) * scores.shape[1] <= _MANY or scores.dtype != torch.float32
    totals: list[Tensor] = []
    for some in rows.split(max(1, _SLAB // max(scores.shape[1], 1))):
        slab = wide(scores[some]) if exact else scores[some]
        top = slab.amax(1, keepdim=True)
        totals.append(wide(top[:, 0]) + torch.log(wide(slab.sub_(top).exp_().sum(1))))
    return torch.cat(totals) if totals else torch.zeros(0, dtype=torch.float64)


RULES: tuple[Rule, ...] = (ClassLoss("cross_entropy"), ClassLoss("nll_loss"))
