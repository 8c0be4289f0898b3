"""Measure beams in vLLM against transformers, on the same model directory and requests.

    OMP_NUM_THREADS=1 python recipes/benchmarks/serving.py
    OMP_NUM_THREADS=1 python recipes/benchmarks/serving.py --layers 8 --width 512 --runs 3

Both routes of vLLM run, in its worker and by requests, next to genrec's engine over a transformers
model and to transformers' own ``generate`` under the same constraint. They take turns, so that what
else the machine does slows all of them down. The model has random weights; how long it takes does
not depend on them. The last line is JSON.
"""

import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

# On a CPU: vLLM in this process, which it leaves its cores, and nothing to compile.
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")

import numpy as np
import polars as pl
import torch

from genrec.config import to_dict
from genrec.data import Catalogue
from genrec.decoding import TokenTrie, TrieLogitsProcessor
from genrec.models import TinyConfig, build_tiny
from genrec.prompts import PromptConfig, Renderer, Tasks, Vocabulary, train_tokenizer
from genrec.recipe import run_recipe
from genrec.recommender import Ranking, Request
from genrec.semantic_ids import SemanticIds
from genrec.serving import Bundle, TransformersRecommender, VLLMConfig, VLLMRecommender, save_bundle
from genrec.serving.vllm.config import Route


@dataclass(frozen=True, kw_only=True)
class Config:
    users: int = 16
    """Users who are answered together."""

    history: int = 46
    """Items of each user; with four codes an item, a prompt has about 200 tokens."""

    beams: int = 20
    """Items to find for every user."""

    items: int = 12_000
    """Items of the catalogue, with random codes of four levels of 256."""

    layers: int = 2
    """Layers of the decoder."""

    width: int = 128
    """Hidden size of the decoder, with heads of 32."""

    runs: int = 5
    """Runs, of which the fastest counts. ``generate`` has two."""

    seed: int = 0
    """Seed of weights, histories and codes."""


def make_bundle(config: Config, rng: np.random.Generator) -> Bundle:
    numbers = rng.choice(256**4, size=config.items, replace=False)
    codes_NL = np.stack(np.unravel_index(numbers, (256,) * 4), axis=1).astype(np.int32)
    ids, tasks = SemanticIds(codes_NL, (256,) * 4), Tasks.load()
    words = [prompt for task in tasks.values() for prompt in task.prompts]
    vocabulary = Vocabulary.extend(train_tokenizer(words, size=400), ids)
    item_ids = pl.DataFrame({"item_id": [f"item-{row}" for row in range(config.items)]})
    renderer = Renderer(
        vocabulary=vocabulary, ids=ids, catalogue=Catalogue(item_ids), tasks=tasks,
        config=PromptConfig(),
    )  # fmt: skip
    shape = TinyConfig(
        hidden_size=config.width, layers=config.layers, heads=config.width // 32,
        intermediate_size=4 * config.width,
    )  # fmt: skip
    model = build_tiny(
        shape, vocabulary_size=len(vocabulary), special=vocabulary.special, max_tokens=512,
        seed=config.seed,
    )  # fmt: skip
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim == 2:
                weights *= 5  # so that beams differ by more than rounding
    return Bundle(model.eval(), renderer)


class Measured(NamedTuple):
    rankings: list[Ranking]
    seconds: float
    processor_seconds: float
    """What it took of the processor: the same when others use the machine too."""


def generate(bundle: Bundle, requests: Sequence[Request], beams: int) -> list[Ranking]:
    model, renderer = bundle
    trie = TokenTrie.from_semantic_ids(renderer.ids, renderer.vocabulary.level_starts)
    prompts = [torch.from_numpy(renderer.render(request).prompt).long() for request in requests]
    length = len(prompts[0])  # all histories are equally long
    output = model.generate(
        input_ids=torch.stack(prompts),
        attention_mask=torch.ones((len(prompts), length), dtype=torch.long),
        num_beams=beams,
        num_return_sequences=beams,
        max_new_tokens=renderer.ids.levels,
        length_penalty=0.0,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
        logits_processor=[TrieLogitsProcessor(trie, prompt_length=length)],
    )
    first_rank_R, _ = trie.levels[-1].ranks(trie.walk(output.sequences[:, length:]))
    items_BK = trie.row_N[first_rank_R].view(-1, beams).numpy().astype(np.int64)
    scores_BK = output.sequences_scores.view(-1, beams).numpy()
    return [Ranking(*found) for found in zip(items_BK, scores_BK, strict=True)]


Way = Callable[[list[Request]], list[Ranking]]


def race(ways: dict[str, Way], groups: list[list[Request]]) -> dict[str, Measured]:
    """Let all ways answer each group in turn; keep what each got and its shortest time."""
    measured = {name: Measured([], math.inf, math.inf) for name in ways}
    for number, group in enumerate(groups):
        for name, way in ways.items():
            if name == "generate" and number < len(groups) - 2:
                continue
            start, busy = time.perf_counter(), time.process_time()
            rankings = way(group)
            measured[name] = Measured(
                rankings,
                min(time.perf_counter() - start, measured[name].seconds),
                min(time.process_time() - busy, measured[name].processor_seconds),
            )
    return measured


def start_vllm(path: str, renderer: Renderer, config: Config, route: Route) -> VLLMRecommender:
    return VLLMRecommender(
        path, renderer, beams=config.beams, config=VLLMConfig(enforce_eager=True, route=route)
    )


def main(config: Config) -> None:
    rng = np.random.default_rng(config.seed)
    bundle = make_bundle(config, rng)
    # Each run has users of its own: vLLM would find what it has computed for those of another.
    histories = rng.integers(config.items, size=(config.runs, config.users, config.history))
    groups = [[Request(history=tuple(user)) for user in group] for group in histories.tolist()]
    local = TransformersRecommender(*bundle, beams=config.beams)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/model"
        save_bundle(path, *bundle)
        in_worker = start_vllm(path, bundle.renderer, config, "worker")
        portable = start_vllm(path, bundle.renderer, config, "portable")
    everything = race(
        {
            "generate": lambda group: generate(bundle, group, config.beams),
            "transformers": lambda group: local.recommend(group, config.beams),
            "in_worker": lambda group: in_worker.recommend(group, config.beams),
            "portable": lambda group: portable.recommend(group, config.beams),
        },
        groups,
    )
    for name, measured in everything.items():
        print(
            f"{name:<14}{measured.seconds:>8.3f} s"
            f"{measured.processor_seconds:>8.3f} s of the processor"
        )
    slowest = everything["generate"]
    found = {name: each for name, each in everything.items() if name != "generate"}
    pairs = [
        (theirs, ours)
        for measured in found.values()
        for theirs, ours in zip(slowest.rankings, measured.rankings, strict=True)
    ]
    result = {
        **{f"speedup_{name}": round(slowest.seconds / m.seconds, 2) for name, m in found.items()},
        "processor_seconds": {
            name: round(measured.processor_seconds, 3) for name, measured in everything.items()
        },
        "identical": all(np.array_equal(a.items, b.items) for a, b in pairs),
        "largest_score_difference": max(float(abs(a.scores - b.scores).max()) for a, b in pairs),
        "threads": torch.get_num_threads(),
        "config": to_dict(config),
    }
    print(json.dumps(result))
    for engine in (in_worker, portable):
        engine.close()


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
