import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from genrec.data import (
    DataError,
    Interactions,
    Split,
    SplitConfig,
    held_out_scenario,
    k_core,
    leave_one_out,
    new_users,
    sample_events,
    temporal,
)
from tests.data.small import Event, dataset, event_lists, interactions

THREE_USERS = [
    *(("u", f"i{n}", n) for n in range(4)),  # rows 0 to 3
    *(("v", f"i{n}", n) for n in range(2)),  # rows 4 and 5
    *(("w", f"i{n}", n) for n in range(3)),  # rows 6 to 8
]


def assert_sound(events: Interactions, split: Split) -> None:
    """Check what every split promises, event by event."""
    targets = {*split.validation.tolist(), *split.test.tolist()}
    assert len(targets) == len(split.validation) + len(split.test)
    for target in targets:
        user = events.user_of[target]
        start, stop = events.offsets[user], events.offsets[user + 1]
        assert start < target < stop, "a target has a history"
        assert not split.train[target:stop].any(), "nothing from the target on trains"


class TestLeaveOneOut:
    def test_by_hand(self):
        split = leave_one_out(interactions(THREE_USERS))
        np.testing.assert_array_equal(split.test, [3, 8])
        np.testing.assert_array_equal(split.validation, [2, 7])
        np.testing.assert_array_equal(np.flatnonzero(split.train), [0, 1, 4, 5, 6])

    def test_the_history_of_a_test_target_has_the_validation_item(self):
        events = interactions(THREE_USERS)
        assert events.history(leave_one_out(events).test[0]).tolist() == [0, 1, 2]

    @given(event_lists())
    def test_is_sound(self, drawn):
        events = interactions(drawn)
        assert_sound(events, leave_one_out(events))


class TestTemporal:
    def test_by_hand(self):
        split = temporal(interactions(THREE_USERS), 1, 2)
        np.testing.assert_array_equal(np.flatnonzero(split.train), [0, 4, 6])
        np.testing.assert_array_equal(split.validation, [1, 5, 7])
        np.testing.assert_array_equal(split.test, [2, 3, 8])

    def test_a_first_event_is_no_target(self):
        split = temporal(interactions([("u", "a", 5), ("u", "b", 6), ("v", "a", 1)]), 3, 3)
        np.testing.assert_array_equal(split.test, [1])

    @given(event_lists(), st.integers(0, 20), st.integers(0, 20))
    def test_nothing_that_trains_is_later_than_any_target(self, drawn, one, other):
        events = interactions(drawn)
        split = temporal(events, min(one, other), max(one, other))
        assert_sound(events, split)
        learned = events.time[split.train].max(initial=-1)
        assert (events.time[split.validation] > learned).all()
        seen = max(learned, events.time[split.validation].max(initial=-1))
        assert (events.time[split.test] > seen).all()

    def test_relative_times_are_refused(self):
        events = interactions(THREE_USERS)
        relative = Interactions(
            users=events.users,
            offsets=events.offsets,
            item=events.item,
            time=events.time,
            rating=events.rating,
            time_is_relative=True,
        )
        with pytest.raises(DataError, match="no point in time is common to all"):
            temporal(relative, 1, 2)

    def test_points_in_the_wrong_order_are_refused(self):
        with pytest.raises(ValueError, match="validation_from 2 is later than test_from 1"):
            temporal(interactions(THREE_USERS), 2, 1)


class TestNewUsers:
    @given(event_lists(least=20), st.floats(0.4, 0.95), st.integers(0, 3))
    def test_nothing_of_a_held_out_user_trains(self, drawn, share, seed):
        events = interactions(drawn)
        able = int((events.events_per_user >= 2).sum())
        assume(round(share * able) >= 2)
        split = new_users(events, share, seed)
        assert_sound(events, split)
        held_out = events.user_of[np.concatenate([split.validation, split.test])]
        assert len(set(held_out.tolist())) == round(share * able)
        trained = set(events.user_of[split.train].tolist())
        assert trained == set(range(events.user_count)) - set(held_out.tolist())

    def test_the_target_is_the_last_event(self):
        events = interactions(THREE_USERS)
        split = new_users(events, 0.9, 0)
        assert sorted([*split.validation, *split.test]) == [3, 5, 8]

    def test_the_seed_chooses_the_users(self):
        drawn: list[Event] = [(f"u{u}", "i", time) for u in range(40) for time in range(2)]
        events = interactions(drawn)
        first, again, other = (new_users(events, 0.5, seed) for seed in (0, 0, 1))
        np.testing.assert_array_equal(first.test, again.test)
        assert first.test.tolist() != other.test.tolist()

    @pytest.mark.parametrize("share", [0, 1, -0.1])
    def test_a_share_that_is_none_is_refused(self, share):
        with pytest.raises(ValueError, match="part between 0 and 1"):
            new_users(interactions(THREE_USERS), share, 0)

    def test_too_few_users_are_refused(self):
        with pytest.raises(DataError, match=r"0\.1 of 3 users is 0; at least 2 are needed"):
            new_users(interactions(THREE_USERS), 0.1, 0)


class TestHeldOutScenario:
    def test_by_hand(self):
        # u: three books, a toy, a book; v: two toys; w: a toy first, then books.
        drawn: list[Event] = [
            *(("u", "i", time) for time in range(5)),  # rows 0 to 4
            *(("v", "i", time) for time in range(2)),  # rows 5 and 6
            *(("w", "i", time) for time in range(4)),  # rows 7 to 10
        ]
        scenarios = [
            "book",
            "book",
            "book",
            "toy",
            "book",
            "toy",
            "toy",
            "toy",
            "book",
            "book",
            "book",
        ]
        split = held_out_scenario(interactions(drawn, scenarios=scenarios), "toy")
        np.testing.assert_array_equal(split.test, [3, 6])  # w's toy has no history
        np.testing.assert_array_equal(split.validation, [2, 10])
        np.testing.assert_array_equal(np.flatnonzero(split.train), [0, 1, 8, 9])

    @given(event_lists(), st.data())
    def test_nothing_inside_trains(self, drawn, data):
        names = st.sampled_from(["toy", "book", None])
        scenarios = data.draw(st.lists(names, min_size=len(drawn), max_size=len(drawn)))
        assume("toy" in scenarios)
        events = interactions(drawn, scenarios=scenarios)
        split = held_out_scenario(events, "toy")
        assert_sound(events, split)
        column = events.column("scenario")
        assert column is not None
        assert "toy" not in column.filter(split.train).to_list()
        assert "toy" not in column.gather(split.validation).to_list()
        assert set(column.gather(split.test).to_list()) <= {"toy"}

    def test_a_scenario_that_does_not_occur_is_refused(self):
        events = interactions(THREE_USERS, scenarios=["books"] * 9)
        with pytest.raises(
            DataError, match="no event has the scenario 'book'; did you mean 'books'"
        ):
            held_out_scenario(events, "book")

    def test_data_without_scenarios_are_refused(self):
        with pytest.raises(DataError, match="no column 'scenario'"):
            held_out_scenario(interactions(THREE_USERS), "book")


class TestSplitConfig:
    def test_dates_are_read_as_utc(self):
        day = 86400
        events = interactions([("u", "i", n * day) for n in range(4)])
        config = SplitConfig(
            kind="temporal", validation_from="1970-01-02", test_from="1970-01-03T00:00"
        )
        split = config.split(events)
        assert (split.validation.tolist(), split.test.tolist()) == ([1], [2, 3])

    @pytest.mark.parametrize(
        ("config", "same"),
        [
            (SplitConfig(), leave_one_out),
            (SplitConfig(kind="new_users", share=0.9, seed=1), lambda e: new_users(e, 0.9, 1)),
            (
                SplitConfig(kind="held_out_scenario", scenario="toy"),
                lambda e: held_out_scenario(e, "toy"),
            ),
        ],
    )
    def test_gives_the_split_that_it_names(self, config, same):
        events = interactions(THREE_USERS, scenarios=["book", "toy", "book"] * 3)
        ours, theirs = config.split(events), same(events)
        np.testing.assert_array_equal(ours.train, theirs.train)
        np.testing.assert_array_equal(ours.validation, theirs.validation)
        np.testing.assert_array_equal(ours.test, theirs.test)

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"kind": "temporl"}, "did you mean 'temporal'"),
            ({"kind": "temporal"}, "needs validation_from and test_from"),
            ({"kind": "held_out_scenario"}, "needs the scenario"),
            (
                {"kind": "temporal", "validation_from": "May", "test_from": "June"},
                "'May' is not a date such as 2014-01-31",
            ),
        ],
    )
    def test_nonsense_is_refused_at_birth(self, values, message):
        with pytest.raises(ValueError, match=message):
            SplitConfig(**values)


def test_an_event_has_one_role():
    with pytest.raises(ValueError, match="one role only"):
        Split(np.array([True, True]), np.array([0]), np.array([1]))


def test_a_mask_of_other_events_is_refused():
    with pytest.raises(ValueError, match=r"events 0 to 2 are to be .* train is a mask of 2 events"):
        Split(np.array([False, False]), np.array([0]), np.array([2]))


def test_rows_in_place_of_a_mask_are_refused():
    with pytest.raises(ValueError, match="train holds int64; give a mask"):
        Split(np.array([0, 1]), np.array([2]), np.array([3]))


class TestSampleEvents:
    def test_draws_distinct_events_in_their_order(self):
        events = np.arange(100, 200)
        drawn = sample_events(events, 10, seed=0)
        assert len(set(drawn.tolist())) == 10
        assert set(drawn.tolist()) <= set(events.tolist())
        assert (np.diff(drawn) > 0).all()

    @pytest.mark.parametrize("count", [0, 3, 4])
    def test_takes_all_where_none_or_too_many_are_asked_for(self, count):
        np.testing.assert_array_equal(sample_events(np.array([5, 7, 9]), count, seed=0), [5, 7, 9])

    def test_a_negative_number_is_refused(self):
        with pytest.raises(DataError, match=r"-1 events cannot be drawn; .* or 0 for all"):
            sample_events(np.array([5, 7, 9]), -1, seed=0)


def core_by_hand(events: list[Event], users: int, items: int) -> list[Event]:
    """Drop one sparse user or item at a time."""
    while True:
        for column, least in ((0, users), (1, items)):
            names = [event[column] for event in events]
            sparse = [name for name in names if names.count(name) < least]
            if sparse:
                events = [event for event in events if event[column] != sparse[0]]
                break
        else:
            return events


class TestKCore:
    @given(event_lists(users=5, items=5), st.integers(1, 4), st.integers(1, 4))
    def test_is_what_dropping_one_by_one_leaves(self, drawn, users, items):
        expected = core_by_hand(drawn, users, items)
        assume(expected)
        core = k_core(dataset(drawn), user_events=users, item_events=items)
        table = core.interactions.to_table(core.catalogue).select("user", "item", "time")
        assert sorted(table.rows()) == sorted(expected)

    @given(event_lists(users=5, items=5), st.integers(1, 4), st.integers(1, 4))
    def test_everyone_left_has_enough(self, drawn, users, items):
        assume(core_by_hand(drawn, users, items))
        core = k_core(dataset(drawn), user_events=users, item_events=items)
        assert core.interactions.events_per_user.min() >= users
        assert np.bincount(core.interactions.item, minlength=len(core.catalogue)).min() >= items

    def test_one_drop_can_pull_others_along(self):
        # w has one event; without it, b has one; without that, v has one; only u's pair stays.
        drawn: list[Event] = [
            ("u", "a", 0),
            ("u", "a", 1),
            ("v", "a", 2),
            ("v", "b", 3),
            ("w", "b", 4),
        ]
        core = k_core(dataset(drawn), user_events=2, item_events=2)
        assert core.interactions.users.to_list() == ["u"]
        assert core.catalogue.item_ids == ["a"]

    def test_items_can_stay_in_the_catalogue(self):
        drawn: list[Event] = [("u", "a", 0), ("u", "b", 1), ("u", "b", 2)]
        core = k_core(dataset(drawn), user_events=2, item_events=2, keep_items=True)
        assert core.catalogue.item_ids == ["a", "b"]
        np.testing.assert_array_equal(core.interactions.item, [1, 1])

    def test_an_empty_core_is_refused(self):
        with pytest.raises(DataError, match=r"no event is left.*ask for fewer"):
            k_core(dataset(THREE_USERS))
