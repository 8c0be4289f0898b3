"""Files of rows - CSV, TSV, Parquet, JSON lines, each also gzipped - with errors that name the row.

Polars reads fast and streams, but does not say where a file is broken. So files are read by it, and
only when it fails are they read again, line by line, to name the row.
"""

import contextlib
import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from genrec.data.errors import DataError, did_you_mean

ROW: Final = "row number"
"""Column of row numbers as people count them: from 1, where the header of a CSV file is row 1."""

_KINDS: Final = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".jsonl": "json lines",
    ".json": "json lines",
}

_SEPARATORS: Final = {"csv": ",", "tsv": "\t"}


def scan_rows(path: Path, columns: Sequence[str], *, optional: Sequence[str] = ()) -> pl.LazyFrame:
    """Scan some columns of a file, behind a column ``ROW`` of row numbers.

    Text files give String columns, so that whoever parses a value can name it when it is wrong.

    Args:
        path: A file whose suffix is one of .csv, .tsv, .parquet, .jsonl, .json, or one of the text
            formats with .gz behind it.
        columns: Columns that the file must have.
        optional: Columns to read where the file has them.

    Raises:
        DataError: When the file is missing, empty, of another kind, or has not all columns.
    """
    kind = _kind(path)
    with reading(path):
        if kind == "json lines":
            names = list(next(json_lines(path))[1])
        elif kind == "parquet":
            names = pl.scan_parquet(path).collect_schema().names()
        else:
            names = _scan_csv(path, kind).collect_schema().names()
        for name in columns:
            if name not in names:
                raise DataError(f"{path} has no column {name!r}; {_instead(kind, name, names)}")
        present = [*columns, *(name for name in optional if name in names)]
        if kind == "json lines":
            # A key that the first record lacks may come later: all optional ones are read.
            schema = dict.fromkeys([*columns, *optional], pl.String)
            return pl.scan_ndjson(path, schema=schema).with_row_index(ROW, 1)
        if kind == "parquet":
            return pl.scan_parquet(path).select(present).with_row_index(ROW, 1)
        blank = pl.all_horizontal(pl.all().exclude(ROW).is_null())
        return _scan_csv(path, kind).with_row_index(ROW, 2).filter(~blank).select(ROW, *present)


@contextlib.contextmanager
def reading(path: Path, *, parse: Callable[[str], Any] | None = None) -> Iterator[None]:
    """Turn what goes wrong while a file is read into a :class:`DataError` that names the row.

    Args:
        path: The file.
        parse: Reads a line of a file that has one object a line, whatever its name says.
    """
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except (pl.exceptions.PolarsError, OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(_explain(path, error, parse)) from error


def json_lines(
    path: Path, parse: Callable[[str], Any] = json.loads
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read objects one by one, each with its row number from 1; blank lines are passed over.

    Args:
        path: A file with one object a line, gzipped if its name ends in .gz.
        parse: Reads a line; raises a ``ValueError`` or ``SyntaxError`` where it cannot.
    """
    empty = True
    with reading(path, parse=parse), _open_text(path) as lines:
        for row in _objects(path, lines, parse):
            empty = False
            yield row
    if empty:
        raise DataError(f"{path} is empty")


def _objects(
    path: Path, lines: Iterable[str], parse: Callable[[str], Any]
) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = parse(line)
        except (ValueError, SyntaxError):
            value = None
        if not isinstance(value, dict):
            raise DataError(
                f"{path}, row {number} is no JSON object: {_shorten(line)}; write one object a line"
            )
        yield number, value


def _kind(path: Path) -> str:
    kind = _kind_by_name(path)
    if kind is None:
        raise DataError(
            f"{path} is no file that can be read; known are {', '.join(_KINDS)}, "
            "and .gz behind those that are text"
        )
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    return kind


def _kind_by_name(path: Path) -> str | None:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    gzipped = suffixes[-1:] == [".gz"]
    suffix = suffixes[-2] if gzipped and len(suffixes) > 1 else (suffixes or [""])[-1]
    kind = _KINDS.get(suffix)
    return None if gzipped and kind == "parquet" else kind


def _scan_csv(path: Path, kind: str) -> pl.LazyFrame:
    return pl.scan_csv(path, separator=_SEPARATORS[kind], infer_schema=False)


def _open_bytes(path: Path) -> gzip.GzipFile | io.BufferedReader:
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")


def _open_text(path: Path) -> io.TextIOWrapper:
    return io.TextIOWrapper(_open_bytes(path), encoding="utf-8-sig", newline="")


def _explain(path: Path, error: Exception, parse: Callable[[str], Any] | None) -> str:
    """Say where a file is broken, by reading it line by line."""
    kind = _kind_by_name(path) if parse is None else "json lines"
    if not path.is_file():
        return f"{path} is no file"
    if kind == "parquet":
        return f"{path} cannot be read as Parquet ({_first_line(error)}); write or copy it again"
    if _is_empty(path):
        return f"{path} is empty"
    try:
        with _open_text(path) as lines:
            if kind in _SEPARATORS:
                _check_fields(path, lines, _SEPARATORS[kind])
            is_json = kind == "json lines"
            for _ in _objects(path, lines, parse or json.loads) if is_json else lines:
                pass
    except DataError as explanation:
        return str(explanation)
    except (EOFError, OSError, zlib.error) as broken:
        row = _readable_rows(path)
        return f"{path} breaks off or is damaged behind row {row} ({broken}); copy it again"
    except UnicodeDecodeError as broken:
        row = _readable_rows(path)
        return f"{path} is not UTF-8 text behind row {row} ({broken.reason}); convert it"
    return f"{path} cannot be read: {_first_line(error)}"


def _instead(kind: str, name: str, names: Sequence[str]) -> str:
    """Say what a file has in the place of a column; some programs separate fields by semicolons."""
    separator = _SEPARATORS.get(kind)
    if separator is not None and len(names) == 1:
        other = next((mark for mark in (",", "\t", ";", "|") if mark in names[0]), separator)
        if other != separator:
            return f"its fields are separated by {other!r}; write {separator!r} between them"
    return did_you_mean(name, names)


def _check_fields(path: Path, lines: Iterable[str], separator: str) -> None:
    row, wanted = 0, 0
    try:
        for row, record in enumerate(csv.reader(lines, delimiter=separator), start=1):
            wanted = wanted or len(record)
            if len(record) > wanted:
                raise DataError(
                    f"{path}, row {row} has {len(record)} fields, but the header has {wanted}; "
                    "quote fields that hold a separator"
                )
    except csv.Error as error:  # a field without an end is longer than any may be
        raise DataError(
            f"{path}, row {row + 1} cannot be read ({error}); close its quotes"
        ) from error


def _is_empty(path: Path) -> bool:
    try:
        with _open_text(path) as lines:
            return not lines.read(1)
    except (EOFError, OSError, zlib.error, UnicodeDecodeError):
        return False


def _readable_rows(path: Path) -> int:
    """Count the rows in front of the place where a file breaks off or stops being UTF-8."""
    rows = 0
    with contextlib.suppress(EOFError, OSError, zlib.error), _open_bytes(path) as lines:
        for line in lines:
            try:
                line.decode()
            except UnicodeDecodeError:
                break
            rows += 1
    return rows


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _shorten(line: str) -> str:
    line = line.strip()
    return repr(line if len(line) <= 60 else line[:57] + "...")
