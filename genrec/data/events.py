"""Events as they stand in files, checked and brought to one form in streaming passes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

import polars as pl

from genrec.data.errors import DataError, did_you_mean
from genrec.data.interactions import EXTRAS
from genrec.data.reading import ROW, reading

MILLISECONDS_FROM: Final = 1e11
"""Times from here on are milliseconds: as seconds this is the year 5138, as milliseconds 1973."""

TOO_LATE_FROM: Final = 1e14
"""Times from here on are neither: as milliseconds this is the year 5138."""

_KNOWN: Final = "item is known"
_UNREADABLE: Final = "rating is no number"


@dataclass(frozen=True, kw_only=True)
class EventRules:
    """What events must look like."""

    rating_range: tuple[float, float] = (0.5, 5.0)
    """The lowest and the highest rating; anything else is an error."""

    time_unit: Literal["auto", "seconds", "milliseconds"] = "auto"
    """Unit of times since 1970; ``auto`` tells it by their size. They become seconds."""

    time_format: str | None = None
    """How times that are text are written, such as ``%Y-%m-%d %H:%M:%S`` (UTC)."""

    unknown_items: Literal["error", "drop"] = "error"
    """What to do with an event about an item that the catalogue does not have."""

    def __post_init__(self) -> None:
        low, high = self.rating_range
        if not low < high:
            raise ValueError(f"rating_range is {low} to {high}; give the lower one first")


class CheckedEvents(NamedTuple):
    """Events that :meth:`Interactions.from_table` takes, and how many were left out."""

    table: pl.LazyFrame
    dropped: int


class _Check(NamedTuple):
    """What makes a row wrong, by which column, and what to do about it."""

    column: str
    wrong: pl.Expr
    remedy: str


def check_events(
    rows: pl.LazyFrame, rules: EventRules, *, path: Path, item_ids: pl.Series
) -> CheckedEvents:
    """Check rows of events and bring them to one form: ids as text, times in seconds.

    Args:
        rows: Columns ``ROW``, ``user``, ``item``, ``time``, and optionally ``rating`` and some of
            ``EXTRAS``, of any type.
        rules: What the events must look like.
        path: The file that errors name.
        item_ids: The items that exist.

    Raises:
        DataError: For the first row that is wrong.
    """
    parsed = _parse(rows, rules)
    is_known = pl.col("item").cast(pl.Enum(item_ids), strict=False).is_not_null()
    checks = _checks(rules, rated="rating" in parsed.collect_schema())
    is_late = pl.col("time") >= MILLISECONDS_FROM
    with reading(path):
        found = (
            parsed.with_columns(is_known.alias(_KNOWN))
            .select(
                *(_first_row(check.wrong).alias(str(i)) for i, check in enumerate(checks)),
                _first_row(is_late).alias("late"),
                _first_row(~is_late).alias("early"),
                (~pl.col(_KNOWN)).sum().alias("unknown"),
                pl.len().alias("rows"),
            )
            .collect(engine="streaming")
        )
    first = found.row(0, named=True)
    if first["rows"] == 0:
        raise DataError(f"{path} is empty; it must hold interactions")
    failed = [(first[str(i)], check) for i, check in enumerate(checks) if first[str(i)] is not None]
    if failed:
        number, check = min(failed, key=lambda pair: pair[0])
        raise _error(rows, number, check, path=path, item_ids=item_ids)
    if first["unknown"] == first["rows"]:
        raise DataError(f"{path} names no item of the catalogue; do the two belong together?")
    if _unit(rows, rules, late=first["late"], early=first["early"], path=path) == "milliseconds":
        parsed = parsed.with_columns(pl.col("time").floordiv(1000))
    if first["unknown"]:
        parsed = parsed.filter(is_known)
    return CheckedEvents(parsed.drop(ROW, _UNREADABLE, strict=False), first["unknown"])


def _parse(rows: pl.LazyFrame, rules: EventRules) -> pl.LazyFrame:
    """Give every column its type; null where a value is absent or cannot be read."""
    columns = rows.collect_schema()
    rating = []
    if "rating" in columns:
        number = _number("rating")
        unreadable = number.is_null() & _text("rating").is_not_null()
        rating = [number.alias("rating"), unreadable.alias(_UNREADABLE)]
    return rows.select(
        ROW,
        _text("user").alias("user"),
        _text("item").alias("item"),
        _time(columns["time"], rules).alias("time"),
        *rating,
        *(_text(name).alias(name) for name in EXTRAS if name in columns),
    )


def _text(name: str) -> pl.Expr:
    """Return a column as text without blanks around it; null where nothing is left."""
    text = pl.col(name).cast(pl.String).str.strip_chars()
    return pl.when(text != "").then(text)


def _number(name: str) -> pl.Expr:
    return _text(name).cast(pl.Float64, strict=False).fill_nan(None)


def _time(dtype: pl.DataType, rules: EventRules) -> pl.Expr:
    if dtype.is_temporal():
        return pl.col("time").dt.epoch("s")
    if rules.time_format is not None:
        moments = _text("time").str.to_datetime(rules.time_format, time_unit="us", strict=False)
        return moments.dt.epoch("s")
    if dtype.is_integer():
        return pl.col("time").cast(pl.Int64)
    return _number("time").floor().cast(pl.Int64, strict=False)


def _checks(rules: EventRules, *, rated: bool) -> list[_Check]:
    user, item, time, rating = (pl.col(name) for name in ("user", "item", "time", "rating"))
    checks = [
        _Check("user", user.is_null(), "drop the row or name its user"),
        _Check("item", item.is_null(), "drop the row or name its item"),
        _Check("time", time.is_null() | (time.abs() >= TOO_LATE_FROM), _time_remedy(rules)),
    ]
    if rated:
        low, high = rules.rating_range
        wrong = pl.col(_UNREADABLE) | ~rating.is_between(low, high)
        remedy = f"ratings go from {low:g} to {high:g}: correct it or change rating_range"
        checks.append(_Check("rating", wrong, remedy))
    if rules.unknown_items == "error":
        remedy = "the catalogue does not have it: add it, or set unknown_items to drop"
        checks.append(_Check("item", ~pl.col(_KNOWN), remedy))
    return checks


def _time_remedy(rules: EventRules) -> str:
    if rules.time_format is not None:
        return f"times are written {rules.time_format}; correct it or change time_format"
    return "give seconds or milliseconds since 1970, or set time_format"


def _first_row(wrong: pl.Expr) -> pl.Expr:
    return pl.when(wrong).then(pl.col(ROW)).min()


def _error(
    rows: pl.LazyFrame, number: int, check: _Check, *, path: Path, item_ids: pl.Series
) -> DataError:
    value = _value(rows, number, check.column)
    if value is None or str(value).strip() == "":
        return DataError(f"{path}, row {number} has no {check.column}; {check.remedy}")
    remedy = check.remedy
    if check.column == "item":
        remedy += f" ({did_you_mean(str(value), item_ids.to_list())})"
    return DataError(f"{path}, row {number} has the {check.column} {value!r}; {remedy}")


def _unit(
    rows: pl.LazyFrame, rules: EventRules, *, late: int | None, early: int | None, path: Path
) -> str:
    """Tell seconds from milliseconds by the size of times, and refuse a mixture.

    Args:
        rows: The events.
        rules: May name the unit.
        late: First row whose time must be in milliseconds.
        early: First row whose time may be in seconds.
        path: The file that errors name.
    """
    is_moment = rules.time_format is not None or rows.collect_schema()["time"].is_temporal()
    if is_moment or (late is None and rules.time_unit != "milliseconds"):
        return "seconds"
    if late is not None and rules.time_unit == "seconds":
        raise DataError(
            f"{path}, row {late} has the time {_value(rows, late, 'time')!r}, which cannot be "
            "seconds since 1970, but milliseconds; correct it or change time_unit"
        )
    if late is not None and early is not None and rules.time_unit == "auto":
        raise DataError(
            f"{path} mixes units of time: row {early} has {_value(rows, early, 'time')!r} "
            f"(seconds), row {late} has {_value(rows, late, 'time')!r} (milliseconds); "
            "bring them to one unit"
        )
    return "milliseconds"


def _value(rows: pl.LazyFrame, number: int, column: str) -> object:
    return rows.filter(pl.col(ROW) == number).select(column).collect().item()
