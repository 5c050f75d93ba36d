"""Checkpoints rebuild exactly what was kept, refuse what is no checkpoint, and are written at a bearable pace."""

from __future__ import annotations

import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import nn

from pellucid.errors import RunCorruptedError
from pellucid.training.checkpoints import (
    Pace,
    is_snapshot_epoch,
    load_weights,
    pack_state,
    pack_weights,
    unpack_state,
    unpack_weights,
)

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool)


def equal(first, second):
    if isinstance(first, torch.Tensor):
        return first.dtype == second.dtype and first.shape == second.shape and torch.equal(first, second)
    if isinstance(first, dict):
        return list(first) == list(second) and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return type(first) is type(second) and len(first) == len(second) and all(map(equal, first, second))
    if isinstance(first, float) and math.isnan(first):
        return math.isnan(second)
    return type(first) is type(second) and first == second


tensors = st.builds(
    lambda shape, dtype: (torch.rand(shape) * 10).to(dtype),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from(DTYPES),
)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | tensors
nests = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.sampled_from(["$tensor", "$float", "$items"]), inner, max_size=3)
        | st.dictionaries(st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text(), nests, max_size=4))
def test_any_nest_comes_back_exactly(state):
    assert equal(state, unpack_state(pack_state(state)))


def test_shared_and_strided_tensors_are_copied():
    base = torch.arange(12.0).reshape(3, 4)
    state = {"whole": base, "turned": base.T, "part": base[1], "again": base}
    assert equal({**state, "turned": base.T.contiguous()}, unpack_state(pack_state(state)))


def test_a_later_change_does_not_reach_what_was_packed():
    weight = torch.zeros(3)
    payload = pack_state({"weight": weight})
    weight += 1
    assert unpack_state(payload)["weight"].sum() == 0


class Bomb:
    def __reduce__(self):
        return (print, ("the checkpoint ran code",))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x00" * 4,
        pickle.dumps(Bomb()),
        pickle.dumps({"state": 1}, protocol=0),
        b"PK\x03\x04" + b"\x00" * 100,
        (2**62).to_bytes(8, "little") + b"{}",
        save({"a": torch.zeros(2)}),
        save({"a": torch.zeros(2)}, metadata={"document": "not json"}),
        save({"a": torch.zeros(2)}, metadata={"document": '{"schema": "checkpoint/9", "state": {}}'}),
        save({"a": torch.zeros(2)}, metadata={"document": '{"schema": "checkpoint/1", "state": {"$tensor": "b"}}'}),
        save({"a": torch.zeros(2)}, metadata={"document": '{"schema": "checkpoint/1", "state": 5}'}),
        save({"a": torch.zeros(2)}, metadata={"document": '{"schema": "checkpoint/1"}'}),
        save({}, metadata={"document": '{"schema": "checkpoint/1", "state": ' + "[" * 50_000}),
    ],
)
def test_what_is_no_checkpoint_is_refused_and_named(payload, capsys):
    with pytest.raises(RunCorruptedError) as caught:
        unpack_state(payload, place="runs/a/checkpoints/last.safetensors")
    assert caught.value.place == "runs/a/checkpoints/last.safetensors"
    assert caught.value.remedy
    assert capsys.readouterr().out == ""


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_a_truncated_checkpoint_is_refused(cut):
    payload = pack_state({"model": {"weight": torch.randn(20, 10)}, "place": {"epoch": 3}})
    with pytest.raises(RunCorruptedError):
        unpack_state(payload[: cut % len(payload)])


def test_weights_open_in_any_safetensors_reader():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    payload = pack_weights(model.state_dict(), epoch=4, step=17)
    plain = load(payload)
    assert plain.keys() == model.state_dict().keys()
    weights, facts = unpack_weights(payload)
    assert facts == {"epoch": 4, "step": 17}
    other = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    load_weights(other, weights)
    assert equal(other.state_dict(), model.state_dict())


def test_weights_of_another_network_are_refused():
    payload = pack_weights(nn.Linear(3, 2).state_dict())
    with pytest.raises(RunCorruptedError, match="do not fit"):
        load_weights(nn.Linear(4, 2), unpack_weights(payload)[0], place="x")
    with pytest.raises(RunCorruptedError):
        unpack_weights(pack_state({"model": {}}))


def test_snapshots_are_log_spaced():
    epochs = [epoch for epoch in range(1025) if is_snapshot_epoch(epoch)]
    assert epochs[:6] == [0, 1, 2, 3, 4, 5]
    assert 1024 in epochs
    assert len(epochs) < 40


def test_the_pace_keeps_to_its_share_of_the_time():
    now = [0.0]
    pace = Pace(share=0.02, within_s=20.0, clock=lambda: now[0])
    pace.start()
    spent, written = 0.0, 0
    for _ in range(2000):
        now[0] += 0.1
        if pace.is_due(epoch_ended=True):

            def write() -> None:
                now[0] += 0.05

            pace.time(write)
            spent, written = spent + 0.05, written + 1
    assert written > 20
    assert spent / now[0] < 0.025


def test_inside_a_long_epoch_one_is_due_after_its_time():
    now = [0.0]
    pace = Pace(clock=lambda: now[0])
    pace.start()
    now[0] = 19.0
    assert not pace.is_due(epoch_ended=False)
    now[0] = 21.0
    assert pace.is_due(epoch_ended=False)
