import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from genrec.artifacts import check_writable, fingerprint, read_json
from genrec.optional import require
from genrec.recipe import refusal, run_recipe
from genrec.semantic_ids import SemanticIds


@dataclass(frozen=True, kw_only=True)
class Settings:
    out: Path = Path("x")
    seed: int = 0


def error_of(fails):
    try:
        fails()
    except Exception as error:
        return error
    raise AssertionError("nothing was refused")


def run(monkeypatch, fails, *args):
    monkeypatch.setattr(sys, "argv", ["recipes/bake.py", *args])
    run_recipe(lambda settings: fails(), Settings, "Bakes.")


def test_what_genrec_refuses_ends_a_recipe_with_one_line(monkeypatch, tmp_path):
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, lambda: read_json(tmp_path / "a.json"))
    assert ended.value.code == (
        f"bake: {tmp_path}/a.json does not exist; was the step that writes it run?"
    )


def test_what_the_system_refuses_is_told_with_its_path(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(SystemExit, match=r"^bake: .*/file/below: Not a directory$"):
        run(monkeypatch, lambda: (tmp_path / "file" / "below").read_text())


def test_a_bug_keeps_its_traceback(monkeypatch):
    with pytest.raises(ValueError, match="invalid literal"):
        run(monkeypatch, lambda: int("many"))


def test_a_seed_below_0_is_refused(monkeypatch):
    with pytest.raises(SystemExit, match=r"^bake: seed is -1; give 0 or more$"):
        run(monkeypatch, lambda: None, "--seed=-1")


def test_only_what_genrec_itself_raises_was_meant_for_the_user():
    ours = error_of(lambda: SemanticIds(np.zeros((2, 1), dtype=int), (4, 4)))
    assert isinstance(ours, ValueError)
    assert refusal(ours) == str(ours)
    inside_of_genrec = error_of(lambda: fingerprint(5))  # the length of a number is taken
    assert refusal(inside_of_genrec) is None
    missing = error_of(lambda: require("no_such_package", extra="eval", why="the test"))
    assert "no_such_package" in refusal(missing)
    assert refusal(error_of(lambda: np.random.default_rng(-1))) is None


def test_lines_of_a_refusal_are_joined():
    assert refusal(error_of(lambda: open_nothing("no\n  such"))) == "no such"


def open_nothing(message):
    raise OSError(message)


def test_a_folder_with_other_things_is_not_replaced(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match=r"holds other things and no dataset\.json.*new or empty"):
        check_writable(tmp_path, sign="dataset.json")


def test_an_artifact_of_the_same_kind_an_empty_folder_and_a_new_one_are_fine(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "dataset.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    for name in ("old", "empty", "new/and/deep"):
        check_writable(tmp_path / name, sign="dataset.json")
    assert not (tmp_path / "new" / "and" / "deep").exists()


def test_a_file_and_what_lies_below_one_are_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="file is a file, and a folder is to stand there"):
        check_writable(tmp_path / "file", sign="dataset.json")
    with pytest.raises(ValueError, match=r"cannot be written .*; name another place"):
        check_writable(tmp_path / "file" / "below", sign="dataset.json")
