import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from genrec.config import to_dict
from genrec.data import Catalogue, DataError
from genrec.tokenization import Blend, CollaborativeConfig, ItemTable
from genrec.tokenization.sources import (
    FeaturesConfig,
    PictureConfig,
    TextConfig,
    VectorConfig,
    encode_sources,
    given_vectors,
    join_sources,
    without_zeros,
)
from tests.tokenization.tiny_clip import save_tiny_clip

COLOURS = ("red", "green", "blue", "white", None, "black")


def items() -> ItemTable:
    def png(colour: str) -> bytes:
        file = io.BytesIO()
        Image.new("RGB", (8, 8), colour).save(file, format="PNG")
        return file.getvalue()

    table = {
        "item_id": [str(row) for row in range(len(COLOURS))],
        "title": ["soap", "comb", "lamp", None, "soap", "soap"],
        "picture": pl.Series([png(c) if c else None for c in COLOURS], dtype=pl.Binary),
    }
    return ItemTable.of(Catalogue(pl.DataFrame(table)))


def test_all_sources_meet_in_one_matrix_without_gaps(tmp_path):
    save_tiny_clip(tmp_path / "clip")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(6, 3)))
    config = FeaturesConfig(
        text=TextConfig(encoder=str(tmp_path / "clip")),
        pictures=PictureConfig(encoder="thumbnail", weight=0.5),
        collaborative=CollaborativeConfig(weight=2.0),
        vectors=VectorConfig(path=tmp_path / "x.npy"),
    )
    together_NF = np.array([[1.0, 0], [0, 1], [0, 0], [1, 1], [2, 1], [1, 2]], dtype=np.float32)
    encoded = encode_sources(items(), config, cache=tmp_path / "cache")
    sources = join_sources(items(), config, encoded, together_NF)
    missing = {
        name: np.isnan(x[:]).all(axis=1).nonzero()[0].tolist() for name, x in sources.items()
    }
    assert missing == {"text": [3], "pictures": [4], "collaborative": [2], "vectors": []}
    assert config.weights == {"text": 1.0, "pictures": 0.5, "collaborative": 2.0, "vectors": 1.0}
    blend = Blend.fit(sources, list(config.weights.values()))
    blended_NF = blend.apply(sources)
    assert blended_NF.shape == (6, 6 + 192 + 2 + 3)
    assert np.isfinite(blended_NF).all()
    new = join_sources(items(), config, encoded)
    assert new["collaborative"] is None
    assert np.isfinite(blend.apply(new)).all()


def test_pictures_alone_are_enough(tmp_path):
    config = FeaturesConfig(text=None, pictures=PictureConfig(encoder="thumbnail"))
    encoded = encode_sources(items(), config, cache=tmp_path)
    assert list(join_sources(items(), config, encoded)) == ["pictures"]


def test_given_vectors_follow_their_items(tmp_path):
    all_NF = np.array([[3.0, 4], [0, 0], [0, 2], [np.nan, 1], [1, 0], [5, 12]])
    np.save(tmp_path / "x.npy", all_NF)
    found_NF = given_vectors(tmp_path / "x.npy", items().select(np.array([5, 1, 0, 3])))
    np.testing.assert_allclose(
        found_NF, [[5 / 13, 12 / 13], [np.nan] * 2, [0.6, 0.8], [np.nan] * 2], rtol=1e-6
    )


def test_a_row_of_zeros_says_nothing():
    found_NF = without_zeros(np.array([[0.0, 0], [0, 2]], dtype=np.float32))
    np.testing.assert_array_equal(found_NF, [[np.nan, np.nan], [0, 1]])


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((5, 2)), "has 5 rows, but there is an item 5"),
        (np.zeros(6), r"of shape \(6,\), not one row of numbers"),
        (np.array([["a"]] * 6), "not one row of numbers"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(array, words, tmp_path):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(DataError, match=words):
        given_vectors(tmp_path / "x.npy", items())


def test_a_file_that_holds_no_vectors_is_refused(tmp_path):
    (tmp_path / "x.npy").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"no \.npy file that can be read"):
        given_vectors(tmp_path / "x.npy", items())


def test_the_config_comes_back_from_json():
    config = FeaturesConfig(
        text=TextConfig(attributes=["title"]), pictures=PictureConfig(encoder="thumbnail"),
        collaborative=CollaborativeConfig(dim=8), vectors=VectorConfig(path=Path("x.npy")),
    )  # fmt: skip
    assert FeaturesConfig.from_json(to_dict(config)) == config
    moved = FeaturesConfig.from_json(to_dict(config), vectors=Path("y.npy"))
    assert moved.vectors == VectorConfig(path=Path("y.npy"))
    with pytest.raises(ValueError, match="does not describe sources"):
        FeaturesConfig.from_json({"text": {"colour": "red"}})


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="give text, pictures, collaborative or vectors"):
        FeaturesConfig(text=None)
    with pytest.raises(ValueError, match=r"weight of text is 0\.0"):
        FeaturesConfig(text=TextConfig(weight=0.0))
