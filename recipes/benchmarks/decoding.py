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
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from genrec.config import to_dict
from genrec.decoding import TokenTrie, beam_search, make_stepper, search
from genrec.recipe import run_recipe

if not __package__:  # run by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from recipes.benchmarks.catalogues import (
    Stopwatch,
    build,
    mask_seconds,
    random_ids,
    usual_constraints,
)
from recipes.benchmarks.checked_beams import check_beams, count_invalid
from recipes.benchmarks.searches import Replay, fastest, random_decoder, search_with_transformers


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
        trie = trie.to(config.device)
        sets = usual_constraints(trie, requests=config.prompts, seed=config.seed)
        bare, held = (
            1000 * mask_seconds(trie, requests=config.prompts, beams=config.beams, constraints=each)
            for each in (None, sets)
        )
        scales.append(Scale(items, *seconds, trie.bytes / items, bare, held))
        size = trie.bytes / items
        print(f"{items:>12,}{seconds.wall:>10.2f}{size:>14.0f}{bare:>10.3f}{held:>11.3f}")
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
    model = random_decoder(
        vocabulary=config.words + sum(config.codebook_sizes), width=config.width,
        layers=config.layers, seed=config.seed,
    ).to(config.device)  # fmt: skip
    prompts_BP = torch.randint(1, config.words, (config.prompts, config.tokens)).to(config.device)

    ours = fastest(lambda: beam_search(model, trie, prompts_BP, beams=config.beams), config.repeats)
    replay = Replay(make_stepper(model, prompts_BP))
    free = fastest(lambda: search(replay, trie, beams=config.beams), 1 + config.repeats)
    theirs = search_with_transformers(
        model, ids, prompts_BP, first_token=config.words, beams=config.beams
    )

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
    run_recipe(main, Config, __doc__)
