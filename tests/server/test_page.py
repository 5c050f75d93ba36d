"""The front end is served as built: right types, kept for ever where the name is hashed, compressed."""

from __future__ import annotations

import gzip

import pytest

from .conftest import TOKEN, client_of


@pytest.mark.parametrize("path", ["/", "/runs/20260101-digits", "/compare?runs=a,b", "/runs/x?tab=layers", "/anything"])
def test_every_address_of_the_app_is_the_page(client, path):
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    assert "<title>Pellucid</title>" in response.text


@pytest.mark.parametrize(
    ("path", "kind", "caching"),
    [
        ("/assets/index-1a2b3c.js", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"),
        ("/assets/index-1a2b3c.css", "text/css; charset=utf-8", "public, max-age=31536000, immutable"),
        ("/index.html", "text/html; charset=utf-8", "no-cache"),
    ],
)
def test_files_have_their_type_and_caching(client, path, kind, caching):
    response = client.get(path)
    assert (response.status_code, response.headers["content-type"]) == (200, kind)
    assert response.headers["cache-control"] == caching


def test_head_has_no_body(client):
    response = client.head("/assets/index-1a2b3c.js")
    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["content-length"]) > 0


def test_scripts_are_compressed_and_arrays_are_not(client, finished):
    with client.stream("GET", "/assets/index-1a2b3c.js", headers={"Accept-Encoding": "gzip"}) as response:
        assert response.headers["content-encoding"] == "gzip"
        assert b"xxxx" in gzip.decompress(b"".join(response.iter_raw()))
    table = client.get(f"/api/runs/{finished[1]}/tables/histograms", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in table.headers


def test_a_checkout_without_a_front_end_says_how_to_build_it(finished, tmp_path):
    client = client_of(finished[0], tmp_path, Authorization=f"Bearer {TOKEN}")
    response = client.get("/")
    assert response.status_code == 503
    assert "make web" in response.text
    assert response.headers["content-type"].startswith("text/html")
    assert client.get("/api/runs").status_code == 200
