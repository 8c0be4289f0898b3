"""Events as they stand in files, checked and brought to one form in streaming passes."""

from dataclasses import dataclass, replace
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
_IS_LATE: Final = pl.col("time") >= MILLISECONDS_FROM


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
    columns = rows.collect_schema()
    if rules.time_format is not None or columns["time"].is_temporal():
        rules = replace(rules, time_unit="seconds")
    parsed = _parse(rows, rules, item_ids)
    checks = _checks(rules, rated="rating" in columns)
    with reading(path):
        found = parsed.select(
            *(_first_row(check.wrong).alias(str(i)) for i, check in enumerate(checks)),
            _first_row(_IS_LATE).alias("late"),
            _first_row(~_IS_LATE).alias("early"),
            (~pl.col(_KNOWN)).sum().alias("unknown"),
            pl.len().alias("rows"),
        ).collect(engine="streaming")
    first = found.row(0, named=True)
    if first["rows"] == 0:
        raise DataError(f"{path} is empty; it must hold interactions")
    failed = [(first[str(i)], check) for i, check in enumerate(checks) if first[str(i)] is not None]
    if failed:
        number, check = min(failed, key=lambda pair: pair[0])
        value = _written(rows, number, check, rules=rules, item_ids=item_ids)
        raise DataError(f"{path}, row {number} {_complaint(check, value, item_ids)}")
    if first["unknown"] == first["rows"]:
        raise DataError(f"{path} names no item of the catalogue; do the two belong together?")
    if rules.time_unit == "auto" and first["late"] is not None:
        if first["early"] is not None:
            numbers = (first["early"], first["late"])
            raise DataError(_mixture(rows, numbers, rules=rules, path=path, item_ids=item_ids))
        rules = replace(rules, time_unit="milliseconds")
    if rules.time_unit == "milliseconds":
        parsed = parsed.with_columns(pl.col("time").floordiv(1000))
    if first["unknown"]:
        parsed = parsed.filter(pl.col(_KNOWN))
    return CheckedEvents(parsed.drop(ROW, _KNOWN, _UNREADABLE, strict=False), first["unknown"])


def _parse(rows: pl.LazyFrame, rules: EventRules, item_ids: pl.Series) -> pl.LazyFrame:
    """Give every column its type; null where a value is absent or cannot be read."""
    columns = rows.collect_schema()
    rating = []
    if "rating" in columns:
        number = _number("rating")
        unreadable = number.is_null() & _text("rating").is_not_null()
        rating = [number.fill_nan(None).alias("rating"), unreadable.alias(_UNREADABLE)]
    return rows.select(
        ROW,
        _text("user").alias("user"),
        _text("item").alias("item"),
        _time(columns["time"], rules).alias("time"),
        *rating,
        *(_text(name).alias(name) for name in EXTRAS if name in columns),
    ).with_columns(pl.col("item").cast(pl.Enum(item_ids), strict=False).is_not_null().alias(_KNOWN))


def _text(name: str) -> pl.Expr:
    """Return a column as text without blanks around it; null where nothing is left."""
    text = pl.col(name).cast(pl.String).str.strip_chars()
    return pl.when(text != "").then(text)


def _number(name: str) -> pl.Expr:
    return _text(name).cast(pl.Float64, strict=False)


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
    too_late = MILLISECONDS_FROM if rules.time_unit == "seconds" else TOO_LATE_FROM
    checks = [
        _Check("user", user.is_null(), "drop the row or name its user"),
        _Check("item", item.is_null(), "drop the row or name its item"),
        _Check("time", time.is_null() | (time.abs() >= too_late), _time_remedy(rules)),
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
        return f"times are written {rules.time_format}: correct it or change time_format"
    if rules.time_unit == "auto":
        return "give seconds or milliseconds since 1970, or set time_format"
    return f"give {rules.time_unit} since 1970, or change time_unit"


def _first_row(wrong: pl.Expr) -> pl.Expr:
    return pl.when(wrong).then(pl.col(ROW)).min()


def _written(
    rows: pl.LazyFrame, number: int, check: _Check, *, rules: EventRules, item_ids: pl.Series
) -> object:
    """Return the value that fails a check as the file has it; a row may hold several events."""
    raw = rows.filter(pl.col(ROW) == number).collect()
    wrong = _parse(raw.lazy(), rules, item_ids).select(check.wrong).collect().to_series()
    return raw.filter(wrong)[check.column][0]


def _complaint(check: _Check, value: object, item_ids: pl.Series) -> str:
    if value is None or str(value).strip() == "":
        return f"has no {check.column}; {check.remedy}"
    hint = f" ({did_you_mean(str(value), item_ids.to_list())})" if check.column == "item" else ""
    return f"has the {check.column} {value!r}; {check.remedy}{hint}"


def _mixture(
    rows: pl.LazyFrame,
    numbers: tuple[int, int],
    *,
    rules: EventRules,
    path: Path,
    item_ids: pl.Series,
) -> str:
    early, late = (
        _written(rows, number, _Check("time", wrong, ""), rules=rules, item_ids=item_ids)
        for number, wrong in zip(numbers, (~_IS_LATE, _IS_LATE), strict=True)
    )
    return (
        f"{path} mixes units of time: row {numbers[0]} has {early!r}, by its size in seconds, "
        f"row {numbers[1]} has {late!r}, in milliseconds; bring them to one unit"
    )
