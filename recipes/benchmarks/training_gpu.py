"""Measure how much of a GPU a training step uses, and what pictures cost it.

    python recipes/benchmarks/training_gpu.py
    python recipes/benchmarks/training_gpu.py --rows 16 --compile true

Trains a decoder of the shape of Qwen3-0.6B with random weights in bfloat16, on rows of random
tokens that are packed with examples of 512, and then the same decoder with cross-attention before
every fourth layer, where each item of 16 tokens has a picture. The last line is JSON. On a CPU take
a small shape: --width 64 --layers 4 --vocabulary 500 --rows 2 --row_tokens 64 --vision_width 64
"""

import json
import time
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM, ViTConfig, ViTModel

from genrec.config import to_dict
from genrec.models import FlamingoConfig, FlamingoForCausalLM
from genrec.recipe import run_recipe
from genrec.training import ModelWithLoss, TokenLoss, TrainingConfig

# Dense matrix products in bfloat16, in FLOP/s, by the makers' data sheets.
_PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "4090": 165e12}


@dataclass(frozen=True, kw_only=True)
class Config:
    width: int = 1024
    """Hidden size of the decoder, with heads of 128 (or 32 where it is narrow)."""

    layers: int = 28
    """Layers of the decoder."""

    vocabulary: int = 151_936
    """Rows of the tied embeddings."""

    rows: int = 8
    """Rows of a step."""

    row_tokens: int = 2048
    """Tokens of a row."""

    example_tokens: int = 512
    """Tokens of the examples that a row is packed with."""

    item_tokens: int = 16
    """Tokens that see one picture."""

    pictures: int = 64
    """Distinct pictures of a step."""

    vision_width: int = 768
    """Width of a picture's features; 768 are those of ViT-B/16."""

    compile: bool = False
    """Compile the model, but for its head."""

    steps: int = 10
    """Steps that are measured, after as many to warm up as a third of them."""


def make_decoder(config: Config) -> PreTrainedModel:
    head_dim = 128 if config.width >= 512 else 32
    heads = max(1, 2 * config.width // head_dim)  # Qwen3-0.6B: 16 heads of 128 at a width of 1024
    shape = Qwen3Config(
        vocab_size=config.vocabulary, hidden_size=config.width, intermediate_size=3 * config.width,
        num_hidden_layers=config.layers, num_attention_heads=heads,
        num_key_value_heads=max(1, heads // 2), head_dim=head_dim, tie_word_embeddings=True,
        max_position_embeddings=config.row_tokens,
    )  # fmt: skip
    return Qwen3ForCausalLM(shape)


def add_pictures(decoder: PreTrainedModel, config: Config) -> PreTrainedModel:
    """Let the decoder see features of a frozen encoder, before every fourth layer."""
    vision = ViTConfig(hidden_size=config.vision_width, num_hidden_layers=1, num_attention_heads=1)
    shape = FlamingoConfig(text_config=decoder.config, vision_config=vision, every_n_layers=4)
    return FlamingoForCausalLM(shape, decoder, ViTModel(vision, add_pooling_layer=False))


def make_inputs(config: Config, device: torch.device) -> dict[str, torch.Tensor]:
    shape = config.rows, config.row_tokens
    positions_T = torch.arange(config.row_tokens, device=device) % config.example_tokens
    return {
        "input_ids": torch.randint(0, config.vocabulary, shape, device=device),
        "position_ids": positions_T.repeat(config.rows, 1),
    }


def picture_inputs(config: Config, device: torch.device) -> dict[str, torch.Tensor]:
    count = config.rows * config.row_tokens // config.item_tokens
    owner = torch.arange(count, device=device).repeat_interleave(config.item_tokens)
    features_USD = torch.randn(config.pictures, 197, config.vision_width, device=device)
    return {
        "owner": (owner % config.pictures).view(config.rows, config.row_tokens),
        "picture_features": features_USD,
    }


def step_seconds(model: PreTrainedModel, inputs: dict[str, torch.Tensor], config: Config) -> float:
    """Time whole steps: forward, backward and AdamW, in bfloat16 over weights of float32."""
    device = inputs["input_ids"].device
    settings = TrainingConfig(steps=1)
    with_loss = ModelWithLoss(
        model.train(), TokenLoss(), logits_at_once=settings.logits_at_once, compiled=config.compile
    )
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-4, fused=True)
    labels_RT = inputs["input_ids"].roll(-1, dims=1)
    weights_RT = torch.ones(labels_RT.shape, device=device)
    start = 0.0
    for step in range(-(config.steps // 3) - 1, config.steps):
        if step == 0:
            _wait(device)
            start = time.perf_counter()
        with torch.autocast(device.type, dtype=torch.bfloat16):
            loss = with_loss(inputs, labels_RT, weights_RT)
        (loss / labels_RT.numel()).backward()
        optimizer.step()
        optimizer.zero_grad()
    _wait(device)
    with_loss.release()
    return (time.perf_counter() - start) / config.steps


def flops_of_step(model: PreTrainedModel, config: Config) -> float:
    """Count 6 FLOP a weight and token, and 12 a layer, width and token seen by each.

    As PaLM's appendix B (https://arxiv.org/abs/2204.02311); examples end what a token sees.
    """
    shape, tokens = model.config, config.rows * config.row_tokens
    attended = shape.num_hidden_layers * shape.num_attention_heads * shape.head_dim
    seen = config.example_tokens / 2  # a causal mask shows half
    return float(tokens * (6.0 * model.num_parameters() + 12.0 * attended * seen))


def main(config: Config) -> None:
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    decoder = make_decoder(config).to(device)
    inputs = make_inputs(config, device)
    seconds = step_seconds(decoder, inputs, config)
    speed = flops_of_step(decoder, config) / seconds
    tokens = config.rows * config.row_tokens
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    top = next((flops for part, flops in _PEAKS.items() if part in name), None)
    seeing = add_pictures(decoder, config).to(device)
    with_pictures = step_seconds(seeing, inputs | picture_inputs(config, device), config)
    print(f"{decoder.num_parameters() / 1e6:.0f} million weights on {name}")
    print(f"without pictures {seconds * 1e3:>8.1f} ms a step, {tokens / seconds:>9.0f} tokens/s")
    print(f"with pictures    {with_pictures * 1e3:>8.1f} ms a step")
    result: dict[str, Any] = {
        "mfu": None if top is None else round(speed / top, 3),
        "tflops": round(speed / 1e12, 3),
        "step_ms": round(seconds * 1e3, 1),
        "step_ms_with_pictures": round(with_pictures * 1e3, 1),
        "device": name,
        "config": to_dict(config),
    }
    print(json.dumps(result))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
