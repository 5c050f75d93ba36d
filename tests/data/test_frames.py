"""Reading tables, and the fault of every table that cannot be read."""

import gzip
import json

import numpy as np
import pandas
import pytest

from pellucid.data.frames import read_frame
from pellucid.errors import DataError, SourceNotFoundError


@pytest.fixture
def frame():
    return pandas.DataFrame(
        {
            "age": [29, 41, 7],
            "fare": [7.25, np.nan, 8.5],
            "name": ["Ann, A.", None, "Ümit"],
            "paid": [True, False, True],
        }
    )


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(("name", "separator"), [("a.csv", ","), ("a.csv", ";"), ("a.csv", "\t"), ("a.tsv", "\t")])
def test_delimited_tables_read_as_written(tmp_path, frame, name, separator):
    frame.to_csv(tmp_path / name, index=False, sep=separator)
    pandas.testing.assert_frame_equal(read_frame(tmp_path / name), frame, check_dtype=False)


def test_parquet_json_lines_and_gzip_read_as_written(tmp_path, frame):
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    frame.to_json(tmp_path / "a.json", orient="records")
    frame.to_csv(tmp_path / "a.csv.gz", index=False)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    for name in ("a.parquet", "a.jsonl", "a.json", "a.csv.gz", "b.jsonl.gz"):
        pandas.testing.assert_frame_equal(read_frame(tmp_path / name), frame, check_dtype=False)


def test_parquet_types_become_plain_ones_and_a_saved_index_is_left_out(tmp_path):
    frame = pandas.DataFrame({"c": pandas.Categorical(["x", "y", "x"]), "d": [1, 2, 3]}, index=[5, 6, 7])
    frame.to_parquet(tmp_path / "a.parquet")
    read = read_frame(tmp_path / "a.parquet")
    assert list(read.columns) == ["c", "d"]
    assert read["c"].tolist() == ["x", "y", "x"]
    assert read.index.tolist() == [0, 1, 2]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    assert list(read_frame(write(tmp_path / "a.csv", b"\xef\xbb\xbfa,b\n1,2\n")).columns) == ["a", "b"]


def test_lines_that_end_as_in_old_spreadsheets(tmp_path):
    path = write(tmp_path / "a.csv", b"a;b\r1;2\r3;4\r")
    assert read_frame(path).to_dict("list") == {"a": [1, 3], "b": [2, 4]}


def test_columns_asked_for_as_text_keep_their_zeros(tmp_path):
    path = write(tmp_path / "a.csv", " zip ,n\n007,1\n042,2\n")
    assert read_frame(path, as_text=["zip", "gone"])["zip"].tolist() == ["007", "042"]
    assert read_frame(path)["zip"].tolist() == [7, 42]


def test_a_word_far_down_makes_a_column_text(tmp_path):
    path = write(tmp_path / "a.csv", "n\n" + "12345\n" * 300_000 + "many\n")
    assert read_frame(path)["n"].iloc[-1] == "many"


def test_times_of_day_are_kept_as_written(tmp_path):
    path = write(tmp_path / "a.csv", "at,n\n12:30,1\n01:15,2\n")
    assert read_frame(path)["at"].tolist() == read_frame(path, as_text=["at"])["at"].tolist() == ["12:30", "01:15"]


def test_names_are_stripped_and_nameless_columns_numbered(tmp_path):
    assert list(read_frame(write(tmp_path / "a.csv", " a ,\n1,2\n")).columns) == ["a", "column 2"]


def test_missing_marks_are_missing_also_among_names(tmp_path):
    read = read_frame(write(tmp_path / "a.csv", "a,b\nNA,x\n1,NA\n2,\n"))
    assert read.isna().sum().tolist() == [1, 2]


@pytest.mark.parametrize(
    ("name", "content", "said", "where"),
    [
        ("a.csv", b"", "empty", "a.csv"),
        ("a.csv", b"\n\n", "empty", "a.csv"),
        ("a.csv", "a,b\n", "no rows", "a.csv"),
        ("a.csv", "a,b\n1,2\n\n3,4\n5,6,7\n", "3 cells where the header has 2", "line 5"),
        ("a.csv", 'a,b\n"x\ny",2\n5\n', "1 cells where the header has 2", "line 4"),
        ("a.csv", "a,b\nx,1\né,2\n".encode("latin-1"), "0xe9", "line 3, byte 8"),
        ("a.csv", "a,b\n1,2\n".encode("utf-16"), "UTF-16", "a.csv"),
        ("a.csv", b"a,b\n1,\x00\n", "not a text file", "byte 6"),
        ("a.csv", "a,b,a\n1,2,3\n", "'a' stands 2 times", "a.csv"),
        ("a.jsonl", '{"a": 1}\n\n{"a": 2\n', "no JSON", "line 3"),
        ("a.jsonl", '{"a": 1}\n[1]\n', "no JSON object", "line 2"),
        ("a.json", '[{"a": 1}, {"a"', "damaged", "a.json"),
        ("a.parquet", b"PAR1\x00\x01", "Parquet", "a.parquet"),
        ("a.csv.gz", b"\x1f\x8b\x08\x00\x00", "gzip", "a.csv.gz"),
        ("a.xlsx", b"PK", "not read", "a.xlsx"),
        ("a.pkl", b"\x80", "not read", "a.pkl"),
    ],
)
def test_every_fault_is_named_with_its_place(tmp_path, name, content, said, where):
    with pytest.raises(DataError) as caught:
        read_frame(write(tmp_path / name, content))
    assert said in caught.value.message
    assert where in caught.value.place
    assert caught.value.remedy


def test_a_parquet_file_cut_short_is_an_error(tmp_path, frame):
    frame.to_parquet(tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    with pytest.raises(DataError, match="truncated"):
        read_frame(write(tmp_path / "b.parquet", whole[: len(whole) // 2]))


def test_a_gzip_file_cut_short_is_an_error(tmp_path):
    whole = gzip.compress(json.dumps({"a": list(range(1000))}).encode())
    with pytest.raises(DataError, match="truncated"):
        read_frame(write(tmp_path / "a.jsonl.gz", whole[:-20]))


def test_a_missing_file_and_a_folder_are_errors(tmp_path):
    with pytest.raises(SourceNotFoundError, match="no such file"):
        read_frame(tmp_path / "gone.csv")
    with pytest.raises(DataError, match="folder"):
        read_frame(tmp_path)
