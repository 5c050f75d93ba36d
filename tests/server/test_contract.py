"""The contract says what the server does: its documents are checked against real answers and real payloads."""

from __future__ import annotations

import json
import typing

import pytest

from pellucid.results import codec
from pellucid.results.schema import all_result_types
from pellucid.server import models
from pellucid.server.contract import build_contract, main
from pellucid.store.tables import TABLES
from tests.schema_check import problems


@pytest.fixture(scope="module")
def contract():
    return build_contract()


def check(contract, name, value):
    assert problems({"$ref": f"#/components/schemas/{name}"}, value, contract) == []


def test_answers_are_as_the_contract_says(contract, client, finished):
    for path in ("/api/version", "/api/runs", "/api/runs/{run_id}"):
        answers = contract["paths"][path]["get"]["responses"]
        schema = answers["200"]["content"]["application/json"]["schema"]
        response = client.get(path.format(run_id=finished[1]))
        assert problems(schema, response.json(), contract) == []
    wrong = client.get("/api/runs/nowhere")
    assert problems(answers["4XX"]["content"]["application/json"]["schema"], wrong.json(), contract) == []


def test_frames_are_as_the_contract_says(contract, client, finished):
    for table in TABLES:
        document, _ = codec.unpack(client.get(f"/api/runs/{finished[1]}/tables/{table}").content)
        check(contract, f"{table.title()}Frame", document)
        check(contract, "TableFrame", document)


def test_payloads_are_as_the_contract_says(contract, client, finished):
    for name in ("network_outline", "learning_rate_range"):
        document, _ = codec.unpack(client.get(f"/api/runs/{finished[1]}/results/{name}").content)
        check(contract, "AnyResult", document)


def test_live_messages_are_as_the_contract_says(contract, client, finished):
    with client.websocket_connect("ws://127.0.0.1:8765/api/live") as socket:
        for watch in ({"type": "watch", "runs": True, "run": finished[1]}, {"type": "watch", "run": "nowhere"}):
            check(contract, "WatchMessage", watch)
            socket.send_json(watch)
        found = [socket.receive_json() for _ in range(2)]
    for message in found:
        check(contract, "LiveMessage", message)


def test_the_checker_can_fail(contract):
    reference = {"$ref": "#/components/schemas/LiveMessage"}
    assert problems(reference, {"type": "runs", "runs": [{"id": 3}]}, contract)
    assert problems(reference, {"type": "other"}, contract)


def test_table_names_are_the_stores(contract):
    assert list(typing.get_args(models.TableName)) == list(TABLES)
    assert list(models.TableRows.model_fields) == list(models.TableSubscriptions.model_fields) == list(TABLES)
    assert contract["components"]["schemas"]["TableName"]["enum"] == list(TABLES)


def test_every_result_has_a_schema_and_a_place(contract):
    components = contract["components"]["schemas"]
    for kind in all_result_types():
        assert components[kind.__name__]["properties"]["schema"]["const"] == kind.schema
        assert components["Results"]["properties"][kind.schema.split("/")[0]]["$ref"].endswith(f"/{kind.__name__}")


def test_every_reference_leads_somewhere_and_nothing_is_untyped(contract):
    components = contract["components"]["schemas"]

    def walk(node, where):
        if isinstance(node, list):
            for index, item in enumerate(node):
                walk(item, f"{where}[{index}]")
        if isinstance(node, dict):
            if "$ref" in node:
                assert node["$ref"].rpartition("/")[2] in components, where
            for key, item in node.items():
                assert item != {} or key in ("content", "paths"), f"{where}.{key} is untyped"
                walk(item, f"{where}.{key}")

    walk(contract, "contract")


def test_the_command_writes_it(tmp_path, contract, capsys):
    assert main([str(tmp_path / "openapi.json")]) == 0
    assert json.loads((tmp_path / "openapi.json").read_text()) == json.loads(json.dumps(contract))
    main([])
    assert json.loads(capsys.readouterr().out)["openapi"].startswith("3.1")
