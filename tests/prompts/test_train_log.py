"""The log against its definition, event by event."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.data import Dataset, Interactions
from genrec.prompts.train_log import TrainLog
from tests.small_shop import small_dataset

CATALOGUE = small_dataset(users=1).catalogue

EVENTS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 3), st.booleans()), min_size=1, max_size=15
)


def log_of(events):
    """Make a log of (user, item, whether it trains), in the order of time."""
    rows = [
        {"user": f"u{user}", "item": f"sku-{item}", "time": time}
        for time, (user, item, _) in enumerate(events)
    ]
    interactions = Interactions.from_table(pl.DataFrame(rows), CATALOGUE)
    train = np.asarray([events[time][2] for time in interactions.time])
    return TrainLog(Dataset(CATALOGUE, interactions, "log"), train)


def of_user(log, event):
    return [other for other in range(len(log)) if log.user_E[other] == log.user_E[event]]


@given(events=EVENTS)
def test_bounds_and_repeats_are_those_of_each_user(events):
    log = log_of(events)
    for event in range(len(log)):
        mine = of_user(log, event)
        assert log.first_E[event] == mine[0]
        assert log.stop(event) == mine[-1] + 1
        later = [log.item_E[other] for other in mine if other > event]
        assert log.is_latest_E[event] == (log.item_E[event] not in later)
        earlier = {log.item_E[other] for other in mine if other < event}
        assert log.follows_another_E[event] == bool(earlier - {log.item_E[event]})


@given(events=EVENTS)
def test_a_history_shows_each_item_once_and_never_the_one_asked_for(events):
    log = log_of(events)
    for event in range(len(log)):
        shown = log.history(int(log.first_E[event]), event)
        items = log.item_E[shown].tolist()
        past = [other for other in of_user(log, event) if other < event]
        assert set(items) == {log.item_E[other] for other in past} - {log.item_E[event]}
        assert len(items) == len(set(items))
        assert shown.tolist() == sorted(shown)
        for place in shown:  # the latest event of its item
            assert not any(
                log.item_E[other] == log.item_E[place] for other in past if other > place
            )


@given(events=EVENTS)
def test_met_and_held_out_items_count_all_events_of_the_user(events):
    log = log_of(events)
    for event in range(len(log)):
        user = int(log.user_E[event])
        raw = int(log.dataset.interactions.users[user].removeprefix("u"))
        assert log.met(event) == {item for who, item, _ in events if who == raw}
        assert log.held_out(user) == {
            item for who, item, trains in events if who == raw and not trains
        }


def test_of_some_of_its_events_a_log_of_their_own_is_made():
    log = log_of([(0, item, True) for item in (1, 2, 1, 3, 2)])
    assert log.where(log.is_latest_E).item_E.tolist() == [1, 3, 2]
    assert log.where(log.is_latest_E).met(0) == {1, 2, 3}
    assert log.where(np.ones(5, dtype=bool)) is log


@pytest.mark.parametrize(
    ("text", "told"),
    [("words", True), ("", False), (" \u200b\t", False), ("\ufffd \u2581", False), (None, False)],
)
def test_a_text_of_blanks_and_marks_says_nothing(text, told):
    table = pl.DataFrame(
        {"user": ["u"], "item": ["sku-1"], "time": [0], "query": [text]},
        schema_overrides={"query": pl.String},
    )
    interactions = Interactions.from_table(table, CATALOGUE)
    log = TrainLog(Dataset(CATALOGUE, interactions, "log"), np.ones(1, dtype=bool))
    assert log.has_text_E("query").tolist() == [told]
    assert log.has_text_E("summary").tolist() == [False]


def test_a_mask_of_other_events_is_refused():
    with pytest.raises(ValueError, match="train marks 3 events, but the data set 'small' has 180"):
        TrainLog(small_dataset(), np.ones(3, dtype=bool))
