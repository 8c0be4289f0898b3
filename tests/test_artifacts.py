import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.artifacts import (
    ArtifactError,
    check_same,
    fingerprint,
    read_json,
    write_directory,
    write_file,
    write_json,
    write_text,
)


class InterruptionError(Exception):
    pass


def write_then_fail(path):
    with write_directory(path) as folder:
        (folder / "a.txt").write_text("new")
        raise InterruptionError


def test_a_directory_appears_when_it_is_complete(tmp_path):
    with write_directory(tmp_path / "out") as folder:
        (folder / "a.txt").write_text("a")
        assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "a.txt").read_text() == "a"


def test_a_directory_replaces_the_one_before(tmp_path):
    for name in ("first", "second"):
        with write_directory(tmp_path / "out") as folder:
            (folder / name).write_text(name)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["second"]


def test_an_interruption_leaves_the_old_directory_and_nothing_else(tmp_path):
    with write_directory(tmp_path / "out") as folder:
        (folder / "a.txt").write_text("old")
    with pytest.raises(InterruptionError):
        write_then_fail(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "a.txt").read_text() == "old"


def test_a_file_is_replaced_in_one_step(tmp_path):
    write_text(tmp_path / "deep" / "a.txt", "one")
    write_text(tmp_path / "deep" / "a.txt", "two")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.txt"]
    assert (tmp_path / "deep" / "a.txt").read_text() == "two"


def test_an_interruption_leaves_the_old_file_and_nothing_else(tmp_path):
    def interrupted():
        with write_file(tmp_path / "a.bin") as temporary:
            temporary.write_bytes(b"half")
            raise InterruptionError

    (tmp_path / "a.bin").write_bytes(b"old")
    with pytest.raises(InterruptionError):
        interrupted()
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"old"


def test_a_file_appears_when_it_is_complete_and_others_may_read_it(tmp_path):
    with write_file(tmp_path / "deep" / "a.bin") as temporary:
        temporary.write_bytes(b"new")
        assert not (tmp_path / "deep" / "a.bin").exists()
    assert (tmp_path / "deep" / "a.bin").read_bytes() == b"new"
    assert (tmp_path / "deep" / "a.bin").stat().st_mode & 0o777 == 0o644


def test_json_survives_the_round_trip(tmp_path):
    value = {"name": "caf\u00e9", "numbers": [1, 2.5, None]}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value


def test_json_holds_no_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"score": float("nan")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"), [("{", "not readable as JSON"), ("[1]", "holds a list, not an object")]
)
def test_a_broken_file_is_named(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ArtifactError, match=rf"a.json .*{message}"):
        read_json(tmp_path / "a.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"a.json does not exist"):
        read_json(tmp_path / "a.json")


@given(st.lists(st.text()), st.lists(st.text()))
def test_different_parts_have_different_fingerprints(one, other):
    assert (fingerprint(*one) == fingerprint(*other)) == (one == other)


def test_a_fingerprint_knows_shape_and_type():
    numbers = np.arange(6, dtype=np.int32)
    assert fingerprint(numbers) == fingerprint(numbers.copy())
    assert fingerprint(numbers) != fingerprint(numbers.reshape(2, 3))
    assert fingerprint(numbers) != fingerprint(numbers.astype(np.int64))


def test_a_mismatch_names_both_sides():
    with pytest.raises(ArtifactError, match=r"catalogue of model is aa, but that of data is bb"):
        check_same("catalogue", "aa", "bb", ours_from="model", theirs_from="data")


def test_a_directory_does_not_replace_a_file(tmp_path):
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(ArtifactError, match="notes is a file"):
        write_then_fail(tmp_path / "notes")
    assert (tmp_path / "notes").read_text() == "mine"
