"""QLoRA learns, goes on learning after an evaluation, and merges into a plain model."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from genrec.models import AdaptConfig, BackboneConfig, adapt, build_backbone, load_pretrained, merge

pytest.importorskip("bitsandbytes")

NEW = [60, 61, 62, 63]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=60, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=2, tie_word_embeddings=False,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


def build(path, *, dtype="float32", quantized=True):
    return build_backbone(
        BackboneConfig(path=path, dtype=dtype), vocabulary_size=64, special={}, max_tokens=64,
        seed=0, quantized=quantized,
    )  # fmt: skip


def qlora(path, **options):
    model = build(path, **options)
    torch.manual_seed(0)
    return adapt(model, AdaptConfig(method="qlora", rank=4, dropout=0.0), new_tokens=NEW)


def some_tokens():
    return torch.randint(0, 64, (4, 12), generator=torch.Generator().manual_seed(0))


def learn(model, *, steps):
    tokens = some_tokens()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.02)
    losses = []
    model.train()
    for _ in range(steps):
        loss = model(input_ids=tokens, labels=tokens).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def gradients(model):
    model.train()
    tokens = some_tokens()
    model(input_ids=tokens, labels=tokens).loss.backward()
    grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return grads


def test_the_language_model_stands_in_4_bits_and_its_rows_do_not(pretrained):
    model = build(pretrained)
    kinds = {type(module).__name__ for module in model.model.layers.modules()}
    assert "Linear4bit" in kinds
    assert "Linear" not in kinds
    assert type(model.lm_head) is torch.nn.Linear
    assert model.lm_head.weight.shape[0] == 64


def test_it_learns(pretrained):
    losses = learn(qlora(pretrained), steps=10)
    assert losses[-1] < 0.95 * losses[0]


def test_it_still_learns_after_an_evaluation(pretrained):
    model = qlora(pretrained)
    learn(model, steps=3)
    before = gradients(model)
    model.eval()
    with torch.no_grad():
        model(input_ids=torch.arange(8)[None])
    after = gradients(model)
    assert after.keys() == before.keys()
    for name, gradient in before.items():
        torch.testing.assert_close(after[name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_merging_writes_the_weights_out_and_changes_no_answer(pretrained, tmp_path, dtype):
    model = qlora(pretrained, dtype=dtype)
    learn(model, steps=10)
    model.eval()
    tokens = torch.randint(0, 64, (2, 8))
    with torch.no_grad():
        expected = model(input_ids=tokens).logits
    merge(model).save_pretrained(tmp_path)
    plain = load_pretrained(str(tmp_path), dtype=torch.float32, vocabulary_size=64)
    assert not hasattr(plain.config, "quantization_config")
    precise = 1e-4 if dtype == "float32" else 0.2  # what bfloat16 keeps of logits up to 10
    with torch.no_grad():
        torch.testing.assert_close(
            plain(input_ids=tokens).logits, expected.float(), rtol=precise, atol=precise
        )


def test_new_rows_move_on_both_sides_and_no_old_row(pretrained):
    model = qlora(pretrained)
    sides = ("get_input_embeddings", "get_output_embeddings")
    before = [getattr(model, side)().weight.detach().clone() for side in sides]
    learn(model, steps=5)
    merged = merge(model)
    for old, side in zip(before, sides, strict=True):
        new = getattr(merged, side)().weight
        torch.testing.assert_close(new[:60], old[:60], rtol=0, atol=0)
        assert (new[60:] - old[60:]).abs().max() > 1e-3


def test_4_bits_want_qlora_and_a_pretrained_model(pretrained):
    with pytest.raises(ValueError, match="the model has 4 bits"):
        adapt(build(pretrained), AdaptConfig(method="lora"), new_tokens=NEW)
    with pytest.raises(ValueError, match=r"backbone\.path"):
        build(None)
