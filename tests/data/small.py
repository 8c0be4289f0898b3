"""Small catalogues and interactions for tests, written out or drawn at random."""

from collections.abc import Sequence

import polars as pl
from hypothesis import strategies as st

from genrec.data import Catalogue, Dataset, Interactions

Event = tuple[str, str, int]


def catalogue(item_ids: Sequence[str]) -> Catalogue:
    return Catalogue(pl.DataFrame({"item_id": item_ids}, schema={"item_id": pl.String}))


def dataset(events: Sequence[Event], *, scenarios: Sequence[str | None] | None = None) -> Dataset:
    """Build a data set of (user, item, time), whose items are those of the events, sorted."""
    table = pl.DataFrame(events, schema=["user", "item", "time"], orient="row")
    if scenarios is not None:
        table = table.with_columns(pl.Series("scenario", scenarios, dtype=pl.String))
    items = catalogue(sorted(set(table["item"])))
    return Dataset(items, Interactions.from_table(table, items), "small")


def interactions(
    events: Sequence[Event], *, scenarios: Sequence[str | None] | None = None
) -> Interactions:
    return dataset(events, scenarios=scenarios).interactions


def event_lists(
    *, users: int = 6, items: int = 6, times: int = 20, least: int = 1
) -> st.SearchStrategy[list[Event]]:
    """Draw lists of events with few users, items and times, so that ties are frequent."""
    event = st.tuples(
        st.integers(0, users - 1).map(lambda user: f"u{user}"),
        st.integers(0, items - 1).map(lambda item: f"i{item}"),
        st.integers(0, times - 1),
    )
    return st.lists(event, min_size=least, max_size=60)
