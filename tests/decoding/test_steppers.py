"""Real architectures, tiny and random, against transformers' own constrained beam search."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from transformers import BloomConfig, BloomForCausalLM, MambaConfig, MambaForCausalLM

from genrec.decoding import Constraints, TokenTrie, beam_search, make_stepper
from genrec.decoding.steppers import EncoderDecoderStepper, ReorderStepper, TreeStepper
from tests.decoding.tiny import (
    FIRST_TOKEN,
    ragged_prompts,
    random_ids,
    score_items,
    tiny_model,
    transformers_beam_search,
)

IDS = random_ids(150, (8, 8, 8))
TRIE = TokenTrie.from_semantic_ids(IDS, FIRST_TOKEN)
LENGTHS = (9, 3, 8, 1)

MODELS = [
    ("llama", "sdpa", TreeStepper),
    ("llama", "eager", TreeStepper),
    ("qwen2", "sdpa", TreeStepper),
    ("qwen3", "sdpa", TreeStepper),
    ("qwen3", "eager", TreeStepper),
    ("neox", "sdpa", TreeStepper),
    ("neox", "eager", TreeStepper),
    ("mistral", "sdpa", ReorderStepper),
    ("t5", "sdpa", EncoderDecoderStepper),
    ("t5", "eager", EncoderDecoderStepper),
]


def prompts_for(kind: str, lengths=LENGTHS):
    return ragged_prompts(lengths, padding="right" if kind == "t5" else "left")


@pytest.mark.parametrize(("kind", "attention", "stepper"), MODELS)
def test_every_architecture_runs_in_the_cheapest_way_that_it_allows(kind, attention, stepper):
    model = tiny_model(kind, attention=attention)
    assert type(make_stepper(model, *prompts_for(kind))) is stepper


@pytest.mark.parametrize("beams", [1, 5, 20, 50])
@pytest.mark.parametrize(("kind", "attention", "_"), MODELS)
def test_beams_are_those_of_transformers(kind, attention, _, beams):
    model = tiny_model(kind, attention=attention)
    prompts, mask = prompts_for(kind)
    items, scores = transformers_beam_search(model, IDS, prompts, mask, beams)
    found = beam_search(model, TRIE, prompts, mask, beams=beams)
    assert found.items_BK.tolist() == items.tolist()
    if scores is not None:
        torch.testing.assert_close(found.log_probs_BK, scores, atol=1e-4, rtol=0)


@settings(deadline=None, max_examples=25)
@given(
    kind=st.sampled_from(["llama", "qwen3", "t5"]),
    sizes=st.lists(st.integers(2, 7), min_size=2, max_size=4),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    beams=st.sampled_from([1, 5, 20, 50]),
    seed=st.integers(0, 2**16),
    data=st.data(),
)
def test_beams_are_those_of_transformers_whatever_the_catalogue(
    kind, sizes, lengths, beams, seed, data
):
    ids = random_ids(data.draw(st.integers(1, min(90, math.prod(sizes)))), sizes, seed=seed)
    model = tiny_model(kind, seed=seed)
    prompts, mask = prompts_for(
        kind, data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    )
    found = beam_search(
        model, TokenTrie.from_semantic_ids(ids, FIRST_TOKEN), prompts, mask, beams=beams
    )
    if beams < len(ids):
        items, _ = transformers_beam_search(model, ids, prompts, mask, beams)
        assert found.items_BK.tolist() == items.tolist()
    for request, (items_K, scores_K) in enumerate(zip(*found, strict=True)):
        scores = score_items(model, ids, prompts[request][mask[request].bool()])
        if beams >= len(ids):  # all items there are, in the order of their scores
            assert items_K[len(ids) :].eq(-1).all()
            items_K, scores_K = items_K[: len(ids)], scores_K[: len(ids)]
            assert items_K.tolist() == scores.argsort(descending=True).tolist()
        torch.testing.assert_close(scores_K, scores[items_K], atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["llama", "qwen3", "neox", "mistral", "t5"])
def test_as_many_beams_as_items_score_each_as_a_pass_of_its_own_does(kind):
    model = tiny_model(kind)
    prompts, mask = prompts_for(kind)
    found = beam_search(model, TRIE, prompts, mask, beams=len(IDS))
    for request in range(len(LENGTHS)):
        expected = score_items(model, IDS, prompts[request][mask[request].bool()])
        torch.testing.assert_close(
            found.log_probs_BK[request], expected[found.items_BK[request]], atol=1e-4, rtol=0
        )
        assert sorted(found.items_BK[request].tolist()) == list(range(len(IDS)))


@pytest.mark.parametrize("kind", ["llama", "mistral", "t5"])
def test_a_prompt_alone_gets_what_it_gets_among_longer_ones(kind):
    model = tiny_model(kind)
    prompts, mask = prompts_for(kind)
    together = beam_search(model, TRIE, prompts, mask, beams=6)
    for request in range(len(LENGTHS)):
        alone = beam_search(model, TRIE, prompts[request][mask[request].bool()][None], beams=6)
        assert alone.items_BK[0].tolist() == together.items_BK[request].tolist()
        torch.testing.assert_close(
            alone.log_probs_BK[0], together.log_probs_BK[request], atol=1e-4, rtol=0
        )


@pytest.mark.parametrize("kind", ["llama", "mistral", "t5"])
def test_constraints_find_the_best_of_the_allowed_items(kind):
    model = tiny_model(kind)
    prompts, mask = prompts_for(kind, (7, 4))
    exclude, only = [range(0, 150, 2), [0]], [None, [0, 5, 9, 77, 140]]
    constraints = Constraints.from_items(TRIE, exclude=exclude, only=only)
    found = beam_search(model, TRIE, prompts, mask, beams=80, constraints=constraints)
    for request, allowed in enumerate([list(range(1, 150, 2)), [5, 9, 77, 140]]):
        scores = score_items(model, IDS, prompts[request][mask[request].bool()])
        best = [row for row in scores.argsort(descending=True).tolist() if row in allowed]
        assert found.items_BK[request].tolist() == best + [-1] * (80 - len(best))


def test_the_same_prompt_twice_gets_the_same_beams():
    model = tiny_model("llama")
    prompts, _ = ragged_prompts((6,))
    found = beam_search(model, TRIE, prompts.repeat(2, 1), beams=5)
    assert found.items_BK[0].tolist() == found.items_BK[1].tolist()


def test_an_adapter_changes_the_beams_and_not_the_way_to_run():
    prompts, mask = ragged_prompts(LENGTHS)
    adapted = get_peft_model(
        tiny_model("llama"),
        LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], init_lora_weights=False),
    ).eval()
    assert type(make_stepper(adapted, prompts, mask)) is TreeStepper
    found = beam_search(adapted, TRIE, prompts, mask, beams=5)
    items, scores = transformers_beam_search(
        adapted.merge_and_unload(), IDS, prompts, mask, beams=5
    )
    assert found.items_BK.tolist() == items.tolist()
    torch.testing.assert_close(found.log_probs_BK, scores, atol=1e-4, rtol=0)


def test_a_model_that_counts_places_in_the_row_is_not_run_as_a_tree():
    model = BloomForCausalLM(BloomConfig(vocab_size=70, hidden_size=32, n_layer=1, n_head=4)).eval()
    assert type(make_stepper(model, *ragged_prompts((3,)))) is ReorderStepper


def test_a_model_without_keys_and_values_is_refused():
    model = MambaForCausalLM(MambaConfig(vocab_size=70, hidden_size=32, num_hidden_layers=1)).eval()
    with pytest.raises(ValueError, match="MambaForCausalLM takes no past_key_values"):
        make_stepper(model, *ragged_prompts((3,)))


def test_prompts_padded_on_the_right_are_refused():
    prompts, mask = ragged_prompts((5, 3), padding="right")
    with pytest.raises(ValueError, match="prompt 1 is empty or not padded on the left"):
        beam_search(tiny_model("llama"), TRIE, prompts, mask, beams=2)


def test_an_empty_prompt_is_refused():
    prompts, mask = ragged_prompts((5, 3))
    mask[1] = 0
    with pytest.raises(ValueError, match="prompt 1 is empty"):
        beam_search(tiny_model("llama"), TRIE, prompts, mask, beams=2)


def test_a_mask_of_another_shape_is_refused():
    prompts, mask = ragged_prompts((5, 3))
    with pytest.raises(ValueError, match=r"shape \(2, 4\), but input_ids has \(2, 5\)"):
        beam_search(tiny_model("llama"), TRIE, prompts, mask[:, 1:], beams=2)


def test_a_model_in_training_mode_is_refused():
    with pytest.raises(ValueError, match=r"call model\.eval\(\)"):
        beam_search(tiny_model("llama").train(), TRIE, *ragged_prompts((3,)), beams=2)


def test_an_encoder_decoder_without_a_start_token_is_refused():
    model = tiny_model("t5")
    model.config.decoder_start_token_id = None
    with pytest.raises(ValueError, match="no decoder_start_token_id"):
        beam_search(model, TRIE, *ragged_prompts((3,)), beams=2)
