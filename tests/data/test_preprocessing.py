"""The preprocessing parts against hand-computed quantiles, pandas' calendar and scikit-learn itself."""

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from pellucid.data.columns import infer_column, parse_column
from pellucid.data.preprocessing import DateParts, Winsorizer, build_transformer, name_features
from pellucid.data.settings import DataSettings


def fitted(frame, **settings):
    columns = [infer_column(frame[name], name) for name in frame]
    parsed = pandas.DataFrame({column.name: parse_column(column, frame[column.name]) for column in columns})
    transformer = build_transformer(columns, DataSettings(**settings), len(parsed)).fit(parsed)
    return transformer, parsed, list(name_features(transformer))


def test_fences_are_the_hand_computed_ones():
    # Of 0…100 the 5 % quantile is 5, the median 50, the 95 % quantile 95.
    column = np.arange(101.0)[:, None]
    winsorizer = Winsorizer().fit(column)
    assert winsorizer.low_[0] == pytest.approx(50 - 3 * 45)
    assert winsorizer.high_[0] == pytest.approx(50 + 3 * 45)
    np.testing.assert_array_equal(winsorizer.transform([[-900.0], [42.0], [900.0], [np.nan]])[:3, 0], [-85, 42, 185])
    assert winsorizer.count([[-900.0], [42.0], [900.0], [np.nan]])[0] == 2


def test_outliers_do_not_move_the_fences_much():
    clean = np.random.default_rng(0).normal(size=(1000, 1))
    dirty = clean.copy()
    dirty[:5] = 1e6
    assert Winsorizer().fit(dirty).high_[0] < Winsorizer().fit(clean).high_[0] * 1.1
    assert Winsorizer().fit(clean).count(clean)[0] == 0


@settings(deadline=None)
@given(st.lists(st.sampled_from([0.0, 1.0, np.nan]), min_size=1, max_size=50))
def test_two_valued_columns_are_left_alone(cells):
    column = np.array(cells)[:, None]
    np.testing.assert_array_equal(Winsorizer().fit(column).transform(column), column)


def test_sparse_columns_keep_what_is_not_zero():
    column = np.zeros((1000, 1))
    column[:30, 0] = np.arange(1, 31)
    np.testing.assert_array_equal(Winsorizer().fit(column).transform(column), column)


def test_date_parts_are_the_calendars():
    dates = pandas.date_range("1968-12-30 18:00", periods=500, freq="31h")
    days = ((dates - pandas.Timestamp(0)) / pandas.Timedelta(days=1)).to_numpy()
    parts = DateParts().fit(pandas.DataFrame({"when": days}))
    made = dict(zip(parts.get_feature_names_out(), parts.transform(days[:, None]).T, strict=True))
    np.testing.assert_array_equal(made["when: year"], dates.year)
    np.testing.assert_array_equal(made["when: month"], dates.month)
    np.testing.assert_array_equal(made["when: day"], dates.day)
    np.testing.assert_array_equal(made["when: weekday"], dates.day_of_week)
    np.testing.assert_array_equal(made["when: hour"], dates.hour)
    np.testing.assert_allclose(made["when: elapsed days"], days - days[0])
    assert np.isnan(parts.transform([[np.nan]])).all()


def test_date_parts_that_do_not_vary_are_left_out():
    parts = DateParts().fit(pandas.DataFrame({"when": [0.0, 1.0, 2.0]}))
    assert list(parts.get_feature_names_out()) == ["when: day", "when: weekday", "when: elapsed days"]


@pytest.mark.parametrize(
    ("scaling", "scaler"),
    [
        ("auto", StandardScaler()),
        ("standard", StandardScaler()),
        ("minmax", MinMaxScaler()),
        ("robust", RobustScaler()),
    ],
)
def test_scaling_is_scikit_learns(scaling, scaler):
    frame = pandas.DataFrame(np.random.default_rng(0).normal(3, 5, (200, 3)), columns=["a", "b", "c"])
    transformer, parsed, _ = fitted(frame, scaling=scaling, outliers="none")
    np.testing.assert_allclose(transformer.transform(parsed), scaler.fit_transform(frame.to_numpy()))


@pytest.mark.parametrize(("missing", "filled"), [("auto", 2.0), ("median", 2.0), ("mean", 4.0), ("most_frequent", 1.0)])
def test_missing_numbers_are_filled_and_indicated(missing, filled):
    frame = pandas.DataFrame({"x": [1.0, 1.0, 3.0, 11.0, np.nan], "y": [1.0, 2.0, 3.0, 4.0, 9.0]})
    transformer, parsed, names = fitted(frame, missing=missing, scaling="none", outliers="none")
    made = transformer.transform(parsed)
    assert names == ["x", "y", "x is missing"]
    assert made[4].tolist() == [filled, 9.0, 1.0]
    assert fitted(frame, missing_indicator=False)[2] == ["x", "y"]


def test_categories_are_one_hot_with_rare_missing_and_unseen_values_handled():
    cells = ["a"] * 10 + ["b"] * 10 + ["c", "d", None]
    transformer, _, names = fitted(pandas.DataFrame({"k": cells}))
    assert names == ["k_a", "k_b", "k_(rare)"]
    new = pandas.DataFrame({"k": pandas.Series(["a", "b", "c", "never seen", None], dtype=object)})
    assert transformer.transform(new).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]]


def test_an_unseen_value_without_rare_ones_is_none_of_the_known():
    transformer, _, _ = fitted(pandas.DataFrame({"k": ["a", "b"] * 10}))
    assert transformer.transform(pandas.DataFrame({"k": ["z"]})).tolist() == [[0, 0]]


def test_ordinal_categories_are_codes_in_alphabetical_order():
    transformer, _, names = fitted(pandas.DataFrame({"k": ["b", "a", "c"] * 5}), categories="ordinal", scaling="none")
    new = pandas.DataFrame({"k": ["a", "b", "c", "z"]})
    assert names == ["k"]
    assert transformer.transform(new)[:, 0].tolist() == [0, 1, 2, -1]


def test_a_column_without_a_value_in_training_becomes_zeros():
    columns = [infer_column(pandas.Series([1.0, 2.0, 3.5]), "x"), infer_column(pandas.Series([1.0, 2.5, 7.0]), "y")]
    training = pandas.DataFrame({"x": [np.nan] * 4, "y": [1.0, 2.0, 3.0, 4.0]})
    made = build_transformer(columns, DataSettings(), 4).fit(training).transform(training)
    assert np.isfinite(made).all()
