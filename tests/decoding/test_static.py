"""Steps of fixed shapes give what steps of growing ones give, and are compiled once."""

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from genrec.decoding import Constraints, StaticDecoder, TokenTrie, beam_search
from tests.decoding.tiny import FIRST_TOKEN, ragged_prompts, random_ids, tiny_model
from tests.models.small_flamingo import small_flamingo

IDS = random_ids(150, (8, 8, 8))
TRIE = TokenTrie.from_semantic_ids(IDS, FIRST_TOKEN)


@pytest.fixture(autouse=True)
def dynamo(monkeypatch):
    """Compile, also where tests of vLLM in the same process have switched that off."""
    monkeypatch.delenv("TORCHDYNAMO_DISABLE", raising=False)
    with torch._dynamo.config.patch(disable=False):
        yield


def assert_same(found, expected):
    assert found.items_BK.tolist() == expected.items_BK.tolist()
    torch.testing.assert_close(found.log_probs_BK, expected.log_probs_BK, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("kind", "attention"),
    [("llama", "sdpa"), ("llama", "eager"), ("qwen3", "sdpa"), ("neox", "eager")],
)
def test_beams_are_those_of_growing_shapes(kind, attention):
    model = tiny_model(kind, attention=attention)
    static = StaticDecoder(model)
    # One buffer serves batches of other sizes; what an earlier one left behind is not seen.
    for seed, lengths in enumerate([(9, 3, 8, 1), (70, 2), (5, 12, 1)]):
        prompts, mask = ragged_prompts(lengths, seed=seed)
        for beams in (1, 20):
            assert_same(
                beam_search(model, TRIE, prompts, mask, beams=beams, static=static),
                beam_search(model, TRIE, prompts, mask, beams=beams),
            )


def test_constraints_and_shares_of_the_allowed_tokens_are_the_same():
    model = tiny_model("llama")
    prompts, mask = ragged_prompts((7, 4))
    only = Constraints.from_items(TRIE, only=[[0, 5, 9, 77, 140], None])
    wanted = {"beams": 30, "constraints": only, "renormalise": True}
    assert_same(
        beam_search(model, TRIE, prompts, mask, static=StaticDecoder(model), **wanted),
        beam_search(model, TRIE, prompts, mask, **wanted),
    )


def test_batches_of_one_shape_compile_one_step():
    model, counter = tiny_model("llama"), CompileCounter()
    static = StaticDecoder(model, backend=counter)
    for seed, lengths in enumerate([(9, 3, 8, 1), (5, 12, 1, 2), (64, 1, 30)]):
        prompts, mask = ragged_prompts(lengths, seed=seed)
        assert_same(
            beam_search(model, TRIE, prompts, mask, beams=6, static=static),
            beam_search(model, TRIE, prompts, mask, beams=6),
        )
        assert counter.frame_count == 1
    beam_search(model, TRIE, *ragged_prompts((65, 3, 8, 1)), beams=6, static=static)
    assert counter.frame_count == 2


def test_many_shapes_are_compiled_one_by_one():
    model, counter = tiny_model("llama"), CompileCounter()
    static = StaticDecoder(model, backend=counter)
    with torch._dynamo.config.patch(recompile_limit=1):
        for beams in (1, 2, 3):
            beam_search(model, TRIE, *ragged_prompts((3,)), beams=beams, static=static)
            assert counter.frame_count == beams


def test_a_model_that_broke_once_is_not_broken_for_ever():
    model = tiny_model("llama")
    static = StaticDecoder(model)
    prompts, mask = ragged_prompts((4, 4))
    expected = beam_search(model, TRIE, prompts, mask, beams=5, static=static)
    weight = model.model.layers[0].self_attn.v_proj.weight
    kept = weight.detach().clone()
    with torch.no_grad():
        weight.fill_(torch.nan)
        with pytest.raises(ValueError, match="not numbers"):
            beam_search(model, TRIE, prompts, mask, beams=5, static=static)
        weight.copy_(kept)
    assert_same(beam_search(model, TRIE, prompts, mask, beams=5, static=static), expected)


def test_buffers_are_kept_for_few_shapes():
    model = tiny_model("llama")
    static = StaticDecoder(model)
    for beams in range(1, 8):
        beam_search(model, TRIE, *ragged_prompts((3,)), beams=beams, static=static)
    assert [shape.beams for shape in static._buffers] == [4, 5, 6, 7]


@pytest.mark.parametrize("kind", ["t5", "mistral"])
def test_a_model_that_needs_another_way_to_run_is_refused(kind):
    with pytest.raises(ValueError, match="cannot run with fixed shapes"):
        StaticDecoder(tiny_model(kind))


def test_a_model_that_keeps_pictures_between_tokens_is_refused():
    model = small_flamingo(exclusive=False)
    trie = TokenTrie.from_semantic_ids(random_ids(20, (4, 4, 4)), 30)
    owner = torch.tensor([[0, -1, -1]])
    seen = {"owner": owner, "picture_features": torch.randn(1, 5, 16)}
    prompts, static = torch.tensor([[5, 6, 7]]), StaticDecoder(model)
    for _ in range(2):
        with pytest.raises(ValueError, match="exclusive=False"):
            beam_search(model, trie, prompts, beams=2, prompt_inputs=seen, static=static)


def test_cuda_graphs_without_cuda_are_refused():
    with pytest.raises(ValueError, match="CUDA graphs need a model on CUDA"):
        StaticDecoder(tiny_model("llama"), cuda_graphs=True)
