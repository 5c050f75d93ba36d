"""The token outlives a restart and nobody else can read it."""

import os
import stat
import time

import pytest

from pellucid.server.token import remembered_token, token_path


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def test_a_restart_within_a_day_keeps_the_token():
    first = remembered_token()
    assert len(first) == 32
    assert remembered_token() == first
    assert stat.S_IMODE(token_path().stat().st_mode) == 0o600
    assert [entry.name for entry in token_path().parent.iterdir()] == ["token"]


def test_an_old_token_is_replaced():
    first = remembered_token()
    yesterday = time.time() - 25 * 3600
    os.utime(token_path(), (yesterday, yesterday))
    assert remembered_token() != first


@pytest.mark.parametrize("content", ["", "short", "x" * 33, "ä" * 32, "a b" * 10])
def test_what_is_no_token_is_replaced(content):
    remembered_token()
    token_path().write_text(content)
    fresh = remembered_token()
    assert fresh != content
    assert remembered_token() == fresh


def test_a_token_that_others_may_read_is_not_trusted():
    first = remembered_token()
    token_path().chmod(0o644)
    assert remembered_token() != first
    assert stat.S_IMODE(token_path().stat().st_mode) == 0o600


def test_without_a_place_to_keep_it_each_server_has_its_own(state):
    state.parent.mkdir(exist_ok=True)
    state.write_text("a file where the folder should be")
    assert remembered_token() != remembered_token()
