from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from genrec.data import DataError, EventRules
from genrec.data.events import check_events
from genrec.data.reading import ROW

ITEMS = pl.Series(["a", "b"])
DAY = 1_400_000_000
"""A second of May 2014."""


def rows(**columns: Any) -> pl.LazyFrame:
    given = {"user": "u", "item": "a", "time": DAY, **columns}
    height = max(len(values) for values in given.values() if isinstance(values, list))
    filled = {
        name: values if isinstance(values, list) else [values] * height
        for name, values in given.items()
    }
    return pl.DataFrame(filled).with_row_index(ROW, 2).lazy()


def check(table: pl.LazyFrame, rules: EventRules | None = None) -> pl.DataFrame:
    checked = check_events(table, rules or EventRules(), path=Path("log.csv"), item_ids=ITEMS)
    return checked.table.collect()


def test_text_becomes_what_it_means():
    table = check(rows(user=[" u "], time=["1400000000.7"], rating=["4.5"], text=["  "]))
    assert table.rows() == [("u", "a", DAY, 4.5, None)]


def test_an_empty_rating_is_no_rating():
    table = check(rows(rating=["", None, "nan", "3"]))
    assert table["rating"].to_list() == [None, None, None, 3.0]


def test_a_rating_that_is_nan_is_no_rating():
    assert check(rows(rating=[float("nan"), 2.0]))["rating"].to_list() == [None, 2.0]


@pytest.mark.parametrize("unit", ["auto", "milliseconds"])
def test_milliseconds_become_seconds(unit):
    table = check(rows(time=[DAY * 1000 + 999, DAY * 1000]), EventRules(time_unit=unit))
    assert table["time"].to_list() == [DAY, DAY]


def test_small_numbers_are_milliseconds_where_the_rules_say_so():
    table = check(rows(time=[5000, 1000]), EventRules(time_unit="milliseconds"))
    assert table["time"].to_list() == [5, 1]


def test_times_can_be_written_out():
    rules = EventRules(time_format="%Y-%m-%d %H:%M:%S")
    assert check(rows(time=["2014-05-13 16:53:20"]), rules)["time"].to_list() == [DAY]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_times_of_parquet_files_can_be_moments(unit):
    moments = pl.Series([datetime.fromtimestamp(DAY, UTC)], dtype=pl.Datetime(unit, "UTC"))
    table = rows(user=["u"]).with_columns(moments.alias("time"))
    assert check(table)["time"].to_list() == [DAY]


@pytest.mark.parametrize(
    ("columns", "rules", "message"),
    [
        ({"rating": ["5", "11"]}, {}, "row 3 has the rating '11'; ratings go from 0.5 to 5"),
        ({"rating": [5.0, 0.0]}, {}, "row 3 has the rating 0.0; ratings go from 0.5 to 5"),
        ({"rating": ["good"]}, {}, "row 2 has the rating 'good'; ratings go from"),
        ({"rating": ["inf"]}, {}, "row 2 has the rating 'inf'"),
        ({"rating": ["5"]}, {"rating_range": (0, 1)}, "go from 0 to 1: correct it or change"),
        ({"item": ["a", "A"]}, {}, "row 3 has the item 'A'; the catalogue does not have it"),
        ({"item": ["a", " "]}, {}, "row 3 has no item; drop the row or name its item"),
        ({"user": ["u", None]}, {}, "row 3 has no user; drop the row or name its user"),
        ({"time": [DAY, None]}, {}, "row 3 has no time; give seconds or milliseconds"),
        ({"time": ["yesterday"]}, {}, "row 2 has the time 'yesterday'; give seconds or"),
        ({"time": [DAY * 10**6]}, {}, "row 2 has the time 1400000000000000; give seconds or"),
        ({"time": ["2014"]}, {"time_format": "%Y-%m-%d"}, "'2014'; times are written %Y-%m-%d"),
        (
            {"time": [DAY, DAY * 1000]},
            {},
            "mixes units of time: row 2 has 1400000000, by its size in seconds, "
            "row 3 has 1400000000000, in milliseconds; bring them to one unit",
        ),
        (
            {"time": [DAY, DAY * 1000]},
            {"time_unit": "seconds"},
            "row 3 has the time 1400000000000; give seconds since 1970, or change time_unit",
        ),
        ({"item": ["x", "y"]}, {"unknown_items": "drop"}, "names no item of the catalogue"),
    ],
)
def test_a_wrong_row_is_named(columns, rules, message):
    with pytest.raises(DataError, match=r"log\.csv.*" + message):
        check(rows(**columns), EventRules(**rules))


def test_the_first_wrong_row_is_named_whatever_is_wrong_with_it():
    with pytest.raises(DataError, match="row 3 has no item"):
        check(rows(rating=[1, 1, 11], item=["a", None, "a"], user=["u", "u", None]))


def test_an_unknown_item_is_suggested_the_nearest_one():
    items = pl.Series(["phone-case", "hat"])
    with pytest.raises(DataError, match=r"\(did you mean 'phone-case'\?\)"):
        check_events(rows(item=["phone-csae"]), EventRules(), path=Path("log.csv"), item_ids=items)


def test_unknown_items_are_dropped_and_counted_where_the_rules_say_so():
    rules = EventRules(unknown_items="drop")
    checked = check_events(rows(item=["x", "b", "y"]), rules, path=Path("log.csv"), item_ids=ITEMS)
    assert checked.dropped == 2
    assert checked.table.collect()["item"].to_list() == ["b"]


def test_a_file_without_rows_is_refused():
    with pytest.raises(DataError, match=r"log\.csv is empty"):
        check(rows(user=["u"]).clear())


def test_a_range_upside_down_is_refused():
    with pytest.raises(ValueError, match="rating_range is 5 to 1; give the lower one first"):
        EventRules(rating_range=(5, 1))
