"""Pictures as answers, from a model directory to PIL pictures and what guided them."""

import base64
import io
import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from genrec.artifacts import ArtifactError
from genrec.data import Catalogue, DataError
from genrec.decoding.drawing import Drawing
from genrec.models import TinyVisionConfig, VisionConfig, add_vision
from genrec.models.image_tokens import ImageTokenizer, ImageTokenizerConfig
from genrec.prompts import PromptConfig, Renderer, TaskError, Vocabulary
from genrec.recommender import Request
from genrec.serving import GenRec, load_bundle, load_pictures, save_bundle, update_catalogue
from genrec.serving.bundle import load_image_tokenizer
from genrec.serving.painting import Painter
from tests.prompts.tokenizers import MAKERS
from tests.small_shop import small_bundle, small_ids, small_model, small_renderer

pytest.importorskip("diffusers")

IMAGES = ImageTokenizerConfig(size=16, channels=(8, 8, 8), codebook_size=12, code_dim=4)
NO_PICTURE = 5


def png(seed):
    noise = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


def make_renderer(pictures):
    """Write prompts for the small shop with these pictures."""
    blind = small_renderer()
    table = blind.catalogue.table.with_columns(pl.Series("picture", pictures, dtype=pl.Binary))
    return Renderer(
        vocabulary=Vocabulary.extend(MAKERS["llama"](), small_ids(), image_codes=12),
        ids=blind.ids, catalogue=Catalogue(table), tasks=blind.tasks,
        config=PromptConfig(pictures=True),
    )  # fmt: skip


def seeing_model(renderer):
    vision = VisionConfig(
        tiny=TinyVisionConfig(image_size=16, hidden_size=16, layers=1, heads=2),
        every_n_layers=1, latents=2, resampler_layers=1, gate=1.0,
    )  # fmt: skip
    picture_token = renderer.vocabulary.image
    model = add_vision(small_model(renderer), vision, picture_token=picture_token, seed=0)
    draw = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        if weight.ndim > 1:  # wider than usual, so that prompts count in an untrained model
            torch.nn.init.normal_(weight, std=0.3, generator=draw)
    return model.eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Save an untrained model that sees and draws."""
    path = tmp_path_factory.mktemp("drawing") / "model"
    renderer = make_renderer([None if row == NO_PICTURE else png(row) for row in range(12)])
    images = ImageTokenizer.new(IMAGES, seed=0)
    save_bundle(path, seeing_model(renderer), renderer, images=images)
    return path


@pytest.fixture(scope="module")
def rec(folder):
    return GenRec.from_pretrained(folder, device="cpu")


def same(one, other):
    return [picture.tobytes() for picture in one] == [picture.tobytes() for picture in other]


def test_pictures_come_with_the_items_that_a_search_found(rec):
    drawn = rec.imagine(["sku-1", "sku-4"], "red lamp", guides=3, how=Drawing(samples=2))
    assert [picture.size for picture in drawn.pictures] == [(16, 16)] * 2
    assert drawn.guides == rec.search(["sku-1", "sku-4"], "red lamp", k=3)
    assert not {"sku-1", "sku-4"} & {item for item, _ in drawn.guides}


def test_what_guides_decides_what_is_drawn(rec):
    one, other = (
        rec.imagine(["sku-1"], "red lamp", only=[item], guides=1) for item in ("sku-2", "sku-9")
    )
    assert [guide.item_id for guide in (*one.guides, *other.guides)] == ["sku-2", "sku-9"]
    assert not same(one.pictures, other.pictures)


def test_the_guides_pictures_are_seen(folder):
    bundle = load_bundle(folder)
    from genrec.serving import TransformersRecommender

    request = Request(task="imagine", query="red lamp", candidates=(2,))
    hidden = Request(task="imagine", query="red lamp", candidates=(NO_PICTURE,))
    blind = TransformersRecommender(*bundle)
    seeing = TransformersRecommender(*bundle, pictures=load_pictures(folder, bundle))
    how = Drawing(samples=8)
    seen, unseen = (
        [eye.draw([one], length=16, how=how).tolist() for one in (request, hidden)]
        for eye in (seeing, blind)
    )
    assert seen[0] != unseen[0]
    assert seen[1] == unseen[1]


@pytest.mark.parametrize("how", [Drawing(beams=2), Drawing(seed=5, top_p=0.9)], ids=str)
def test_a_batch_draws_what_one_by_one_does(rec, how):
    histories, queries = [["sku-1"], [], ["sku-5", "sku-7"]], ["red lamp", "case", "a blue phone"]
    together = rec.imagine_many(histories, queries, how=how)
    for history, query, drawn in zip(histories, queries, together, strict=True):
        alone = rec.imagine(history, query, how=how)
        assert [guide.item_id for guide in alone.guides] == [one.item_id for one in drawn.guides]
        assert same(alone.pictures, drawn.pictures)


def test_without_a_search_the_history_itself_guides(rec):
    drawn = rec.imagine(["sku-1", "sku-5"], "red lamp", task="imagine_directly")
    assert drawn.guides == []
    other = rec.imagine(["sku-7"], "red lamp", task="imagine_directly")
    assert not same(drawn.pictures, other.pictures)


def test_guidance_changes_the_picture_and_a_seed_repeats_it(rec):
    plain, again, guided = (
        rec.imagine([], "red lamp", how=Drawing(seed=3, guidance=guidance)).pictures
        for guidance in (1.0, 1.0, 4.0)
    )
    assert same(plain, again)
    assert not same(plain, guided)


@pytest.mark.parametrize("query", ["", "  ", "\u200b"])
def test_an_empty_query_is_refused(rec, query):
    with pytest.raises(ValueError, match="needs a query; the request has none"):
        rec.imagine(["sku-1"], query)


def test_a_query_about_nothing_in_the_shop_is_guided_by_what_comes_nearest(rec):
    drawn = rec.imagine(["sku-1"], "zeppelin <img_3> \u0416", guides=2)
    assert len(drawn.pictures) == 1
    assert len(drawn.guides) == 2


def test_a_history_without_pictures_draws_all_the_same(rec):
    assert len(rec.imagine(["sku-5"], "lamp", task="imagine_directly").pictures) == 1


def test_a_broken_picture_is_named_when_the_model_is_loaded(tmp_path):
    renderer = make_renderer([b"no picture"] + [png(row) for row in range(1, 12)])
    images = ImageTokenizer.new(IMAGES, seed=0)
    save_bundle(tmp_path / "model", seeing_model(renderer), renderer, images=images)
    with pytest.raises(DataError, match="picture of the item 'sku-0' cannot be decoded"):
        GenRec.from_pretrained(tmp_path, device="cpu")


def test_a_model_that_never_learnt_to_draw_says_so(tmp_path):
    small_bundle(tmp_path / "model")
    rec = GenRec.from_pretrained(tmp_path, device="cpu")
    with pytest.raises(ArtifactError, match="draws no pictures: it has no image_tokenizer"):
        rec.imagine(["sku-1"], "lamp")
    with pytest.raises(ValueError, match="vocabulary has no image tokens"):
        rec.recommender.draw([Request(task="imagine", query="lamp", candidates=(1,))], length=4)
    with pytest.raises(ValueError, match="knows 0 image tokens, but the image tokenizer has 12"):
        Painter(rec.recommender, ImageTokenizer.new(IMAGES, seed=0))


def test_an_engine_that_cannot_draw_is_told_apart(rec):
    class Words:
        def recommend(self, requests, k):
            return []

    with pytest.raises(TypeError, match="Words cannot draw pictures"):
        GenRec(Words(), rec.catalogue).imagine([], "lamp")


def test_only_tasks_that_answer_with_pictures_are_drawn(rec):
    with pytest.raises(TaskError, match="call recommend"):
        rec.recommender.draw([Request(task="search", query="lamp")], length=16)


def test_the_image_tokenizer_follows_its_model_through_an_update(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "model")
    renderer = load_bundle(folder).renderer
    update_catalogue(tmp_path / "model", renderer.catalogue, renderer.ids)
    assert load_image_tokenizer(tmp_path).codebook_size == 12


def test_the_python_of_the_guide_runs_as_written(folder, tmp_path, monkeypatch):
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    (tmp_path / "runs" / "demo" / "model-imagine").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    guide = (Path(__file__).parents[2] / "docs" / "imagine.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    exec(compile(block, "imagine.md", "exec"), {})
    assert Image.open("lamp.png").size == (16, 16)


@pytest.fixture(scope="module")
def client(rec, folder):
    testing = pytest.importorskip("starlette.testclient")
    service = pytest.importorskip("genrec.serving.service")
    app = service.create_app(service.load_store(rec), images=service.images_of(folder))
    with testing.TestClient(app) as client:
        yield client


def test_the_service_draws_what_the_python_api_does(rec, client):
    body = {"history": ["sku-1"], "query": "red lamp", "pictures": 2, "seed": 4}
    answer = client.post("/v1/imagine", json=body).json()
    how = Drawing(samples=2, temperature=0.8, top_p=0.95, guidance=2.0, seed=4)
    expected = rec.imagine(["sku-1"], "red lamp", how=how)
    assert [one["item_id"] for one in answer["items"]] == [one.item_id for one in expected.guides]
    files = [io.BytesIO(base64.b64decode(picture)) for picture in answer["pictures"]]
    assert same([Image.open(file) for file in files], expected.pictures)
    assert "imagine" in client.get("/v1/catalogue").json()["tasks"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"query": ""}, 422),
        ({"query": " "}, 422),
        ({"query": "lamp", "pictures": 9}, 422),
        ({"query": "lamp", "history": ["sku-99"]}, 422),
    ],
)
def test_the_service_says_why_it_draws_nothing(client, body, status):
    response = client.post("/v1/imagine", json=body)
    assert response.status_code == status
    assert response.json()["error"]["message"]


def test_a_service_whose_model_draws_nothing_says_so(rec):
    testing = pytest.importorskip("starlette.testclient")
    service = pytest.importorskip("genrec.serving.service")
    with testing.TestClient(service.create_app(service.load_store(rec))) as client:
        response = client.post("/v1/imagine", json={"query": "lamp"})
        assert response.status_code == 501
        assert response.json()["error"]["code"] == "not_learned"
