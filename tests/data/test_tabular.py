from pathlib import Path

import polars as pl
import pytest

from genrec.data import DataError, EventColumns, EventRules, TabularConfig, load_tabular

LOG = "who,what,when,stars,said\nu,b,2014-05-13,5,yes\nv,a,2014-05-12,,\nu,a,2014-05-11,1,no\n"
GOODS = "sku,name,price,isbn\na,A thing,1.5,007\nb,,,\n"
DAY = 1_399_766_400
"""2014-05-11, midnight in UTC."""

COLUMNS = EventColumns(user="who", item="what", time="when", rating="stars", text="said")
RULES = EventRules(time_format="%Y-%m-%d")


def config(folder: Path, *, log: str = LOG, goods: str = GOODS) -> TabularConfig:
    (folder / "log.csv").write_text(log)
    (folder / "goods.csv").write_text(goods)
    return TabularConfig(
        interactions=folder / "log.csv",
        columns=COLUMNS,
        items=folder / "goods.csv",
        item_id="sku",
        attributes=("name", "isbn", "price"),
        numbers=("price",),
        rules=RULES,
    )


def test_columns_are_found_by_their_names(tmp_path):
    dataset = load_tabular(config(tmp_path), name="goods")
    day = 86_400
    assert dataset.interactions.to_table(dataset.catalogue).rows() == [
        ("u", "a", DAY, 1.0, "no"),
        ("u", "b", DAY + 2 * day, 5.0, "yes"),
        ("v", "a", DAY + day, None, None),
    ]
    assert dataset.catalogue.describe(0) == {"name": "A thing", "isbn": "007", "price": 1.5}
    assert dataset.catalogue.describe(1) == {}


def test_blanks_around_ids_do_not_count(tmp_path):
    goods = "sku,name,price,isbn\na ,A thing,1.5,007\n b,,,\n"
    dataset = load_tabular(config(tmp_path, log=LOG.replace(",b,", ", b ,"), goods=goods))
    assert dataset.catalogue.item_ids == ["a", "b"]
    assert dataset.interactions.item.tolist() == [0, 1, 0]


def test_without_a_table_of_items_they_are_those_of_the_interactions(tmp_path):
    config(tmp_path)
    dataset = load_tabular(
        TabularConfig(interactions=tmp_path / "log.csv", columns=COLUMNS, rules=RULES)
    )
    assert dataset.catalogue.item_ids == ["b", "a"]


def test_without_times_the_order_of_rows_is_that_of_time(tmp_path):
    (tmp_path / "log.csv").write_text("user,item\nu,b\nv,a\nu,a\n")
    events = load_tabular(
        TabularConfig(interactions=tmp_path / "log.csv", columns=EventColumns(time=None))
    ).interactions
    assert events.item.tolist() == [0, 1, 1]
    assert events.time_is_relative


def test_one_column_may_serve_twice(tmp_path):
    (tmp_path / "log.csv").write_text("user,item,time,shelf\nu,b,1,top\n")
    columns = EventColumns(behaviour="shelf", scenario="shelf")
    events = load_tabular(
        TabularConfig(interactions=tmp_path / "log.csv", columns=columns)
    ).interactions
    assert events.extras.rows() == [("top", "top")]


def test_every_form_of_file_gives_the_same(tmp_path):
    expected = load_tabular(config(tmp_path))
    pl.read_csv(tmp_path / "log.csv", try_parse_dates=True).write_parquet(tmp_path / "log.parquet")
    pl.read_csv(tmp_path / "goods.csv", infer_schema=False).write_ndjson(tmp_path / "goods.jsonl")
    others = TabularConfig(
        interactions=tmp_path / "log.parquet",
        columns=COLUMNS,
        items=tmp_path / "goods.jsonl",
        item_id="sku",
        attributes=("name", "isbn", "price"),
        numbers=("price",),
    )
    assert load_tabular(others) == expected


def test_attributes_of_parquet_files_keep_their_types(tmp_path):
    config(tmp_path)
    goods = pl.DataFrame({"item_id": [1, 2], "stock": [3, None], "weight": [0.5, 1.0]})
    goods.write_parquet(tmp_path / "goods.parquet")
    (tmp_path / "log.csv").write_text("user,item,time\nu,2,1\n")
    dataset = load_tabular(
        TabularConfig(
            interactions=tmp_path / "log.csv",
            items=tmp_path / "goods.parquet",
            attributes=("stock", "weight"),
        )
    )
    assert dataset.catalogue.item_ids == ["1", "2"]
    assert dataset.catalogue.describe(0) == {"stock": 3, "weight": 0.5}
    assert dataset.interactions.item.tolist() == [1]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"log": LOG.replace("stars", "star")},
            r"log\.csv has no column 'stars'; did you mean 'st",
        ),
        ({"log": LOG + "u,c,2014-05-11,1,\n"}, r"log\.csv, row 5 has the item 'c'"),
        ({"log": LOG + "u,a,11 May,1,\n"}, r"row 5 has the time '11 May'; times are written %Y-"),
        (
            {"goods": GOODS + "c,x,cheap,\n"},
            r"goods\.csv, row 4 has the price 'cheap', which is no",
        ),
        ({"goods": GOODS + "a,x,1,\n"}, r"goods\.csv, row 4 repeats the item_id 'a' of row 2"),
        ({"goods": GOODS + ",x,1,\n"}, r"goods\.csv, row 4 has no item_id"),
        ({"goods": GOODS.splitlines()[0] + "\n"}, r"goods\.csv has no items"),
        ({"goods": GOODS.replace("price", "prize")}, "no column 'price'; did you mean 'prize'"),
    ],
)
def test_wrong_tables_are_refused(tmp_path, files, message):
    with pytest.raises(DataError, match=message):
        load_tabular(config(tmp_path, **files))


def test_attributes_cannot_take_the_names_that_a_catalogue_needs(tmp_path):
    config(tmp_path, goods="item_id,picture\na,x\n")
    with pytest.raises(DataError, match="cannot be called 'picture'; rename the column"):
        load_tabular(
            TabularConfig(
                interactions=tmp_path / "log.csv",
                columns=COLUMNS,
                items=tmp_path / "goods.csv",
                attributes=("picture",),
            )
        )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"attributes": ("name",)}, "give items"),
        ({"items": Path("x.csv"), "numbers": ("price",)}, "'price', which is not among the attr"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        TabularConfig(interactions=Path("log.csv"), **values)
