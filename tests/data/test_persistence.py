"""Estimators on disk: nothing foreign is ever made, and what was saved works as before."""

import os
import pickle

import numpy as np
import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from pellucid.data.persistence import load_estimator, read_document, save_estimator, write_document
from pellucid.data.preprocessing import DateParts, Winsorizer
from pellucid.errors import RunCorruptedError


def test_estimators_come_back_as_they_were(tmp_path):
    cells = np.random.default_rng(0).standard_t(1, size=(200, 2))
    for number, estimator in enumerate([Winsorizer(tail=0.1), DateParts(), StandardScaler()]):
        estimator.fit(cells)
        save_estimator(tmp_path / f"{number}.skops", estimator)
        loaded = load_estimator(tmp_path / f"{number}.skops")
        np.testing.assert_array_equal(loaded.transform(cells), estimator.transform(cells))


def test_a_hostile_estimator_is_refused_and_never_run(tmp_path):
    marker = tmp_path / "was run"
    (tmp_path / "a.skops").write_bytes(skops.io.dumps(FunctionTransformer(os.system)))
    with pytest.raises(RunCorruptedError, match="system"):
        load_estimator(tmp_path / "a.skops")

    class Bomb:
        def __reduce__(self):
            return os.system, (f"touch '{marker}'",)

    (tmp_path / "b.skops").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(RunCorruptedError, match="cannot be read"):
        load_estimator(tmp_path / "b.skops")
    assert not marker.exists()


def test_documents_name_their_modality(tmp_path):
    write_document(tmp_path / "p", {"seed": 3}, modality="series")
    assert read_document(tmp_path / "p") == {"modality": "series", "version": 1, "seed": 3}
    with pytest.raises(RunCorruptedError, match="not table"):
        read_document(tmp_path / "p", modality="table")
    with pytest.raises(RunCorruptedError, match="missing"):
        read_document(tmp_path / "gone")
