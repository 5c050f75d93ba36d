"""What every rule is held against: the operation itself, autograd, and central differences in float64."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from pellucid.core.rules.base import Rule, flatten_arguments, lookup
from pellucid.core.rules.drawing import drawn_numbers
from pellucid.core.rules.registry import bind_arguments, find_rule
from pellucid.core.rules.sums import Sum
from pellucid.lenses.trace_checking import compare

ROUNDINGS = 64
"""Differences allowed, in units of the dtype's epsilon times the largest magnitude of what is compared (or 1)."""
ENTRIES = 2
"""Entries drawn from each tensor for the explanations."""
counts = {"cases": 0, "entries": 0, "differences": 0}
"""How much was compared, for the report."""


def bound(expected: Tensor, roundings: float = ROUNDINGS) -> float:
    """The largest difference allowed from what is expected."""
    if not expected.dtype.is_floating_point or not expected.numel():
        return 0.0
    finite = expected[torch.isfinite(expected)]
    size = float(finite.detach().abs().max()) if finite.numel() else 0.0
    return roundings * torch.finfo(expected.dtype).eps * max(size, 1.0)


def assert_near(found: Tensor, expected: Tensor, what: str, roundings: float = ROUNDINGS) -> None:
    assert found.shape == expected.shape, f"{what}: {tuple(found.shape)} instead of {tuple(expected.shape)}"
    if expected.dtype.is_floating_point:
        torch.testing.assert_close(
            found.double(),
            expected.double(),
            rtol=0,
            atol=bound(expected, roundings),
            equal_nan=True,
            msg=lambda m: f"{what}: {m}",
        )
    else:
        assert torch.equal(found.to(expected.dtype), expected), what


def assert_number(found: float, expected: float, atol: float, what: str) -> None:
    if math.isnan(expected):
        assert math.isnan(found), what
    elif math.isinf(expected):
        assert found == expected or math.isnan(found), what
    else:
        assert abs(found - expected) <= atol, f"{what}: {found} instead of {expected}"


def as_tuple(outputs: Any) -> tuple[Tensor, ...]:
    return tuple(o for o in tree_leaves(outputs) if isinstance(o, Tensor))


def leaves_of(args: dict[str, Any]) -> dict[str, Tensor]:
    flat: dict[str, Any] = {}
    for name, value in args.items():
        flat |= flatten_arguments({name: value})
    return {k: v for k, v in flat.items() if isinstance(v, Tensor) and v.requires_grad}


def check(
    function: Callable[..., Any],
    *args: Any,
    exact: bool = False,
    smooth: bool = True,
    roundings: float = ROUNDINGS,
    gradient: bool = True,
    **kwargs: Any,
) -> Rule:
    """Holds the rule of one call against all oracles; fails with what differs."""
    counts["cases"] += 1
    torch.set_grad_enabled(True)
    seed = random.randrange(2**31)
    bound_args = bind_arguments(function, args, kwargs)
    name = getattr(function, "__name__", str(function))
    before = tree_map(lambda v: v.clone() if isinstance(v, Tensor) else v, (args, kwargs))
    torch.manual_seed(seed)
    bound_args |= drawn_numbers(function, bound_args)
    rule = find_rule(function, bound_args)
    assert rule is not None, f"no rule for {name} with {list(bound_args)}"
    torch.manual_seed(seed)
    observed = function(*before[0], **before[1])
    outputs = as_tuple(observed)
    with torch.no_grad():
        made = rule.forward(bound_args, outputs)
    assert len(made) == len(outputs), name
    for own, theirs in zip(made, outputs, strict=True):
        if exact:
            assert torch.equal(own.nan_to_num(7), theirs.nan_to_num(7)), f"{name} is not bit-equal"
        assert_near(own, theirs, f"forward of {name}", roundings)
    plain = tuple(o.detach() for o in outputs)
    # Where PyTorch itself keeps constants in float32 among float64 numbers, the check rightly reports it.
    as_stated = roundings <= ROUNDINGS
    for place, (own, theirs) in enumerate(zip(made, plain, strict=True) if as_stated else ()):
        _assert_no_alarm(rule, own, theirs, lambda i, at=place: rule.entry(bound_args, plain, i, at), name)
    _check_entries(rule, bound_args, plain, name, roundings)
    wanted = leaves_of(bound_args)
    if not gradient or not wanted or not any(o.requires_grad for o in outputs):
        return rule
    grads = tuple(torch.randn_like(o) if o.requires_grad else None for o in outputs)
    pairs = [(o, g) for o, g in zip(outputs, grads, strict=True) if g is not None]
    found = torch.autograd.grad([o for o, _ in pairs], list(wanted.values()), [g for _, g in pairs], allow_unused=True)
    with torch.no_grad():
        ours = rule.backward(bound_args, plain, grads)
    for (argument, leaf), theirs in zip(wanted.items(), found, strict=True):
        expected = torch.zeros_like(leaf) if theirs is None else theirs
        own = ours.get(argument, torch.zeros_like(leaf))
        assert_near(own, expected, f"gradient of {name} by {argument}", roundings * 4)
        if as_stated and alias_free(bound_args, leaf):
            path = lambda i, to=argument: rule.gradient_entry(bound_args, plain, grads, to, i)  # noqa: E731
            _assert_no_alarm(rule, own, expected, path, f"{name} by {argument}")
        _check_paths(rule, bound_args, plain, grads, argument, expected, name, roundings * 4)
    if smooth and all(leaf.dtype == torch.float64 for leaf in wanted.values()):
        _check_differences(function, args, kwargs, bound_args, ours, grads, seed, name)
    return rule


def _assert_no_alarm(
    rule: Rule, found: Tensor, expected: Tensor, terms_at: Callable[[tuple[int, ...]], Sum], what: str
) -> None:
    """The bound that the check of a trace takes holds as well."""
    with torch.no_grad():
        verdict, error, limit, where = compare(found, expected, terms_at, cancels=rule.cancels)
    assert verdict != "disagrees", f"{what}: off by {error}, bound {limit}, {where}"


def alias_free(args: dict[str, Any], leaf: Tensor) -> bool:
    """Whether a tensor is given once."""
    return sum(value is leaf for value in leaves_of(args).values()) == 1


def _indices(shape: torch.Size) -> list[tuple[int, ...]]:
    if not math.prod(shape):
        return []
    return [tuple(random.randrange(n) for n in shape) for _ in range(ENTRIES)]


def _check_entries(rule: Rule, args: dict[str, Any], outputs: tuple[Tensor, ...], name: str, roundings: float) -> None:
    for place, output in enumerate(outputs):
        for index in _indices(output.shape):
            counts["entries"] += 1
            with torch.no_grad():
                found = rule.entry(args, outputs, index, place)
            slack = bound(output, roundings) if output.dtype.is_floating_point else 1e-6
            what = f"entry {index} of output {place} of {name}"
            assert_number(found.result, float(output[index]), slack, what)
            if not found.then:
                assert_number(found.value, float(output[index]), slack, what)
            for term in found.terms[:3]:
                assert_number(math.prod(f.value for f in term.factors), term.value, abs(term.value) * 1e-12, what)


def _check_paths(
    rule: Rule,
    args: dict[str, Any],
    outputs: tuple[Tensor, ...],
    grads: tuple[Tensor | None, ...],
    argument: str,
    expected: Tensor,
    name: str,
    roundings: float,
) -> None:
    for index in _indices(expected.shape):
        counts["entries"] += 1
        with torch.no_grad():
            found = rule.gradient_entry(args, outputs, grads, argument, index)
        what = f"paths to {argument}{index} of {name}"
        assert_number(found.value, float(expected[index]), bound(expected, roundings), what)


def _check_differences(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    bound_args: dict[str, Any],
    ours: dict[str, Tensor],
    grads: tuple[Tensor | None, ...],
    seed: int,
    name: str,
) -> None:
    """Along a random direction v: (L(x + hv) − L(x − hv)) / 2h against ⟨our gradient, v⟩; h and h/2 show the error."""
    counts["differences"] += 1
    moved = {
        id(lookup(bound_args, k)): (torch.randn_like(g), g)
        for k, g in ours.items()
        if lookup(bound_args, k).requires_grad
    }

    def loss(step: float) -> float:
        def shift(value: Any) -> Any:
            if isinstance(value, Tensor):
                return value.detach() + step * moved[id(value)][0] if id(value) in moved else value.detach().clone()
            return value

        torch.manual_seed(seed)
        outputs = as_tuple(function(*tree_map(shift, args), **tree_map(shift, kwargs)))
        return sum(float((o.detach() * g).sum()) for o, g in zip(outputs, grads, strict=True) if g is not None)

    slope = sum(float((v * g).sum()) for v, g in moved.values())
    size = sum(float((v * g).abs().sum()) for v, g in moved.values()) + 1e-9
    here = loss(0.0)
    coarse, fine = ((loss(h) - loss(-h)) / (2 * h) for h in (1e-5, 5e-6))
    bends = [(loss(h) + loss(-h) - 2 * here) / h for h in (1e-5, 5e-6)]
    if abs(bends[1]) > 1e-4 * size and abs(bends[1]) > 0.75 * abs(bends[0]):
        return  # a kink right here: left and right slopes differ however small the step, and there is no derivative
    slack = 4 * abs(coarse - fine) + 1e-6 * max(size, abs(here), 1.0)
    assert abs(fine - slope) <= slack, f"{name}: {slope} by the rule, {fine} by differences"


def normal(*shape: int, dtype: torch.dtype = torch.float64, low: float | None = None) -> Tensor:
    """Random numbers that want a gradient: normal, or uniform from ``low`` to low + 1."""
    drawn = torch.randn(shape, dtype=torch.float64) if low is None else torch.rand(shape, dtype=torch.float64) + low
    return drawn.to(dtype).requires_grad_()
