"""Fingerprints of table columns, computed piece by piece so that no second copy is held."""

from collections.abc import Iterator

import polars as pl

from genrec.artifacts import fingerprint

_ROWS_AT_ONCE = 1 << 18


def table_fingerprint(table: pl.DataFrame) -> str:
    """Hash names, types and values of all columns, in their order."""
    return fingerprint(*(series_fingerprint(column) for column in table))


def series_fingerprint(series: pl.Series) -> str:
    """Hash the name, type, values and nulls of a column."""
    pieces = (_hash_piece(piece) for piece in _pieces(series))
    return fingerprint(series.name, str(series.dtype), *pieces)


def _pieces(series: pl.Series) -> Iterator[pl.Series]:
    for start in range(0, len(series), _ROWS_AT_ONCE):
        yield series.slice(start, _ROWS_AT_ONCE)


def _hash_piece(series: pl.Series) -> str:
    nulls = series.is_null().to_numpy()
    if series.dtype == pl.String:
        lengths = series.str.len_bytes().fill_null(0).to_numpy()
        return fingerprint(nulls, lengths, series.fill_null("").str.join("").item())
    if series.dtype == pl.Binary:
        return fingerprint(nulls, *(value or b"" for value in series))
    return fingerprint(nulls, series.fill_null(0).to_numpy())
