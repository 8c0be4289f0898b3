from collections import Counter
from itertools import chain, islice

import numpy as np
import polars as pl
import pytest

from genrec.data import Catalogue, Dataset, leave_one_out
from genrec.prompts import (
    Blend,
    Mixture,
    PromptConfig,
    Renderer,
    Tasks,
    Vocabulary,
    corpus,
    side_by_side,
    train_tokenizer,
)
from genrec.semantic_ids import SemanticIds
from tests.small_shop import small_dataset, small_ids


def mixtures(config=None, *, weights=None, picture_of=None):
    """Two shops that sell the same things under IDs of their own, the second with fewer users."""
    shops = {"large": small_dataset(users=20), "small": small_dataset(users=5, seed=1)}
    if picture_of is not None:
        shops = {name: with_picture(shop, picture_of) for name, shop in shops.items()}
    ids = dict(zip(shops, side_by_side([small_ids(), small_ids()]), strict=True))
    tasks = Tasks.load()
    texts = chain.from_iterable(
        corpus(shop, np.ones(len(shop.interactions), dtype=bool), tasks) for shop in shops.values()
    )
    vocabulary = Vocabulary.extend(train_tokenizer(texts, size=400), ids["large"])
    return {
        name: Mixture(
            dataset=shop,
            train=leave_one_out(shop.interactions).train,
            renderer=Renderer(
                vocabulary=vocabulary, ids=ids[name], catalogue=shop.catalogue, tasks=tasks,
                config=config or PromptConfig(),
            ),
            weights=weights or {"title_to_item": 1.0, "rate": 0.5},
            every_position=True,
        )
        for name, shop in shops.items()
    }  # fmt: skip


def with_picture(shop, row):
    """Give one item a picture; what it shows does not matter."""
    pictures = [b"a picture" if other == row else None for other in range(len(shop.catalogue))]
    table = shop.catalogue.table.with_columns(pl.Series("picture", pictures, dtype=pl.Binary))
    return Dataset(Catalogue(table), shop.interactions, shop.name)


@pytest.fixture(scope="module")
def two():
    return mixtures()


def seen(examples):
    return [
        (example.task, example.prompt.tolist(), example.answer.tolist()) for example in examples
    ]


def test_ids_side_by_side_share_codebooks_but_no_code():
    first = SemanticIds(np.asarray([[0, 1], [1, 0]]), (2, 3))
    second = SemanticIds(np.asarray([[0, 0], [3, 4]]), (4, 5))
    one, other = side_by_side([first, second])
    assert one.codebook_sizes == other.codebook_sizes == (6, 8)
    assert one.codes_NL.tolist() == [[0, 1], [1, 0]]
    assert other.codes_NL.tolist() == [[2, 3], [5, 7]]


def test_ids_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"IDs of \[2, 3\] levels"):
        side_by_side([small_ids(), SemanticIds(np.zeros((1, 3)), (1, 1, 1))])


def test_an_epoch_shows_each_data_set_as_often_as_its_weight_says(two):
    blend = Blend(mixtures=two, weights={"small": 3.0})
    # 12 items each; 20 users and 5 with 4 train events, of whose ratings half are shown.
    assert blend.counts == {
        "large/title_to_item": 12, "large/rate": 40, "small/title_to_item": 36, "small/rate": 30,
    }  # fmt: skip
    assert Counter(example.task for example in blend.epoch(0)) == blend.counts


def test_a_data_set_shown_by_halves_is_seen_whole_in_two_epochs(two):
    blend = Blend(mixtures=two, weights={"large": 0.5})
    shown = [e for number in (0, 1) for e in blend.epoch(number) if e.task.startswith("large")]
    whole = list(two["large"].epoch(0))
    assert [s[1:] for s in seen(shown)] == [s[1:] for s in seen(whole)]


def test_reading_on_from_any_example_gives_those_that_would_have_come(two):
    blend = Blend(mixtures=two, seed=4)
    for start in (0, 1, 17, len(blend)):
        rest = seen(islice(blend.epoch(1), start, None))
        assert seen(blend.epoch(1, start=start)) == rest


def test_a_high_temperature_makes_data_sets_equal(two):
    counts = Blend(mixtures=two, temperature=1e6).counts
    sizes = Counter()
    for name, count in counts.items():
        sizes[name.split("/")[0]] += count
    assert abs(sizes["large"] - sizes["small"]) <= 2


def test_pictures_are_rows_of_the_catalogues_put_one_after_the_other():
    config = PromptConfig(pictures=True)
    blend = Blend(mixtures=mixtures(config, weights={"picture_to_item": 1.0}, picture_of=3))
    rows = {example.task: example.pictures for example in blend.epoch(0)}
    assert rows == {"large/picture_to_item": (3,), "small/picture_to_item": (12 + 3,)}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": {"lagre": 1.0}}, "weights are .*lagre"),
        ({"weights": {"large": 0.0}}, "number above 0"),
        ({"temperature": 0.0}, "temperature"),
        ({"mixtures": {}}, "at least one"),
    ],
)
def test_a_blend_that_makes_no_sense_is_refused(two, settings, message):
    with pytest.raises(ValueError, match=message):
        Blend(**{"mixtures": two, **settings})


def test_data_sets_with_vocabularies_of_their_own_are_refused(two):
    alone = small_dataset(users=5)
    texts = corpus(alone, np.ones(len(alone.interactions), dtype=bool), Tasks.load())
    renderer = Renderer(
        vocabulary=Vocabulary.extend(train_tokenizer(texts, size=350), small_ids()),
        ids=small_ids(), catalogue=alone.catalogue, tasks=Tasks.load(), config=PromptConfig(),
    )  # fmt: skip
    other = Mixture(
        dataset=alone, train=leave_one_out(alone.interactions).train, renderer=renderer,
        weights={"rate": 1.0}, every_position=True,
    )  # fmt: skip
    with pytest.raises(ValueError, match="side_by_side"):
        Blend(mixtures={"large": two["large"], "other": other})
