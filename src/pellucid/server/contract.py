"""The contract of the server and the front end: one OpenAPI document from which the TypeScript types are generated.

It holds the routes, the messages of the live connection, one schema per result type and one per table frame.
``python -m pellucid.server.contract web/openapi.json`` writes it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic.json_schema import models_json_schema

from pellucid.results.schema import Schema, all_result_types, record_schemas
from pellucid.server import models
from pellucid.store.tables import TABLES

__all__ = ["build_contract", "main"]

_REFERENCES = "#/components/schemas/{model}"

_SAID = (models.RunsMessage, models.RunMessage, models.ErrorMessage, models.ReportData)

_JSON: Schema = {
    "description": "Any JSON value: settings and environments, whose keys depend on who wrote the run.",
    "anyOf": [
        *({"type": kind} for kind in ("string", "number", "boolean", "null")),
        {"type": "array", "items": {"$ref": _REFERENCES.format(model="JsonValue")}},
        {"type": "object", "additionalProperties": {"$ref": _REFERENCES.format(model="JsonValue")}},
    ],
}


def build_contract() -> dict[str, Any]:
    """The OpenAPI document of the app, with the components that no route mentions added."""
    from pellucid.server.app import create_app

    document: dict[str, Any] = create_app(Path("runs"), token="contract").openapi()
    components: dict[str, Schema] = document.setdefault("components", {}).setdefault("schemas", {})
    _, said = models_json_schema([(kind, "serialization") for kind in _SAID], ref_template=_REFERENCES)
    _, heard = models_json_schema([(models.WatchMessage, "validation")], ref_template=_REFERENCES)
    components.update({**said["$defs"], **heard["$defs"]})
    components["JsonValue"] = _JSON
    components["LiveMessage"] = _any_of(["RunsMessage", "RunMessage", "ErrorMessage"])
    components.update(_result_components())
    components.update(_frame_components())
    document["components"]["schemas"] = {name: _tidied(components[name]) for name in sorted(components)}
    return document


def _tidied(schema: Schema) -> Schema:
    """Without what pydantic adds and a generator misreads: titles, and defaults that make an optional key required."""
    properties = {
        name: {key: item for key, item in inner.items() if key not in ("title", "default")}
        for name, inner in schema.get("properties", {}).items()
    }
    rest = {key: item for key, item in schema.items() if key != "title"}
    return {**rest, "properties": properties} if properties else rest


def _result_components() -> dict[str, Schema]:
    """One component a result type and record, ``Results`` (type by stem) and ``AnyResult`` (told apart by schema)."""
    kinds = all_result_types()
    by_stem = {kind.schema.partition("/")[0]: _reference(kind.__name__) for kind in kinds}
    return {
        **record_schemas(kinds),
        "AnyResult": _any_of([kind.__name__ for kind in kinds]),
        "Results": {"type": "object", "properties": by_stem, "required": list(by_stem)},
    }


def _frame_components() -> dict[str, Schema]:
    """One component a table (``StepsFrame`` …), ``Frames`` (type by table) and ``TableFrame`` (told apart by table)."""
    names = {table: f"{table.title()}Frame" for table in TABLES}
    components = {names[table]: _frame(table, schema) for table, schema in TABLES.items()}
    by_table = {table: _reference(name) for table, name in names.items()}
    components["TableName"] = {"type": "string", "enum": list(TABLES)}
    components["Frames"] = {"type": "object", "properties": by_table, "required": list(by_table)}
    components["TableFrame"] = _any_of(list(names.values()))
    components["LabelColumn"] = {
        "type": "object",
        "description": "A column of texts: `labels[codes[row]]`; the code of a missing text is -1.",
        "properties": {"codes": _reference("NdArray"), "labels": {"type": "array", "items": {"type": "string"}}},
        "required": ["codes", "labels"],
    }
    components["LostColumn"] = {
        "type": "object",
        "description": "A column of figures some of which are a measured NaN: those where `lost` is 1. Elsewhere NaN is"
        " a figure that is missing, as it is in a column without `lost`.",
        "properties": {"numbers": _reference("NdArray"), "lost": _reference("NdArray")},
        "required": ["numbers", "lost"],
    }
    return components


def _frame(table: str, schema: pa.Schema) -> Schema:
    columns = {field.name: _column(field.type) for field in schema}
    properties: dict[str, Schema] = {
        "schema": {"type": "string", "const": "table_frame/1"},
        "run": {"type": "string"},
        "table": {"type": "string", "const": table},
        "first_row": {"type": "integer", "description": "The row that was asked for, counted over the whole table."},
        "next_row": {"type": "integer", "description": "Ask for rows after this one to go on from here."},
        "sampled": {"type": "boolean", "description": "Whether rows were left out to keep to the points asked for."},
        "columns": {"type": "object", "properties": columns, "required": list(columns)},
    }
    return {
        "type": "object",
        "description": f"Rows of the table {table}. A missing number is NaN; a list column is (rows, items) in shape.",
        "properties": properties,
        "required": list(properties),
    }


def _column(kind: pa.DataType) -> Schema:
    if _is_text(kind):
        return _reference("LabelColumn")
    return _any_of(["NdArray", "LostColumn"]) if pa.types.is_floating(kind) else _reference("NdArray")


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_dictionary(kind) or pa.types.is_string(kind)


def _any_of(names: list[str]) -> Schema:
    return {"anyOf": [_reference(name) for name in names]}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def main(arguments: list[str]) -> int:
    """Write the contract to the path given, or to standard output."""
    text = json.dumps(build_contract(), indent=1, sort_keys=True) + "\n"
    if arguments:
        Path(arguments[0]).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
