import io

import numpy as np
import polars as pl
import pytest
from PIL import Image

from genrec.data import Catalogue, DataError


def png(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (2, 3), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def shop() -> Catalogue:
    return Catalogue(
        pl.DataFrame(
            {
                "item_id": ["shoe", "hat", "sock"],
                "title": ["A shoe", "", None],
                "price": [12.5, float("nan"), 3.0],
                "stock": [1, 2, None],
                "picture": [png((255, 0, 0)), None, png((0, 0, 255))],
            }
        )
    )


def test_attributes_are_the_other_columns_in_their_order(shop):
    assert shop.attributes == ("title", "price", "stock")


def test_describe_tells_what_is_known(shop):
    assert shop.describe(0) == {"title": "A shoe", "price": 12.5, "stock": 1}


def test_null_nan_and_empty_text_are_missing(shop):
    assert shop.describe(1) == {"stock": 2}
    assert shop.describe(2) == {"price": 3.0}


def test_describe_keeps_the_declared_order(shop):
    assert list(shop.describe(0, ["stock", "title"])) == ["title", "stock"]


def test_an_unknown_attribute_is_refused_with_the_nearest_one(shop):
    with pytest.raises(DataError, match="no attribute 'titel'; did you mean 'title'"):
        shop.describe(0, ["titel"])


def test_rows_of_raw_ids(shop):
    assert shop.rows(["sock", "shoe", "sock"]) == [2, 0, 2]


def test_an_unknown_id_is_refused_with_the_nearest_one(shop):
    with pytest.raises(DataError, match="no item 'shoes'; did you mean 'shoe'"):
        shop.rows(["hat", "shoes"])


def test_pictures_are_decoded_as_rgb(shop):
    picture = shop.picture(2)
    assert picture is not None
    assert (picture.mode, picture.size, picture.getpixel((1, 2))) == ("RGB", (2, 3), (0, 0, 255))


def test_a_missing_picture_is_none(shop):
    assert shop.picture(1) is None
    np.testing.assert_array_equal(shop.has_picture, [True, False, True])


def test_without_a_picture_column_no_item_has_one():
    shop = Catalogue(pl.DataFrame({"item_id": ["a"]}))
    assert shop.picture(0) is None
    np.testing.assert_array_equal(shop.has_picture, [False])


@pytest.mark.parametrize("ids", ["a", None, 3])
def test_ids_that_are_no_list_are_refused(shop, ids):
    with pytest.raises(TypeError, match=f"item ids come in a list.*, not as {ids!r}"):
        shop.rows(ids)


def test_an_id_that_is_a_list_is_refused():
    with pytest.raises(TypeError, match="item ids are texts, such as 'item-1'"):
        Catalogue(pl.DataFrame({"item_id": ["a"]})).rows([["a"]])


@pytest.mark.parametrize("row", [-1, 3])
def test_a_row_that_does_not_exist_is_refused(shop, row):
    with pytest.raises(IndexError, match=f"no item {row}; the catalogue has 3"):
        shop.describe(row)
    with pytest.raises(IndexError, match=f"no item {row}"):
        shop.picture(row)


def test_rows_may_be_numpy_integers(shop):
    assert shop.describe(np.int32(2)) == {"price": 3.0}


def test_select_keeps_items_in_the_order_given(shop):
    chosen = shop.select([2, 0])
    assert chosen.item_ids == ["sock", "shoe"]
    assert chosen.describe(1)["title"] == "A shoe"


@pytest.mark.parametrize(
    "change",
    [
        pl.lit("other").alias("title"),
        pl.col("price") + 1,
        pl.col("stock").fill_null(0),
        pl.lit(png((0, 0, 0))).alias("picture"),
        pl.col("item_id") + "x",
    ],
)
def test_the_fingerprint_sees_every_column(shop, change):
    assert Catalogue(shop.table.with_columns(change)) != shop


def test_the_fingerprint_does_not_depend_on_how_the_table_was_put_together(shop):
    pieces = pl.concat([shop.table[:1], shop.table[1:]], rechunk=False)
    assert Catalogue(pieces) == shop


def test_text_cannot_move_between_items_unseen():
    left = Catalogue(pl.DataFrame({"item_id": ["1", "2"], "title": ["ab", "c"]}))
    right = Catalogue(pl.DataFrame({"item_id": ["1", "2"], "title": ["a", "bc"]}))
    assert left != right


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"title": ["x"]}, "first column must be 'item_id'"),
        ({"title": ["x"], "item_id": ["a"]}, "first column must be 'item_id'"),
        ({"item_id": [1]}, "must be a String column, not Int64"),
        ({"item_id": ["a"], "tags": [["x"]]}, "'tags' has the type List.*as text or as a number"),
        ({"item_id": ["a"], "picture": ["a.jpg"]}, "must hold encoded bytes"),
        ({"item_id": pl.Series([], dtype=pl.String)}, "no items"),
        ({"item_id": ["a", None]}, "row 1 has no item_id"),
        ({"item_id": ["a", "b", "a"]}, "row 2 repeats the item_id 'a' of row 0"),
    ],
)
def test_what_is_no_catalogue_is_refused(columns, message):
    with pytest.raises(DataError, match=message):
        Catalogue(pl.DataFrame(columns))
