"""The terms of an update add up to what PyTorch's optimisers do, for every combination of their options."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import optim

from pellucid.core.rules.updates import write_move

FLAGS = (False, True)
CASES = [
    *(
        (optim.SGD, {"momentum": m, "dampening": d, "nesterov": n, "weight_decay": w, "maximize": x})
        for m, d, n, w, x in itertools.product((0, 0.9), (0, 0.3), FLAGS, (0, 0.1), FLAGS)
        if not n or (m and not d)
    ),
    *(
        (kind, {"weight_decay": w, "amsgrad": a, "maximize": x, "betas": (0.8, 0.9)})
        for kind, w, a, x in itertools.product((optim.Adam, optim.AdamW), (0, 0.1), FLAGS, FLAGS)
    ),
    *(
        (optim.RMSprop, {"weight_decay": w, "centered": c, "momentum": m, "maximize": x})
        for w, c, m, x in itertools.product((0, 0.1), FLAGS, (0, 0.9), FLAGS)
    ),
    *(
        (optim.Adagrad, {"weight_decay": w, "lr_decay": d, "initial_accumulator_value": i, "maximize": x})
        for w, d, i, x in itertools.product((0, 0.1), (0, 0.1), (0, 0.5), FLAGS)
    ),
]


@pytest.mark.parametrize("foreach", FLAGS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("kind", "options"), CASES)
def test_terms_add_up(kind: Any, options: dict[str, Any], dtype: torch.dtype, foreach: bool) -> None:
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(3, dtype=dtype))
    optimizer = kind([weight], lr=0.1, foreach=foreach, **options)
    group = {k: v for k, v in optimizer.param_groups[0].items() if k != "params"}
    for _ in range(3):
        gradient = torch.randn(3, dtype=dtype)
        weight.grad = gradient.clone()  # some multi-tensor steps write into it
        before = weight.detach().clone()
        held = {k: v.clone() for k, v in optimizer.state.get(weight, {}).items() if isinstance(v, torch.Tensor)}
        optimizer.step()
        moved = weight.detach().double() - before.double()
        rounding = 8 * torch.finfo(dtype).eps * (1 + before.double().abs() + moved.abs())
        lines = write_move(kind.__name__, group, held, before, gradient)
        assert lines is not None
        assert bool(((lines[-1].value() - moved).abs() <= rounding).all())
        for i in range(3):
            state = {k: v if v.ndim == 0 else v[i] for k, v in held.items()}
            one = write_move(kind.__name__, group, state, before[i], gradient[i])
            assert one is not None
            assert float(one[-1].value()) == pytest.approx(float(lines[-1].value()[i]), rel=1e-12)


def test_an_optimizer_without_a_rule_has_no_lines() -> None:
    assert write_move("LBFGS", {}, {}, torch.zeros(2), torch.zeros(2)) is None
