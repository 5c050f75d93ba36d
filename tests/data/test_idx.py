"""IDX files against bytes written by hand from the format's description."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from pellucid.data.idx import find_idx_pairs, read_idx
from pellucid.errors import DataError, SourceNotFoundError


def idx_bytes(array: np.ndarray, code: int = 0x08, kind: str = ">u1") -> bytes:
    header = struct.pack(">BBBB", 0, 0, code, array.ndim) + b"".join(struct.pack(">I", n) for n in array.shape)
    return header + array.astype(kind).tobytes()


@pytest.mark.parametrize(
    ("code", "kind"), [(0x08, "u1"), (0x09, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")]
)
@pytest.mark.parametrize("zipped", [False, True])
def test_every_number_type_is_read(tmp_path, code, kind, zipped):
    array = np.arange(24).reshape(2, 3, 4).astype(kind)
    content = idx_bytes(array, code, ">" + kind)
    path = tmp_path / "a-images-idx3-ubyte"
    path.write_bytes(gzip.compress(content) if zipped else content)
    read = read_idx(path)
    assert read.dtype == np.dtype(kind)
    np.testing.assert_array_equal(read, array)


def test_bytes_from_the_published_description(tmp_path):
    path = tmp_path / "labels"
    path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]))
    assert read_idx(path).tolist() == [5, 0, 4]


@pytest.mark.parametrize("zipped", [False, True])
def test_a_truncated_file_states_expected_and_actual_bytes(tmp_path, zipped):
    content = idx_bytes(np.zeros((10, 28, 28)))[:-100]
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(DataError, match=f"truncated: {16 + 7840} bytes expected, {16 + 7740} found") as caught:
        read_idx(path)
    assert caught.value.place == str(path)


def test_a_header_cut_short_and_a_file_too_long(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(bytes([0, 0, 8, 3, 0, 0]))
    with pytest.raises(DataError, match="truncated: 16 bytes expected, 6 found"):
        read_idx(path)
    path.write_bytes(idx_bytes(np.zeros((2, 2))) + b"more")
    with pytest.raises(DataError, match="longer than its header states: 16 bytes expected, 20 found"):
        read_idx(path)


def test_a_cut_gzip_file_is_refused(tmp_path):
    generator = np.random.default_rng(0)
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(idx_bytes(generator.integers(0, 256, (50, 28, 28))))[:-2000])
    with pytest.raises(DataError, match=r"gzip file is truncated or damaged: \d+ bytes"):
        read_idx(path)


def test_what_is_not_idx_is_refused(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"hello world, this is text")
    with pytest.raises(DataError, match="not an IDX file"):
        read_idx(path)
    with pytest.raises(SourceNotFoundError):
        read_idx(tmp_path / "absent")


def test_a_length_that_overflows_is_no_allocation(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(bytes([0, 0, 8, 3]) + b"\xff" * 12)
    with pytest.raises(DataError, match="truncated"):
        read_idx(path)


def test_pairs_are_found_in_a_folder_and_from_the_training_file(tmp_path):
    for name in ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz", "train-images-idx3-ubyte", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(b"")
    folder = find_idx_pairs(tmp_path)
    assert [(pair.images.name, pair.part) for pair in folder] == [
        ("train-images-idx3-ubyte", "train"),
        ("t10k-images-idx3-ubyte.gz", "test"),
    ]
    assert [pair.labels.name for pair in folder if pair.labels] == [
        "train-labels-idx1-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    ]
    assert find_idx_pairs(tmp_path / "train-images-idx3-ubyte") == folder
    alone = find_idx_pairs(tmp_path / "t10k-images-idx3-ubyte.gz")
    assert [pair.part for pair in alone] == ["test"]
    assert find_idx_pairs(tmp_path / "notes.txt") == ()


def test_families_in_one_folder_stay_apart(tmp_path):
    for family in ("letters", "digits"):
        for part in ("train", "test"):
            (tmp_path / f"emnist-{family}-{part}-images-idx3-ubyte").write_bytes(b"")
    pairs = find_idx_pairs(tmp_path / "emnist-letters-train-images-idx3-ubyte")
    assert [pair.images.name for pair in pairs] == [
        "emnist-letters-train-images-idx3-ubyte",
        "emnist-letters-test-images-idx3-ubyte",
    ]
    assert all(pair.labels is None for pair in pairs)
