"""Searches to be measured: ours, ours with a model that costs nothing, and that of transformers.

Shape letters in this file: B requests, P tokens of a prompt, W beams of a step, K items wanted.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from genrec.decoding import Beams, Stepper
from genrec.semantic_ids import SemanticIds
from recipes.benchmarks.catalogues import Seconds, Stopwatch


class Measured(NamedTuple):
    """What a search found, and how long it took."""

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


def random_decoder(*, vocabulary: int, width: int, layers: int, seed: int) -> LlamaForCausalLM:
    """Make a decoder with heads of 64."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        # Wider than usual, so that beams differ by more than rounding.
        initializer_range=0.1,
        pad_token_id=0,
        eos_token_id=None,
    )
    return LlamaForCausalLM(config).eval()


def search_with_transformers(
    model: LlamaForCausalLM, ids: SemanticIds, prompts_BP: Tensor, *, first_token: int, beams: int
) -> Measured:
    """Let ``generate`` search, led by a dictionary of what may follow each beginning of an ID."""
    prompts, tokens = prompts_BP.shape
    offsets = first_token + np.cumsum([0, *ids.codebook_sizes[:-1]])
    row_of = {tuple(path): row for row, path in enumerate((ids.codes_NL + offsets).tolist())}
    following: dict[tuple[int, ...], set[int]] = {}
    for path in row_of:
        for depth, token in enumerate(path):
            following.setdefault(path[:depth], set()).add(token)
    allowed = {path: list(follows) for path, follows in following.items()}
    watch = Stopwatch()
    output = model.generate(
        input_ids=prompts_BP,
        attention_mask=torch.ones_like(prompts_BP),
        num_beams=beams,
        num_return_sequences=beams,
        max_new_tokens=ids.levels,
        length_penalty=0.0,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
        prefix_allowed_tokens_fn=lambda _, path: allowed[tuple(path[tokens:].tolist())],
    )
    seconds = watch.read()
    rows = [row_of[tuple(path)] for path in output.sequences[:, tokens:].tolist()]
    items_BK = torch.tensor(rows).view(prompts, beams)
    return Measured(Beams(items_BK, output.sequences_scores.view_as(items_BK).cpu()), seconds)


def fastest(run: Callable[[], Beams], repeats: int) -> Measured:
    """Search some times, and keep the fastest."""
    measured = []
    for _ in range(repeats):
        watch = Stopwatch()
        beams = Beams(*(x.cpu() for x in run()))  # which waits for the device
        measured.append(Measured(beams, watch.read()))
    return min(measured, key=lambda m: m.seconds.wall)
