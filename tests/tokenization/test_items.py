import numpy as np
import polars as pl
import pytest

from genrec.artifacts import ArtifactError
from genrec.data import Catalogue, DataError, Dataset, Interactions
from genrec.tokenization import items as module
from genrec.tokenization.items import ItemTable, Pictures, Texts

COUNT = 10


def dataset() -> Dataset:
    table = pl.DataFrame({
        "item_id": [f"sku-{row}" for row in range(COUNT)],
        "title": [f"thing {row}" if row != 3 else None for row in range(COUNT)],
        "kind": ["soap" if row % 2 else None for row in range(COUNT)],
        "picture": pl.Series([bytes([row]) if row % 3 else None for row in range(COUNT)]),
    })  # fmt: skip
    catalogue = Catalogue(table)
    events = pl.DataFrame({"user": ["u", "u"], "item": ["sku-0", "sku-1"], "time": [1, 2]})
    return Dataset(catalogue, Interactions.from_table(events, catalogue), name="small")


@pytest.fixture(params=["memory", "disk"])
def items(request, tmp_path):
    if request.param == "memory":
        return ItemTable.of(dataset().catalogue)
    dataset().save(tmp_path / "data")
    return ItemTable.open(tmp_path / "data")


def test_it_stands_for_the_catalogue(items):
    catalogue = dataset().catalogue
    assert len(items) == len(catalogue)
    assert items.fingerprint == catalogue.fingerprint
    assert items.item_ids == catalogue.item_ids
    assert items.attributes == catalogue.attributes


def test_texts_are_told_a_slice_at_a_time(items):
    assert Texts(items)[2:5] == ["thing 2", "soap", "thing 4"]
    assert Texts(items, ["kind"], names=True)[:2] == [None, "kind: soap"]
    assert Texts(items)[5:5] == []


def test_pictures_come_as_they_are(items):
    assert Pictures(items)[0:4] == [None, bytes([1]), bytes([2]), None]


@pytest.mark.parametrize("stretch", [2, 3, 1024])
def test_chosen_items_come_in_their_order(items, stretch, monkeypatch):
    monkeypatch.setattr(module, "ROWS_AT_ONCE", stretch)
    chosen = items.select(np.array([7, 1, 2, 9]))
    assert chosen.item_ids == ["sku-7", "sku-1", "sku-2", "sku-9"]
    assert Texts(chosen, ["title"])[:] == ["thing 7", "thing 1", "thing 2", "thing 9"]
    assert Texts(chosen, ["title"])[1:3] == ["thing 1", "thing 2"]
    again = chosen.select(np.array([3, 0]))
    assert again.item_ids == ["sku-9", "sku-7"]
    assert len({items.fingerprint, chosen.fingerprint, again.fingerprint}) == 3


def test_withheld_items_are_as_if_unknown(items):
    assert items.withhold(0.0, seed=0) is items
    known = items.withhold(0.4, seed=1)
    drawn = np.random.default_rng(1).random(COUNT) >= 0.4
    assert known.rows.tolist() == np.flatnonzero(drawn).tolist()
    assert known.item_ids == [f"sku-{row}" for row in np.flatnonzero(drawn)]
    assert known.fingerprint != items.fingerprint
    assert items.withhold(0.4, seed=2).rows.tolist() != known.rows.tolist()


def test_labels_are_numbered_and_the_unlabelled_form_a_class(items):
    assert items.labels("kind").tolist() == [0, 1] * 5


def test_what_is_not_there_is_refused(items):
    with pytest.raises(DataError, match="the items have no 'colour'; they have item_id, title"):
        items.labels("colour")
    bare = Catalogue(dataset().catalogue.table.drop("picture"))
    with pytest.raises(DataError, match="the catalogue has no pictures"):
        Pictures(ItemTable.of(bare))


def test_a_folder_without_data_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="does not exist"):
        ItemTable.open(tmp_path)


def test_items_that_are_not_the_recorded_ones_are_refused(tmp_path):
    dataset().save(tmp_path / "data")
    dataset().catalogue.table.head(4).write_parquet(tmp_path / "data" / "items.parquet")
    with pytest.raises(ArtifactError, match=r"has 4 items, but dataset\.json says 10"):
        ItemTable.open(tmp_path / "data")
    (tmp_path / "data" / "items.parquet").write_bytes(b"nothing")
    with pytest.raises(ArtifactError, match="holds no items that can be read"):
        ItemTable.open(tmp_path / "data")
