import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

from genrec.models import TinyConfig, build_tiny, load_pretrained

SPECIAL = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
SMALL = {"hidden_size": 16, "layers": 2, "heads": 2, "intermediate_size": 32}


def tiny(architecture="llama", *, seed=0, **changes):
    config = TinyConfig(architecture=architecture, **(SMALL | changes))
    return build_tiny(config, vocabulary_size=40, special=SPECIAL, max_tokens=64, seed=seed)


def weights(model):
    return torch.cat([p.flatten() for p in model.parameters()])


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "t5"])
def test_weights_depend_on_the_seed_alone(architecture):
    torch.manual_seed(1)
    first = tiny(architecture)
    torch.manual_seed(2)
    torch.testing.assert_close(weights(tiny(architecture)), weights(first), rtol=0, atol=0)
    assert not torch.equal(weights(tiny(architecture, seed=1)), weights(first))


def test_making_a_model_leaves_the_random_state_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    tiny()
    torch.testing.assert_close(torch.rand(3), expected)


@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
def test_dropout_acts_in_training_only(architecture):
    model = tiny(architecture, dropout=0.5)
    tokens = torch.arange(10)[None]
    model.train()
    assert not torch.equal(model(tokens).logits, model(tokens).logits)
    model.eval()
    torch.testing.assert_close(model(tokens).logits, model(tokens).logits)


def test_dropout_is_no_part_of_the_saved_model(tmp_path):
    model = tiny(dropout=0.5).eval()
    model.save_pretrained(tmp_path)
    loaded = LlamaForCausalLM.from_pretrained(tmp_path)
    tokens = torch.arange(10)[None]
    torch.testing.assert_close(loaded(tokens).logits, model(tokens).logits)


@pytest.mark.parametrize(
    "made",
    [
        LlamaForCausalLM(
            LlamaConfig(
                vocab_size=30, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
                num_attention_heads=2, tie_word_embeddings=False,
            )
        ),
        T5ForConditionalGeneration(
            T5Config(vocab_size=30, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
        ),
    ],
    ids=["untied decoder", "encoder-decoder"],
)  # fmt: skip
def test_a_pretrained_model_gets_room_for_new_tokens_and_keeps_its_old_rows(made, tmp_path):
    made.save_pretrained(tmp_path)
    model = load_pretrained(str(tmp_path), dtype=torch.float32, vocabulary_size=37)
    for embeddings, old in (
        (model.get_input_embeddings(), made.get_input_embeddings()),
        (model.get_output_embeddings(), made.get_output_embeddings()),
    ):
        assert embeddings.weight.shape[0] == 37
        torch.testing.assert_close(embeddings.weight[:30], old.weight, rtol=0, atol=0)


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="hidden_size 30 is not a multiple of the 4 heads"):
        TinyConfig(hidden_size=30, heads=4)


@pytest.mark.parametrize("field", ["heads", "layers", "hidden_size", "text_pieces"])
def test_a_model_without_a_size_is_refused(field):
    with pytest.raises(ValueError, match=f"{field} is 0; it must be at least 1"):
        TinyConfig(**{field: 0})
