import pytest

from genrec.data import DataError
from genrec.data.items import category_path, check_attributes, clean_text, price_of


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("  Salt &amp;\n pepper ", "Salt & pepper"),
        (["two", "parts"], "two parts"),
        ("", None),
        (" \n", None),
        (None, None),
        ([], None),
    ],
)
def test_text_is_cleaned(value, expected):
    assert clean_text(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["Beauty", "Makeup", "Nails"], "Beauty > Makeup > Nails"),
        ([["Toys &amp; Games", "Dolls"], ["Gifts"]], "Toys & Games > Dolls"),
        (["Beauty", ""], "Beauty"),
        ("Beauty", "Beauty"),
        ([], None),
        (None, None),
    ],
)
def test_categories_are_one_path(value, expected):
    assert category_path(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (12, 12.0),
        (3.04, 3.04),
        ("12.0", 12.0),
        ("$1,299.00", 1299.0),
        ("", None),
        (None, None),
        ("\N{EM DASH}", None),
    ],
)
def test_prices_are_numbers(value, expected):
    assert price_of(value) == expected


@pytest.mark.parametrize("value", ["cheap", "1.2.3", "$10 - $20"])
def test_a_price_that_is_none_is_refused(value):
    with pytest.raises(DataError, match="is no number"):
        price_of(value)


def test_an_unknown_attribute_is_refused():
    with pytest.raises(ValueError, match="no attribute 'prise'; did you mean 'price'"):
        check_attributes(["prise"], ["title", "price"])
