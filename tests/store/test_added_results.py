"""Results that are added to a run that is finished."""

from __future__ import annotations

import pytest

from pellucid.errors import SettingsError, StorageError
from pellucid.store.added_results import add_result
from pellucid.store.run import open_run
from pellucid.store.writer import RunWriter
from tests.render.surface_results_to_render import input_folding


@pytest.fixture
def run(tmp_path):
    with RunWriter.create(tmp_path, kind="fit", name="x") as writer:
        location = writer.location
    return open_run(location)


def test_it_is_read_back_and_the_run_is_as_it_was(run) -> None:
    before = run.manifest
    size = add_result(run, "input_folding_epoch_0004", input_folding())
    again = open_run(run.location)
    assert again.result_names() == ["input_folding_epoch_0004"]
    assert len(again.result_bytes("input_folding_epoch_0004")) == size
    assert again.result("input_folding_epoch_0004").stages[1].explained == 0.75
    assert again.manifest == before


def test_a_bad_name_and_a_folder_that_cannot_be_written_say_so(run, monkeypatch) -> None:
    with pytest.raises(SettingsError, match="cannot name"):
        add_result(run, "../x", input_folding())

    def refuse(*_args, **_more):
        raise PermissionError(13, "denied")

    monkeypatch.setattr("pellucid.store.filesystem.LocalFolder.write", refuse)
    with pytest.raises(StorageError):
        add_result(run, "x", input_folding())
