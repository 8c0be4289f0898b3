"""A model with its loss computes what its logits would give, for every family of heads."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from genrec.models import AdaptConfig, adapt
from genrec.training import ModelWithLoss, TokenLoss, TrainingError, weighted_loss

SMALL = {
    "vocab_size": 30, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 2, "pad_token_id": 0,
}  # fmt: skip
FOCAL = TokenLoss(label_smoothing=0.1, focal_gamma=2.0)


def llama(*, tied=True):
    return LlamaForCausalLM(LlamaConfig(**SMALL, tie_word_embeddings=tied))


def t5(*, tied=True):
    config = T5Config(
        vocab_size=30, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, dropout_rate=0.0,
        decoder_start_token_id=0, tie_word_embeddings=tied,
    )  # fmt: skip
    return T5ForConditionalGeneration(config)


def gemma2():
    config = Gemma2Config(
        **SMALL, head_dim=8, num_key_value_heads=2, final_logit_softcapping=0.3, sliding_window=8
    )
    return Gemma2ForCausalLM(config)


def new_rows(*, tied):
    return adapt(
        llama(tied=tied), AdaptConfig(method="lora", rank=2, dropout=0.0), new_tokens=[28, 29]
    )


def lora_on_the_head():
    config = LoraConfig(r=2, target_modules=["q_proj", "lm_head"], init_lora_weights=False)
    return get_peft_model(llama(tied=False), config)


MODELS = {
    "tied": llama,
    "untied": lambda: llama(tied=False),
    "T5": t5,
    "T5 untied": lambda: t5(tied=False),
    "GPT-NeoX": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**SMALL)),
    "Gemma 2": gemma2,
    "Cohere": lambda: CohereForCausalLM(CohereConfig(**SMALL, logit_scale=0.25)),
    "Granite": lambda: GraniteForCausalLM(GraniteConfig(**SMALL, logits_scaling=4.0)),
    "new rows, tied": lambda: new_rows(tied=True),
    "new rows, untied": lambda: new_rows(tied=False),
    "LoRA on the head": lora_on_the_head,
}


def batch(model):
    """Draw a batch of which a third of the tokens counts."""
    torch.manual_seed(1)
    tokens, labels = torch.randint(0, 30, (2, 3, 10))
    weights = torch.rand(3, 10) * (torch.rand(3, 10) < 0.3)
    name = "decoder_input_ids" if model.config.is_encoder_decoder else "position_ids"
    more = tokens if model.config.is_encoder_decoder else torch.arange(10).repeat(3, 1)
    return {"input_ids": tokens, name: more}, labels, weights


def value_and_gradients(model, loss):
    model.zero_grad()
    loss.backward()
    grads = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    return loss.detach(), {name: grad for name, grad in grads.items() if grad is not None}


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_value_and_gradients_are_those_of_the_logits(kind):
    torch.manual_seed(0)
    model = MODELS[kind]()
    inputs, labels, weights = batch(model)
    logits = model(**inputs, use_cache=False).logits
    plain = weighted_loss(logits.flatten(0, 1), labels.flatten(), weights.flatten(), FOCAL)
    expected = value_and_gradients(model, plain)
    with_loss = ModelWithLoss(model, FOCAL, logits_at_once=120)
    found = value_and_gradients(model, with_loss(inputs, labels, weights))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_all_logits_at_once_is_the_plain_way():
    torch.manual_seed(0)
    model = llama()
    inputs, labels, weights = batch(model)
    plain = ModelWithLoss(model, FOCAL, logits_at_once=0)(inputs, labels, weights)
    chunked = ModelWithLoss(model, FOCAL, logits_at_once=120)(inputs, labels, weights)
    torch.testing.assert_close(chunked, plain)


def test_only_tokens_that_count_are_projected():
    model = llama()
    inputs, labels, weights = batch(model)
    # A head that is no plain matrix is called for each chunk, so that its calls can be counted.
    sizes = []
    model.lm_head.__class__ = type("Head", (torch.nn.Linear,), {})
    original = model.lm_head.forward

    def forward(hidden):
        sizes.append(len(hidden))
        return original(hidden)

    model.lm_head.forward = forward
    with torch.no_grad():
        ModelWithLoss(model, FOCAL, logits_at_once=10**6)(inputs, labels, weights)
    assert sizes == [(weights > 0).sum()]


def test_a_validation_in_between_gets_logits():
    torch.manual_seed(0)
    model = llama().eval()
    inputs, labels, weights = batch(model)
    expected = model(**inputs).logits
    with_loss = ModelWithLoss(model, FOCAL, logits_at_once=120)
    with_loss(inputs, labels, weights)
    torch.testing.assert_close(model(**inputs).logits, expected, rtol=0, atol=0)
    with_loss.release()
    assert "forward" not in vars(model.lm_head)


def test_weights_are_named_once():
    model = llama(tied=False)
    with_loss = ModelWithLoss(model, FOCAL, logits_at_once=120)
    assert sorted(with_loss.state_dict()) == [
        f"model.{name}" for name in sorted(model.state_dict())
    ]


def test_no_token_that_counts_leaves_gradients_of_zero():
    model = llama()
    inputs, labels, weights = batch(model)
    loss, grads = value_and_gradients(
        model, ModelWithLoss(model, FOCAL, logits_at_once=120)(inputs, labels, 0 * weights)
    )
    assert loss == 0
    assert len(grads) == len(list(model.parameters()))


class Shifting(LlamaForCausalLM):
    """A model that does to its logits what nobody knows."""

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.logits = output.logits + 1
        return output


def test_a_model_that_changes_its_logits_in_an_unknown_way_is_refused():
    model = Shifting(LlamaConfig(**SMALL))
    inputs, labels, weights = batch(model)
    with pytest.raises(TrainingError, match="set logits_at_once to 0"):
        ModelWithLoss(model, FOCAL, logits_at_once=120)(inputs, labels, weights)
