from collections import Counter

import numpy as np
import pytest

from genrec.data.errors import DataError
from genrec.data.toy_process import ToyShopConfig, plant
from genrec.data.toy_queries import ToyQueries
from genrec.data.toy_world import BRANDS, CATEGORIES


@pytest.fixture(scope="module")
def queries() -> ToyQueries:
    config = ToyShopConfig(categories=4, items_per_category=12, most_events=8)
    return ToyQueries(plant(config, np.random.default_rng(0)))


def test_a_query_fits_the_items_that_it_is_true_of(queries):
    items = queries.process.items
    likelihood_N = queries.likelihood("cheap calder cover")
    fits_N = (items.category_N == 1) & (items.brand_N == 1) & (items.tier_N == 0)
    assert BRANDS[1] == "Calder"
    assert CATEGORIES[1].synonym == "cover"
    np.testing.assert_allclose(likelihood_N, np.where(fits_N, 0.25 * 0.25 * 0.25, 0))


def test_a_vague_query_fits_every_item_of_a_department(queries):
    np.testing.assert_allclose(queries.likelihood("phone things"), 0.15 * 0.75 * 0.75)


def test_queries_are_written_as_often_as_their_likelihood_says(queries):
    count = 20_000
    written = Counter(queries.sample(np.full(count, 7), np.random.default_rng(0)))
    likelihood = {text: queries.likelihood(text)[7] for text in written}
    assert sum(likelihood.values()) == pytest.approx(1)
    for text, times in written.items():
        deviation = np.sqrt(count * likelihood[text] * (1 - likelihood[text]))
        assert times == pytest.approx(count * likelihood[text], abs=4.5 * deviation)


def test_a_query_that_nobody_writes_is_refused_with_the_nearest_one(queries):
    with pytest.raises(
        DataError, match="nobody searches for 'charger calder' in the toy shop; did"
    ):
        queries.likelihood("charger calder")
