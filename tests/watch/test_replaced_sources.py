"""Files that are changed for one run only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pellucid.errors import SettingsError
from pellucid.store.locations import REPLACED_SOURCES
from pellucid.watch.replaced_sources import read_replaced_sources

_PROBE = """
import sys
from pellucid.watch.replaced_sources import install_replaced_sources, read_replaced_sources
install_replaced_sources(read_replaced_sources())
import part
print(part.RATE, part.__file__, part.describe())
"""


def test_an_imported_file_is_replaced_and_stays_as_it_is(tmp_path: Path) -> None:
    part = tmp_path / "part.py"
    part.write_text("RATE = 1\ndef describe():\n    return 'old'\n")
    subprocess.run([sys.executable, "-c", "import part"], cwd=tmp_path, check=True)  # leaves byte code behind
    texts = tmp_path / "texts.json"
    texts.write_text(json.dumps({str(part): "RATE = 2\ndef describe():\n    return 'new'\n"}))
    environment = {REPLACED_SOURCES: str(texts), "PYTHONPATH": ":".join([str(tmp_path), *sys.path])}
    said = subprocess.run(
        [sys.executable, "-c", _PROBE], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    ).stdout.split()
    assert said == ["2", str(part), "new"]
    read = [sys.executable, "-c", "import part; print(part.RATE)"]
    plain = subprocess.run(read, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert plain.stdout.split() == ["1"]


def test_unreadable_texts_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REPLACED_SOURCES, raising=False)
    assert read_replaced_sources() == {}
    broken = tmp_path / "texts.json"
    broken.write_text("[1")
    monkeypatch.setenv(REPLACED_SOURCES, str(broken))
    with pytest.raises(SettingsError, match="cannot be read"):
        read_replaced_sources()
