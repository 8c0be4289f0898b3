"""Measure constrained beam search at the size of a model in use, with and without fixed shapes.

    python recipes/benchmarks/decoding_gpu.py
    python recipes/benchmarks/decoding_gpu.py --requests 16 --backend inductor

A decoder of the shape of Qwen3-0.6B with random weights in bfloat16 reads prompts of 1,000 tokens
and searches 12,000 items with 20, 50 and 256 beams: in tensors that grow with every step, and in
tensors of fixed shapes, whose steps a GPU replays as CUDA graphs. The last line is JSON. On a CPU
take a small shape: --width 64 --layers 2 --words 500 --tokens 50 --items 300
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from genrec.config import to_dict
from genrec.decoding import Beams, Constraints, StaticDecoder, TokenTrie, beam_search
from genrec.recipe import run_recipe

if not __package__:  # run by its path
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from recipes.benchmarks.catalogues import mask_seconds, random_ids, usual_constraints


@dataclass(frozen=True, kw_only=True)
class Config:
    requests: int = 1
    """Requests of a batch."""

    tokens: int = 1000
    """Tokens of every prompt."""

    beams: tuple[int, ...] = (20, 50, 256)
    """Items to find for every prompt, each a run of its own."""

    items: int = 12_000
    """Items of the catalogue, with random codes."""

    codebook_sizes: tuple[int, ...] = (256, 256, 256, 256)
    """Codes per level."""

    words: int = 151_936
    """Tokens of the vocabulary besides those of the semantic IDs."""

    layers: int = 28
    """Layers of the decoder."""

    width: int = 1024
    """Hidden size of the decoder, with heads of 128 (or 32 where it is narrow)."""

    backend: str | None = None
    """What compiles the steps of fixed shapes, such as inductor; nothing by default."""

    repeats: int = 20
    """Searches of each kind, of which the fastest counts."""

    seed: int = 0
    """Seed of weights, prompts and codes."""


def make_decoder(config: Config, device: torch.device) -> PreTrainedModel:
    head_dim = 128 if config.width >= 512 else 32
    heads = max(1, 2 * config.width // head_dim)  # Qwen3-0.6B: 16 heads of 128 at a width of 1024
    shape = Qwen3Config(
        vocab_size=config.words + sum(config.codebook_sizes), hidden_size=config.width,
        intermediate_size=3 * config.width, num_hidden_layers=config.layers,
        num_attention_heads=heads, num_key_value_heads=max(1, heads // 2), head_dim=head_dim,
        tie_word_embeddings=True, max_position_embeddings=2 * config.tokens, initializer_range=0.1,
    )  # fmt: skip
    torch.manual_seed(config.seed)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    with device:
        return Qwen3ForCausalLM(shape).to(dtype).eval()


def fastest(search: Callable[[], Beams], repeats: int) -> float:
    """Time searches one by one, after one that sets up what they need."""
    search().items_BK.cpu()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        search().items_BK.cpu()  # which waits for the device
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def measure(
    model: PreTrainedModel, trie: TokenTrie, constraints: Constraints, beams: int, config: Config
) -> dict[str, Any]:
    """Time both ways to search with so many beams, and what the constraint takes of it."""
    shape = (config.requests, config.tokens)
    prompts_BP = torch.randint(1, config.words, shape, device=model.device)
    static = StaticDecoder(model, backend=config.backend)

    def search(fixed: StaticDecoder | None) -> Beams:
        return beam_search(
            model, trie, prompts_BP, beams=beams, constraints=constraints, static=fixed
        )

    growing, fixed = fastest(lambda: search(None), config.repeats), fastest(
        lambda: search(static), config.repeats
    )  # fmt: skip
    mask = mask_seconds(trie, requests=config.requests, beams=beams, constraints=constraints)
    difference = (search(None).log_probs_BK - search(static).log_probs_BK).abs().max()
    return {
        "beams": beams,
        "ms_a_request_growing": round(1000 * growing / config.requests, 3),
        "ms_a_request": round(1000 * fixed / config.requests, 3),
        "constraint_share": round(mask / fixed, 5),
        "largest_score_difference": float(difference),
    }


def main(config: Config) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = make_decoder(config, device)
    ids = random_ids(config.items, config.codebook_sizes, seed=config.seed)
    trie = TokenTrie.from_semantic_ids(ids, config.words).to(device)
    constraints = usual_constraints(trie, requests=config.requests, seed=config.seed)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"{model.num_parameters() / 1e6:.0f} million weights on {name}, ms a request")
    print(f"{'beams':>8}{'growing':>12}{'fixed':>12}{'constraint':>12}")
    measured = []
    for beams in config.beams:
        found = measure(model, trie, constraints, beams, config)
        measured.append(found)
        print(
            f"{beams:>8}{found['ms_a_request_growing']:>12.2f}{found['ms_a_request']:>12.2f}"
            f"{found['constraint_share']:>12.2%}"
        )
    result = {
        "searches": measured,
        "cuda_graphs": device.type == "cuda",
        "device": name,
        "config": to_dict(config),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
