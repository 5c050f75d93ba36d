"""A trainer stopped anywhere and gone on equals, bit for bit, the one never stopped: weights, losses and figures."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from pellucid.data.augment import build_augmentation
from pellucid.errors import RunCorruptedError
from pellucid.training.checkpoints import pack_state, unpack_state
from pellucid.training.keeper import resume_point
from pellucid.training.spec import OptimizerSpec, ScheduleSpec
from tests.training.training_toys import ListRecorder, same_weights, settings, trainer

OPTIMIZERS = {
    "gradient_descent": OptimizerSpec(name="gradient_descent", learning_rate=0.1),
    "sgd": OptimizerSpec(name="sgd", learning_rate=0.1),
    "momentum": OptimizerSpec(name="sgd", learning_rate=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "rmsprop": OptimizerSpec(name="rmsprop", learning_rate=0.01, momentum=0.5),
    "adagrad": OptimizerSpec(name="adagrad", learning_rate=0.05),
    "adam": OptimizerSpec(name="adam", learning_rate=0.01, weight_decay=0.01),
    "adamw": OptimizerSpec(name="adamw", learning_rate=0.01, weight_decay=0.1),
    "lbfgs": OptimizerSpec(name="lbfgs", learning_rate=0.5, max_iterations=4),
    "lbfgs_without_search": OptimizerSpec(name="lbfgs", learning_rate=0.1, max_iterations=3, line_search=False),
}
SCHEDULES = {
    "constant": ScheduleSpec(),
    "step": ScheduleSpec(name="step", every=0.3),
    "cosine": ScheduleSpec(name="cosine", warmup=0.2),
    "one_cycle": ScheduleSpec(name="one_cycle"),
    "plateau": ScheduleSpec(name="plateau", patience=0, factor=0.5),
}


def check_resume(chosen, stop_at, *, augment=(), **shape):
    """Run once through, and once with a stop after ``stop_at`` steps and a fresh trainer from the packed state."""

    def make():
        return trainer(chosen, augmentation=build_augmentation(augment, "table", classes=3), **shape)

    whole, whole_recorder = make(), ListRecorder()
    torch.manual_seed(5)
    outcome = whole.run(whole_recorder)

    first, recorder = make(), ListRecorder()
    torch.manual_seed(5)
    first.run(recorder, should_stop=lambda: first.place.step == stop_at)
    state = first.state() if stop_at < outcome.steps else whole.state()
    payload = pack_state(state)
    assert resume_point(state) == min(stop_at, outcome.steps) - 1
    torch.manual_seed(123)  # another process has another stream
    torch.rand(17)
    second = make()
    second.load_state(unpack_state(payload))
    again = second.run(recorder)
    assert same_weights(whole.model, second.model)
    assert recorder.losses == whole_recorder.losses
    assert recorder.metrics == whole_recorder.metrics
    assert again == outcome
    optimizers = (whole.optimizer.state_dict(), second.optimizer.state_dict())
    assert pack_state({"optimizer": optimizers[0]}) == pack_state({"optimizer": optimizers[1]})


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("stop_at", [1, 5])
def test_every_optimizer(name, stop_at):
    full = OPTIMIZERS[name].full_batch
    check_resume(settings(optimizer=OPTIMIZERS[name], epochs=8 if full else 2), stop_at)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule(schedule):
    chosen = settings(schedule=SCHEDULES[schedule], optimizer=OPTIMIZERS["momentum"], epochs=4)
    check_resume(chosen, 3)
    check_resume(chosen, 15)


def test_dropout_and_batch_norm_and_clipping_and_penalties():
    chosen = settings(optimizer=OPTIMIZERS["adam"], clip=0.5, l1=1e-3, l2=1e-3)
    check_resume(chosen, 9, dropout=0.4, batch_norm=True)


def test_augmentation():
    chosen = settings(optimizer=OPTIMIZERS["adamw"], epochs=3)
    check_resume(chosen, 11, augment=("noise:0.3", "mixup"))


def test_early_stopping_with_best_weights():
    chosen = settings(optimizer=OptimizerSpec(name="sgd", learning_rate=0.5), epochs=100, patience=2)
    check_resume(chosen, 20, count=20)


def test_after_the_end_nothing_is_left_to_do():
    check_resume(settings(), 10_000)


@trials(max_examples=15, deadline=None)
@given(
    name=st.sampled_from(sorted(OPTIMIZERS)),
    schedule=st.sampled_from(sorted(SCHEDULES)),
    stop_at=st.integers(0, 21),
    dropout=st.sampled_from([0.0, 0.3]),
    patience=st.integers(0, 2),
    batch_size=st.integers(7, 60),
)
def test_any_combination(name, schedule, stop_at, dropout, patience, batch_size):
    chosen = settings(
        optimizer=OPTIMIZERS[name], schedule=SCHEDULES[schedule], patience=patience, batch_size=batch_size, epochs=3
    )
    check_resume(chosen, stop_at, dropout=dropout)


@pytest.mark.parametrize("part", ["model", "optimizer", "schedule", "place", "random", "measures", "best_weights"])
def test_a_state_that_lacks_a_part_is_refused(part):
    chosen = settings()
    state = unpack_state(pack_state(trainer(chosen).state()))
    del state[part]
    with pytest.raises(RunCorruptedError):
        trainer(chosen).load_state(state, place="last")


def test_the_state_of_another_network_is_refused():
    state = unpack_state(pack_state(trainer(settings()).state()))
    with pytest.raises(RunCorruptedError, match="does not fit"):
        trainer(settings(), batch_norm=True).load_state(state)
    with pytest.raises(RunCorruptedError):
        trainer(settings(optimizer=OPTIMIZERS["lbfgs"])).load_state(state)
