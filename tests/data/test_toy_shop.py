import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genrec.data import Dataset, leave_one_out
from genrec.data.toy_queries import ToyQueries
from genrec.data.toy_shop import ToyShop, ToyShopConfig, toy_shop
from genrec.data.toy_world import BRANDS, CATEGORIES, COLOURS, PATTERNS
from genrec.recommender import Request

GUIDE = Path(__file__).parents[2] / "docs" / "toy_shop.md"
SMALL = ToyShopConfig(
    categories=4, items_per_category=12, users=60, fewest_events=3, most_events=6, brands=3
)
LOOKS = {
    *(*COLOURS, *PATTERNS, "colour", "color", "pattern", "grey", "black", "white", "brown"),
    *("reddish", "bluish", "stripe", "striped", "dot", "dotted", "check", "checked", "checkered"),
}


@pytest.fixture(scope="module")
def shop() -> ToyShop:
    return toy_shop()


@pytest.fixture(scope="module")
def events(shop) -> pl.DataFrame:
    """Return what is known of every event, a column each."""
    interactions, process = shop.dataset.interactions, shop.process
    taste_I = shop.taste_U[interactions.user_of]
    return pl.DataFrame(
        {
            "item": interactions.item,
            "kind": shop.user_kinds[interactions.user_of],
            "met": process.met_WTN[:, taste_I, interactions.item].sum(axis=0),
            "rating": interactions.rating,
            "text": interactions.column("text"),
            "query": interactions.column("query"),
        }
    )


def test_the_usual_shop_has_600_items_and_2000_users_of_8_to_16_events(shop):
    assert shop.dataset.counts["items"] == 600
    assert shop.dataset.counts["users"] == 2000
    assert set(shop.dataset.interactions.events_per_user) == set(range(8, 17))


def test_some_pictures_are_missing_and_counted(shop):
    missing = 600 - shop.dataset.counts["pictures"]
    assert 5 <= missing <= 40
    assert shop.dataset.info["missing_pictures"] == missing
    assert (shop.dataset.catalogue.has_picture == shop.process.items.has_picture_N).all()


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    for name in ("one", "other"):
        toy_shop(SMALL, seed=5).dataset.save(tmp_path / name)
    for file in ("items.parquet", "interactions.parquet", "dataset.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


def test_another_seed_opens_another_shop():
    assert toy_shop(SMALL, seed=0).dataset != toy_shop(SMALL, seed=1).dataset


def test_a_shop_survives_saving_and_can_be_opened_again_from_its_info(tmp_path):
    toy_shop(SMALL, seed=5).dataset.save(tmp_path / "shop")
    loaded = Dataset.load(tmp_path / "shop")
    again = toy_shop(ToyShopConfig(**loaded.info["config"]), seed=loaded.info["seed"])
    assert again.dataset == loaded


def test_no_text_names_a_colour_or_a_pattern(shop):
    catalogue, interactions = shop.dataset.catalogue, shop.dataset.interactions
    columns = [catalogue.table[name] for name in ("title", "brand", "category", "description")]
    columns += [interactions.column("text"), interactions.column("query")]
    words = {
        word for column in columns for text in column for word in re.findall("[a-z]+", text.lower())
    }
    assert {"calder", "luxurious", "premium"} <= words
    assert words.isdisjoint(LOOKS)


def test_titles_are_unique_and_name_brand_and_category(shop):
    table = shop.dataset.catalogue.table
    assert table["title"].n_unique() == 600
    for title, brand, category in table.select("title", "brand", "category").iter_rows():
        assert title.startswith(f"{brand} ")
        assert title.endswith(f" {category}")


def test_more_items_than_model_names_still_have_unique_titles():
    config = ToyShopConfig(categories=2, items_per_category=70, users=3)
    assert toy_shop(config).dataset.catalogue.table["title"].n_unique() == 140


def test_text_tells_exactly_the_planted_brand_category_and_tier(shop):
    items, catalogue = shop.process.items, shop.dataset.catalogue
    for row in range(len(catalogue)):
        told = catalogue.describe(row)
        category = CATEGORIES[items.category_N[row]]
        assert told["brand"] == BRANDS[items.brand_N[row]]
        assert told["category"] == category.name
        relative = told["price"] / category.price
        assert np.digitize(relative, [0.7, 1.5]) == items.tier_N[row]


def test_ratings_follow_the_wishes_that_are_met(events):
    mean = events.group_by("met").agg(pl.col("rating").mean()).sort("met")["rating"]
    np.testing.assert_allclose(mean, [2.27, 3.54, 4.67], atol=0.1)
    assert set(events["rating"]) == {1, 2, 3, 4, 5}


def test_users_explain_by_what_their_taste_is_about(events):
    about_look = events["text"].str.contains(r"look")
    assert (about_look == (events["kind"] == "picture")).all()
    assert set(events["kind"]) == {"text", "picture"}


def test_explanations_mention_the_habit_that_led_to_the_purchase(shop):
    interactions, process = shop.dataset.interactions, shop.process
    texts = interactions.column("text")
    for event in range(500):
        history = interactions.history(event)
        before, after = process.items.category_N[
            [history[-1] if len(history) else 0, interactions.item[event]]
        ]
        led_here = len(history) > 0 and process.habits_CC[before, after] > 0
        assert texts[event].startswith("It goes with my ") == led_here
        assert (f"my {CATEGORIES[before].name}." in texts[event]) == led_here


def test_queries_are_true_of_their_item_and_of_others(shop, events):
    queries = ToyQueries(shop.process)
    fitting = []
    for item, query in events.head(500).select("item", "query").iter_rows():
        likelihood_N = queries.likelihood(query)
        assert likelihood_N[item] > 0
        fitting.append((likelihood_N > 0).sum())
    assert min(fitting) >= 1
    assert np.median(fitting) >= 5


def test_all_requests_of_a_split_can_be_put_to_the_optimum(shop):
    interactions = shop.dataset.interactions
    for event in leave_one_out(interactions).test[:50]:
        history = tuple(interactions.history(event).tolist())
        ratings = tuple(interactions.history_ratings(event).tolist())
        query = interactions.column("query")[int(event)]
        request = Request(task="search", history=history, ratings=ratings, query=query)
        chance_N = shop.optimum.predict([request])[0]
        assert chance_N[interactions.item[event]] > 0
        assert len(shop.optimum.recommend([request], 10)[0].items) == 10


def test_times_grow_with_every_event_of_a_user(shop):
    interactions = shop.dataset.interactions
    same_user = np.diff(interactions.user_of) == 0
    assert (np.diff(interactions.time)[same_user] >= 60).all()


def test_the_guide_lists_the_planted_habits():
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", GUIDE.read_text(), re.MULTILINE)
    listed = {name: (usual, other) for name, usual, other in rows}
    for category in CATEGORIES:
        assert listed[category.name] == (category.usual_next, category.other_next)


def test_the_example_of_the_guide_runs_and_prints_what_it_says(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    exec(compile(example, str(GUIDE), "exec"), {})
    expected = re.findall(r"print\(.*\)\s+# (.*)", example)
    assert capsys.readouterr().out.splitlines() == expected
