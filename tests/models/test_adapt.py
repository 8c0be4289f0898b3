"""What trains: new rows always, old rows only with all weights, and beside them what was asked."""

import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
)

from genrec.models import (
    AdaptConfig,
    FlamingoConfig,
    FlamingoForCausalLM,
    adapt,
    merge,
    trainable_share,
)

NEW = [28, 29]
SMALL = {
    "vocab_size": 30, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 2,
}  # fmt: skip


def llama(*, tied):
    return LlamaForCausalLM(LlamaConfig(**SMALL, tie_word_embeddings=tied))


def t5():
    config = T5Config(
        vocab_size=30, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2,
        decoder_start_token_id=0,
    )  # fmt: skip
    return T5ForConditionalGeneration(config)


def flamingo(*, tied):
    vision = ViTConfig(
        image_size=8, patch_size=4, hidden_size=8, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2,
    )  # fmt: skip
    text = LlamaConfig(**SMALL, tie_word_embeddings=tied)
    model = FlamingoForCausalLM(
        FlamingoConfig(text_config=text, vision_config=vision, latents=2, resampler_heads=2)
    )
    for name, weight in model.named_parameters():
        if name.endswith("gate"):
            torch.nn.init.ones_(weight)  # open, so that gradients reach what lies behind
    return model


MAKERS = {
    "tied": lambda: llama(tied=True),
    "untied": lambda: llama(tied=False),
    "T5": t5,
    "vision, tied": lambda: flamingo(tied=True),
    "vision, untied": lambda: flamingo(tied=False),
}
METHODS = ("lora", "last_layer", "prompt", "cross_attention")
CASES = [
    (method, kind)
    for method in METHODS
    for kind in MAKERS
    if method != "cross_attention" or "vision" in kind
]


def make(method, kind):
    torch.manual_seed(0)
    model = MAKERS[kind]()
    return model, adapt(model, AdaptConfig(method=method, rank=2), new_tokens=NEW)


def learn(model, *, steps=3):
    """Take a few steps on random tokens, the new ones among them, and on pictures."""
    torch.manual_seed(0)
    tokens = torch.randint(0, 30, (4, 8))
    tokens[:, ::3] = 29
    inputs = {}
    if hasattr(model.config, "vision_config"):
        inputs = {"owner": torch.zeros(4, 8).long(), "picture_features": torch.randn(1, 5, 8)}
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=0.05, weight_decay=0.0
    )
    for _ in range(steps):
        model(input_ids=tokens, labels=tokens, **inputs).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def weights(model):
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def rows(model):
    embeddings = [model.get_input_embeddings(), model.get_output_embeddings()]
    return [module.weight.detach().clone() for module in embeddings]


@pytest.mark.parametrize(("method", "kind"), CASES)
def test_new_rows_move_on_both_sides_and_no_old_row(method, kind):
    model, adapted = make(method, kind)
    before = rows(model)
    learn(adapted)
    for old, new in zip(before, rows(merge(adapted)), strict=True):
        torch.testing.assert_close(new[:28], old[:28], rtol=0, atol=0)
        assert (new[29] - old[29]).abs().max() > 1e-3


@pytest.mark.parametrize("method", ["last_layer", "prompt", "cross_attention"])
@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_beside_new_rows_only_what_was_asked_moves(method, kind):
    if method == "cross_attention" and "vision" not in kind:
        return
    torch.manual_seed(0)
    model = MAKERS[kind]()
    before = weights(model)
    adapted = adapt(model, AdaptConfig(method=method), new_tokens=NEW)
    learn(adapted)
    after = weights(merge(adapted))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    places = {"resampler", "cross_attention"}
    if method == "last_layer":
        places |= {"layers.1", "decoder.block.1"}
    inside = {n for n in before if any(f".{place}." in f".{n}" for place in places)}
    embeddings = {n for n in before if {"shared", "lm_head", "embed_tokens"} & {*n.split(".")}}
    assert inside <= moved
    assert moved <= inside | embeddings


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_lora_leaves_the_weights_it_adapts_alone_and_trains_the_whole_bridge(kind):
    _, adapted = make("lora", kind)
    trains = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
    bridge = {
        n
        for n, _ in adapted.named_parameters()
        if {"resampler", "cross_attention"} & set(n.split("."))
    }
    assert bridge <= trains
    assert all("lora_" in name or "trainable_tokens" in name for name in trains - bridge)
    assert not any("lora_" in name for name in bridge)
    assert not any("vision_model" in name for name in trains)


@pytest.mark.parametrize(("method", "kind"), CASES)
def test_merging_changes_no_answer(method, kind):
    _, adapted = make(method, kind)
    learn(adapted)
    adapted.eval()
    tokens = torch.randint(0, 30, (2, 6))
    expected = adapted(input_ids=tokens, labels=tokens).logits
    merged = merge(adapted)
    assert not any("lora" in name or "token_adapter" in name for name, _ in merged.named_modules())
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


@pytest.mark.parametrize("method", ["lora", "last_layer"])
def test_a_model_without_new_tokens_is_adapted_too(method):
    adapted = adapt(llama(tied=False), AdaptConfig(method=method), new_tokens=[])
    trains = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert trains
    assert not any("embed_tokens" in name or "lm_head" in name for name in trains)


def test_new_rows_take_small_steps_in_a_model_of_bfloat16():
    model = llama(tied=True).bfloat16()
    adapted = adapt(model, AdaptConfig(method="prompt"), new_tokens=NEW)
    assert {p.dtype for p in adapted.parameters() if p.requires_grad} == {torch.float32}
    learn(adapted, steps=1)


def test_cross_attention_wants_a_model_with_vision():
    with pytest.raises(ValueError, match="no cross-attention"):
        adapt(llama(tied=True), AdaptConfig(method="cross_attention"), new_tokens=NEW)


def test_modules_that_the_model_does_not_have_are_refused():
    config = AdaptConfig(method="lora", target_modules=("q_proj", "zzz"))
    with pytest.raises(ValueError, match=r"names 'zzz', which LlamaForCausalLM .*, q_proj, "):
        adapt(llama(tied=True), config, new_tokens=NEW)
    fine = AdaptConfig(method="lora", target_modules=("q_proj", "self_attn.v_proj"))
    adapted = adapt(llama(tied=True), fine, new_tokens=NEW)
    trains = [name for name, weight in adapted.named_parameters() if weight.requires_grad]
    assert any(".v_proj." in name for name in trains)


def test_qlora_wants_weights_of_4_bits():
    with pytest.raises(ValueError, match="wants weights of 4 bits"):
        adapt(llama(tied=True), AdaptConfig(method="qlora"), new_tokens=NEW)


@pytest.mark.parametrize(("field", "value"), [("rank", 0), ("soft_tokens", 0), ("dropout", 1.0)])
def test_nonsense_is_refused_at_birth(field, value):
    with pytest.raises(ValueError, match=f"{field} is {value}"):
        AdaptConfig(**{field: value})
