"""What is encoded comes back; what anyone else wrote either comes back as what it says or is refused."""

from __future__ import annotations

import dataclasses
import json
import pickle
import struct
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load, save

from pellucid.errors import RunCorruptedError, RunTooNewError
from pellucid.results import codec
from pellucid.results.base import Result
from pellucid.results.classification_evaluation import ClassificationEvaluation
from pellucid.results.data_report import DataReport
from pellucid.results.learning_rate_range import LearningRateRange
from pellucid.results.network_outline import LayerOutline, NetworkOutline


@dataclass(frozen=True, eq=False)
class Inner:
    name: str
    values: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Record:
    flag: bool
    count: int
    level: float
    text: str
    choice: Literal["a", "b"]
    maybe: float | None
    pair: tuple[int, str]
    many: tuple[Inner, ...]
    by_name: dict[str, np.ndarray]
    nested: dict[str, dict[str, float]]
    array: np.ndarray


DTYPES = st.sampled_from(["<f8", "<f4", "<f2", "<i8", "<i4", "<i2", "i1", "<u8", "<u4", "<u2", "u1", "?"])
ARRAYS = DTYPES.flatmap(lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)))
TEXTS = st.text(max_size=12)
KEYS = st.text(st.characters(blacklist_characters="$", blacklist_categories=["Cs"]), max_size=8)
RECORDS = st.builds(
    Record,
    flag=st.booleans(),
    count=st.integers(-(2**53), 2**53),
    level=st.floats(),
    text=TEXTS,
    choice=st.sampled_from(["a", "b"]),
    maybe=st.none() | st.floats(),
    pair=st.tuples(st.integers(), TEXTS),
    many=st.lists(st.builds(Inner, name=TEXTS, values=st.none() | ARRAYS), max_size=3).map(tuple),
    by_name=st.dictionaries(KEYS, ARRAYS, max_size=3),
    nested=st.dictionaries(KEYS, st.dictionaries(KEYS, st.floats(), max_size=2), max_size=2),
    array=ARRAYS,
)


def same(one, other):
    """Equal to the last bit and type; NaN equals NaN."""
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if dataclasses.is_dataclass(one):
        return type(one) is type(other) and all(
            same(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one)
        )
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return isinstance(other, tuple) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and (one == other or (one != one and other != other))


@given(RECORDS)
def test_a_record_comes_back(record):
    document, arrays = codec.encode(record)
    assert same(codec.decode(Record, *codec.unpack(codec.pack(document, arrays))), record)


@given(RECORDS)
def test_the_payload_is_plain_safetensors(record):
    document, arrays = codec.encode(record)
    read = load(codec.pack(document, arrays))
    assert read.keys() == arrays.keys()
    assert all(same(read[name], np.asarray(arrays[name])) for name in arrays)
    json.loads(json.dumps(document, allow_nan=False))  # strict JSON: no NaN, no Infinity


def test_keys_with_dots_do_not_collide():
    holder = dataclasses.make_dataclass("Holder", [("tree", dict[str, dict[str, np.ndarray]])])
    tree = {"a": {"b.c": np.zeros(1)}, "a.b": {"c": np.ones(1)}}
    document, arrays = codec.encode(holder(tree))
    read = codec.decode(holder, *codec.unpack(codec.pack(document, arrays))).tree
    assert (read["a"]["b.c"], read["a.b"]["c"]) == (0, 1)


@given(st.binary(max_size=200))
def test_noise_is_refused(payload):
    with pytest.raises(RunCorruptedError):
        Result.from_bytes(payload, place="somewhere")


def make_outline():
    layer = LayerOutline("a", "Linear", "4 → 4", (4,), (4,), 20, 20, 1)
    return NetworkOutline("Net", (layer,), ((-1, 0),), 20, 20, 80)


@given(st.data())
def test_a_damaged_payload_is_refused_or_read_as_what_it_says(data):
    """Cut short, or with some bytes changed: never anything but a record or a RunCorruptedError."""
    payload = bytearray(make_range().to_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(payload[: data.draw(st.integers(0, len(payload)))])
    try:
        result = Result.from_bytes(cut, place="x")
    except (RunCorruptedError, RunTooNewError):
        return
    assert isinstance(result, LearningRateRange)


def make_range():
    rates = np.geomspace(1e-5, 1.0, 5)
    return LearningRateRange(rates, rates, rates, 0.01, 0.02, None, "Adam", "a reason")


def packed(**changes):
    document, arrays = codec.encode(make_outline())
    return codec.pack({"schema": "network_outline/1", **document, **changes}, arrays)


def header_of(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data


class Evil:
    def __reduce__(self):
        import os

        return os.system, ("echo pwned",)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x00" * 8,
        pickle.dumps(Evil()),
        header_of(b"{}"),
        header_of(b'{"__metadata__": {}}'),
        header_of(b'{"__metadata__": {"document": "{"}}'),
        header_of(b'{"__metadata__": {"document": "[]"}}'),
        header_of(b'{"__metadata__": {"document": "null"}}'),
        header_of(b'{"__metadata__": {"document": 3}}'),
        header_of(b'{"__metadata__": 3}'),
        header_of(b"[]"),
        header_of(b"\xff\xfe"),
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2**32) + b"{}",
        header_of(b'{"a": {"dtype": "F64", "shape": [9], "data_offsets": [0, 8]}}', b"\x00" * 8),
        header_of(b'{"a": {"dtype": "F64", "shape": [1], "data_offsets": [0, 80]}}', b"\x00" * 8),
        header_of(b'{"a": {"dtype": "F64", "shape": [-1], "data_offsets": [0, 8]}}', b"\x00" * 8),
        save({"a": np.zeros(3)}),
        packed(schema=None),
        packed(schema="network_outline"),
        packed(schema="network_outline/x"),
        packed(schema="nothing/1"),
        packed(schema="os/1"),
        packed(schema="../../etc/1"),
        packed(schema="base/1"),
        packed(schema="codec/1"),
        packed(schema=["network_outline/1"]),
        packed(schema="network_outline/0"),
        packed(layers=3),
        packed(layers=[{"name": "a"}]),
        packed(layers=[[1, 2]]),
        packed(layers={"$array": "nothing"}),
        packed(layers={"$array": []}),
        packed(layers={"$float": "many"}),
        packed(edges=[[1, 2, 3]]),
        packed(edges="ab"),
    ],
)
def test_hostile_payloads_are_refused(payload, capfd):
    with pytest.raises(RunCorruptedError) as caught:
        Result.from_bytes(payload, place="run/results/x.safetensors")
    assert caught.value.message
    assert "pwned" not in "".join(capfd.readouterr())


def test_a_newer_payload_says_so():
    with pytest.raises(RunTooNewError, match="newer"):
        Result.from_bytes(packed(schema="network_outline/2"))


def test_unknown_fields_are_passed_over_and_missing_ones_are_not():
    assert Result.from_bytes(packed(invented=3)).model == "Net"
    document, arrays = codec.encode(make_outline())
    del document["edges"]
    with pytest.raises(RunCorruptedError, match="edges"):
        Result.from_bytes(codec.pack({"schema": "network_outline/1", **document}, arrays))


def test_the_class_asked_for_must_be_the_one_kept():
    with pytest.raises(RunCorruptedError, match="not a DataReport"):
        DataReport.from_bytes(packed())
    assert isinstance(NetworkOutline.from_bytes(packed()), NetworkOutline)


def test_a_wrong_choice_is_refused():
    document, arrays = codec.encode(Inner("x", None))
    assert codec.decode(Inner, document, arrays).values is None
    with pytest.raises(RunCorruptedError, match="not one of"):
        codec.decode(dataclasses.make_dataclass("Choice", [("choice", Literal["a", "b"])]), {"choice": "c"}, {})


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", 1j, lambda: None])
def test_what_a_result_cannot_hold_is_said(value):
    with pytest.raises(TypeError, match="cannot hold"):
        codec.encode(Inner(value, None))


def test_saving_and_loading_a_file(tmp_path):
    path = make_range().save(tmp_path / "range.safetensors")
    assert same(LearningRateRange.load(path), make_range())
    assert same(Result.load(path), make_range())
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RunCorruptedError) as caught:
        Result.load(path)
    assert caught.value.place == str(path)
    assert [each.name for each in tmp_path.iterdir()] == ["range.safetensors"]
    assert ClassificationEvaluation.schema == "classification_evaluation/1"
