import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

from genrec.models import AdaptConfig, adapt, merge, trainable_share

NEW = [28, 29]


def llama(*, tied):
    config = LlamaConfig(
        vocab_size=30, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, tie_word_embeddings=tied,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def t5():
    config = T5Config(
        vocab_size=30, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2,
        decoder_start_token_id=0,
    )  # fmt: skip
    return T5ForConditionalGeneration(config)


MAKERS = {"tied": lambda: llama(tied=True), "untied": lambda: llama(tied=False), "t5": t5}


def learn(model, *, steps=3):
    """Take a few steps on random tokens, the new ones among them."""
    torch.manual_seed(0)
    tokens = torch.randint(0, 30, (4, 8))
    tokens[:, ::3] = 29
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.05)
    for _ in range(steps):
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def rows(model):
    embeddings = [model.get_input_embeddings(), model.get_output_embeddings()]
    return [module.weight.detach().clone() for module in embeddings]


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_lora_moves_new_rows_on_both_sides_and_no_old_row(kind):
    torch.manual_seed(0)
    model = MAKERS[kind]()
    before = rows(model)
    adapted = adapt(model, AdaptConfig(method="lora", rank=2), new_tokens=NEW)
    learn(adapted)
    for old, new in zip(before, rows(merge(adapted)), strict=True):
        torch.testing.assert_close(new[:28], old[:28], rtol=0, atol=0)
        assert (new[29] - old[29]).abs().max() > 1e-3


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_merging_changes_no_answer(kind):
    torch.manual_seed(0)
    adapted = adapt(MAKERS[kind](), AdaptConfig(method="lora", rank=2), new_tokens=NEW)
    learn(adapted)
    adapted.eval()
    tokens = torch.randint(0, 30, (2, 6))
    expected = adapted(input_ids=tokens, labels=tokens).logits
    merged = merge(adapted)
    torch.testing.assert_close(
        merged(input_ids=tokens, labels=tokens).logits, expected, rtol=1e-4, atol=1e-4
    )


def test_lora_trains_a_small_share():
    trains, size = trainable_share(
        adapt(llama(tied=True), AdaptConfig(method="lora", rank=1), new_tokens=NEW)
    )
    assert 0 < trains < size / 3


def test_full_training_trains_everything():
    trains, size = trainable_share(adapt(llama(tied=True), AdaptConfig(), new_tokens=NEW))
    assert trains == size
