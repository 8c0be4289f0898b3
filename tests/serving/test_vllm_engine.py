"""vLLM's answers against those of transformers, from one model directory."""

import copy
import dataclasses
import gc
import importlib
import logging
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch

from genrec import GenRec
from genrec.data import Catalogue
from genrec.optional import MissingDependencyError, is_installed
from genrec.prompts import PromptConfig, Renderer, Tasks, Vocabulary, corpus, train_tokenizer
from genrec.recommender import Diversity, Recommender, Request, Sampling, Subset
from genrec.semantic_ids import SemanticIds
from genrec.serving import (
    TransformersRecommender,
    VLLMConfig,
    VLLMRecommender,
    load_bundle,
    load_renderer,
    save_bundle,
)
from genrec.serving.bundle import follow
from genrec.serving.vllm.beams import PortableBeams
from genrec.serving.vllm.engine import Prompt, _why_not_in_worker
from tests.serving.vllm_setup import assert_same, needs_vllm, tiny_decoder, worker_of
from tests.small_shop import small_dataset, small_renderer

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
    save_bundle(path, tiny_decoder(renderer.vocabulary, kind), renderer)
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
def served(rec):
    return rec.recommender


@pytest.fixture(params=["worker", "portable"])
def vllm(served, request):
    if request.param == "worker":
        assert served._engine.searches_in_worker
        return served
    other = served.following(served.renderer)
    other._beam_route = PortableBeams(other._engine, other.renderer)
    return other


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
def test_what_was_asked_before_is_found_in_the_cache(served, monkeypatch):
    host = worker_of(served)._genrec_host
    note, computed = host.note, []

    def watch(scheduled):
        computed.extend(new.num_computed_tokens for new in scheduled.scheduled_new_reqs)
        note(scheduled)

    monkeypatch.setattr(host, "note", watch)
    requests = [Request(history=tuple(range(100, 130)))]
    served.recommend(requests, 5)
    served.recommend(requests, 5)
    length = len(served._prompts(requests)[0].tokens)
    whole_blocks = (length - 1) // 32 * 32
    assert whole_blocks > 32
    assert computed[1] == whole_blocks > computed[0]


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
def test_every_request_has_its_own_wishes(vllm, transformers):
    in_stock = Subset(np.arange(ITEMS) % 3 > 0)
    requests = [
        Request(history=(1, 2), within=in_stock),
        Request(history=(3,), within=in_stock, exclude=tuple(range(0, ITEMS, 2))),
        Request(history=(4,), boosts=((7, 9.0), (8, -9.0))),
        Request(history=(5,), diversity=Diversity(at_most=2)),
        Request(history=(6,), sampling=Sampling(temperature=2.0, seed=3)),
        Request(history=(7,)),
    ]
    found = vllm.recommend(requests, 12)
    assert_same(found, transformers.recommend(requests, 12))
    assert set(found[1].items) <= set(range(1, ITEMS, 2)) - set(range(0, ITEMS, 3))
    assert_same(vllm.recommend(requests[:1], 12), found[:1])  # the set is known by now


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
def test_text_is_what_transformers_writes_without_codes(served, transformers, task):
    requests = [Request(task=task, history=tuple(range(n)), item=n) for n in range(6)]
    texts = served.generate(requests)
    assert texts == transformers.generate(requests)
    assert any(texts)
    assert not any("<a_" in text or "[EOC]" in text for text in texts)


@needs_vllm
def test_probabilities_of_ratings_are_those_of_transformers(served, transformers):
    requests = [Request(task="rate", history=tuple(range(n)), item=n) for n in range(9)]
    ours, theirs = (engine.rating_log_probs(requests) for engine in (served, transformers))
    np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0)


@needs_vllm
def test_selections_are_those_of_transformers(served, transformers):
    requests = [
        Request(task="select", history=tuple(range(n)), candidates=(3, 153, 7 * n, 40)[: n % 5])
        for n in range(1, 5)
    ]
    chosen = served.select(requests)
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
def test_another_thread_than_the_one_that_started_vllm_may_ask(vllm, transformers):
    with ThreadPoolExecutor(1) as thread:
        found = thread.submit(vllm.recommend, HISTORIES[:3], 5).result()
    assert_same(found, transformers.recommend(HISTORIES[:3], 5))


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
@pytest.mark.parametrize("little", ["memory for beams", "room in a step", "memory for logits"])
def test_doing_it_piece_by_piece_changes_no_answer(served, transformers, monkeypatch, little):
    host = worker_of(served)._genrec_host
    if little == "memory for beams":
        monkeypatch.setattr(host, "_memory", 1)
    elif little == "room in a step":
        monkeypatch.setattr(host._model, "_rows_at_once", 7)
    else:
        monkeypatch.setattr("genrec.serving.vllm.paged.LOGITS_AT_ONCE", 1)
    assert_same(served.recommend(HISTORIES[:5], 5), transformers.recommend(HISTORIES[:5], 5))


@needs_vllm
@pytest.mark.parametrize(
    ("error", "raised", "told"),
    [
        (ValueError("not numbers (NaN)"), ValueError, "not numbers"),
        (torch.OutOfMemoryError("all is full"), MemoryError, "all is full.*lower beam_memory"),
    ],
    ids=str,
)
def test_an_error_in_the_worker_is_raised_here_and_ends_nothing(
    served, transformers, monkeypatch, error, raised, told
):
    def fail(*_args, **_settings):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("genrec.serving.vllm.worker.search_scored", fail)
        with pytest.raises(raised, match=told):
            served.recommend(HISTORIES[:3], 5)
    assert_same(served.recommend(HISTORIES[:3], 5), transformers.recommend(HISTORIES[:3], 5))


@needs_vllm
def test_a_prompt_that_is_too_long_is_refused_and_ends_nothing(served, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(served, "_prompts", lambda _: [Prompt([1] * 600)])
        with pytest.raises(Exception, match="600 input tokens"):  # a class of vLLM's own
            served.recommend([Request()], 5)
    assert worker_of(served)._genrec_host._batches == {}


def half_of(renderer):
    kept = np.arange(0, ITEMS, 2)
    ids = SemanticIds(renderer.ids.codes_NL[kept], renderer.ids.codebook_sizes)
    return follow(renderer, Catalogue(renderer.catalogue.table[kept]), ids)


@needs_vllm
def test_one_vllm_answers_about_two_catalogues(vllm, transformers):
    other = half_of(vllm.renderer)
    within = Subset(np.arange(ITEMS // 2) < 50)
    requests = [Request(history=(1, 2)), Request(history=(3,), within=within)]
    found = vllm.following(other).recommend(requests, 7)
    assert_same(found, transformers.following(other).recommend(requests, 7))
    assert_same(vllm.recommend(HISTORIES[:2], 5), transformers.recommend(HISTORIES[:2], 5))


@needs_vllm
def test_the_worker_drops_what_nobody_asks_for(served):
    host = worker_of(served)._genrec_host
    other, within = served.following(half_of(served.renderer)), Subset(np.arange(ITEMS) < 50)
    served.recommend([Request(within=within)], 1)
    (ours,) = (host.catalogues[key] for key in host.catalogues if key == served._beam_route._key)
    catalogues, sets = len(host.catalogues), len(ours.subsets)
    del other, within
    gc.collect()
    served.recommend([Request()], 1)
    assert len(host.catalogues) < catalogues
    assert len(ours.subsets) < sets
    assert host._batches == host._waiting == {}


@needs_vllm
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda config, _: setattr(config.parallel_config, "pipeline_parallel_size", 2),
            "pipeline",
        ),
        (lambda config, _: setattr(config.parallel_config, "tensor_parallel_size", 2), "logits"),
        (lambda config, _: setattr(config.model_config, "uses_mrope", True), "positions"),
        (lambda _, runner: delattr(runner, "attn_groups"), "attn_groups"),
        (lambda _, runner: runner.kv_cache_config.kv_cache_groups.append(None), "whole prompt"),
        (lambda _, runner: setattr(runner.kv_cache_config, "num_blocks", 1), "another way"),
        (lambda *_: None, None),
    ],
)
def test_internals_that_are_not_as_expected_are_noticed(served, change, told, monkeypatch):
    probes = importlib.import_module("genrec.serving.vllm.probes")
    platform = SimpleNamespace(use_all_gather=lambda: False)
    monkeypatch.setattr(probes, "current_platform", platform)
    real = worker_of(served).model_runner
    config = SimpleNamespace(
        parallel_config=copy.copy(real.vllm_config.parallel_config),
        model_config=SimpleNamespace(uses_mrope=False),
    )
    cache = copy.copy(real.kv_cache_config)
    cache.kv_cache_groups = list(cache.kv_cache_groups)
    runner = SimpleNamespace(
        attn_groups=real.attn_groups, kv_cache_config=cache, model=real.model,
        supports_mm_inputs=False, device=real.device, vllm_config=real.vllm_config,
    )  # fmt: skip
    change(config, runner)
    found = probes.obstacle(config, runner)
    assert (found is None) if told is None else (told in found)


@needs_vllm
def test_a_vllm_that_tells_other_things_is_noticed(served, monkeypatch):
    probes = importlib.import_module("genrec.serving.vllm.probes")
    real = worker_of(served).model_runner
    with monkeypatch.context() as patch:
        patch.setitem(probes.READ, probes.NewRequestData, {"req_id", "stars"})
        assert probes.obstacle(real.vllm_config, real) == "its NewRequestData has no stars"
    with monkeypatch.context() as patch:
        patch.setattr(probes, "METADATA", probes.METADATA - {"seq_lens"})
        assert "other metadata: ['seq_lens']" in probes.obstacle(real.vllm_config, real)
    assert probes.obstacle(real.vllm_config, real) is None


@needs_vllm
def test_the_portable_route_is_taken_where_the_other_cannot_be(served, monkeypatch, caplog):
    start = served._engine._start_route
    with caplog.at_level(logging.INFO):
        assert not start(VLLMConfig(route="portable"), "so the settings say")
        monkeypatch.setattr("genrec.serving.vllm.worker.obstacle", lambda *_: "the moon is full")
        assert not start(VLLMConfig(), None)
    assert "searches beams by requests: so the settings say" in caplog.text
    assert "searches beams by requests: the moon is full" in caplog.text
    with pytest.raises(ValueError, match="cannot search beams in its worker: the moon is full"):
        start(VLLMConfig(route="worker"), None)


@needs_vllm
def test_parts_of_vllm_that_have_moved_leave_the_portable_route(monkeypatch):
    monkeypatch.setitem(sys.modules, "genrec.serving.vllm.worker", None)
    assert "genrec.serving.vllm.worker" in _why_not_in_worker(VLLMConfig())


@needs_vllm
def test_an_encoder_decoder_is_refused(tmp_path):
    folder = save(tmp_path / "model", small_renderer(kind="t5"), "t5")
    with pytest.raises(ValueError, match="use the engine 'transformers'"):
        VLLMRecommender(folder, load_renderer(folder))


@needs_vllm
def test_an_adapter_that_was_not_merged_is_refused(path, tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="holds an adapter beside its model; merge it"):
        VLLMRecommender(tmp_path, load_renderer(path))


@pytest.mark.skipif(is_installed("vllm"), reason="vllm is installed")
def test_without_vllm_an_error_says_how_to_get_it(path):
    with pytest.raises(MissingDependencyError, match=r"pip install 'genrec\[vllm\]'"):
        GenRec.from_pretrained(path, engine="vllm")


def test_a_device_is_refused(path):
    with pytest.raises(ValueError, match="leave the device out"):
        GenRec.from_pretrained(path, engine="vllm", device="cuda")


def test_the_guide_tells_every_setting():
    guide = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
    _, *told = re.findall(r"^\| `(\w+)` \|", guide.partition("## Settings")[2], re.MULTILINE)
    assert told == [setting.name for setting in dataclasses.fields(VLLMConfig)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"gpu_memory_utilization": 90},
        {"max_num_seqs": 0},
        {"kv_cache_memory_bytes": 0},
        {"route": "fastest"},
        {"data_parallel_size": 2},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        VLLMConfig(**wrong)
