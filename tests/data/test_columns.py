import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.data.columns import series_fingerprint, table_fingerprint

VALUES = {
    pl.String: st.text(max_size=3),
    pl.Binary: st.binary(max_size=3),
    pl.Int64: st.integers(-3, 3),
    pl.Float32: st.floats(0, 3, width=16),
}


@pytest.mark.parametrize("dtype", VALUES)
@given(data=st.data())
def test_two_columns_have_one_fingerprint_only_if_they_are_equal(dtype, data):
    columns = st.lists(st.none() | VALUES[dtype], max_size=4)
    left, right = (pl.Series("x", data.draw(columns), dtype=dtype) for _ in range(2))
    assert (series_fingerprint(left) == series_fingerprint(right)) == left.equals(right)


def test_late_rows_of_long_columns_count():
    rows = pl.int_range(300_000, eager=True)
    changed = rows.clone().scatter(299_999, 0)
    assert series_fingerprint(rows) != series_fingerprint(changed)


def test_names_types_and_order_count():
    table = pl.DataFrame({"a": [1], "b": [1]})
    others = [table.rename({"a": "c"}), table.cast({"a": pl.Int32}), table.select("b", "a")]
    assert len({table_fingerprint(each) for each in (table, *others)}) == 4
