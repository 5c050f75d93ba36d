"""Schedules against their formulas, and exact resume through JSON."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import nn

from pellucid.training.schedules import WARMUP_START, Schedule, build_schedule
from pellucid.training.spec import ScheduleSpec

STEPS = 40


def start(spec: ScheduleSpec, rate: float = 0.5, steps: int = STEPS) -> tuple[torch.optim.Optimizer, Schedule]:
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD([{"params": [model.weight]}, {"params": [model.bias], "weight_decay": 0.0}], lr=rate)
    return optimizer, build_schedule(spec, optimizer, steps)


def rates(optimizer: torch.optim.Optimizer, schedule: Schedule, steps: int = STEPS) -> list[float]:
    seen: list[float] = []
    for _ in range(steps):
        assert optimizer.param_groups[0]["lr"] == optimizer.param_groups[1]["lr"]
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.after_step()
    return seen


def half_cosine(share: float, begin: float, end: float) -> float:
    return end + (begin - end) * (1 + math.cos(math.pi * share)) / 2


def one_cycle(step: int) -> float:
    top, last = 0.3 * STEPS - 1, STEPS - 1
    if step <= top:
        return half_cosine(step / top, 0.5 / 25, 0.5)
    return half_cosine((step - top) / (last - top), 0.5, 0.005)


FORMULAS: dict[str, tuple[ScheduleSpec, Callable[[int], float]]] = {
    "constant": (ScheduleSpec(), lambda _: 0.5),
    "step": (ScheduleSpec("step", factor=0.1, every=0.25), lambda t: 0.5 * 0.1 ** (t // 10)),
    "cosine": (ScheduleSpec("cosine", final=0.1), lambda t: half_cosine(t / (STEPS - 1), 0.5, 0.05)),
    "one_cycle": (ScheduleSpec("one_cycle"), one_cycle),
    "plateau": (ScheduleSpec("plateau"), lambda _: 0.5),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas(name: str) -> None:
    spec, formula = FORMULAS[name]
    assert rates(*start(spec)) == pytest.approx([formula(step) for step in range(STEPS)])


@pytest.mark.parametrize("name", ["constant", "step", "cosine", "plateau"])
def test_warmup_is_linear_and_hands_over_to_the_schedule(name: str) -> None:
    warm = ScheduleSpec.from_dict({"name": name, "warmup": 0.25})
    seen = rates(*start(warm))
    assert seen[:10] == pytest.approx([0.5 * (WARMUP_START + (1 - WARMUP_START) * step / 10) for step in range(10)])
    assert seen[10:] == pytest.approx(rates(*start(ScheduleSpec.from_dict({"name": name}), steps=30), steps=30))


def test_plateau_listens_to_the_validation_loss() -> None:
    optimizer, schedule = start(ScheduleSpec("plateau", factor=0.1, patience=1))
    seen: list[float] = []
    for loss in (1.0, 0.9, 0.9, 0.9, 0.8, 0.8, 0.8):
        schedule.after_epoch(loss)
        seen.append(optimizer.param_groups[0]["lr"])
    # Two epochs without a fall are one more than the patience.
    assert seen == pytest.approx([0.5, 0.5, 0.5, 0.05, 0.05, 0.05, 0.005])


@pytest.mark.parametrize("name", FORMULAS)
def test_beyond_the_plan_the_rate_stays(name: str) -> None:
    optimizer, schedule = start(FORMULAS[name][0])
    last = rates(optimizer, schedule)[-1]
    assert rates(optimizer, schedule, 5) == [last] * 5


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("warmup", [0.0, 0.3])
@pytest.mark.parametrize("stop", [1, 11, 12, 25])
def test_resumed_equals_never_stopped(name: str, warmup: float, stop: int) -> None:
    spec = ScheduleSpec.from_dict({**vars(FORMULAS[name][0]), "warmup": warmup})
    whole = rates(*start(spec))
    optimizer, schedule = start(spec)
    rates(optimizer, schedule, stop)
    schedule.after_epoch(1.0)
    state, groups = json.loads(json.dumps(schedule.state_dict())), optimizer.state_dict()
    again, resumed = start(spec)
    again.load_state_dict(groups)
    resumed.load_state_dict(state)
    assert rates(again, resumed, STEPS - stop) == whole[stop:]


def test_plateau_resumes_its_patience() -> None:
    optimizer, schedule = start(ScheduleSpec("plateau", factor=0.1, patience=1))
    for loss in (1.0, 1.0):
        schedule.after_epoch(loss)
    again, resumed = start(ScheduleSpec("plateau", factor=0.1, patience=1))
    again.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
    resumed.after_epoch(1.0)
    assert again.param_groups[0]["lr"] == pytest.approx(0.05)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("name", FORMULAS)
def test_the_shortest_runs(name: str, steps: int) -> None:
    spec = ScheduleSpec.from_dict({**vars(FORMULAS[name][0]), "warmup": 0.5})
    seen = rates(*start(spec, steps=steps), steps=steps)
    assert all(0 < rate <= 0.5 for rate in seen)


def test_nothing_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for spec, _ in FORMULAS.values():
            optimizer, schedule = start(ScheduleSpec.from_dict({**vars(spec), "warmup": 0.2}))
            schedule.after_step()  # as in mixed precision, where an overflow skips the optimiser's first step
            rates(optimizer, schedule, 10)
