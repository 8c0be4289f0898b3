"""The package as a whole: cheap to import, honest about what is missing."""

import subprocess
import sys
import types

import pytest

import genrec
from genrec.optional import MissingDependencyError, require


def test_importing_genrec_imports_no_torch():
    heavy = ("torch", "transformers", "numpy", "polars")
    code = f"import sys, genrec; print([name for name in {heavy!r} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_recommenders_and_ids_need_no_torch():
    code = "import sys; from genrec import Request, SemanticIds; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


@pytest.mark.parametrize("name", genrec.__all__)
def test_every_public_name_is_there(name):
    assert getattr(genrec, name) is not None
    assert name in dir(genrec)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Magic'"):
        _ = genrec.Magic


def test_a_missing_package_is_named_with_its_extra():
    with pytest.raises(
        MissingDependencyError,
        match=r"MagicRecommender needs magic_package: pip install 'genrec\[magic\]'",
    ):
        require("magic_package", extra="magic", why="MagicRecommender")


def test_a_broken_package_is_not_reported_as_missing(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("raise RuntimeError('half installed')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RuntimeError, match="half installed"):
        require("broken_package", extra="x", why="this test")


def test_a_package_that_is_there_is_returned():
    assert isinstance(require("json", extra="x", why="this test"), types.ModuleType)
