import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import Gemma2Config, Gemma2ForCausalLM, GraniteConfig, GraniteForCausalLM

from genrec.decoding import TokenTrie, make_stepper, search_scored
from genrec.decoding.scorers import HeadScorer, LogitsScorer, make_scorer
from tests.decoding.tiny import FIRST_TOKEN, VOCABULARY, ragged_prompts, random_ids, tiny_model

IDS = random_ids(30, (4, 4, 4))
PROMPTS, MASK = ragged_prompts([7, 3, 5])
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.3,
}


def searched(model, *, renormalise, chunk):
    trie = TokenTrie.from_semantic_ids(IDS, FIRST_TOKEN)
    with torch.no_grad():
        stepper = make_stepper(model, PROMPTS, MASK)
        scorer = make_scorer(model, stepper, trie, renormalise=renormalise, chunk=chunk)
    return type(scorer), search_scored(scorer, trie, requests=3, beams=8)


@pytest.mark.parametrize("kind", ["llama", "qwen3", "neox", "mistral"])
@pytest.mark.parametrize("renormalise", [False, True])
def test_hidden_states_score_as_logits_do(kind, renormalise):
    model = tiny_model(kind)
    # Chunks of 13 do not divide the vocabulary; one of 1,000 holds it.
    way, found = searched(model, renormalise=renormalise, chunk=13)
    assert way is HeadScorer
    stepper = make_stepper(model, PROMPTS, MASK)
    with torch.no_grad():
        plain = LogitsScorer(stepper, renormalise=renormalise)
    trie = TokenTrie.from_semantic_ids(IDS, FIRST_TOKEN)
    expected = search_scored(plain, trie, requests=3, beams=8)
    assert found.items_BK.tolist() == expected.items_BK.tolist()
    torch.testing.assert_close(found.log_probs_BK, expected.log_probs_BK, atol=1e-4, rtol=0)


def test_logits_are_used_where_hidden_states_save_nothing():
    assert searched(tiny_model("llama"), renormalise=False, chunk=1000)[0] is LogitsScorer


def capped():
    config = Gemma2Config(**SMALL, final_logit_softcapping=2.0)
    return Gemma2ForCausalLM(config).eval()


def scaled():
    return GraniteForCausalLM(GraniteConfig(**SMALL, logits_scaling=3.0)).eval()


def adapted_head():
    config = LoraConfig(target_modules=["lm_head"], init_lora_weights=False)
    return get_peft_model(tiny_model("llama"), config).eval()


@pytest.mark.parametrize("make", [capped, scaled, adapted_head])
def test_models_that_do_more_than_multiply_are_scored_by_their_logits(make):
    torch.manual_seed(0)
    model = make()
    way, found = searched(model, renormalise=False, chunk=13)
    assert way is LogitsScorer
    assert (found.items_BK >= 0).all()


def test_an_encoder_decoder_is_scored_by_its_logits():
    assert searched(tiny_model("t5"), renormalise=True, chunk=13)[0] is LogitsScorer
