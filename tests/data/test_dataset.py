import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.artifacts import ArtifactError
from genrec.data import Catalogue, DataError, Dataset, Interactions
from tests.data.small import catalogue, dataset, event_lists


@pytest.fixture
def shop() -> Dataset:
    items = Catalogue(
        pl.DataFrame(
            {
                "item_id": ["a", "b", "unused"],
                "title": ["caf\N{LATIN SMALL LETTER E WITH ACUTE}", None, "<a_1></s>"],
                "price": [0.1, None, 3.0],
                "year": [1999, None, 2001],
                "picture": [b"\xff\xd8 not decoded here", None, b""],
            }
        )
    )
    table = pl.DataFrame(
        {
            "user": ["u", "v", "u"],
            "item": ["a", "b", "b"],
            "time": [30, 20, 10],
            "rating": [0.1, None, 5.0],
            "text": ["good", None, "line\nbreak"],
            "scenario": [None, None, "x"],
        }
    )
    interactions = Interactions.from_table(table, items)
    return Dataset(items, interactions, "shop", {"source": "here", "pictures": {"missing": 1}})


def test_a_saved_data_set_is_loaded_exactly(shop, tmp_path):
    shop.save(tmp_path / "data")
    again = Dataset.load(tmp_path / "data")
    assert again == shop
    assert (again.name, again.info) == (shop.name, shop.info)
    assert again.catalogue.table.equals(shop.catalogue.table)
    assert again.interactions.extras.equals(shop.interactions.extras)


def test_relative_times_stay_relative(tmp_path):
    items = catalogue(["a"])
    table = pl.DataFrame({"user": ["u"], "item": ["a"], "time": [0]})
    events = Interactions.from_table(table, items, time_is_relative=True)
    Dataset(items, events, "x").save(tmp_path / "data")
    assert Dataset.load(tmp_path / "data").interactions.time_is_relative


@given(events=event_lists(), ratings=st.data())
def test_any_interactions_come_back_bit_for_bit(tmp_path_factory, events, ratings):
    rating = st.none() | st.floats(0.5, 5, width=32)
    given_ratings = ratings.draw(st.lists(rating, min_size=len(events), max_size=len(events)))
    items = catalogue(sorted({item for _, item, _ in events}))
    table = pl.DataFrame(events, schema=["user", "item", "time"], orient="row").with_columns(
        pl.Series("rating", given_ratings, dtype=pl.Float32)
    )
    whole = Dataset(items, Interactions.from_table(table, items), "x")
    path = tmp_path_factory.mktemp("data") / "data"
    whole.save(path)
    again = Dataset.load(path).interactions
    ours = whole.interactions
    assert again.users.equals(ours.users)
    for name in ("offsets", "item", "time", "rating"):
        left, right = getattr(again, name), getattr(ours, name)
        assert left.dtype == right.dtype
        assert left.tobytes() == right.tobytes()


def test_the_files_explain_themselves(shop, tmp_path):
    shop.save(tmp_path / "data")
    about = json.loads((tmp_path / "data" / "dataset.json").read_text())
    assert about["counts"] == {"users": 2, "items": 3, "interactions": 3, "pictures": 2}
    assert about["info"]["source"] == "here"
    table = pl.read_parquet(tmp_path / "data" / "interactions.parquet")
    assert table.select("user", "item", "time").rows() == [
        ("u", "b", 10),
        ("u", "a", 30),
        ("v", "b", 20),
    ]


def test_a_data_set_that_was_changed_is_refused(shop, tmp_path):
    shop.save(tmp_path / "data")
    file = tmp_path / "data" / "interactions.parquet"
    pl.read_parquet(file).with_columns(pl.col("time") + 1).write_parquet(file)
    with pytest.raises(ArtifactError, match=r"was changed; run recipes/prepare\.py again"):
        Dataset.load(tmp_path / "data")


def test_a_truncated_file_is_refused(shop, tmp_path):
    shop.save(tmp_path / "data")
    file = tmp_path / "data" / "items.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ArtifactError, match="is not a data set that can be read"):
        Dataset.load(tmp_path / "data")


def test_a_missing_data_set_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"dataset\.json does not exist"):
        Dataset.load(tmp_path)


def test_saving_that_fails_leaves_the_old_data_set(shop, tmp_path):
    shop.save(tmp_path / "data")
    broken = Dataset(shop.catalogue, shop.interactions, "broken", {"not JSON": object()})
    with pytest.raises(TypeError):
        broken.save(tmp_path / "data")
    assert Dataset.load(tmp_path / "data").name == "shop"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_an_event_about_an_item_beyond_the_catalogue_is_refused():
    events = dataset([("u", "a", 1), ("u", "b", 2)]).interactions
    with pytest.raises(DataError, match="names item 1, but the catalogue has 1 items"):
        Dataset(catalogue(["a"]), events, "x")
