import numpy as np
import polars as pl
import pytest
from hypothesis import given

from genrec.data import DataError, Interactions
from tests.data.small import catalogue, event_lists, interactions

EVENTS = [("v", "b", 5), ("u", "a", 3), ("v", "a", 1), ("u", "c", 3), ("u", "b", 2)]
"""Sorted: v has a at 1 and b at 5; u has b at 2, then a and c at 3, as they came."""


def test_events_are_sorted_by_user_then_time_then_input_order():
    events = interactions(EVENTS)
    assert events.users.to_list() == ["v", "u"]
    np.testing.assert_array_equal(events.offsets, [0, 2, 5])
    np.testing.assert_array_equal(events.item, [0, 1, 1, 0, 2])
    np.testing.assert_array_equal(events.time, [1, 5, 2, 3, 3])
    np.testing.assert_array_equal(events.user_of, [0, 0, 1, 1, 1])


def test_a_history_is_what_the_same_user_did_before():
    events = interactions(EVENTS)
    assert [events.history(event).tolist() for event in range(5)] == [[], [0], [], [1], [1, 0]]


def test_a_rating_history_runs_beside_the_history():
    table = pl.DataFrame(
        {"user": ["u"] * 3, "item": ["a", "b", "a"], "time": [1, 2, 3], "rating": [4.0, None, 1]}
    )
    events = Interactions.from_table(table, catalogue(["a", "b"]))
    np.testing.assert_array_equal(events.history_ratings(2), np.float32([4.0, np.nan]))


@pytest.mark.parametrize("event", [-1, 5])
def test_there_is_no_history_of_an_event_that_does_not_exist(event):
    with pytest.raises(IndexError, match=f"no event {event}; there are 5"):
        interactions(EVENTS).history(event)


def test_ids_may_be_numbers_in_the_table():
    table = pl.DataFrame({"user": [10, 9], "item": [7, 7], "time": [1, 1]})
    events = Interactions.from_table(table, catalogue(["7"]))
    assert events.users.to_list() == ["10", "9"]


def test_optional_columns_follow_the_sorted_events():
    table = pl.DataFrame(
        {"user": ["u", "u"], "item": ["a", "a"], "time": [2, 1], "query": ["later", None]}
    )
    events = Interactions.from_table(table, catalogue(["a"]))
    query = events.column("query")
    assert query is not None
    assert query.to_list() == [None, "later"]
    assert events.column("text") is None


def test_an_unknown_optional_column_is_refused():
    with pytest.raises(DataError, match="no column 'texts'; did you mean 'text'"):
        interactions(EVENTS).column("texts")


@given(event_lists())
def test_from_table_agrees_with_sorting_by_hand(events):
    users = list(dict.fromkeys(user for user, _, _ in events))
    items = sorted({item for _, item, _ in events})
    expected = sorted(events, key=lambda event: (users.index(event[0]), event[2]))
    ours = interactions(events)
    assert ours.users.to_list() == users
    assert [users[user] for user in ours.user_of] == [user for user, _, _ in expected]
    assert [items[item] for item in ours.item] == [item for _, item, _ in expected]
    assert ours.time.tolist() == [time for _, _, time in expected]


@given(event_lists())
def test_the_table_of_interactions_gives_them_back(events):
    ours = interactions(events)
    items = catalogue(sorted({item for _, item, _ in events}))
    assert Interactions.from_table(ours.to_table(items), items) == ours


def test_select_keeps_marked_events_and_the_users_that_have_one():
    events = interactions(EVENTS).select(np.array([False, False, True, False, True]))
    assert events.users.to_list() == ["u"]
    np.testing.assert_array_equal(events.offsets, [0, 2])
    np.testing.assert_array_equal(events.item, [1, 2])


def test_arrays_cannot_be_changed_by_mistake():
    with pytest.raises(ValueError, match="read-only"):
        interactions(EVENTS).item[0] = 1


GOOD = {"user": ["u", "v"], "item": ["a", "a"], "time": [1, 2]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item": ["a", "aa"]}, "the log, row 1 names the item 'aa'.*did you mean 'a'"),
        ({"item": ["a", None]}, "the log, row 1 has no item; drop the row or fill it in"),
        ({"user": [None, "v"]}, "the log, row 0 has no user"),
        ({"time": [None, 1]}, "the log, row 0 has no time"),
        ({"reviews": ["x", "y"]}, "the log has an unknown column 'reviews'"),
    ],
)
def test_a_wrong_table_is_refused(change, message):
    with pytest.raises(DataError, match=message):
        Interactions.from_table(pl.DataFrame(GOOD | change), catalogue(["a"]), source="the log")


def test_a_missing_column_is_named():
    with pytest.raises(DataError, match="no column 'time'; it has"):
        Interactions.from_table(pl.DataFrame(GOOD).drop("time"), catalogue(["a"]))


def test_an_empty_table_is_refused():
    with pytest.raises(DataError, match="has no rows"):
        Interactions.from_table(pl.DataFrame(GOOD).clear(), catalogue(["a"]))


def columns(**change: list[int]) -> dict[str, np.ndarray]:
    arrays = {"offsets": [0, 2], "item": [0, 0], "time": [1, 2], "rating": [1, 1], **change}
    types = {"offsets": np.int64, "item": np.int32, "time": np.int64, "rating": np.float32}
    return {name: np.array(values, dtype=types[name]) for name, values in arrays.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time": [1]}, "time has 1 events, but item has 2"),
        ({"offsets": [0, 1]}, "2 offsets from 0 to 1 do not fit 1 users and 2 events"),
        ({"offsets": [0, 1, 2]}, "3 offsets from 0 to 2 do not fit 1 users"),
        ({"time": [2, 1]}, "event 1 is earlier than the one before it"),
    ],
)
def test_columns_that_do_not_fit_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        Interactions(users=pl.Series(["u"]), **columns(**change))


def test_every_user_needs_an_event():
    with pytest.raises(DataError, match="every user must have an event"):
        Interactions(users=pl.Series(["u", "v"]), **columns(offsets=[0, 2, 2]))
