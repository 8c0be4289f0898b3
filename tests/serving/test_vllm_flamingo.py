"""A model that sees pictures in vLLM, against the same model in transformers."""

import base64
import dataclasses
import importlib

import numpy as np
import pytest
import torch

from genrec import GenRec
from genrec.models import TinyVisionConfig, VisionConfig, add_vision
from genrec.prompts import PromptConfig
from genrec.recommender import Request
from genrec.serving import (
    TransformersRecommender,
    VLLMConfig,
    VLLMRecommender,
    load_renderer,
    save_bundle,
)
from genrec.serving.guests import GuestRenderer
from genrec.serving.service.people import host
from genrec.serving.service.schemas import NewItem
from genrec.serving.service.versions import CatalogueVersion
from genrec.serving.vllm.beams import PortableBeams
from genrec.serving.vllm.pictures import PromptPictures, runs
from tests.serving.test_service_pictures import Codes
from tests.serving.vllm_setup import assert_same, needs_vllm, tiny_decoder
from tests.small_shop import small_dataset, small_renderer, with_pictures

BLIND = 11  # the one item of the shop without a picture
STEP = 48  # tokens that vLLM computes at once: longer prompts come in several steps

REQUESTS = {
    "pictures": Request(history=tuple(range(8))),
    "one picture missing": Request(history=(2, BLIND, 5)),
    "a picture twice": Request(history=(3, 3, 4, 3)),
    "no picture": Request(history=(BLIND,)),
    "nothing but text": Request(task="search", query="red lamp"),
    "longer than a step": Request(history=(1, 7, 4) * 9),
    "text after the pictures": Request(task="rate", history=(1, 2), item=4),
}


def save(path, architecture, **vision):
    renderer = small_renderer(
        with_pictures(small_dataset()), config=PromptConfig(pictures=True, answer_tokens=8)
    )
    settings = {"every_n_layers": 1, "latents": 3} | vision
    model = add_vision(
        tiny_decoder(renderer.vocabulary, architecture),
        VisionConfig(
            tiny=TinyVisionConfig(image_size=16, hidden_size=16, layers=1, heads=2), **settings
        ),
        picture_token=renderer.vocabulary.image, seed=0,
    )  # fmt: skip
    for name, weight in model.named_parameters():
        if name.endswith("gate"):
            torch.nn.init.ones_(weight)
        if "cross_attention.out" in name:
            torch.nn.init.normal_(weight, std=0.5)
    save_bundle(path, model.eval(), renderer)
    return path


@pytest.fixture(scope="module", params=["llama", "qwen3"])
def both(request, tmp_path_factory):
    """The engine of vLLM and that of transformers; vLLM's steps are short for one of the two."""
    path = save(tmp_path_factory.mktemp("runs") / "model", request.param, every_n_layers=2)
    short = {"max_num_batched_tokens": STEP, "max_num_seqs": STEP}
    config = VLLMConfig(
        enforce_eager=True, kv_cache_memory_bytes=2**27,
        **(short if request.param == "llama" else {}),
    )  # fmt: skip
    theirs = GenRec.from_pretrained(path, device="cpu", beams=5).recommender
    ours = GenRec.from_pretrained(path, engine="vllm", beams=5, vllm=config).recommender
    yield ours, theirs
    ours.close()


def log_probs(model, renderer, pictures, request):
    """Score every token to follow a prompt, by a plain forward of the transformers model."""
    example = renderer.render(request)
    seen = {}
    if example.pictures:
        seen = {
            "owner": torch.from_numpy(example.owner)[None].long(),
            "picture_features": pictures.features(example.pictures),
        }
    with torch.no_grad():
        logits_1PV = model(torch.from_numpy(example.prompt)[None].long(), **seen).logits
    return logits_1PV[0, -1].log_softmax(dim=-1).numpy()


@needs_vllm
@pytest.mark.parametrize("times", ["fresh", "cached"])
def test_every_token_is_as_likely_as_in_transformers(both, times):
    ours, theirs = both
    requests = list(REQUESTS.values())
    if times == "fresh":
        ours._engine._llm.reset_prefix_cache()
    everything = list(range(len(theirs.renderer.vocabulary)))
    found = ours._engine.score(ours._prompts(requests), [everything] * len(requests))
    for name, request, of_one in zip(REQUESTS, requests, found, strict=True):
        expected = log_probs(theirs._model, theirs.renderer, theirs.pictures, request)
        np.testing.assert_allclose(of_one, expected, atol=1e-4, rtol=0, err_msg=name)


@needs_vllm
def test_what_a_picture_shows_counts_and_not_what_was_seen_before(both):
    ours, theirs = both
    request = Request(history=(0, 1, 2))
    swapped = PromptPictures(_Swapped(theirs.pictures))
    seen, other, blind = (
        pictures.prompts([ours.renderer.render(request)])[0]
        for pictures in (ours._pictures, swapped, PromptPictures(None))
    )
    wanted = [list(range(50))]
    before, after, without, again = (
        np.array(ours._engine.score([prompt], wanted)[0]) for prompt in (seen, other, blind, seen)
    )
    assert np.abs(before - after).max() > 1e-3
    assert np.abs(before - without).max() > 1e-3
    np.testing.assert_allclose(again, before, atol=1e-4, rtol=0)
    expected = log_probs(theirs._model, theirs.renderer, swapped.source, request)[:50]
    np.testing.assert_allclose(after, expected, atol=1e-4, rtol=0)


class _Swapped:
    """The pictures of other items."""

    def __init__(self, pictures):
        self._pictures = pictures

    def features(self, rows):
        return self._pictures.features([(row + 5) % 10 for row in rows])

    def inputs(self, rows):
        return {"picture_features": self.features(rows)}


@needs_vllm
@pytest.mark.parametrize("route", ["worker", "portable"])
def test_items_are_those_of_transformers(both, route):
    ours, theirs = both
    if route == "portable":
        ours = ours.following(ours.renderer)
        ours._beam_route = PortableBeams(ours._engine, ours.renderer)
    requests = [
        request
        for request in REQUESTS.values()
        if ours.renderer.tasks[request.task].answer == "item"
    ]
    expected = theirs.recommend(requests, 5)
    for _ in range(2):  # the second time from vLLM's cache
        assert_same(ours.recommend(requests, 5), expected)
    blind = TransformersRecommender(theirs._model, theirs.renderer, beams=5)
    unseen = blind.recommend(requests[:1], 5)[0]
    assert np.abs(unseen.scores - expected[0].scores).max() > 1e-3


@needs_vllm
def test_ratings_and_texts_are_those_of_transformers(both):
    ours, theirs = both
    requests = [Request(task="rate", history=tuple(range(n)), item=n) for n in range(3)]
    assert ours.generate(requests) == theirs.generate(requests)
    found, expected = (engine.rating_log_probs(requests) for engine in both)
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


@needs_vllm
def test_pictures_follow_a_new_catalogue(both):
    ours, theirs = both
    catalogue = ours.renderer.catalogue
    table = catalogue.table.with_columns(picture=catalogue.table["picture"].shift(4))
    other = dataclasses.replace(small_dataset(), catalogue=type(catalogue)(table))
    renderer = small_renderer(other, config=ours.renderer.config)
    requests = [REQUESTS["pictures"]]
    found = ours.following(renderer).recommend(requests, 5)
    assert_same(found, theirs.following(renderer).recommend(requests, 5))
    assert np.abs(found[0].scores - ours.recommend(requests, 5)[0].scores).max() > 1e-3


@needs_vllm
def test_the_picture_of_an_item_that_a_request_brings_along_is_seen(both):
    ours, _ = both
    renderer = ours.renderer
    hosting = GuestRenderer.like(renderer, catalogue=renderer.catalogue, ids=renderer.ids)
    version = CatalogueVersion(1, ours.following(hosting))
    picture = base64.b64encode(renderer.catalogue.table["picture"][4]).decode()
    twin = NewItem(item_id="twin", attributes=renderer.catalogue.describe(4), picture=picture)
    guests = {}
    host(version, [twin], Codes(ours, 4), guests, picture_pixels=1_000)
    found = version.engine.recommend([Request(history=(2, guests["twin"], 0))], 5)
    assert_same(found, ours.recommend([Request(history=(2, 4, 0))], 5))


@needs_vllm
@pytest.mark.parametrize(
    ("vision", "told"),
    [({"fusion": "late"}, "fusion is 'late'"), ({"exclusive": False}, "exclusive=False")],
)
def test_what_vllm_cannot_show_is_refused(tmp_path, vision, told):
    path = save(tmp_path / "model", "llama", **vision)
    with pytest.raises(ValueError, match=f"{told}; use the engine 'transformers'"):
        VLLMRecommender(path, load_renderer(path))


@needs_vllm
def test_layers_that_are_called_in_another_way_are_refused():
    flamingo = importlib.import_module("genrec.serving.vllm.flamingo")
    decoder = torch.nn.Module()
    decoder.model = torch.nn.Module()
    decoder.model.layers = torch.nn.ModuleList([torch.nn.Linear(2, 2)])
    with pytest.raises(ValueError, match="layers of Module in another way"):
        flamingo._decoder_of(decoder)


def test_pixels_are_refused():
    class Pixels:
        def inputs(self, rows):
            return {"pixel_values": torch.zeros(len(rows), 3, 16, 16)}

    renderer = small_renderer(with_pictures(small_dataset()), config=PromptConfig(pictures=True))
    example = renderer.render(REQUESTS["pictures"])
    with pytest.raises(ValueError, match="this source gives pixels"):
        PromptPictures(Pixels()).prompts([example])


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        ([], []),
        ([-1, -1], []),
        ([0], [(0, 0, 1)]),
        ([-1, 0, 0, 1, -1, 0], [(0, 1, 3), (1, 3, 4), (0, 5, 6)]),
    ],
)
def test_neighbours_with_one_picture_are_found(owner, expected):
    assert list(runs(np.array(owner, dtype=np.int32))) == expected
