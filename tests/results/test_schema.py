"""The schema of a result says of every encoded document that it is right, and of a broken one that it is not."""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pellucid.results import codec
from pellucid.results.base import Result
from pellucid.results.schema import all_result_types, json_schema, record_schemas
from tests.schema_check import problems

KINDS = all_result_types()
ROOT = {"components": {"schemas": record_schemas(KINDS)}}


def strategy_for(hint: Any) -> st.SearchStrategy:
    """Any value of a type hint."""
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return st.builds(hint, **{f.name: strategy_for(hints[f.name]) for f in dataclasses.fields(hint)})
    if hint is np.ndarray:
        return hnp.arrays(st.sampled_from(["<f8", "<i8", "u1"]), st.integers(0, 3))
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*map(strategy_for, args))
    if origin is tuple:
        if args[1:] == (Ellipsis,):
            return st.lists(strategy_for(args[0]), max_size=2).map(tuple)
        return st.tuples(*map(strategy_for, args))
    if origin is dict:
        return st.dictionaries(st.sampled_from(["one", "two"]), strategy_for(args[1]), max_size=2)
    if origin is Literal:
        return st.sampled_from(args)
    plain = {bool: st.booleans(), int: st.integers(), float: st.floats(), str: st.text(max_size=3)}
    return st.none() if hint is type(None) else plain[hint]


def test_there_are_results():
    assert {"DataReport", "NetworkOutline", "ClassificationEvaluation"} <= {kind.__name__ for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=20)
@given(data=st.data())
def test_every_encoded_document_fits_its_schema(kind, data):
    result = data.draw(strategy_for(kind))
    document, arrays = codec.unpack(result.to_bytes())
    assert problems({"$ref": f"#/components/schemas/{kind.__name__}"}, document, ROOT) == []
    assert isinstance(Result.from_bytes(codec.pack(document, arrays)), kind)
    name = data.draw(st.sampled_from(sorted(document)))
    assert problems({"$ref": f"#/components/schemas/{kind.__name__}"}, {**document, name: object()}, ROOT)
    del document[name]
    assert problems({"$ref": f"#/components/schemas/{kind.__name__}"}, document, ROOT)


def test_every_shape_of_hint():
    @dataclass(frozen=True)
    class Point:
        """A point."""

        x: float
        y: int

    Sample = dataclasses.make_dataclass(
        "Sample",
        [
            ("point", Point),
            ("maybe", np.ndarray | None),
            ("many", tuple[str, ...]),
            ("pair", tuple[int, bool]),
            ("table", dict[str, tuple[float, ...]]),
            ("choice", Literal["a", "b"]),
            ("level", Literal[1, 2]),
        ],
    )
    number = {"anyOf": [{"type": "number"}, {"$ref": "#/components/schemas/NonFinite"}]}
    assert json_schema(Sample)["properties"] == {
        "point": {"$ref": "#/components/schemas/Point"},
        "maybe": {"anyOf": [{"$ref": "#/components/schemas/NdArray"}, {"type": "null"}]},
        "many": {"type": "array", "items": {"type": "string"}},
        "pair": {
            "type": "array",
            "prefixItems": [{"type": "integer"}, {"type": "boolean"}],
            "minItems": 2,
            "maxItems": 2,
        },
        "table": {"type": "object", "additionalProperties": {"type": "array", "items": number}},
        "choice": {"type": "string", "enum": ["a", "b"]},
        "level": {"enum": [1, 2]},
    }
    assert set(record_schemas([Sample])) == {"NdArray", "NonFinite", "Point", "Sample"}
    assert record_schemas([Sample])["Point"]["description"] == "A point."
    with pytest.raises(TypeError, match="two records are called Point"):
        record_schemas([Sample, dataclasses.make_dataclass("Point", [("x", int)])])


@pytest.mark.parametrize("hint", [set[int], list[int], bytes, object, dict[int, str], Any])
def test_a_hint_that_no_result_may_have_is_named(hint):
    with pytest.raises(TypeError, match=r"Wrong\.field"):
        json_schema(dataclasses.make_dataclass("Wrong", [("field", hint)]))
