"""What columns are found to be, and how their cells are read."""

import numpy as np
import pandas
import pytest

from pellucid.data.cells import as_names
from pellucid.data.columns import infer_column, parse_column
from pellucid.errors import DataError


def found(name, cells):
    return infer_column(pandas.Series(cells), name)


@pytest.mark.parametrize(
    ("name", "cells", "kind"),
    [
        ("age", [29.0, 41.5, None] * 5, "number"),
        ("class", [1, 2, 3] * 5, "number"),
        ("flag", [0, 1, 1, None] * 4, "boolean"),
        ("flag", [True, False, None] * 4, "boolean"),
        ("flag", ["Yes", "no", None] * 4, "boolean"),
        ("sex", ["male", "female"] * 8, "category"),
        ("mixed", [1, "x", 2.5] * 5, "category"),
        ("day", pandas.date_range("2020-01-01", periods=12), "date"),
        ("day", ["2020-01-05", "2021-03-04"] * 6, "date"),
        ("PassengerId", list(range(1, 31)), "identifier"),
        ("customer_id", [7 * number + 3 for number in range(30)], "identifier"),
        ("n", list(range(30)), "identifier"),
        ("year", list(range(30)), "number"),
        ("paid", [7 * number + 3 for number in range(30)], "number"),
        ("name", [f"Mr. Smith {number}" for number in range(30)], "identifier"),
        ("ticket", [f"T{number % 60}" for number in range(100)], "text"),
        ("review", ["one two three four five six seven eight nine " + str(number) for number in range(30)], "text"),
        ("cabin", [f"C{number}" for number in range(60)] + [None] * 40, "category"),
        ("same", [3.0] * 12, "constant"),
        ("same", ["x"] * 12, "constant"),
        ("given", ["x", None] * 8, "category"),
        ("nothing", [None] * 12, "empty"),
        ("nothing", ["?", "-"] * 6, "empty"),
        ("nested", [[1, 2]] * 12, "text"),
    ],
)
def test_kinds(name, cells, kind):
    assert found(name, cells).kind == kind


@pytest.mark.parametrize(
    ("cells", "numbers", "said"),
    [
        (["1,234", "2,000,000.5", "12"], [1234, 2000000.5, 12], "thousands"),
        (["1,5", "2,75", "1.003,5"], [1.5, 2.75, 1003.5], "decimal comma"),
        (["$1,200.50", "12 %", "7 €"], [1200.5, 12, 7], "stored as text"),
        (["1", "?", "2", "3", "-", "5"], [1, np.nan, 2, 3, np.nan, 5], "'-', '?'"),
        (["1e3", "-2.5", "+4"], [1000, -2.5, 4], "stored as text"),
    ],
)
def test_numbers_stored_as_text_are_read_and_noted(cells, numbers, said):
    series = pandas.Series(cells * 5)
    column = infer_column(series, "x")
    assert column.kind == "number"
    assert said in column.note
    np.testing.assert_array_equal(parse_column(column, series).to_numpy(), np.tile(numbers, 5))


def test_a_few_words_among_numbers_mean_missing():
    series = pandas.Series(["12", "13", "unknown", *map(str, range(14, 30))])
    column = infer_column(series, "age")
    assert column.kind == "number"
    assert column.marks == ("unknown",)
    assert np.isnan(parse_column(column, series)[2])


@pytest.mark.parametrize(
    "form", ["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d %b %Y", "%Y-%m-%dT%H:%M:%S", "%d.%m.%Y %H:%M"]
)
def test_dates_in_the_usual_formats_are_read(form):
    dates = pandas.date_range("2019-11-23 06:00", periods=40, freq="41h").floor("min")
    dates = dates if "%H" in form else dates.floor("D")
    series = pandas.Series(dates.strftime(form))
    column = infer_column(series, "when")
    assert column.kind == "date"
    expected = (dates - pandas.Timestamp("1970-01-01")).total_seconds() / 86400
    np.testing.assert_allclose(parse_column(column, series).to_numpy(), expected)


def test_dates_that_could_be_read_both_ways_say_so():
    assert "day/month" in found("when", ["01/02/2020", "03/04/2020"] * 6).note


@pytest.mark.parametrize(
    ("training", "new", "said"),
    [
        ([1.5, 2.5, 3.5] * 4, ["1.5", "two"], "'two' is not a number"),
        (["yes", "no"] * 6, ["yes", "maybe"], "'maybe' is not 'no' or 'yes'"),
        (["01.02.2020", "13.02.2020"] * 6, ["01.02.2020", "soon"], "'soon' is not a date"),
    ],
)
def test_new_cells_that_cannot_be_read_name_their_row(training, new, said):
    column = found("x", training)
    with pytest.raises(DataError, match=said) as caught:
        parse_column(column, pandas.Series(new), place="new.csv")
    assert caught.value.place == "new.csv, column 'x', row 2 below the header"


def test_names_do_not_depend_on_how_the_column_was_stored():
    names = ["1", "2", None]
    for cells in ([1, 2, None], [1.0, 2.0, np.nan], ["1", "2", None], ["1 ", " 2", ""], [1, 2.0, None]):
        assert as_names(pandas.Series(cells)).tolist() == names
    assert as_names(pandas.Series([0.25, 1e20])).tolist() == ["0.25", "1e+20"]
