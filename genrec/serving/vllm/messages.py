"""What the engine and the workers tell each other, in numbers, text and bytes alone.

They may run in processes of different machines, and vLLM sends nothing else between them unless it
is told to trust what it unpacks.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np

from genrec.recommender import Diversity, Request, Sampling, Subset
from genrec.semantic_ids import SemanticIds


class CatalogueMessage(TypedDict):
    """The semantic IDs of a catalogue, and where their tokens lie in the vocabulary."""

    codes: bytes
    codebook_sizes: list[int]
    level_starts: list[int]


class Question(TypedDict):
    """What a request asks of a search; its prompt comes as tokens."""

    exclude: list[int]
    only: list[int] | None
    within: int | None
    """The number of a set that was shared before."""

    boosts: list[tuple[int, float]]
    diversity: tuple[int, int] | None
    sampling: tuple[float, int] | None


class Answers(TypedDict):
    """What a search found for each request of a batch."""

    error: str | None
    """Why there are no answers."""

    is_out_of_memory: bool
    items: list[list[int]]
    scores: list[list[float]]


def catalogue_message(ids: SemanticIds, level_starts: Sequence[int]) -> CatalogueMessage:
    """Write down a catalogue."""
    return {
        "codes": ids.codes_NL.astype(np.int32).tobytes(),
        "codebook_sizes": list(ids.codebook_sizes),
        "level_starts": list(level_starts),
    }


def semantic_ids_of(message: CatalogueMessage) -> SemanticIds:
    """Read the semantic IDs of a catalogue."""
    codes = np.frombuffer(message["codes"], dtype=np.int32)
    sizes = tuple(message["codebook_sizes"])
    return SemanticIds(codes.reshape(-1, len(sizes)).copy(), sizes)


def subset_message(subset: Subset) -> bytes:
    """Write down a set of items, a byte each."""
    return subset.is_in_N.tobytes()


def subset_of(items: bytes) -> Subset:
    """Read a set of items."""
    return Subset(np.frombuffer(items, dtype=np.bool_))


def question_of(request: Request, subset: int | None) -> Question:
    """Write down what a request asks of a search.

    Args:
        request: The request.
        subset: The number of the set it is held to.
    """
    diversity, sampling = request.diversity, request.sampling
    return {
        "exclude": [int(row) for row in request.exclude],
        "only": None if request.only is None else [int(row) for row in request.only],
        "within": subset,
        "boosts": [(int(row), float(boost)) for row, boost in request.boosts],
        "diversity": None if diversity is None else (diversity.at_most, diversity.codes),
        "sampling": None if sampling is None else (sampling.temperature, _seed(sampling)),
    }


def _seed(sampling: Sampling) -> int:
    # Workers that share a layer must all draw the same.
    return secrets.randbits(63) if sampling.seed is None else sampling.seed


def request_of(question: Question, subsets: Mapping[int, Subset]) -> Request:
    """Read what a request asks of a search."""
    only, within = question["only"], question["within"]
    diversity, sampling = question["diversity"], question["sampling"]
    return Request(
        exclude=tuple(question["exclude"]),
        only=None if only is None else tuple(only),
        within=None if within is None else subsets[within],
        boosts=tuple((row, boost) for row, boost in question["boosts"]),
        diversity=diversity and Diversity(at_most=diversity[0], codes=diversity[1]),
        sampling=sampling and Sampling(temperature=sampling[0], seed=sampling[1]),
    )
