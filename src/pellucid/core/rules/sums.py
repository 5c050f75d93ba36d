"""How one number comes about: a sum of terms, each the product of named factors.

An entry of GPT-2's last layer has 768 terms and one of its gradients 50,257, so the terms lie in columns of numbers
and become objects only when they are looked at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, overload

import torch
from torch import Tensor

__all__ = ["Block", "Column", "Factor", "Index", "Number", "Sum", "Term", "Terms", "column", "constant", "single"]

Index = tuple[int, ...]

Number = float | int
"""A real number; PyTorch's settings are often whole."""


class Factor(NamedTuple):
    """One number in a product: which quantity it is, which entry of it (None for a constant), and its value."""

    name: str
    index: Index | None  # pyright: ignore[reportIncompatibleMethodOverride] - named as everywhere else
    value: Number


class Term(NamedTuple):
    """One summand: what it stands for, its factors, and their product."""

    label: str
    factors: tuple[Factor, ...]
    value: Number


@dataclass(frozen=True)
class Column:
    """The same factor of many terms.

    Args:
        name: The quantity: an argument's name, ``output``, ``grad`` (the upstream gradient) or a derived quantity.
        index: The entry in each term, shape (terms, axes); None where the factor is not an entry of a tensor.
        values: Shape (terms,).
    """

    name: str
    index: Tensor | None
    values: Tensor


@dataclass(frozen=True)
class Block:
    """Terms of one kind: they share the label and the names of their factors."""

    label: str
    columns: tuple[Column, ...]

    def products(self) -> Tensor:
        """The terms' values in float64."""
        product = self.columns[0].values.detach().to("cpu", torch.float64)
        for other in self.columns[1:]:
            product = product * other.values.detach().to("cpu", torch.float64)
        return product

    def term(self, position: int) -> Term:
        """The term at one position."""
        factors = tuple(
            Factor(
                column.name,
                None if column.index is None else tuple(column.index[position].tolist()),
                float(column.values[position]),
            )
            for column in self.columns
        )
        return Term(self.label, factors, math.prod(factor.value for factor in factors))


_ALL_SORTED = 100_000
"""Longer sums have only their ``_FIRST_SORTED`` largest terms in order, since sorting all would be felt."""
_FIRST_SORTED = 1_000


def _by_size(values: Tensor) -> Tensor:
    """The places of the values, largest magnitude first."""
    if len(values) <= _ALL_SORTED:
        return torch.argsort(values.abs(), descending=True, stable=True)
    first = torch.topk(values.abs(), _FIRST_SORTED).indices
    others = torch.ones(len(values), dtype=torch.bool)
    others[first] = False
    return torch.cat([first, others.nonzero().reshape(-1)])


class Terms(Sequence[Term]):
    """The terms of a sum, largest magnitude first; each becomes an object when it is read.

    Of more than 100,000 terms the 1,000 largest come first and the others follow in their own order.
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._blocks = tuple(blocks)
        products = [block.products() for block in self._blocks]
        self._starts = [0]
        for product in products:
            self._starts.append(self._starts[-1] + len(product))
        joined = torch.cat(products) if products else torch.zeros(0, dtype=torch.float64)
        self._order = _by_size(joined)
        self.values = joined[self._order]

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, index: int) -> Term: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Term, ...]: ...
    def __getitem__(self, index: int | slice) -> Term | tuple[Term, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        place = int(self._order[index])
        block = next(i for i, start in enumerate(self._starts[1:]) if place < start)
        return self._blocks[block].term(place - self._starts[block])

    def at(self, index: Index) -> Term | None:
        """The first term whose first factor is the entry at an index; None if there is none."""
        wanted = torch.tensor(index, dtype=torch.int64)
        for block in self._blocks:
            where = block.columns[0].index
            if where is not None and where.shape[1] == len(index):
                found = (where == wanted).all(1).nonzero()
                if len(found):
                    return block.term(int(found[0]))
        return None

    def by_label(self) -> dict[str, tuple[int, float]]:
        """How many terms have each label, and their exact sum."""
        found: dict[str, list[Tensor]] = {}
        for block in self._blocks:
            found.setdefault(block.label, []).append(block.products())
        return {label: (sum(map(len, products)), _exact_sum(torch.cat(products))) for label, products in found.items()}


@dataclass(frozen=True)
class Sum:
    """One number as a sum of terms, with what is done to the sum afterwards.

    Args:
        terms: Largest magnitude first.
        value: The exact sum of the terms' values (float64, rounded once).
        then: What the operation makes of the sum, in LaTeX with ``s`` for the sum (``\\tanh(s)``); empty for nothing.
        result: The number explained: ``value``, or what ``then`` makes of it.
        note: What a person should know besides (a tie, a count), in words.
        inside: The size of what cancels within the factors and is not seen in the terms, such as the 1 in
            ln(1 + small): rounding grows with it.

    >>> Sum.of([single("input", column("input", (0,), 2.0), constant("alpha", 3.0))]).value
    6.0
    """

    terms: Terms
    value: Number
    then: str = ""
    result: Number = field(default=math.nan)
    note: str = ""
    inside: float = 0.0

    @classmethod
    def of(
        cls, blocks: Sequence[Block], *, then: str = "", result: Number | Tensor | None = None, note: str = ""
    ) -> Sum:
        """The sum of the blocks' terms; ``result`` is its value unless ``then`` makes something else of it."""
        terms = Terms(blocks)
        value = _exact_sum(terms.values)
        return cls(terms, value, then, value if result is None else _number(result), note)

    def largest(self, count: int) -> tuple[tuple[Term, ...], float]:
        """The ``count`` largest terms and the sum of all others."""
        return self.terms[:count], _exact_sum(self.terms.values[count:])


def _exact_sum(values: Tensor) -> Number:
    """The correctly rounded sum; with infinities or NaN, or for very many terms, what float64 addition gives."""
    if len(values) > _ALL_SORTED:
        return float(values.sum())
    try:
        return math.fsum(values.tolist())
    except (OverflowError, ValueError):
        return float(values.sum())


def column(name: str, index: Tensor | Index | None, values: Tensor | Number) -> Column:
    """A factor of one term or of many.

    Args:
        name: The quantity.
        index: A (terms, axes) tensor, one index tuple for a single term, or None.
        values: A (terms,) tensor, or a number or 0-dimensional tensor for a single term.
    """
    many = torch.as_tensor(values, dtype=torch.float64 if isinstance(values, Number) else None).reshape(-1)
    many = many.detach()
    if isinstance(index, tuple):
        index = torch.tensor([index], dtype=torch.int64).reshape(1, len(index))
    return Column(name, index, many)


def constant(name: str, value: Number, count: int = 1) -> Column:
    """A factor that is the same number in every term."""
    return Column(name, None, torch.full((count,), float(value), dtype=torch.float64))


def single(label: str, *columns: Column) -> Block:
    """Terms of one kind from their columns."""
    return Block(label, columns)


def _number(value: Number | Tensor) -> Number:
    """A number or a tensor of one entry as a float."""
    return float(value.detach()) if isinstance(value, Tensor) else float(value)
