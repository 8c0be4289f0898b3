import ast
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from genrec.data import DataError
from genrec.data.reading import ROW, json_lines, reading, scan_rows

CSV = "user,item,note\nu,a,x\nv,b,\n"
JSON_LINES = '{"user": "u", "item": 1, "note": "x"}\n{"user": "v", "item": 2.5}\n'


def text(content: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(content, encoding="utf-8") and None


def gzipped(content: str) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(gzip.compress(content.encode())) and None


def parquet(path: Path) -> None:
    pl.DataFrame({"user": ["u", "v"], "item": ["a", "b"], "note": ["x", None]}).write_parquet(path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.csv", text(CSV)),
        ("a.CSV", text(CSV)),
        ("a.csv.gz", gzipped(CSV)),
        ("a.csv", text("\ufeff" + CSV)),
        ("a.csv", text(CSV.replace("\n", "\r\n"))),
        ("a.tsv", text(CSV.replace(",", "\t"))),
        ("a.parquet", parquet),
    ],
)
def test_a_table_is_read_whatever_its_form(tmp_path, name, write):
    write(tmp_path / name)
    table = scan_rows(tmp_path / name, ["item", "user"], optional=["note", "absent"]).collect()
    assert table.drop(ROW).rows() == [("a", "u", "x"), ("b", "v", None)]


@pytest.mark.parametrize(("name", "write"), [("a.jsonl", text), ("a.json.gz", gzipped)])
def test_json_lines_are_read_as_text(tmp_path, name, write):
    write(JSON_LINES)(tmp_path / name)
    table = scan_rows(tmp_path / name, ["user", "item"], optional=["note"]).collect()
    assert table.rows() == [(1, "u", "1", "x"), (2, "v", "2.5", None)]


def test_the_header_of_a_csv_file_is_row_1(tmp_path):
    text("user\nu\n\nv\n\n\n")(tmp_path / "a.csv")
    table = scan_rows(tmp_path / "a.csv", ["user"]).collect()
    assert table.rows() == [(2, "u"), (4, "v")]


def test_an_optional_key_may_come_after_the_first_record(tmp_path):
    text('{"user": "u"}\n{"user": "v", "note": "x"}\n')(tmp_path / "a.jsonl")
    table = scan_rows(tmp_path / "a.jsonl", ["user"], optional=["note"]).collect()
    assert table["note"].to_list() == [None, "x"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", CSV, "no column 'itm'; did you mean 'item'"),
        ("a.jsonl", JSON_LINES, "no column 'itm'; did you mean 'item'"),
        ("a.csv", "user;itm\n1;2\n", r"'user'; its fields are separated by ';'; write ','"),
        ("a.tsv", "user,itm\n1,2\n", r"'user'; its fields are separated by ','; write '\\t'"),
        ("a.csv", "customer\n1\n", "no column 'user'; did you mean 'customer'"),
        ("a.csv", "", "a.csv is empty"),
        ("a.jsonl", "", "a.jsonl is empty"),
        ("a.jsonl", "\n \n", "a.jsonl is empty"),
        ("a.xlsx", "x", r"known are \.csv, \.tsv, \.parquet"),
        ("a.parquet.gz", "x", r"known are \.csv"),
        ("a", "x", r"known are \.csv"),
        ("a.parquet", "x", "cannot be read as Parquet.*write or copy it again"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, name, content, message):
    text(content)(tmp_path / name)
    with pytest.raises(DataError, match=message):
        scan_rows(tmp_path / name, ["user", "itm"])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"a\.csv does not exist"):
        scan_rows(tmp_path / "a.csv", ["user"])


def collect(path: Path) -> None:
    with reading(path):
        scan_rows(path, ["user"]).collect()


def test_a_truncated_gzip_says_how_far_it_goes(tmp_path):
    lines = "".join(f'{{"user": "user number {n}"}}\n' for n in range(20_000))
    whole = gzip.compress(lines.encode())
    (tmp_path / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"a\.jsonl\.gz breaks off or is damaged behind row \d{3,}"):
        collect(tmp_path / "a.jsonl.gz")


def test_a_gzip_with_a_wrong_checksum_is_refused(tmp_path):
    damaged = bytearray(gzip.compress(CSV.encode()))
    damaged[-6] ^= 255
    (tmp_path / "a.csv.gz").write_bytes(damaged)
    with pytest.raises(DataError, match=r"damaged behind row 3.*copy it again"):
        collect(tmp_path / "a.csv.gz")


def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(b"\x1f\x8b\x08no gzip at all")
    with pytest.raises(DataError, match="damaged behind row 0"):
        collect(tmp_path / "a.csv.gz")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "user,item\nu,a\nu,a,b\n", "row 3 has 3 fields, but the header has 2; quote"),
        ("a.jsonl", '{"user": 1}\n\n{"user":\n', "row 3 is no JSON object: '{\"user\":'"),
        ("a.jsonl", '{"user": 1}\n[1]\n', r"row 2 is no JSON object: '\[1\]'"),
    ],
)
def test_a_broken_row_is_named(tmp_path, name, content, message):
    text(content)(tmp_path / name)
    with pytest.raises(DataError, match=message):
        collect(tmp_path / name)


def test_a_row_whose_quotes_never_close_is_named(tmp_path):
    (tmp_path / "a.csv").write_text('user,item\nu,a\nu,"b\n' + "u,a\n" * 40_000)
    with pytest.raises(DataError, match=r"row 3 cannot be read \(field larger.*close its quotes"):
        collect(tmp_path / "a.csv")


def test_text_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"user\nu\nJos\xe9\nx\n")
    with pytest.raises(DataError, match=r"not UTF-8 text behind row 2.*convert it"):
        collect(tmp_path / "a.csv")


def test_json_lines_one_by_one_know_their_rows(tmp_path):
    gzipped('{"a": 1}\n\n{"a": 2}\n')(tmp_path / "a.json.gz")
    assert list(json_lines(tmp_path / "a.json.gz")) == [(1, {"a": 1}), (3, {"a": 2})]


@pytest.mark.parametrize("line", ["[1]", "{", "5"])
def test_a_line_that_is_no_object_is_refused(tmp_path, line):
    text('{"a": 1}\n' + line)(tmp_path / "a.jsonl")
    with pytest.raises(DataError, match=r"a\.jsonl, row 2 is no JSON object.*one object a line"):
        list(json_lines(tmp_path / "a.jsonl"))


@pytest.mark.parametrize(
    ("name", "line", "parse"),
    [
        ("a.jsonl.gz", b'{"a": 1}\n', json.loads),
        ("a.txt.gz", b'{"a": 1}\n', json.loads),
        ("a.json.gz", b"{'a': 1}\n", ast.literal_eval),
    ],
)
def test_a_truncated_gzip_of_objects_is_refused(tmp_path, name, line, parse):
    (tmp_path / name).write_bytes(gzip.compress(line * 1000)[:-9])
    with pytest.raises(DataError, match=r"breaks off or is damaged behind row \d{3,}"):
        list(json_lines(tmp_path / name, parse))


def test_what_is_no_text_is_told_of_a_file_of_any_name(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"u\nJos\xe9\n")
    told = pytest.raises(DataError, match=r"a\.txt is not UTF-8 text behind row 1")
    with told, reading(tmp_path / "a.txt"):
        pl.read_csv(tmp_path / "a.txt")
