"""Models of a few thousand weights that see pictures, made in milliseconds."""

import torch
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    SiglipVisionConfig,
    SiglipVisionModel,
    ViTConfig,
    ViTModel,
)

from genrec.models import FlamingoConfig, FlamingoForCausalLM

VOCABULARY, PICTURE_TOKEN, WIDTH, VISION_WIDTH = 50, 4, 32, 16

SHAPE = {
    "vocab_size": VOCABULARY, "hidden_size": WIDTH, "intermediate_size": 48,
    "num_attention_heads": 2, "max_position_embeddings": 64,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
GROUPED = SHAPE | {"num_key_value_heads": 1, "head_dim": 16}


def _decoder(family, config, **shape):
    return lambda layers=4: family(config(**shape, num_hidden_layers=layers))


LANGUAGE_MODELS = {
    "llama": _decoder(LlamaForCausalLM, LlamaConfig, **GROUPED, tie_word_embeddings=True),
    "qwen3": _decoder(Qwen3ForCausalLM, Qwen3Config, **GROUPED, tie_word_embeddings=False),
    "gemma2": _decoder(Gemma2ForCausalLM, Gemma2Config, **GROUPED),
    "gemma3": _decoder(Gemma3ForCausalLM, Gemma3TextConfig, **GROUPED, sliding_window=8),
    "gpt_neox": _decoder(GPTNeoXForCausalLM, GPTNeoXConfig, **SHAPE),
    "opt": _decoder(OPTForCausalLM, OPTConfig, **SHAPE, ffn_dim=48, word_embed_proj_dim=WIDTH),
}

VISION = {
    "hidden_size": VISION_WIDTH, "intermediate_size": 16, "num_hidden_layers": 1,
    "num_attention_heads": 2, "image_size": 16, "patch_size": 8,
}  # fmt: skip

VISION_MODELS = {
    "clip": lambda: CLIPVisionModel(CLIPVisionConfig(**VISION)),
    "siglip": lambda: SiglipVisionModel(SiglipVisionConfig(**VISION)),
    "vit": lambda: ViTModel(ViTConfig(**VISION)),
}


def small_flamingo(
    kind: str = "llama",
    *,
    layers: int = 4,
    vision: str = "vit",
    open_gates: bool = True,
    **changes,
) -> FlamingoForCausalLM:
    """Put a model together; its gates stand open unless it is to be as new."""
    torch.manual_seed(0)
    language_model, vision_model = LANGUAGE_MODELS[kind](layers), VISION_MODELS[vision]()
    config = FlamingoConfig(
        text_config=language_model.config, vision_config=vision_model.config,
        **({"latents": 3, "resampler_layers": 1, "resampler_heads": 2,
            "picture_token_id": PICTURE_TOKEN} | changes),
    )  # fmt: skip
    model = FlamingoForCausalLM(config, language_model, vision_model)
    if open_gates:
        for name, weight in model.named_parameters():
            if name.endswith("gate"):
                torch.nn.init.constant_(weight, 0.8)
    return model.eval()


def tokens(rows: int, length: int) -> torch.Tensor:
    """Draw tokens, none of them special."""
    return torch.randint(5, VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(1))


def pictures(number: int) -> torch.Tensor:
    """Draw pictures as pixels of the encoder's size."""
    return torch.randn(number, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def owners(text: str) -> torch.Tensor:
    """Read rows of owners from ``"..00.11 ....22."``: a digit a token with a picture."""
    return torch.tensor([[-1 if c == "." else int(c) for c in row] for row in text.split()])
