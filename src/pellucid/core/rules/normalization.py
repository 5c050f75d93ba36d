"""Batch, layer, group, instance and RMS normalisation.

x̂ = (x − μ)/√(σ² + ε) within groups of entries, then y = x̂ · weight + bias. Where μ and σ² come from the group itself,
an input entry acts on the loss by three paths: directly, through the mean, and through the variance of its group.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule, upstream
from pellucid.core.rules.groups import group_key, group_positions, member
from pellucid.core.rules.indexing import linear_positions, reached, sum_to, take, wide
from pellucid.core.rules.movement import number_to_index, row_major
from pellucid.core.rules.sums import Index, Number, Sum, column, constant, single

__all__ = ["RULES", "BatchNorm", "GroupNorm", "Grouping", "InstanceNorm", "LayerNorm", "Normalization", "RMSNorm"]


@dataclass(frozen=True)
class Grouping:
    """How entries are grouped: the input's shape split so that the groups lie along axes, and which axes those are."""

    shape: tuple[int, ...]
    axes: tuple[int, ...]

    @property
    def count(self) -> int:
        """Entries in a group."""
        return math.prod(self.shape[axis] for axis in self.axes)


class Normalization(Rule):
    """x̂ = (x − μ) r with r = 1/√(σ² + ε), σ² over N (not N − 1); y = x̂ w + b.

    With ĝ = ∂L/∂y · w: ∂L/∂x = r (ĝ − mean(ĝ) − x̂ mean(ĝ x̂)) (Ioffe and Szegedy 2015, section 3), the last two terms
    only where the statistics are the group's own. RMS normalisation (Zhang and Sennrich 2019) has no mean: μ = 0.
    """

    cancels = True

    formula = r"y=\frac{x-\mu}{\sqrt{\sigma^2+\varepsilon}}\,w+b"
    derivative = r"\frac{\partial L}{\partial x}=r\left(\hat g-\overline{\hat g}-\hat x\,\overline{\hat g\hat x}\right)"
    centred = True

    @abstractmethod
    def grouping(self, args: Arguments) -> Grouping:
        """The groups that share a mean and a variance."""

    def along_channels(self, args: Arguments, tensor: Tensor) -> Tensor:
        """A vector with one entry a channel, shaped to broadcast with the input."""
        return tensor.reshape(-1, *[1] * (args["input"].ndim - 2))

    def given(self, args: Arguments) -> tuple[Tensor, Tensor] | None:
        """(mean, variance) where they are not taken from the input."""
        return None

    def epsilon(self, args: Arguments) -> Number:
        """ε."""
        return float(args.get("eps", 1e-5))

    def _statistics(self, args: Arguments) -> tuple[Tensor, Tensor]:
        """(x̂, r) for the whole input, in float64."""
        x, given = wide(args["input"].detach()), self.given(args)
        if given is not None:
            mean, variance = (self.along_channels(args, wide(t.detach())) for t in given)
            scale = 1 / torch.sqrt(variance + self.epsilon(args))
            return (x - mean) * scale, scale.expand(x.shape)
        grouping = self.grouping(args)
        grouped = x.reshape(grouping.shape)
        mean = grouped.mean(grouping.axes, keepdim=True) if self.centred else torch.zeros_like(grouped)
        variance = ((grouped - mean) ** 2).mean(grouping.axes, keepdim=True)
        scale = 1 / torch.sqrt(variance + self.epsilon(args))
        return ((grouped - mean) * scale).reshape(x.shape), scale.expand(grouping.shape).reshape(x.shape)

    def _affine(self, args: Arguments) -> tuple[Tensor | None, Tensor | None]:
        """Weight and bias, shaped to broadcast with the input."""
        weight, bias = args.get("weight"), args.get("bias")
        return (
            None if weight is None else self.along_channels(args, weight.detach()),
            None if bias is None else self.along_channels(args, bias.detach()),
        )

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        normalized, _ = self._statistics(args)
        weight, bias = self._affine(args)
        value = normalized if weight is None else normalized * wide(weight)
        value = value if bias is None else value + wide(bias)
        return (value.to(outputs[0].dtype if outputs else args["input"].dtype),)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        grad, (normalized, scale) = wide(upstream(outputs, grads)), self._statistics(args)
        (weight, bias), x = self._affine(args), args["input"]
        inner = grad if weight is None else grad * wide(weight)
        if self.given(args) is None:
            grouping = self.grouping(args)
            shaped, hat = inner.reshape(grouping.shape), normalized.reshape(grouping.shape)
            through = hat * (shaped * hat).mean(grouping.axes, keepdim=True)
            if self.centred:
                through = through + shaped.mean(grouping.axes, keepdim=True)
            inner = (shaped - through).reshape(x.shape)
        found = {"input": (inner * scale).to(x.dtype)}
        if weight is not None:
            found["weight"] = sum_to(grad * normalized, weight.shape).reshape(args["weight"].shape).to(weight.dtype)
        if bias is not None:
            found["bias"] = sum_to(grad, bias.shape).reshape(args["bias"].shape).to(bias.dtype)
        return found

    def _group(self, args: Arguments, index: Index) -> tuple[Tensor, Tensor, float, int]:
        """(the group's positions in the input, x̂ of the group, r, the entry's place within) of one entry."""
        x, given = args["input"].detach(), self.given(args)
        if given is not None:
            mean, variance = (wide(self.along_channels(args, t.detach()).expand(x.shape)[index]) for t in given)
            scale = float(1 / torch.sqrt(variance + self.epsilon(args)))
            where = torch.tensor([index], dtype=torch.int64)
            return where, ((wide(x[index]) - mean) * scale).reshape(1), scale, 0
        grouping = self.grouping(args)
        number = sum(s * i for s, i in zip(row_major(x.shape), index, strict=True))
        inner = number_to_index(number, grouping.shape)
        kept, place = member(inner, grouping.axes, keepdim=True)
        key = group_key(kept, grouping.axes, len(grouping.shape), keepdim=True)
        numbers = linear_positions(group_positions(key, grouping.shape), grouping.shape)
        strides = row_major(x.shape)
        where = torch.stack([numbers // s % n for s, n in zip(strides, x.shape, strict=True)], 1)
        values = wide(take(x, where))
        values = values - values.mean() if self.centred else values
        scale = float(1 / torch.sqrt((values * values).mean() + self.epsilon(args)))
        sizes = [grouping.shape[axis] for axis in grouping.axes]
        return where, values * scale, scale, sum(s * i for s, i in zip(row_major(sizes), place, strict=True))

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        _, hat, scale, place = self._group(args, index)
        weight, bias = self._affine(args)
        name = r"input-\mu" if self.centred else "input"
        columns = [column(name, index, hat[place] / scale), constant("r", scale)]
        shape = args["input"].shape
        if weight is not None:
            columns.append(column("weight", self._own(args, "weight", index), weight.expand(shape)[index]))
        blocks = [single(" · ".join(c.name for c in columns), *columns)]
        if bias is not None:
            blocks.append(single("bias", column("bias", self._own(args, "bias", index), bias.expand(shape)[index])))
        return Sum.of(blocks)

    def _own(self, args: Arguments, name: str, index: Index) -> Index:
        """The entry of weight or bias that goes with an entry of the input."""
        shaped = self.along_channels(args, args[name])
        kept = [0 if n == 1 else i for i, n in zip(index[len(index) - shaped.ndim :], shaped.shape, strict=True)]
        number = sum(s * i for s, i in zip(row_major(shaped.shape), kept, strict=True))
        return number_to_index(number, args[name].shape)

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        grad = upstream(outputs, grads)
        if argument != "input":
            return self._affine_entry(args, grad, argument, index)
        where, hat, scale, place = self._group(args, index)
        weight, _ = self._affine(args)
        factors = [column("grad", where, take(grad, where))]
        if weight is not None:
            factors.append(column("weight", None, take(weight.expand(args["input"].shape), where)))
        own = [
            column(c.name, None if c.index is None else c.index[place : place + 1], c.values[place : place + 1])
            for c in factors
        ]
        blocks = [single("directly", *own, constant("r", scale))]
        if self.given(args) is None:
            count = len(where)
            if self.centred:
                blocks.append(single("through the mean", *factors, constant("-r/N", -scale / count, count)))
            spread = (
                column(r"\hat x", where, hat),
                constant(r"-\hat x_i r/N", -scale * float(hat[place]) / count, count),
            )
            blocks.append(single("through the variance", *factors, *spread))
        return Sum.of(blocks)

    def _affine_entry(self, args: Arguments, grad: Tensor, argument: str, index: Index) -> Sum:
        """Weight and bias are shared: a term for every entry that they were applied to."""
        shaped = self.along_channels(args, args[argument])
        number = sum(s * i for s, i in zip(row_major(args[argument].shape), index, strict=True))
        where = reached(number_to_index(number, shaped.shape), shaped.shape, grad.shape)
        columns = [column("grad", where, take(grad, where))]
        if argument == "weight":
            columns.append(column(r"\hat x", where, take(self._statistics(args)[0], where)))
        return Sum.of([single(" · ".join(c.name for c in columns), *columns)])


class BatchNorm(Normalization):
    """Groups are channels: statistics over batch and places in training, the running ones otherwise."""

    names = ("batch_norm",)
    signature = "input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5"

    @override
    def applies(self, args: Arguments) -> bool:
        return "running_mean" in args

    @override
    def grouping(self, args: Arguments) -> Grouping:
        shape = tuple(args["input"].shape)
        return Grouping(shape, tuple(k for k in range(len(shape)) if k != 1))

    @override
    def given(self, args: Arguments) -> tuple[Tensor, Tensor] | None:
        return None if args["training"] else (args["running_mean"], args["running_var"])


class InstanceNorm(Normalization):
    """Groups are single channels of single examples."""

    names = ("instance_norm",)
    signature = (
        "input, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1,"
        " eps=1e-5"
    )

    @override
    def grouping(self, args: Arguments) -> Grouping:
        shape = tuple(args["input"].shape)
        return Grouping(shape, tuple(range(2, len(shape))))

    @override
    def given(self, args: Arguments) -> tuple[Tensor, Tensor] | None:
        return None if args["use_input_stats"] else (args["running_mean"], args["running_var"])


class GroupNorm(Normalization):
    """Groups are runs of channels of single examples (Wu and He 2018)."""

    names = ("group_norm",)
    signature = "input, num_groups, weight=None, bias=None, eps=1e-5"

    @override
    def grouping(self, args: Arguments) -> Grouping:
        shape, groups = tuple(args["input"].shape), int(args["num_groups"])
        split = (shape[0], groups, shape[1] // groups, *shape[2:])
        return Grouping(split, tuple(range(2, len(split))))


class LayerNorm(Normalization):
    """Groups are the last axes of single examples (Ba et al. 2016)."""

    names = ("layer_norm",)
    signature = "input, normalized_shape, weight=None, bias=None, eps=1e-5"

    @override
    def grouping(self, args: Arguments) -> Grouping:
        shape, own = tuple(args["input"].shape), args["normalized_shape"]
        count = 1 if isinstance(own, int) else len(own)
        return Grouping(shape, tuple(range(len(shape) - count, len(shape))))

    @override
    def along_channels(self, args: Arguments, tensor: Tensor) -> Tensor:
        return tensor


class RMSNorm(LayerNorm):
    """Layer normalisation without the mean; ε is the dtype's machine epsilon unless given."""

    names = ("rms_norm",)
    signature = "input, normalized_shape, weight=None, eps=None"
    formula = r"y=\frac{x}{\sqrt{\overline{x^2}+\varepsilon}}\,w"
    centred = False

    @override
    def epsilon(self, args: Arguments) -> Number:
        eps = args.get("eps")
        return torch.finfo(args["input"].dtype).eps if eps is None else float(eps)


RULES: tuple[Rule, ...] = (BatchNorm(), InstanceNorm(), GroupNorm(), LayerNorm(), RMSNorm())
