from collections import Counter

import numpy as np
import polars as pl
import pytest

from genrec.data import Dataset, Interactions, leave_one_out
from genrec.prompts import Mixture, MixtureConfig, PromptConfig, TaskError
from genrec.prompts.mixture import tempered
from tests.small_shop import small_dataset, small_renderer


def mixture(weights, *, every_position=True, dataset=None, config=None, seed=0, mix=None):
    dataset = dataset or small_dataset()
    return Mixture(
        dataset=dataset,
        train=leave_one_out(dataset.interactions).train,
        renderer=small_renderer(dataset, config=config),
        weights=weights,
        every_position=every_position,
        config=mix or MixtureConfig(),
        seed=seed,
    )


def bought(*histories):
    """Make a data set of users who buy these items of the small shop, the last two held out."""
    catalogue = small_dataset(users=1).catalogue
    rows = [
        {"user": f"user-{user}", "item": f"sku-{item}", "time": time, "rating": 4.0}
        for user, items in enumerate(histories)
        for time, item in enumerate(items)
    ]
    return Dataset(catalogue, Interactions.from_table(pl.DataFrame(rows), catalogue), "bought")


def no_repeats():
    """30 users who buy 6 items each and none twice."""
    return bought(*([(user + time) % 12 for time in range(6)] for user in range(30)))


def test_a_decoder_reads_a_history_once_and_learns_every_item_of_it():
    assert mixture({"recommend": 1.0}).counts == {"recommend": 30}


def test_else_every_event_with_a_history_is_an_example():
    # 6 events a user, 4 of them train, the first of which has no history.
    mix = mixture({"recommend": 1.0}, every_position=False, dataset=no_repeats())
    assert mix.counts == {"recommend": 30 * 3}


def test_long_histories_become_windows_that_cover_every_event():
    config = PromptConfig(history_items=2)
    mix = mixture({"recommend": 1.0}, config=config, dataset=no_repeats())
    # 4 train events: one window predicts the fourth from two, one the second from the first.
    assert mix.counts == {"recommend": 30 * 2}


def test_searches_are_the_events_with_a_query():
    assert mixture({"search": 1.0}).counts == {"search": 30 * 2}


def test_weights_set_the_share_of_each_task():
    assert mixture({"rate": 0.5, "search": 2.0}).counts == {"rate": 60, "search": 120}


def test_an_epoch_shows_what_the_counts_say():
    mix = mixture({"recommend": 1.0, "rate": 0.5, "explain": 0.25})
    assert Counter(example.task for example in mix.epoch(0)) == mix.counts


def test_the_order_depends_on_the_epoch_and_the_seed_alone():
    first, again, other_epoch, other_seed = (
        [example.answer.tolist() for example in mixture({"recommend": 1.0}, seed=seed).epoch(epoch)]
        for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))
    )
    assert first == again
    assert first != other_epoch
    assert first != other_seed


@pytest.mark.parametrize("every_position", [True, False])
def test_no_held_out_item_reaches_a_training_example(every_position):
    dataset = small_dataset()
    events = dataset.interactions
    split = leave_one_out(events)
    # Give every held-out event an item, a query and a text that nothing else has.
    table = {name: np.array(getattr(events, name)) for name in ("item", "rating")}
    table["item"][~split.train] = 11
    table["item"][split.train] %= 11
    held_out = type(events)(
        users=events.users, offsets=events.offsets, item=table["item"], time=events.time,
        rating=table["rating"], extras=events.extras,
    )  # fmt: skip
    dataset = type(dataset)(
        catalogue=dataset.catalogue, interactions=held_out, name="held-out", info={}
    )
    mix = mixture(
        {"recommend": 1.0, "search": 1.0, "rate": 1.0, "explain": 1.0},
        every_position=every_position,
        dataset=dataset,
    )
    secret = mix.renderer.vocabulary.item_tokens(mix.renderer.ids)[11].tolist()
    for example in mix.epoch(0):
        tokens = [*example.prompt.tolist(), *example.answer.tolist()]
        assert secret not in [tokens[i : i + 2] for i in range(len(tokens) - 1)]


def test_a_task_without_examples_is_refused():
    dataset = small_dataset()
    without = type(dataset.interactions)(
        users=dataset.interactions.users, offsets=dataset.interactions.offsets,
        item=dataset.interactions.item, time=dataset.interactions.time,
        rating=dataset.interactions.rating,
    )  # fmt: skip
    bare = type(dataset)(catalogue=dataset.catalogue, interactions=without, name="bare", info={})
    with pytest.raises(TaskError, match="no training examples for search"):
        mixture({"recommend": 1.0, "search": 1.0}, dataset=bare)


def test_weights_must_be_positive():
    with pytest.raises(TaskError, match="above 0"):
        mixture({"recommend": 0.0})


@pytest.mark.parametrize(
    ("temperature", "counts"),
    [
        (1.0, {"large": 900, "small": 100}),
        (2.0, {"large": 750, "small": 250}),  # the roots, 30 and 10, are as 3 to 1
        (1e9, {"large": 500, "small": 500}),
        (0.5, {"large": 988, "small": 12}),  # 810,000 to 10,000
    ],
)
def test_temperature_moves_shares_and_keeps_the_sum(temperature, counts):
    assert tempered({"large": 900, "small": 100}, temperature) == counts


def test_a_heated_mixture_shows_what_its_counts_say():
    mix = mixture({"recommend": 1.0, "title_to_item": 1.0}, mix=MixtureConfig(temperature=2.0))
    # 30 histories and 12 items: roots 5.48 and 3.46, of 42 examples.
    assert mix.available == {"recommend": 30, "title_to_item": 12}
    assert mix.counts == {"recommend": 26, "title_to_item": 16}
    assert Counter(example.task for example in mix.epoch(0)) == mix.counts


def test_examples_carry_the_loss_weight_of_their_task():
    weights = {"recommend": 1.0, "rate": 1.0}
    plain = list(mixture(weights).epoch(0))
    weighted = list(mixture(weights, mix=MixtureConfig(loss_weights={"recommend": 3.0})).epoch(0))
    for one, other in zip(plain, weighted, strict=True):
        times = 3.0 if one.task == "recommend" else 1.0
        np.testing.assert_allclose(other.prompt_weights, times * one.prompt_weights)
        assert other.answer_weight == times * one.answer_weight
    assert any(example.prompt_weights.any() for example in plain)


@pytest.mark.parametrize("start", [0, 1, 50, 89, 90])
def test_an_epoch_may_begin_at_any_example(start):
    mix = mixture({"recommend": 1.0, "direct": 0.5, "title_to_item": 1.0})
    whole, rest = (
        [(e.task, e.prompt.tolist(), e.answer.tolist()) for e in examples]
        for examples in (mix.epoch(2), mix.epoch(2, start=start))
    )
    assert rest == whole[start:]


def test_a_mixture_keeps_numbers_and_no_examples():
    mix = mixture({"recommend": 100.0, "search": 50.0})
    order = mix._order(0)
    assert sum(array.nbytes for array in order) == 15 * len(mix)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"candidates": 1}, "at least 2"),
        ({"loss_weights": {"rate": 0.0}}, "leave out such a task"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MixtureConfig(**settings)


def test_a_loss_weight_for_a_task_that_is_not_mixed_is_refused():
    with pytest.raises(TaskError, match="loss_weights names search, but the mixture has rate"):
        mixture({"rate": 1.0}, mix=MixtureConfig(loss_weights={"search": 2.0}))
