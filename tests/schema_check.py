"""A validator of the part of JSON Schema that the contract uses, written from its specification (2020-12)."""

from __future__ import annotations

from typing import Any

_TYPES = {
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "null": type(None),
    "array": list,
    "object": dict,
}


def problems(schema: dict[str, Any], value: Any, root: dict[str, Any], where: str = "$") -> list[str]:
    """What in ``value`` is not as ``schema`` says; references are looked up in ``root``. Empty if all is well."""
    if "$ref" in schema:
        return problems(_find(schema["$ref"], root), value, root, where)
    for union in ("anyOf", "oneOf"):
        if union in schema:
            tried = [problems(each, value, root, where) for each in schema[union]]
            return [] if any(not each for each in tried) else [f"{where}: none of {union}: {tried}"]
    found: list[str] = []
    if "const" in schema and value != schema["const"]:
        found.append(f"{where}: {value!r} is not {schema['const']!r}")
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{where}: {value!r} is not one of {schema['enum']}")
    if "type" in schema and not _is_of(schema["type"], value):
        return [*found, f"{where}: {value!r} is no {schema['type']}"]
    if isinstance(value, dict):
        found += _object(schema, value, root, where)
    if isinstance(value, list):
        found += _array(schema, value, root, where)
    return found


def _find(reference: str, root: Any) -> Any:
    node = root
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def _is_of(kind: str, value: Any) -> bool:
    return isinstance(value, _TYPES[kind]) and not (isinstance(value, bool) and kind in ("number", "integer"))


def _object(schema: dict[str, Any], value: dict[str, Any], root: Any, where: str) -> list[str]:
    properties, further = schema.get("properties", {}), schema.get("additionalProperties", True)
    found = [f"{where}: {name} is missing" for name in schema.get("required", []) if name not in value]
    for name, item in value.items():
        if name in properties:
            found += problems(properties[name], item, root, f"{where}.{name}")
        elif further is False:
            found.append(f"{where}: {name} is not known")
        elif isinstance(further, dict):
            found += problems(further, item, root, f"{where}.{name}")
    return found


def _array(schema: dict[str, Any], value: list[Any], root: Any, where: str) -> list[str]:
    first = schema.get("prefixItems", [])
    found: list[str] = []
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        found.append(f"{where}: {len(value)} items")
    for index, item in enumerate(value):
        each = first[index] if index < len(first) else schema.get("items", {})
        found += problems(each, item, root, f"{where}[{index}]")
    return found
