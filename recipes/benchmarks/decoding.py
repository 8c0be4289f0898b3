"""Measure constrained beam search against that of transformers, on the same model and prompts.

    OMP_NUM_THREADS=1 python recipes/benchmarks/decoding.py
    python recipes/benchmarks/decoding.py --quick

transformers searches by ``prefix_allowed_tokens_fn`` over a dictionary, as most projects of the
field do. The model has random weights; how long it takes does not depend on them. Then what the
constraint alone costs is measured on catalogues of up to 10 million items, and beams under random
constraints are checked one by one. The last line is JSON.
"""

import dataclasses
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from genrec.config import parse_args, to_dict
from genrec.decoding import Beams, Stepper, TokenTrie, beam_search, make_stepper, search
from genrec.semantic_ids import SemanticIds

if not __package__:  # run by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from recipes.benchmarks.catalogues import (
    Seconds,
    Stopwatch,
    build,
    check_beams,
    count_invalid,
    mask_seconds,
    random_ids,
    usual_constraints,
)


@dataclass(frozen=True, kw_only=True)
class Config:
    prompts: int = 16
    """Prompts of the batch."""

    tokens: int = 200
    """Tokens of every prompt."""

    beams: int = 20
    """Items to find for every prompt."""

    items: int = 12_000
    """Items of the catalogue, with random codes."""

    codebook_sizes: tuple[int, ...] = (256, 256, 256, 256)
    """Codes per level."""

    words: int = 8192
    """Tokens of the vocabulary besides those of the semantic IDs."""

    layers: int = 8
    """Layers of the decoder."""

    width: int = 512
    """Hidden size of the decoder, with heads of 64."""

    repeats: int = 3
    """Runs of our search, of which the fastest counts. transformers runs once."""

    catalogues: tuple[int, ...] = (10_000, 100_000, 1_000_000, 10_000_000)
    """Sizes of the catalogues on which the constraint is measured; the last and the first tell
    how it grows."""

    checked: int = 1_000_000
    """Beams to check under random constraints."""

    device: str = "cpu"
    """Device of the model."""

    seed: int = 0
    """Seed of weights, prompts and codes."""

    quick: bool = False
    """Use 8 prompts of 100 tokens, 10 beams and 4 layers of 256: the same keys in seconds."""


class Measured(NamedTuple):
    beams: Beams
    seconds: Seconds


class Replay:
    """A Stepper that gives recorded logits: what is left of a search when its model is free."""

    def __init__(self, stepper: Stepper) -> None:
        self._stepper = stepper
        self._logits: list[Tensor] = []
        self._next = -1

    def prefill(self) -> Tensor:
        """Begin anew; the first time, ask the model."""
        if not self._logits:
            self._logits.append(self._stepper.prefill())
        self._next = 0
        return self._logits[0]

    def step(self, token_BW: Tensor, parent_BW: Tensor) -> Tensor:
        """Give the next logits; the first time, ask the model."""
        self._next += 1
        if self._next == len(self._logits):
            self._logits.append(self._stepper.step(token_BW, parent_BW))
        return self._logits[self._next]


def tiny_decoder(config: Config) -> LlamaForCausalLM:
    torch.manual_seed(config.seed)
    model_config = LlamaConfig(
        vocab_size=config.words + sum(config.codebook_sizes),
        hidden_size=config.width,
        intermediate_size=4 * config.width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.width // 64,
        # Wider than usual, so that beams differ by more than rounding.
        initializer_range=0.1,
        pad_token_id=0,
        eos_token_id=None,
    )
    return LlamaForCausalLM(model_config).eval().to(config.device)


def search_with_transformers(
    model: LlamaForCausalLM, ids: SemanticIds, prompts_BP: Tensor, config: Config
) -> Measured:
    offsets = config.words + np.cumsum([0, *ids.codebook_sizes[:-1]])
    row_of = {tuple(path): row for row, path in enumerate((ids.codes_NL + offsets).tolist())}
    following: dict[tuple[int, ...], set[int]] = {}
    for path in row_of:
        for depth, token in enumerate(path):
            following.setdefault(path[:depth], set()).add(token)
    allowed = {path: list(tokens) for path, tokens in following.items()}
    watch = Stopwatch()
    output = model.generate(
        input_ids=prompts_BP,
        attention_mask=torch.ones_like(prompts_BP),
        num_beams=config.beams,
        num_return_sequences=config.beams,
        max_new_tokens=ids.levels,
        length_penalty=0.0,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
        prefix_allowed_tokens_fn=lambda _, path: allowed[tuple(path[config.tokens :].tolist())],
    )
    seconds = watch.read()
    rows = [row_of[tuple(path)] for path in output.sequences[:, config.tokens :].tolist()]
    items_BK = torch.tensor(rows).view(config.prompts, config.beams)
    return Measured(Beams(items_BK, output.sequences_scores.view_as(items_BK).cpu()), seconds)


def fastest(run: Callable[[], Beams], repeats: int) -> Measured:
    measured = []
    for _ in range(repeats):
        watch = Stopwatch()
        beams = Beams(*(x.cpu() for x in run()))  # which waits for the device
        measured.append(Measured(beams, watch.read()))
    return min(measured, key=lambda m: m.seconds.wall)


class Scale(NamedTuple):
    """What a catalogue of some size costs."""

    items: int
    build_seconds: float
    build_processor_seconds: float
    megabytes_per_million: float
    mask_ms: float
    mask_ms_with_sets: float
    """The same where every request is held to what is in stock and not to see 50 items again."""


def measure_catalogues(config: Config) -> list[Scale]:
    """Print what index and mask cost at every size."""
    print(f"\n{'items':>12}{'build s':>10}{'MB / million':>14}{'mask ms':>10}{'with sets':>11}")
    scales = []
    for items in config.catalogues:
        trie, seconds = build(items, config.codebook_sizes, seed=config.seed)
        sets = usual_constraints(trie, requests=config.prompts, seed=config.seed)
        bare, held = (
            1000 * mask_seconds(trie, requests=config.prompts, beams=config.beams, constraints=each)
            for each in (None, sets)
        )
        scales.append(Scale(items, *seconds, trie.bytes / items, bare, held))
        print(
            f"{items:>12,}{seconds.wall:>10.2f}{trie.bytes / items:>14.0f}{bare:>10.3f}{held:>11.3f}"
        )
    return scales


def main(config: Config) -> None:
    if config.quick:
        config = dataclasses.replace(
            config, prompts=8, tokens=100, beams=10, layers=4, width=256, checked=20_000,
            catalogues=config.catalogues[::3],
        )  # fmt: skip
    ids = random_ids(config.items, config.codebook_sizes, seed=config.seed)
    watch = Stopwatch()
    trie = TokenTrie.from_semantic_ids(ids, config.words).to(config.device)
    build_seconds = watch.read()
    model = tiny_decoder(config)
    prompts_BP = torch.randint(1, config.words, (config.prompts, config.tokens)).to(config.device)

    ours = fastest(lambda: beam_search(model, trie, prompts_BP, beams=config.beams), config.repeats)
    replay = Replay(make_stepper(model, prompts_BP))
    free = fastest(lambda: search(replay, trie, beams=config.beams), 1 + config.repeats)
    theirs = search_with_transformers(model, ids, prompts_BP, config)

    print(f"{'':<34}{'seconds':>10}{'processor':>11}{'ms / prompt':>14}")
    for name, seconds in (
        ("transformers", theirs.seconds),
        ("genrec", ours.seconds),
        ("genrec, were the model free", free.seconds),
        (f"index of {config.items} items, once", build_seconds),
    ):
        each = 1000 * seconds.wall / config.prompts
        print(f"{name:<34}{seconds.wall:>10.3f}{seconds.processor:>11.3f}{each:>14.1f}")
    sets = usual_constraints(trie, requests=config.prompts, seed=config.seed)
    mask = mask_seconds(trie, requests=config.prompts, beams=config.beams, constraints=sets)
    scales = measure_catalogues(config)
    checked = check_beams(trie.to("cpu"), at_least=config.checked, seed=config.seed)
    print(f"\n{checked.beams:,} beams under random constraints: {checked.invalid} break a rule")
    apart = (ours.beams.log_probs_BK - theirs.beams.log_probs_BK).abs().max()
    result = {
        "speedup_vs_transformers": round(theirs.seconds.wall / ours.seconds.wall, 2),
        "speedup_in_processor_seconds": round(theirs.seconds.processor / ours.seconds.processor, 2),
        "identical": torch.equal(ours.beams.items_BK, theirs.beams.items_BK),
        "largest_score_difference": float(apart),
        "constraint_share": round(mask / ours.seconds.wall, 5),
        "growth_10k_to_10m": round(scales[-1].mask_ms / scales[0].mask_ms, 3),
        "growth_with_sets": round(scales[-1].mask_ms_with_sets / scales[0].mask_ms_with_sets, 3),
        "build_seconds_10m": round(scales[-1].build_seconds, 2),
        "invalid": count_invalid(ours.beams, config.items) + checked.invalid,
        "checked": checked.beams,
        "search_share": round(free.seconds.wall / ours.seconds.wall, 4),
        "seconds": ours.seconds._asdict(),
        "seconds_transformers": theirs.seconds._asdict(),
        "catalogues": [scale._asdict() for scale in scales],
        "threads": torch.get_num_threads(),
        "config": to_dict(config),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    options = ["--quick=true" if option == "--quick" else option for option in sys.argv[1:]]
    main(parse_args(Config, __doc__, options))
