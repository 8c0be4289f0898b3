"""What the constraint of beam search costs and holds, whatever the model and the catalogue's size.

Shape letters in this file: B requests, W beams, K items wanted, V vocabulary.
"""

import statistics
import time
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from genrec.decoding import Constraints, ItemSet, TokenTrie
from genrec.decoding.trie_level import TrieLevel
from genrec.semantic_ids import SemanticIds

Bools = np.ndarray[Any, np.dtype[np.bool_]]
Ints = np.ndarray[Any, np.dtype[np.int64]]


class Seconds(NamedTuple):
    """How long something took."""

    wall: float
    processor: float
    """Of all threads; on a busy machine it tells more."""


class Stopwatch:
    """Measures from its making on."""

    def __init__(self) -> None:
        self._start = Seconds(time.perf_counter(), time.process_time())

    def read(self) -> Seconds:
        """Tell how long it has been."""
        now = Seconds(time.perf_counter(), time.process_time())
        return Seconds(*(end - start for end, start in zip(now, self._start, strict=True)))


class Index(NamedTuple):
    """The index of a catalogue, with what it cost."""

    trie: TokenTrie
    build: "Seconds"


def random_ids(items: int, sizes: tuple[int, ...], *, seed: int) -> SemanticIds:
    """Draw different codes for every item."""
    rng = np.random.default_rng(seed)
    numbers = np.unique(rng.integers(np.prod(sizes), size=items + items // 50 + 1000))
    numbers = rng.permutation(numbers)[:items]
    codes_NL = np.stack(np.unravel_index(numbers, sizes), axis=1)
    return SemanticIds(codes_NL.astype(np.int32), sizes)


def build(items: int, sizes: tuple[int, ...], *, seed: int) -> Index:
    """Index a random catalogue whose tokens begin at 0."""
    ids = random_ids(items, sizes, seed=seed)
    watch = Stopwatch()
    trie = TokenTrie.from_semantic_ids(ids, 0)
    return Index(trie, watch.read())


def mask_seconds(
    trie: TokenTrie,
    *,
    requests: int,
    beams: int,
    constraints: Constraints | None = None,
    repeats: int = 50,
) -> float:
    """Time all that the constraint adds to a search.

    That is: to find what may follow each beam, to mask scores, and to find the nodes that are
    chosen. Every run has its beams at other nodes, drawn at random, so that no run finds what the
    one before it left in the processor's caches; every level takes the median of its runs.

    Args:
        trie: The catalogue.
        requests: Requests of the batch.
        beams: Beams of each.
        constraints: What each request may name, such as :func:`usual_constraints`; ``None`` lets
            all name every item.
        repeats: Runs of each level.
    """
    total, parents = 0.0, 1
    for level in trie.levels:
        width = min(beams, parents)
        runs = []
        for _ in range(repeats):
            node_BW = torch.randint(parents, (requests, width), device=trie.device)
            score_BWC = torch.randn(requests, width, level.width, device=trie.device)
            # Any places will do for the chosen ones: what they hold costs the same to look up.
            places = width * level.width
            best_BW = torch.randint(places, (requests, min(beams, places)), device=trie.device)
            runs.append(_seconds(level, node_BW, score_BWC, best_BW, constraints))
        total += statistics.median(runs)
        parents = len(level.token_M)
    return total


def _seconds(
    level: TrieLevel,
    node_BW: Tensor,
    score_BWC: Tensor,
    best_BW: Tensor,
    constraints: Constraints | None,
) -> float:
    """Time one level; on a GPU as the mean of some runs, so that the wait for it counts little."""
    on_gpu = node_BW.device.type == "cuda"
    runs = 20 if on_gpu else 1
    start = time.perf_counter()
    for _ in range(runs):
        children = level.children(node_BW)
        mask_BWC = children.mask if constraints is None else constraints.mask(children)
        _ = children.token, score_BWC + mask_BWC
        picked = children.pick(best_BW)
    picked.node_BX.amax().item()  # which waits for the device
    return (time.perf_counter() - start) / runs


def usual_constraints(trie: TokenTrie, *, requests: int, seed: int) -> Constraints:
    """Hold every request to nine items of ten, which are in stock, but for 50 that it has seen."""
    rng = np.random.default_rng(seed)
    stock = ItemSet.from_mask(trie, rng.random(len(trie)) < 0.9)
    seen = [rng.integers(len(trie), size=50) for _ in range(requests)]
    return Constraints.from_items(trie, exclude=seen, within=[stock] * requests)
