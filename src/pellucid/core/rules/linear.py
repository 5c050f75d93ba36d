"""Linear layers and matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments
from pellucid.core.rules.contraction import Addend, Contraction, Operand, Product

__all__ = [
    "RULES",
    "AddedMatrixProduct",
    "Bilinear",
    "Einsum",
    "InnerProduct",
    "Linear",
    "MatrixProduct",
    "OuterProduct",
    "SummedBatchProduct",
    "TensorDot",
    "VectorDot",
    "matrix_labels",
    "multiply_out",
]


class Linear(Contraction):
    """Each output unit is the sum of inputs times its row of weights, plus its bias: y = x Wᵀ + b."""

    names = ("linear",)
    signature = "input, weight, bias=None"
    formula = r"y_o=\sum_i x_i W_{oi}+b_o"

    @override
    def product(self, args: Arguments) -> Product:
        x, weight, bias = args["input"], args["weight"], args.get("bias")
        lead = tuple(range(2, 1 + x.ndim))
        units = (1,) if weight.ndim == 2 else ()
        operands = (Operand("input", x, (*lead, 0)), Operand("weight", weight, (*units, 0)))
        return Product(operands, (*lead, *units), addends=() if bias is None else (Addend("bias", bias),))


class MatrixProduct(Contraction):
    """Rows times columns; leading axes are a batch and broadcast: Y = A B."""

    names = ("matmul", "mm", "bmm", "mv", "dot", "vdot")
    signature = "matmul vdot: input, other | mm bmm: input, mat2 | mv: input, vec | dot: input, tensor"
    formula = r"y_{ij}=\sum_k a_{ik}b_{kj}"

    @override
    def product(self, args: Arguments) -> Product:
        second = next(name for name in ("other", "mat2", "vec", "tensor") if name in args)
        return Product(*matrix_labels("input", args["input"], second, args[second]))


def matrix_labels(a_name: str, a: Tensor, b_name: str, b: Tensor) -> tuple[tuple[Operand, ...], tuple[int, ...]]:
    """Operands and output labels of ``matmul``: 0 rows, 1 columns, 2 the axis summed over, 3 … the batch."""
    batch = tuple(range(3, 3 + max(a.ndim - 2, b.ndim - 2, 0)))[::-1]
    a_batch = batch[len(batch) - max(a.ndim - 2, 0) :]
    b_batch = batch[len(batch) - max(b.ndim - 2, 0) :]
    rows, columns = (0,) if a.ndim > 1 else (), (1,) if b.ndim > 1 else ()
    operands = (Operand(a_name, a, (*a_batch, *rows, 2)), Operand(b_name, b, (*b_batch, 2, *columns)))
    return operands, (*batch, *rows, *columns)


class AddedMatrixProduct(Contraction):
    """A matrix product scaled by α, plus an addend scaled by β: β C + α A B."""

    names = ("addmm", "addmv", "baddbmm")
    signature = (
        "addmm: input, mat1, mat2, *, beta=1, alpha=1 | addmv: input, mat, vec, *, beta=1, alpha=1"
        " | baddbmm: input, batch1, batch2, *, beta=1, alpha=1"
    )
    formula = r"y=\beta c+\alpha\sum_k a_{ik}b_{kj}"
    pairs = (("mat1", "mat2"), ("mat", "vec"), ("batch1", "batch2"))

    @override
    def product(self, args: Arguments) -> Product:
        a, b = next(pair for pair in self.pairs if pair[0] in args)
        operands, output = matrix_labels(a, args[a], b, args[b])
        addends = (Addend("input", args["input"], args["beta"]),) if args["beta"] != 0 else ()
        return Product(operands, output, args["alpha"], addends)


class SummedBatchProduct(Contraction):
    """Matrix products added up over the batch: β C + α Σ_b A_b B_b."""

    names = ("addbmm",)
    signature = "input, batch1, batch2, *, beta=1, alpha=1"
    formula = r"y_{ij}=\beta c_{ij}+\alpha\sum_{b,k}a_{bik}b_{bkj}"

    @override
    def product(self, args: Arguments) -> Product:
        operands = (Operand("batch1", args["batch1"], (3, 0, 2)), Operand("batch2", args["batch2"], (3, 2, 1)))
        addends = (Addend("input", args["input"], args["beta"]),) if args["beta"] != 0 else ()
        return Product(operands, (0, 1), args["alpha"], addends)


class OuterProduct(Contraction):
    """Every entry of one vector times every entry of the other."""

    names = ("outer", "ger", "addr")
    signature = "outer ger: input, vec2 | addr: input, vec1, vec2, *, beta=1, alpha=1"
    formula = r"y_{ij}=a_i b_j"

    @override
    def product(self, args: Arguments) -> Product:
        if "vec1" in args:
            addends = (Addend("input", args["input"], args["beta"]),) if args["beta"] != 0 else ()
            operands = (Operand("vec1", args["vec1"], (0,)), Operand("vec2", args["vec2"], (1,)))
            return Product(operands, (0, 1), args["alpha"], addends)
        return Product((Operand("input", args["input"], (0,)), Operand("vec2", args["vec2"], (1,))), (0, 1))


class InnerProduct(Contraction):
    """Sums of products over the last axis of both."""

    names = ("inner",)
    signature = "input, other"
    formula = r"y_{ij}=\sum_k a_{ik}b_{jk}"

    @override
    def product(self, args: Arguments) -> Product:
        a, b = args["input"], args["other"]
        if not a.ndim or not b.ndim:
            own, theirs = tuple(range(1, 1 + a.ndim)), tuple(range(30, 30 + b.ndim))
            return Product((Operand("input", a, own), Operand("other", b, theirs)), (*own, *theirs))
        own, theirs = tuple(range(1, a.ndim)), tuple(range(30, 29 + b.ndim))
        return Product((Operand("input", a, (*own, 0)), Operand("other", b, (*theirs, 0))), (*own, *theirs))


class VectorDot(Contraction):
    """Sums of products along one axis of two tensors that broadcast."""

    names = ("vecdot",)
    signature = "input, other, *, dim=-1"
    formula = r"y_i=\sum_k a_{ik}b_{ik}"

    @override
    def product(self, args: Arguments) -> Product:
        a, b = args["input"], args["other"]
        rank = max(a.ndim, b.ndim)
        labels = tuple(range(rank))
        along = args["dim"] % rank
        operands = (Operand("input", a, labels[rank - a.ndim :]), Operand("other", b, labels[rank - b.ndim :]))
        return Product(operands, tuple(label for label in labels if label != along))


class Bilinear(Contraction):
    """Every pair of entries of two inputs, weighted: y_o = Σ x₁ᵢ W_oij x₂ⱼ + b_o."""

    names = ("bilinear",)
    signature = "input1, input2, weight, bias=None"
    formula = r"y_o=\sum_{i,j}x_{1,i}W_{oij}x_{2,j}+b_o"

    @override
    def product(self, args: Arguments) -> Product:
        lead = tuple(range(3, 2 + args["input1"].ndim))
        operands = (
            Operand("input1", args["input1"], (*lead, 0)),
            Operand("weight", args["weight"], (2, 0, 1)),
            Operand("input2", args["input2"], (*lead, 1)),
        )
        addends = () if args.get("bias") is None else (Addend("bias", args["bias"]),)
        return Product(operands, (*lead, 2), addends=addends)


class TensorDot(Contraction):
    """Sums of products over the axes named for each operand."""

    names = ("tensordot",)
    signature = "a, b, dims=2"
    formula = r"y_{ij}=\sum_{k}a_{ik}b_{kj}"

    @override
    def product(self, args: Arguments) -> Product:
        a, b, dims = args["a"], args["b"], args["dims"]
        if isinstance(dims, Tensor):
            dims = dims.tolist()
        if isinstance(dims, int):
            dims = (list(range(a.ndim - dims, a.ndim)), list(range(dims)))
        first, second = ([d] if isinstance(d, int) else list(d) for d in dims)
        a_labels, b_labels = list(range(a.ndim)), list(range(20, 20 + b.ndim))
        for own, theirs in zip(first, second, strict=True):
            b_labels[theirs % b.ndim] = a_labels[own % a.ndim]
        shared = set(a_labels) & set(b_labels)
        output = tuple(label for label in (*a_labels, *b_labels) if label not in shared)
        return Product((Operand("a", a, tuple(a_labels)), Operand("b", b, tuple(b_labels))), output)


class Einsum(Contraction):
    """Sums of products over the letters that the output lacks (Einstein's summation convention)."""

    names = ("einsum",)
    signature = "equation, *operands"
    formula = r"y_o=\sum_c\prod_k a_k[\ell_k]"

    @override
    def applies(self, args: Arguments) -> bool:
        return isinstance(args.get("equation"), str) and not any(
            len(set(labels)) < len(labels) for labels in self._labels(args)[0]
        )

    @override
    def product(self, args: Arguments) -> Product:
        labels, output = self._labels(args)
        named = enumerate(zip(self._operands(args), labels, strict=True))
        return Product(tuple(Operand(f"operands[{i}]", t, own) for i, (t, own) in named), output)

    @override
    def contract(self, tensors: Sequence[Tensor], labels: Sequence[Sequence[int]], output: Sequence[int]) -> Tensor:
        return multiply_out(list(tensors), [tuple(own) for own in labels], tuple(output))

    def _operands(self, args: Arguments) -> Sequence[Any]:
        """The tensors."""
        return args["operands"]

    def _labels(self, args: Arguments) -> tuple[list[tuple[int, ...]], tuple[int, ...]]:
        """The equation's letters as labels; ``...`` stands for the leading axes, aligned at the right."""
        inputs, arrow, output = args["equation"].replace(" ", "").partition("->")
        parts, hidden = inputs.split(","), 0
        for part, tensor in zip(parts, self._operands(args), strict=True):
            if "..." in part:
                hidden = max(hidden, tensor.ndim - len(part.replace("...", "")))
        dots = tuple(range(100, 100 + hidden))
        labels = []
        for part, tensor in zip(parts, self._operands(args), strict=True):
            own = dots[hidden - (tensor.ndim - len(part.replace("...", ""))) :] if "..." in part else ()
            labels.append(_letters(part, own))
        if not arrow:
            letters = inputs.replace("...", "").replace(",", "")
            output = "..." + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
        return labels, _letters(output, dots)


def _letters(part: str, dots: tuple[int, ...]) -> tuple[int, ...]:
    """The letters' code points, with the axes behind ``...`` put in."""
    before, found, after = part.partition("...")
    return (*map(ord, before), *(dots if found else ()), *map(ord, after))


def multiply_out(tensors: list[Tensor], labels: list[tuple[int, ...]], output: tuple[int, ...]) -> Tensor:
    """A contraction by pairwise matrix products: the first operand takes in one operand after the other."""
    value, own = tensors[0], labels[0]
    for place in range(1, len(tensors)):
        needed = {*output, *(label for later in labels[place + 1 :] for label in later)}
        value, own = _multiply_pair(value, own, tensors[place], labels[place], needed)
    extra = tuple(i for i, label in enumerate(own) if label not in output)
    value = value.sum(extra) if extra else value
    own = tuple(label for label in own if label in output)
    return value.permute([own.index(label) for label in output])


def _multiply_pair(
    a: Tensor, a_labels: tuple[int, ...], b: Tensor, b_labels: tuple[int, ...], needed: set[int]
) -> tuple[Tensor, tuple[int, ...]]:
    """The product of two operands, summed over the labels that nobody needs any more."""
    shared = [label for label in a_labels if label in b_labels]
    sizes = {**dict(zip(b_labels, b.shape, strict=True))}
    for label, size in zip(a_labels, a.shape, strict=True):
        sizes[label] = max(size, sizes.get(label, 1)) if size != 0 else 0
    batch = [label for label in shared if label in needed]
    summed = [label for label in shared if label not in needed]
    a_only = [label for label in a_labels if label not in shared]
    b_only = [label for label in b_labels if label not in shared]
    left = _arranged(a, a_labels, (batch, a_only, summed), sizes)
    right = _arranged(b, b_labels, (batch, summed, b_only), sizes)
    order = (*batch, *a_only, *b_only)
    return torch.bmm(left, right).reshape([sizes[label] for label in order]), order


def _arranged(t: Tensor, labels: tuple[int, ...], groups: Sequence[list[int]], sizes: dict[int, int]) -> Tensor:
    """A tensor as (batch, rows, columns), each a group of labels."""
    flat = [label for group in groups for label in group]
    t = t.permute([labels.index(label) for label in flat]).expand([sizes[label] for label in flat])
    lengths = [int(torch.tensor([sizes[label] for label in group] or [1]).prod()) for group in groups]
    return t.reshape(lengths)


RULES = (
    Linear(),
    MatrixProduct(),
    AddedMatrixProduct(),
    SummedBatchProduct(),
    OuterProduct(),
    InnerProduct(),
    VectorDot(),
    Bilinear(),
    TensorDot(),
    Einsum(),
)
