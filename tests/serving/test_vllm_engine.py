"""vLLM's answers against those of transformers, from one model directory."""

import os

# vLLM in the process of the tests and without a GPU: nothing is bound to cores or sent anywhere.
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")

import numpy as np
import polars as pl
import pytest
import torch

from genrec import GenRec
from genrec.data import Catalogue
from genrec.models import TinyConfig, build_tiny
from genrec.optional import MissingDependencyError, is_installed
from genrec.prompts import PromptConfig, Renderer, Tasks, Vocabulary, corpus, train_tokenizer
from genrec.recommender import Recommender, Request
from genrec.semantic_ids import SemanticIds
from genrec.serving import (
    TransformersRecommender,
    VLLMConfig,
    VLLMRecommender,
    load_bundle,
    load_renderer,
    save_bundle,
)
from tests.small_shop import small_dataset, small_renderer

needs_vllm = pytest.mark.skipif(
    not is_installed("vllm"), reason="vllm is not installed: pip install 'genrec[vllm]'"
)

FIRST_CODES = 150  # more than vLLM scores for one request
ITEMS = 3 * FIRST_CODES

# With three tokens an item, these prompts end at every place of a block of 32 tokens.
HISTORIES = [Request(history=tuple(range(n))) for n in range(32)]


def wide_renderer() -> Renderer:
    dataset, tasks = small_dataset(), Tasks.load()
    everything = np.ones(len(dataset.interactions), dtype=bool)
    tokenizer = train_tokenizer(corpus(dataset, everything, tasks), size=400, kind="llama")
    rows = np.arange(ITEMS)
    codes_NL = np.stack([rows % FIRST_CODES, rows // FIRST_CODES, rows % 4], axis=1)
    ids = SemanticIds(codes_NL.astype(np.int32), (FIRST_CODES, 3, 4))
    titles = [f"thing {row % 7}" for row in range(ITEMS)]
    return Renderer(
        vocabulary=Vocabulary.extend(tokenizer, ids),
        ids=ids,
        catalogue=Catalogue(pl.DataFrame({"item_id": map(str, rows), "title": titles})),
        tasks=tasks,
        config=PromptConfig(answer_tokens=16),
    )


def save(path, renderer, kind):
    model = build_tiny(
        # vLLM's attention on a CPU wants heads of 32 at least.
        TinyConfig(architecture=kind, hidden_size=64, layers=2, heads=2, intermediate_size=128),
        vocabulary_size=len(renderer.vocabulary), special=renderer.vocabulary.special,
        max_tokens=512, seed=0,
    )  # fmt: skip
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim == 2:
                weights *= 8  # so that the beams of an untrained model differ by more than rounding
    save_bundle(path, model, renderer)
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return save(tmp_path_factory.mktemp("runs") / "model", wide_renderer(), "llama")


@pytest.fixture(scope="module")
def transformers(path):
    return TransformersRecommender(*load_bundle(path), beams=5)


@pytest.fixture(scope="module")
def rec(path):
    config = VLLMConfig(enforce_eager=True, kv_cache_memory_bytes=2**28)
    rec = GenRec.from_pretrained(path, engine="vllm", beams=5, vllm=config)
    yield rec
    rec.recommender.close()


@pytest.fixture
def vllm(rec):
    return rec.recommender


def assert_same(rankings, expected):
    for ours, theirs in zip(rankings, expected, strict=True):
        assert ours.items.tolist() == theirs.items.tolist()
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-4, rtol=0)


@needs_vllm
@pytest.mark.parametrize("k", [1, 5, 12, 40])
def test_items_and_scores_are_those_of_transformers(vllm, transformers, k):
    requests = HISTORIES if k == 5 else HISTORIES[::7]
    assert_same(vllm.recommend(requests, k), transformers.recommend(requests, k))


@needs_vllm
def test_as_many_beams_as_items_find_all_of_them(vllm, transformers):
    found = vllm.recommend(HISTORIES[3:5], ITEMS)
    assert_same(found, transformers.recommend(HISTORIES[3:5], ITEMS))
    assert sorted(found[0].items) == list(range(ITEMS))


@needs_vllm
def test_what_vllm_kept_of_a_prompt_changes_no_answer(vllm):
    assert_same(vllm.recommend(HISTORIES[:9], 5), vllm.recommend(HISTORIES[:9], 5))


@needs_vllm
def test_batches_do_not_change_answers(vllm, transformers, monkeypatch):
    monkeypatch.setattr(vllm, "_batch_size", 3)
    assert_same(vllm.recommend(HISTORIES[:7], 5), transformers.recommend(HISTORIES[:7], 5))


@needs_vllm
def test_excluded_items_are_never_entered(vllm, transformers):
    best = transformers.recommend(HISTORIES[:4], 30)
    requests = [
        Request(history=request.history, exclude=tuple(ranking.items[:25]))
        for request, ranking in zip(HISTORIES, best, strict=False)
    ]
    found = vllm.recommend(requests, 12)
    assert_same(found, transformers.recommend(requests, 12))
    for request, ranking in zip(requests, found, strict=True):
        assert not set(request.exclude) & set(ranking.items)


@needs_vllm
def test_only_the_given_items_are_named_and_all_of_them(vllm, transformers):
    requests = [
        Request(history=(1, 2), only=(5, 155, 305, 17), exclude=(17,)),
        Request(history=(), only=tuple(range(200, 400))),
        Request(history=(9,) * 20, only=(449,)),
    ]
    found = vllm.recommend(requests, 12)
    assert_same(found, transformers.recommend(requests, 12))
    assert set(found[0].items) == {5, 155, 305}
    assert found[2].items.tolist() == [449]


@needs_vllm
def test_searches_are_those_of_transformers(vllm, transformers):
    requests = [
        Request(task="search", history=history, query=query)
        for history in ((), (3, 4, 5))
        for query in ("red lamp", "blue case")
    ]
    assert_same(vllm.recommend(requests, 5), transformers.recommend(requests, 5))


@needs_vllm
@pytest.mark.parametrize("task", ["rate", "explain"])
def test_text_is_what_transformers_writes_without_codes(vllm, transformers, task):
    requests = [Request(task=task, history=tuple(range(n)), item=n) for n in range(6)]
    texts = vllm.generate(requests)
    assert texts == transformers.generate(requests)
    assert any(texts)
    assert not any("<a_" in text or "[EOC]" in text for text in texts)


@needs_vllm
def test_probabilities_of_ratings_are_those_of_transformers(vllm, transformers):
    requests = [Request(task="rate", history=tuple(range(n)), item=n) for n in range(9)]
    ours, theirs = (engine.rating_log_probs(requests) for engine in (vllm, transformers))
    np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0)


@needs_vllm
def test_selections_are_those_of_transformers(vllm, transformers):
    requests = [
        Request(task="select", history=tuple(range(n)), candidates=(3, 153, 7 * n, 40)[: n % 5])
        for n in range(1, 5)
    ]
    chosen = vllm.select(requests)
    assert chosen == transformers.select(requests)
    assert any(chosen)


@needs_vllm
def test_direct_recommendations_are_those_of_transformers(vllm, transformers):
    rows = (5, 155, 305, 17)
    requests = [Request(task="direct", history=(1,), candidates=rows, only=rows)]
    assert_same(vllm.recommend(requests, 12), transformers.recommend(requests, 12))


@needs_vllm
def test_no_question_has_no_answer(vllm):
    assert vllm.recommend([], 3) == []
    assert vllm.generate([]) == vllm.rate([]) == vllm.select([]) == []


@needs_vllm
def test_the_api_speaks_in_raw_ids(rec):
    history = ["3", "4"]
    named = [item for item, _ in rec.recommend(history, k=5)]
    assert len({int(item) for item in named} - {3, 4}) == 5
    assert isinstance(rec.recommender, Recommender)


@needs_vllm
def test_a_request_that_no_item_may_answer_is_an_error(vllm):
    with pytest.raises(ValueError, match="`only` is empty"):
        vllm.recommend([Request(only=())], 3)
    with pytest.raises(ValueError, match="leaves no item"):
        vllm.recommend([Request(only=(1, 2), exclude=(2, 1))], 3)
    with pytest.raises(ValueError, match="k is 0"):
        vllm.recommend([Request()], 0)


@needs_vllm
def test_an_encoder_decoder_is_refused(tmp_path):
    folder = save(tmp_path / "model", small_renderer(kind="t5"), "t5")
    with pytest.raises(ValueError, match="use the engine 'transformers'"):
        VLLMRecommender(folder, load_renderer(folder))


@pytest.mark.skipif(is_installed("vllm"), reason="vllm is installed")
def test_without_vllm_an_error_says_how_to_get_it(path):
    with pytest.raises(MissingDependencyError, match=r"pip install 'genrec\[vllm\]'"):
        GenRec.from_pretrained(path, engine="vllm")


def test_a_device_is_refused(path):
    with pytest.raises(ValueError, match="leave the device out"):
        GenRec.from_pretrained(path, engine="vllm", device="cuda")


@pytest.mark.parametrize(
    "wrong",
    [{"gpu_memory_utilization": 90}, {"max_num_seqs": 0}, {"kv_cache_memory_bytes": 0}],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        VLLMConfig(**wrong)
