"""Which events train, validate and test; and the k-core, which keeps what is dense enough.

A split never trains on a target or on anything of the same user after it. The history of a target
is everything of the same user before it; a target always has one.

Shape letters in this file: I events, U users.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

import numpy as np

from genrec.data.catalogue import Bools
from genrec.data.dataset import Dataset
from genrec.data.errors import DataError, did_you_mean
from genrec.data.interactions import Int64s, Interactions


@dataclass(frozen=True)
class Split:
    """The events that a model may learn from, and those that it must predict."""

    train: Bools
    """Which events may be learned from, of shape (I,)."""

    validation: Int64s
    """Rows of the events to predict while choosing a model."""

    test: Int64s
    """Rows of the events to predict in the end."""

    def __post_init__(self) -> None:
        targets = np.concatenate([self.validation, self.test])
        if self.train.dtype != np.bool_:
            raise ValueError(f"train holds {self.train.dtype}; give a mask, true for what trains")
        if len(targets) and not 0 <= targets.min() <= targets.max() < len(self.train):
            raise ValueError(
                f"events {targets.min()} to {targets.max()} are to be predicted, but train is a "
                f"mask of {len(self.train)} events"
            )
        if self.train[targets].any() or len(np.unique(targets)) != len(targets):
            raise ValueError("an event can have one role only: train, validation or test")


def leave_one_out(interactions: Interactions) -> Split:
    """Test on every user's last event, validate on the one before, train on the rest.

    Users with fewer than 3 events only train. This is the split of most of the literature since
    SASRec (https://arxiv.org/abs/1808.09781). Other users' training events may be later in time
    than a target: :func:`temporal` forbids that.
    """
    last_U = interactions.offsets[1:] - 1
    test = last_U[interactions.events_per_user >= 3]
    return Split(_all_but(interactions, test, test - 1), test - 1, test)


def temporal(interactions: Interactions, validation_from: int, test_from: int) -> Split:
    """Split at two points in time, so that nothing learned comes from a target's future.

    Events before ``validation_from`` train; those from there to before ``test_from`` validate; the
    later ones test. A first event of a user is no target, for it has no history.

    Args:
        interactions: Events whose times compare across users.
        validation_from: Seconds since 1970.
        test_from: Seconds since 1970.
    """
    if interactions.time_is_relative:
        raise DataError(
            "these times count from each user's first event, so no point in time is common to all; "
            "use leave_one_out, or data with absolute times"
        )
    if validation_from > test_from:
        raise ValueError(f"validation_from {validation_from} is later than test_from {test_from}")
    time = interactions.time
    has_history = _position(interactions) > 0
    validation = np.flatnonzero((time >= validation_from) & (time < test_from) & has_history)
    test = np.flatnonzero((time >= test_from) & has_history)
    return Split(time < validation_from, validation, test)


def new_users(interactions: Interactions, share: float, seed: int) -> Split:
    """Hold out users altogether: nothing of theirs trains, their last event is the target.

    Half of them validate, half test. Users with a single event always train.

    Args:
        interactions: The events to split.
        share: Part of all users with at least 2 events to hold out, such as 0.1.
        seed: Chooses the users.
    """
    if not 0 < share < 1:
        raise ValueError(f"share is {share}; hold out a part between 0 and 1, such as 0.1")
    able = np.flatnonzero(interactions.events_per_user >= 2)
    count = round(share * len(able))
    if count < 2:
        raise DataError(f"{share} of {len(able)} users is {count}; at least 2 are needed")
    held_out = np.random.default_rng(seed).permutation(able)[:count]
    train_U = np.ones(interactions.user_count, dtype=np.bool_)
    train_U[held_out] = False
    last_U = interactions.offsets[1:] - 1
    validation, test = (
        np.sort(last_U[held_out[: count // 2]]),
        np.sort(last_U[held_out[count // 2 :]]),
    )
    return Split(train_U[interactions.user_of], validation, test)


def held_out_scenario(interactions: Interactions, scenario: str) -> Split:
    """Hold out a domain: nothing in it trains, every user's last event in it is a test target.

    Users with a test target train only on what they did before it. Of those events, outside the
    domain, the last one validates where a user has at least 3.
    """
    column = interactions.column("scenario")
    if column is None:
        raise DataError("the interactions have no column 'scenario' to hold one out of")
    inside = (column == scenario).fill_null(False).to_numpy()
    if not inside.any():
        hint = did_you_mean(scenario, column.drop_nulls().unique().sort().to_list())
        raise DataError(f"no event has the scenario {scenario!r}; {hint}")
    rows = np.arange(len(interactions))
    last_inside_U = _last_marked(interactions, inside)
    is_test_U = last_inside_U > interactions.offsets[:-1]
    end_U = np.where(is_test_U, last_inside_U, interactions.offsets[1:])
    train = ~inside & (rows < end_U[interactions.user_of])
    last_train_U = _last_marked(interactions, train)
    enough_U = np.add.reduceat(train, interactions.offsets[:-1], dtype=np.int64) >= 3
    validation = last_train_U[enough_U]
    train[validation] = False
    return Split(train, validation, last_inside_U[is_test_U])


SplitKind = Literal["leave_one_out", "temporal", "new_users", "held_out_scenario"]


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """How to split a data set."""

    kind: SplitKind = "leave_one_out"
    """``leave_one_out``, ``temporal``, ``new_users`` or ``held_out_scenario``."""

    validation_from: str | None = None
    """Of ``temporal``: the date from which events validate, such as 2014-01-31 (UTC)."""

    test_from: str | None = None
    """Of ``temporal``: the date from which events test."""

    share: float = 0.1
    """Of ``new_users``: the part of all users to hold out."""

    seed: int = 0
    """Of ``new_users``: chooses the users."""

    scenario: str | None = None
    """Of ``held_out_scenario``: the domain to hold out."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(SplitKind):
            raise ValueError(
                f"no split {self.kind!r}; {did_you_mean(self.kind, get_args(SplitKind))}"
            )
        if self.kind == "temporal" and (self.validation_from is None or self.test_from is None):
            raise ValueError(
                "a temporal split needs validation_from and test_from, such as 2014-01-31"
            )
        for date in (self.validation_from, self.test_from):
            if date is not None:
                _seconds(date)
        if self.kind == "held_out_scenario" and self.scenario is None:
            raise ValueError("a held_out_scenario split needs the scenario to hold out")

    def split(self, interactions: Interactions) -> Split:
        """Split interactions as this config says."""
        if self.kind == "temporal":
            assert self.validation_from is not None
            assert self.test_from is not None
            return temporal(interactions, _seconds(self.validation_from), _seconds(self.test_from))
        if self.kind == "new_users":
            return new_users(interactions, self.share, self.seed)
        if self.kind == "held_out_scenario":
            assert self.scenario is not None
            return held_out_scenario(interactions, self.scenario)
        return leave_one_out(interactions)


def sample_events(events: Int64s, count: int, *, seed: int) -> Int64s:
    """Draw ``count`` of the events to predict, in their order; 0 or too many takes all."""
    if count < 0:
        raise DataError(f"{count} events cannot be drawn; give a number above 0, or 0 for all")
    if not 0 < count < len(events):
        return events
    return np.sort(np.random.default_rng(seed).choice(events, size=count, replace=False))


def k_core(
    dataset: Dataset, *, user_events: int = 5, item_events: int = 5, keep_items: bool = False
) -> Dataset:
    """Drop sparse users and items until every one left has enough events among those left.

    The result is the largest such part of the data, whatever the order of dropping.

    Args:
        dataset: The data to filter.
        user_events: How many events a user needs.
        item_events: How many events an item needs.
        keep_items: Keep items without events in the catalogue, for cold-start experiments.

    Raises:
        DataError: When a user or an item is to need less than one event, or nobody is left.
    """
    for name, needed in (("user_events", user_events), ("item_events", item_events)):
        if needed < 1:
            raise DataError(f"{name} is {needed}; a core needs at least 1")
    events = dataset.interactions
    user_of = events.user_of
    keep = np.ones(len(events), dtype=np.bool_)
    while True:
        per_user_U = np.bincount(user_of[keep], minlength=events.user_count)
        per_item = np.bincount(events.item[keep], minlength=len(dataset.catalogue))
        dense = keep & (per_user_U >= user_events)[user_of] & (per_item >= item_events)[events.item]
        if (dense == keep).all():
            break
        keep = dense
    if not keep.any():
        raise DataError(
            f"no event is left: nobody is in a core of {user_events} events per user and "
            f"{item_events} per item; ask for fewer"
        )
    core = Dataset(dataset.catalogue, events.select(keep), dataset.name, dataset.info)
    return core if keep_items else drop_unused_items(core)


def drop_unused_items(dataset: Dataset) -> Dataset:
    """Drop the items that no event names from the catalogue."""
    events = dataset.interactions
    used = np.bincount(events.item, minlength=len(dataset.catalogue)) > 0
    row = np.cumsum(used, dtype=np.int32) - 1
    renumbered = Interactions(
        users=events.users,
        offsets=events.offsets,
        item=row[events.item],
        time=events.time,
        rating=events.rating,
        extras=events.extras,
        time_is_relative=events.time_is_relative,
    )
    catalogue = dataset.catalogue.select(np.flatnonzero(used))
    return Dataset(catalogue, renumbered, dataset.name, dataset.info)


def _all_but(interactions: Interactions, *targets: Int64s) -> Bools:
    train = np.ones(len(interactions), dtype=np.bool_)
    for rows in targets:
        train[rows] = False
    return train


def _position(interactions: Interactions) -> Int64s:
    """Place of every event within its user's history, from 0."""
    return np.arange(len(interactions)) - interactions.offsets[interactions.user_of]


def _last_marked(interactions: Interactions, marked: Bools) -> Int64s:
    """Row of every user's last marked event, or -1."""
    rows = np.where(marked, np.arange(len(interactions)), -1)
    return np.maximum.reduceat(rows, interactions.offsets[:-1])


def _seconds(date: str) -> int:
    try:
        moment = datetime.fromisoformat(date)
    except ValueError:
        raise ValueError(f"{date!r} is not a date such as 2014-01-31 or 2014-01-31T12:00") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
