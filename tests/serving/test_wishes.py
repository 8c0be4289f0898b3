import numpy as np
import polars as pl
import pytest

from genrec.data import Catalogue
from genrec.serving.wishes import choose_subset

CATALOGUE = Catalogue(
    pl.DataFrame({
        "item_id": ["a", "b", "c", "d"],
        "kind": ["lamp", None, "case", "lamp"],
        "year": pl.Series([1999, 2005, None, 2020], dtype=pl.Int16),
        "price": pl.Series([0.1, 20.0, 5.5, None], dtype=pl.Float32),
    })
)  # fmt: skip


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"kind": "lamp"}, "ad"),
        ({"kind": ["lamp", "case", "chair"]}, "acd"),
        ({"year": 2005}, "b"),
        ({"year": [1999.0, 2020, 2e9]}, "ad"),
        ({"year": (None, 2005)}, "ab"),
        ({"year": (2000.5, None)}, "bd"),
        ({"year": (None, None)}, "abd"),
        ({"price": 0.1}, "a"),
        ({"price": (0.1, 5.5)}, "ac"),
        ({"price": (0, 30), "kind": ["case", "lamp"]}, "ac"),
    ],
)
def test_conditions_hold_for_every_type_of_column(conditions, expected):
    subset = choose_subset(CATALOGUE, None, conditions)
    assert "".join(np.array(CATALOGUE.item_ids)[subset.is_in_N]) == expected


def test_a_set_with_nothing_in_it_tells_what_was_asked_for():
    with pytest.raises(ValueError, match=r"no item with year=\(1, 2\) among the 2 that are listed"):
        choose_subset(CATALOGUE, ["a", "b"], {"year": (1, 2)})
