"""Two ways to search beams with vLLM: in its worker, and by requests from outside.

vLLM writes text and knows no trie. Where its internals are as expected, the beams are searched in
its worker (:mod:`genrec.serving.vllm.worker`). Else they are led from here, by vLLM's public
interface alone: at each level every beam becomes a request for one token that also scores the codes
which may follow. Those are exactly the allowed children of the beam's node, by their
log-probabilities in the whole vocabulary, as transformers scores them. (To mask first and normalise
over what is left would favour thin branches of the trie.) Prefix caching keeps keys and values of
prompts and paths from one level to the next.

Shape letters in this file: B requests, W beams of each, R all of their beams, T tokens of each so
far, C children of each, A all children that are allowed, K items of a request.
"""

import itertools
import weakref
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from genrec.decoding import TermsReader, TokenTrie, search_scored
from genrec.prompts import Renderer
from genrec.recommender import Ranking, Request, Subset
from genrec.serving.vllm.engine import Engine, Prompt
from genrec.serving.vllm.messages import (
    Answers,
    catalogue_message,
    question_of,
    subset_message,
)


class BeamRoute(Protocol):
    """Searches the items of one catalogue."""

    def search(
        self, prompts: Sequence[Prompt], requests: Sequence[Request], beams: int
    ) -> list[Ranking]:
        """Return up to ``beams`` items per request, best first.

        Raises:
            ValueError: When a request names no item that there is, or leaves none.
        """
        ...


def make_route(engine: Engine, renderer: Renderer) -> BeamRoute:
    """Choose the route that an engine has started with, for a catalogue."""
    if engine.searches_in_worker:
        return WorkerBeams(engine, renderer)
    return PortableBeams(engine, renderer)


class PortableBeams:
    """Beams led by requests."""

    def __init__(self, engine: Engine, renderer: Renderer) -> None:
        """Index the catalogue."""
        self._engine = engine
        starts = renderer.vocabulary.level_starts
        self._trie = TokenTrie.from_semantic_ids(renderer.ids, starts)
        self._terms = TermsReader(self._trie)

    def search(
        self, prompts: Sequence[Prompt], requests: Sequence[Request], beams: int
    ) -> list[Ranking]:
        """Return up to ``beams`` items per request, best first."""
        terms = self._terms.read(requests)
        items_BK, scores_BK = search_scored(
            PromptScorer(self._engine, prompts), self._trie, requests=len(requests), beams=beams,
            constraints=terms.constraints, policy=terms.policy,
        )  # fmt: skip
        pairs = zip(items_BK.numpy(), scores_BK.numpy(), strict=True)
        return [_ranking(items_K, scores_K) for items_K, scores_K in pairs]


class PromptScorer:
    """Scores the codes that may follow the beams of a batch of prompts."""

    def __init__(self, engine: Engine, prompts: Sequence[Prompt]) -> None:
        self._engine = engine
        self._prompts = prompts

    def log_probs(
        self, path_BWT: Tensor, parent_BW: Tensor, next_BWC: Tensor, mask_BWC: Tensor
    ) -> Tensor:
        """Ask for the allowed codes of every beam."""
        del parent_BW  # vLLM finds by itself what it has computed of a path
        width = path_BWT.shape[1]
        paths = path_BWT.flatten(0, 1).tolist()
        is_allowed_BWC = mask_BWC == 0
        row_A, _ = is_allowed_BWC.flatten(0, 1).nonzero(as_tuple=True)
        token_A = next_BWC[is_allowed_BWC]
        wanted = defaultdict(list)
        for row, token in zip(row_A.tolist(), token_A.tolist(), strict=True):
            wanted[row].append(token)
        prompts = [self._prompts[row // width].then(paths[row]) for row in wanted]
        scores = self._engine.score(prompts, list(wanted.values()))
        log_prob_BWC = torch.full(next_BWC.shape, -torch.inf)
        log_prob_BWC[is_allowed_BWC] = torch.tensor([s for of_one in scores for s in of_one])
        return log_prob_BWC


_numbers = itertools.count()


class WorkerBeams:
    """Beams searched where vLLM runs the model, which has the catalogue too."""

    def __init__(self, engine: Engine, renderer: Renderer) -> None:
        """Send the catalogue to the workers; they drop it when this is gone."""
        self._engine = engine
        self._key = f"{renderer.ids.fingerprint}-{next(_numbers)}"
        message = catalogue_message(renderer.ids, renderer.vocabulary.level_starts)
        engine.ask_workers("genrec_load", self._key, message)
        weakref.finalize(self, engine.unused.append, (self._key, None))
        self._number_of: weakref.WeakKeyDictionary[Subset, int] = weakref.WeakKeyDictionary()

    def search(
        self, prompts: Sequence[Prompt], requests: Sequence[Request], beams: int
    ) -> list[Ranking]:
        """Return up to ``beams`` items per request, best first."""
        while self._engine.unused:
            self._engine.ask_workers("genrec_forget", *self._engine.unused.pop())
        ticket = next(_numbers)
        questions = [question_of(request, self._number(request.within)) for request in requests]
        wrong = self._engine.ask_workers("genrec_expect", self._key, ticket, questions, beams)[0]
        if wrong is not None:
            raise ValueError(wrong)
        try:
            self._engine.read(prompts, [(ticket, row) for row in range(len(prompts))])
        finally:
            answers: Answers = self._engine.ask_workers("genrec_collect", ticket)[0]
        if answers["is_out_of_memory"]:
            raise MemoryError(
                f"the beams do not fit into memory ({answers['error']}); lower beam_memory_bytes, "
                "or leave more room with gpu_memory_utilization"
            )
        if answers["error"] is not None:
            raise ValueError(answers["error"])
        pairs = zip(answers["items"], answers["scores"], strict=True)
        return [_ranking(np.asarray(items), np.asarray(scores)) for items, scores in pairs]

    def _number(self, subset: Subset | None) -> int | None:
        """Return the number by which the workers know a set, which is sent when it is new."""
        if subset is None:
            return None
        number = self._number_of.get(subset)
        if number is None:
            number = self._number_of[subset] = next(_numbers)
            self._engine.ask_workers("genrec_share", self._key, number, subset_message(subset))
            weakref.finalize(subset, self._engine.unused.append, (self._key, number))
        return number


def _ranking(items_K: np.ndarray[Any, Any], scores_K: np.ndarray[Any, Any]) -> Ranking:
    """Leave out the places where a request has fewer items."""
    found_K = items_K >= 0
    return Ranking(items_K[found_K].astype(np.int64), scores_K[found_K].astype(np.float32))
