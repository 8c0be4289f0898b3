"""A model that sees pictures, saved, loaded and asked."""

import io
import logging

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from genrec.data import Catalogue
from genrec.models import TinyVisionConfig, VisionConfig, add_vision
from genrec.prompts import PromptConfig, Renderer
from genrec.recommender import Request
from genrec.serving import Bundle, GenRec, load_bundle, load_pictures, save_bundle
from genrec.serving.transformers_engine import TransformersRecommender
from tests.small_shop import small_model, small_renderer

TINY = TinyVisionConfig(image_size=16, hidden_size=16, layers=1, heads=2)


def png(seed):
    noise = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


def make_bundle(*, pictures=True, picture_tokens=1, **vision):
    config = PromptConfig(pictures=pictures, picture_tokens=picture_tokens)
    blind = small_renderer(config=config)
    column = [None if row == 5 else png(row) for row in range(len(blind.catalogue))]
    table = blind.catalogue.table.with_columns(pl.Series("picture", column, dtype=pl.Binary))
    renderer = Renderer(
        vocabulary=blind.vocabulary, ids=blind.ids, catalogue=Catalogue(table), tasks=blind.tasks,
        config=config,
    )  # fmt: skip
    model = add_vision(
        small_model(renderer), VisionConfig(tiny=TINY, every_n_layers=1, latents=3, **vision),
        picture_token=renderer.vocabulary.image, seed=0,
    )  # fmt: skip
    for name, weight in model.named_parameters():
        if name.endswith("gate"):
            torch.nn.init.ones_(weight)
        if "cross_attention.out" in name:
            torch.nn.init.normal_(weight, std=0.5)
    return Bundle(model.eval(), renderer)


REQUESTS = [Request(task="recommend", history=history) for history in ((0, 1), (5,), (2, 5, 7))]


def scores(recommender):
    return np.stack([ranking.scores for ranking in recommender.recommend(REQUESTS, k=5)])


def test_a_saved_model_sees_the_same_pictures(tmp_path):
    bundle = make_bundle()
    save_bundle(tmp_path / "model", *bundle)
    rec = GenRec.from_pretrained(tmp_path / "model", device="cpu")
    blind = TransformersRecommender(*bundle)
    seeing = TransformersRecommender(*bundle, pictures=load_pictures(tmp_path, bundle))
    np.testing.assert_allclose(scores(rec.recommender), scores(seeing), rtol=1e-4, atol=1e-4)
    differs = np.abs(scores(seeing) - scores(blind)).max(axis=1) > 1e-4
    assert differs.tolist() == [True, False, True]  # item 5, alone in a history, has no picture


def test_pictures_are_encoded_at_the_first_load_only(tmp_path, monkeypatch):
    save_bundle(tmp_path / "model", *make_bundle())
    first = load_pictures(tmp_path, load_bundle(tmp_path))
    (part,) = (tmp_path / "model" / "pictures").rglob("*.safetensors")
    written = part.stat().st_mtime_ns
    again = load_bundle(tmp_path)
    monkeypatch.setattr(type(again.model), "encode_pictures", None)
    second = load_pictures(tmp_path, again)
    assert part.stat().st_mtime_ns == written
    assert torch.equal(second.features([0, 11]), first.features([0, 11]))


def test_where_nothing_can_be_written_pictures_are_kept_in_memory(tmp_path, monkeypatch, caplog):
    save_bundle(tmp_path / "model", *make_bundle())
    monkeypatch.setattr("genrec.serving.bundle.os.access", lambda *_: False)
    with caplog.at_level(logging.WARNING):
        pictures = load_pictures(tmp_path, load_bundle(tmp_path))
    assert "its pictures are encoded at every start" in caplog.text
    assert pictures.features([0]).shape == (1, 5, 16)
    assert not (tmp_path / "model" / "pictures").exists()


@pytest.mark.parametrize("change", [{"pictures": False}, {"fusion": "none"}], ids=str)
def test_a_model_that_sees_none_needs_no_pictures(tmp_path, change):
    save_bundle(tmp_path / "model", *make_bundle(**change))
    assert load_pictures(tmp_path, load_bundle(tmp_path)) is None
    rec = GenRec.from_pretrained(tmp_path / "model", device="cpu")
    assert scores(rec.recommender).shape == (3, 5)


def test_early_fusion_with_other_marks_is_refused(tmp_path):
    save_bundle(tmp_path / "fits", *make_bundle(fusion="early", picture_tokens=3))
    rec = GenRec.from_pretrained(tmp_path / "fits", device="cpu")
    assert scores(rec.recommender).shape == (3, 5)
    with pytest.raises(ValueError, match=r"prompts have 2 \[IMG\] tokens .* makes 3 latents"):
        save_bundle(tmp_path / "model", *make_bundle(fusion="early", picture_tokens=2))
    assert not (tmp_path / "model").exists()
