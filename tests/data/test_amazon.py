import gzip
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from genrec.data import AmazonConfig, DataError, EventRules, load_amazon
from genrec.data.amazon import unescape
from tests.real_data import real_data

DAY = 1_400_000_000

REVIEWS_2014 = [
    {
        "reviewerID": "U1",
        "asin": "B2",
        "overall": 5.0,
        "reviewText": "I &#34;love&#34; it",
        "summary": "Five &amp; more",
        "unixReviewTime": DAY + 1,
        "helpful": [0, 1],
    },
    {"reviewerID": "U1", "asin": "B1", "overall": 1, "reviewText": "", "unixReviewTime": DAY},
]
METADATA_2014 = [
    {"asin": "B0", "title": "Nobody reviews this"},
    {
        "asin": "B1",
        "title": "Bob's drum &amp; stick",
        "brand": "Bob",
        "categories": [["Music", "Drums"], ["Gifts"]],
        "price": 9.5,
        "description": "Loud.",
        "salesRank": {"Music": 1},
    },
    {"asin": "B2", "price": "$10 - $20", "brand": "Unknown"},
]

REVIEWS_2023 = [
    {
        "user_id": "U1",
        "asin": "variant",
        "parent_asin": "B1",
        "rating": 4.0,
        "title": "Fine",
        "text": "All<br />well",
        "timestamp": DAY * 1000 + 123,
        "images": [],
    }
]
METADATA_2023 = [
    {
        "parent_asin": "B1",
        "title": "Drum",
        "store": "Bob",
        "categories": ["Music", "Drums"],
        "price": "9.50",
        "description": ["Loud.", "Very."],
        "features": ["Round"],
        "average_rating": 4.2,
    }
]


def write(path: Path, records: Sequence[Any], line: Any = json.dumps) -> Path:
    text = "".join(line(record) + "\n" for record in records)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["reviews.json", "reviews.jsonl.gz"])
def test_reviews_of_2014(tmp_path, name):
    reviews = write(tmp_path / name, REVIEWS_2014)
    dataset = load_amazon(AmazonConfig(reviews=reviews))
    table = dataset.interactions.to_table(dataset.catalogue)
    assert table.drop("text", "summary").rows() == [
        ("U1", "B1", DAY, 1.0),
        ("U1", "B2", DAY + 1, 5.0),
    ]
    assert table["text"].to_list() == [None, 'I "love" it']
    assert table["summary"].to_list() == [None, "Five & more"]
    assert dataset.info["edition"] == "2014"


def test_reviews_of_2023(tmp_path):
    reviews = write(tmp_path / "reviews.jsonl", REVIEWS_2023)
    dataset = load_amazon(AmazonConfig(reviews=reviews))
    table = dataset.interactions.to_table(dataset.catalogue)
    assert table.rows() == [("U1", "B1", DAY, 4.0, "All well", "Fine")]


@pytest.mark.parametrize("line", [json.dumps, repr], ids=["JSON", "Python literals"])
def test_metadata_of_2014(tmp_path, line):
    config = AmazonConfig(
        reviews=write(tmp_path / "reviews.json", REVIEWS_2014),
        metadata=write(tmp_path / "meta.json.gz", METADATA_2014, line),
    )
    shop = load_amazon(config).catalogue
    assert shop.item_ids == ["B1", "B2"]
    assert shop.describe(0) == {
        "title": "Bob's drum & stick",
        "brand": "Bob",
        "categories": "Music > Drums",
        "price": 9.5,
        "description": "Loud.",
    }
    assert shop.describe(1) == {}


def test_metadata_of_2023(tmp_path):
    config = AmazonConfig(
        reviews=write(tmp_path / "reviews.jsonl", REVIEWS_2023),
        metadata=write(tmp_path / "meta.jsonl", METADATA_2023),
        attributes=("features", "brand", "description", "price"),
    )
    assert load_amazon(config).catalogue.describe(0) == {
        "features": "Round",
        "brand": "Bob",
        "description": "Loud. Very.",
        "price": 9.5,
    }


def test_products_without_a_review_can_stay(tmp_path):
    config = AmazonConfig(
        reviews=write(tmp_path / "reviews.json", REVIEWS_2014),
        metadata=write(tmp_path / "meta.json", METADATA_2014),
        keep_unreviewed=True,
    )
    assert load_amazon(config).catalogue.item_ids == ["B0", "B1", "B2"]


def test_texts_can_be_left_out(tmp_path):
    config = AmazonConfig(reviews=write(tmp_path / "reviews.json", REVIEWS_2014), texts=False)
    assert load_amazon(config).interactions.extras.columns == []


def test_an_item_without_metadata_is_refused_or_dropped(tmp_path):
    reviews = write(tmp_path / "reviews.json", REVIEWS_2014)
    metadata = write(tmp_path / "meta.json", METADATA_2014[:2])
    with pytest.raises(DataError, match=r"reviews\.json, row 1 has the item 'B2'; the catalogue"):
        load_amazon(AmazonConfig(reviews=reviews, metadata=metadata))
    rules = EventRules(unknown_items="drop")
    dataset = load_amazon(AmazonConfig(reviews=reviews, metadata=metadata, rules=rules))
    assert (len(dataset.interactions), dataset.info["dropped_events"]) == (1, 1)


def test_metadata_of_another_category_are_refused(tmp_path):
    reviews = write(tmp_path / "reviews.json", REVIEWS_2014)
    metadata = write(tmp_path / "meta.json", METADATA_2014[:1])
    with pytest.raises(DataError, match=r"meta\.json has no items"):
        load_amazon(AmazonConfig(reviews=reviews, metadata=metadata))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"overall": 11}, r"reviews\.json, row 2 has the rating '11'; ratings go from 0.5 to 5"),
        ({"asin": None}, "row 2 has no item"),
        ({"unixReviewTime": DAY * 1000}, "mixes units of time: row 1 has '1400000001'"),
    ],
)
def test_a_wrong_review_is_refused(tmp_path, change, message):
    reviews = write(tmp_path / "reviews.json", [REVIEWS_2014[0], REVIEWS_2014[1] | change])
    with pytest.raises(DataError, match=message):
        load_amazon(AmazonConfig(reviews=reviews))


def test_reviews_of_no_known_edition_are_refused(tmp_path):
    reviews = write(tmp_path / "reviews.json", [{"user": "U1"}])
    with pytest.raises(DataError, match=r"neither a column 'reviewerID'.*it has \['user'\]"):
        load_amazon(AmazonConfig(reviews=reviews))


def test_a_truncated_download_is_refused(tmp_path):
    reviews = write(tmp_path / "reviews.json.gz", REVIEWS_2014 * 500)
    reviews.write_bytes(reviews.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"reviews\.json\.gz breaks off or is damaged.*copy it"):
        load_amazon(AmazonConfig(reviews=reviews))


def test_repeated_metadata_are_refused(tmp_path):
    reviews = write(tmp_path / "reviews.json", REVIEWS_2014)
    metadata = write(tmp_path / "meta.json", METADATA_2014 + METADATA_2014[1:2])
    with pytest.raises(DataError, match=r"meta\.json, row 4 repeats the item_id 'B1' of row 2"):
        load_amazon(AmazonConfig(reviews=reviews, metadata=metadata))


def test_an_unknown_attribute_is_refused():
    with pytest.raises(ValueError, match="no attribute 'colour'"):
        AmazonConfig(reviews=Path("x.json"), attributes=("colour",))


def instruments() -> Path:
    return real_data("amazon-instruments-reviews") / "reviews_Musical_Instruments_5.json.gz"


def test_the_counts_of_musical_instruments():
    dataset = load_amazon(AmazonConfig(reviews=instruments()))
    counts = {"users": 1429, "items": 900, "interactions": 10261, "pictures": 0}
    assert dataset.counts == counts
    assert not dataset.interactions.time_is_relative


def test_reviews_are_unescaped_as_python_does_it():
    with gzip.open(instruments(), "rt") as lines:
        texts = [json.loads(line)["reviewText"] for line in lines]
    ours = pl.DataFrame({"text": texts}).select(unescape(pl.col("text")))["text"].to_list()
    assert ours == [html.unescape(text) for text in texts]
