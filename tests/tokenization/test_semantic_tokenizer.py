import json

import numpy as np
import polars as pl
import pytest

from genrec.artifacts import ArtifactError
from genrec.data import Catalogue
from genrec.tokenization import (
    AssignmentConfig,
    CollapsedCodebookError,
    FSQConfig,
    OPQConfig,
    RQKMeansConfig,
    RQVAEConfig,
    SemanticTokenizer,
    TrainingConfig,
)

ITEMS = 120
METHODS = [
    RQKMeansConfig(codebook_sizes=(8, 8, 8), components=6),
    RQVAEConfig(codebook_sizes=(8, 8, 8), latent_dim=6, hidden_dims=(16,)),
    OPQConfig(codebook_sizes=(8, 8, 8), components=6),
    FSQConfig(levels=3, values=(4, 2), hidden_dims=(16,)),
]
SHORT = TrainingConfig(epochs=4, batch_size=32, colliding=16)


def features(items: int = ITEMS, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    heaps = draw.normal(size=(10, 12))[draw.integers(10, size=items)]
    return (heaps + 0.3 * draw.normal(size=(items, 12))).astype(np.float32)


def catalogue(items: int = ITEMS, name: str = "item") -> Catalogue:
    return Catalogue(pl.DataFrame({"item_id": [f"{name}-{row}" for row in range(items)]}))


def train(config: RQKMeansConfig | RQVAEConfig = METHODS[0], **options) -> SemanticTokenizer:
    return SemanticTokenizer.train(features(), config, training=SHORT, **options)


@pytest.mark.parametrize("config", METHODS)
def test_every_item_has_an_id_of_its_own(config):
    tokenizer = train(config)
    assert len(tokenizer.ids) == ITEMS
    assert tokenizer.ids.are_unique
    assert tokenizer.quality.final_collision_rate == 0


@pytest.mark.parametrize("config", METHODS)
def test_what_is_saved_comes_back_exactly(config, tmp_path):
    tokenizer = train(config, catalogue=catalogue(), source={"encoder": "none"}, seed=5)
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    again = SemanticTokenizer.from_pretrained(tmp_path / "tokenizer", catalogue=catalogue())
    assert again.ids == tokenizer.ids
    assert again.quality == tokenizer.quality
    assert again.recipe == json.loads(json.dumps(tokenizer.recipe))
    new_NF = features(30, seed=9)
    np.testing.assert_array_equal(again.encode(new_NF), tokenizer.encode(new_NF))


def test_the_directory_holds_what_the_design_says(tmp_path):
    train().save_pretrained(tmp_path / "tokenizer")
    names = sorted(path.name for path in (tmp_path / "tokenizer").iterdir())
    assert names == [
        "changes.safetensors", "config.json", "ledger.parquet", "model.safetensors",
        "quality.json", "semantic_ids.safetensors", "versions.json",
    ]  # fmt: skip


@pytest.mark.parametrize("config", METHODS)
def test_the_seed_decides_the_ids(config):
    assert train(config, seed=1).ids == train(config, seed=1).ids
    assert train(config, seed=1).ids != train(config, seed=2).ids


def test_encoding_gives_the_codes_before_they_were_made_unique():
    tokenizer = train()
    same_N = (tokenizer.encode(features()) == tokenizer.ids.codes_NL).all(axis=1)
    assert 1 - same_N.mean() == pytest.approx(tokenizer.quality.moved_share)


def test_an_extra_level_makes_the_ids_longer():
    tokenizer = train(assignment=AssignmentConfig(strategy="extra_level"))
    assert tokenizer.ids.levels == 4
    assert tokenizer.ids.are_unique
    np.testing.assert_array_equal(tokenizer.ids.codes_NL[:, :3], tokenizer.encode(features()))


def test_ids_of_other_items_are_refused(tmp_path):
    train(catalogue=catalogue()).save_pretrained(tmp_path)
    with pytest.raises(ArtifactError, match=r"the catalogue of the tokenizer in .* they were not"):
        SemanticTokenizer.from_pretrained(tmp_path, catalogue=catalogue(name="other"))


def test_a_catalogue_of_another_size_is_refused():
    with pytest.raises(ValueError, match="features of 120 items, but the catalogue has 7"):
        train(catalogue=catalogue(7))


def test_features_of_another_width_are_refused():
    with pytest.raises(ValueError, match="5 wide, but the tokenizer was trained on 12"):
        train().encode(np.zeros((2, 5), dtype=np.float32))


def test_a_feature_that_is_no_number_is_refused():
    broken_NF = features()
    broken_NF[17, 2] = np.nan
    with pytest.raises(ValueError, match=r"1 item\(s\) are not finite, the first in row 17"):
        SemanticTokenizer.train(broken_NF, METHODS[0])


def test_equal_features_collapse_and_are_refused():
    with pytest.raises(CollapsedCodebookError, match="features of all 200 items are equal"):
        SemanticTokenizer.train(np.ones((200, 12), dtype=np.float32), METHODS[0])


def test_ids_swapped_on_disk_are_refused(tmp_path):
    train(seed=1).save_pretrained(tmp_path / "one")
    train(seed=2).save_pretrained(tmp_path / "two")
    (tmp_path / "two" / "semantic_ids.safetensors").replace(
        tmp_path / "one" / "semantic_ids.safetensors"
    )
    with pytest.raises(ArtifactError, match="the semantic IDs of"):
        SemanticTokenizer.from_pretrained(tmp_path / "one")


def test_a_truncated_model_is_refused(tmp_path):
    train().save_pretrained(tmp_path)
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:100])
    with pytest.raises(ArtifactError, match=r"model\.safetensors does not hold this quantizer"):
        SemanticTokenizer.from_pretrained(tmp_path)


def test_a_format_of_the_future_is_refused(tmp_path):
    train().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "format": 99}))
    with pytest.raises(ArtifactError, match="has the format 99, not 2"):
        SemanticTokenizer.from_pretrained(tmp_path)
