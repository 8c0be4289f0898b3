"""Beam search inside the processes where vLLM runs the model.

vLLM mixes :class:`BeamWorker` into its worker (``worker_extension_cls``), and the engine calls its
methods by name (``collective_rpc``). A prompt comes as an ordinary request for one token, marked by
its ``extra_args``: scheduling, chunked prefill and prefix caching are vLLM's. In the step that
computes the end of such a prompt, while its blocks are still its own, the beams are searched right
here, with the same code that searches a transformers model.

With tensor parallelism every worker does all of this alike, as each gathers the same logits.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch

from genrec.decoding import Terms, TermsReader, TokenTrie, search_scored
from genrec.recommender import Subset
from genrec.serving.vllm.messages import (
    Answers,
    CatalogueMessage,
    Question,
    request_of,
    semantic_ids_of,
    subset_of,
)
from genrec.serving.vllm.paged import CachedPrompt, PagedModel, PagedScorer, Tails, Workspace
from genrec.serving.vllm.probes import obstacle

MARK = "genrec"
"""Under this name the ``extra_args`` of a request hold its ticket and its place in the batch."""


class BeamWorker:
    """What genrec adds to vLLM's worker; the names are those that nobody else will choose."""

    model_runner: Any
    device: torch.device
    vllm_config: Any
    execute_model: Callable[[Any], Any]

    def genrec_obstacle(self) -> str | None:
        """Say why beams cannot be searched here; ``None`` where they can."""
        return obstacle(self.vllm_config, self.model_runner)

    def genrec_start(self, beam_memory_bytes: int) -> None:
        """Search beams from now on, in so much memory."""
        host = BeamHost(self.model_runner, beam_memory_bytes)
        self._genrec_host = host
        run = self.execute_model

        def run_and_search(scheduled: Any) -> Any:
            host.note(scheduled)
            output = run(scheduled)
            host.search(scheduled)
            return output

        self.execute_model = run_and_search

    def genrec_load(self, key: str, catalogue: CatalogueMessage) -> None:
        """Index a catalogue."""
        self._genrec_host.load(key, catalogue)

    def genrec_share(self, key: str, subset: int, items: bytes) -> None:
        """Keep a set of items of a catalogue that many requests are held to."""
        self._genrec_host.catalogues[key].subsets[subset] = subset_of(items)

    def genrec_forget(self, key: str, subset: int | None = None) -> None:
        """Drop a set of items, or a catalogue."""
        catalogues = self._genrec_host.catalogues
        if subset is None:
            catalogues.pop(key, None)
        elif key in catalogues:
            catalogues[key].subsets.pop(subset, None)

    def genrec_expect(
        self, key: str, ticket: int, questions: list[Question], beams: int
    ) -> str | None:
        """Prepare for the prompts of a batch; returns what is wrong with its questions."""
        return self._genrec_host.expect(key, ticket, questions, beams)

    def genrec_collect(self, ticket: int) -> Answers:
        """Hand over the answers of a batch."""
        return self._genrec_host.collect(ticket)


class Catalogue:
    """The index of a catalogue, and the sets of its items that requests share."""

    def __init__(self, message: CatalogueMessage, device: torch.device) -> None:
        ids = semantic_ids_of(message)
        self.trie = TokenTrie.from_semantic_ids(ids, message["level_starts"]).to(device)
        self.terms = TermsReader(self.trie)
        self.subsets: dict[int, Subset] = {}


class Waiting(NamedTuple):
    """A prompt that is not answered yet."""

    ticket: int
    row: int
    prompt: CachedPrompt
    computed: int
    """How much of it is in the cache before the coming step."""


@dataclass
class Batch:
    """Questions that were announced together, and the answers that are there."""

    catalogue: Catalogue
    terms: Terms
    beams: int
    answers: dict[int, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = field(
        default_factory=dict
    )
    error: str | None = None
    is_out_of_memory: bool = False


def _seen_by(pictures: Sequence[Any], token: int) -> Any:
    """Find the picture that a token sees, if it sees one."""
    for picture in pictures:
        first = picture.mm_position.offset
        if first <= token < first + picture.mm_position.length:
            return picture.data
    return None


class BeamHost:
    """Follows vLLM's steps and searches beams for the prompts that are marked."""

    def __init__(self, runner: Any, beam_memory_bytes: int) -> None:
        self._model = PagedModel(runner)
        self._workspace = Workspace(self._model.layers)
        self._memory = beam_memory_bytes
        self._waiting: dict[str, Waiting] = {}
        self._batches: dict[int, Batch] = {}
        self.catalogues: dict[str, Catalogue] = {}

    def load(self, key: str, message: CatalogueMessage) -> None:
        """Index a catalogue."""
        self.catalogues[key] = Catalogue(message, self._model.device)

    def expect(self, key: str, ticket: int, questions: list[Question], beams: int) -> str | None:
        """Prepare for the prompts of a batch; returns what is wrong with its questions."""
        catalogue = self.catalogues[key]
        requests = [request_of(question, catalogue.subsets) for question in questions]
        try:
            terms = catalogue.terms.read(requests)
        except ValueError as error:
            return str(error)
        self._batches[ticket] = Batch(catalogue, terms, beams)
        return None

    def collect(self, ticket: int) -> Answers:
        """Hand over the answers of a batch."""
        batch = self._batches.pop(ticket)
        found = [batch.answers[row] for row in sorted(batch.answers)]
        return {
            "error": batch.error,
            "is_out_of_memory": batch.is_out_of_memory,
            "items": [items_K.tolist() for items_K, _ in found],
            "scores": [scores_K.tolist() for _, scores_K in found],
        }

    def note(self, scheduled: Any) -> None:
        """Learn from a step about to run where the marked prompts lie."""
        for name in scheduled.finished_req_ids:
            self._waiting.pop(name, None)
        for new in scheduled.scheduled_new_reqs:
            marked = new.sampling_params and (new.sampling_params.extra_args or {}).get(MARK)
            if marked:
                ticket, row = marked
                tokens, blocks = new.prompt_token_ids, tuple(new.block_ids[0])
                seen = _seen_by(new.mm_features, len(tokens) - 1)
                prompt = CachedPrompt(tokens[-1], len(tokens), blocks, seen)
                self._waiting[new.req_id] = Waiting(ticket, row, prompt, new.num_computed_tokens)
        cached = scheduled.scheduled_cached_reqs
        for name, blocks, computed in zip(
            cached.req_ids, cached.new_block_ids, cached.num_computed_tokens, strict=True
        ):
            if name not in self._waiting:
                continue
            waiting = self._waiting[name]
            had = () if name in cached.resumed_req_ids else waiting.prompt.blocks
            prompt = waiting.prompt._replace(blocks=(*had, *(blocks[0] if blocks else ())))
            self._waiting[name] = waiting._replace(prompt=prompt, computed=computed)

    @torch.inference_mode()
    def search(self, scheduled: Any) -> None:
        """Answer the prompts whose end was computed in the step that just ran."""
        ready: dict[int, list[Waiting]] = defaultdict(list)
        for name, tokens in scheduled.num_scheduled_tokens.items():
            waiting = self._waiting.get(name)
            if waiting is not None and waiting.computed + tokens >= waiting.prompt.length:
                ready[waiting.ticket].append(self._waiting.pop(name))
        for ticket, all_waiting in ready.items():
            batch = self._batches.get(ticket)
            if batch is None:
                continue  # whoever asked has gone
            try:
                for group in self._groups(all_waiting, batch):
                    self._answer(group, batch)
            except (ValueError, torch.OutOfMemoryError) as error:
                # Neither may end the engine, which others use too.
                batch.error = str(error)
                batch.is_out_of_memory = isinstance(error, torch.OutOfMemoryError)
                self._workspace.clear()

    def _groups(self, waiting: Sequence[Waiting], batch: Batch) -> Iterator[list[Waiting]]:
        """Divide prompts into groups that fit into the memory for beams."""
        room = self._memory // self._workspace.block_bytes
        size, levels = self._model.block_size, len(batch.catalogue.trie.levels)
        group: list[Waiting] = []
        longest = 0
        for one in sorted(waiting, key=lambda each: each.prompt.length):
            longest = one.prompt.length // size + batch.beams * (1 + math.ceil(levels / size))
            if group and (len(group) + 1) * longest > room:
                yield group
                group = []
            group.append(one)
        yield group

    def _answer(self, group: Sequence[Waiting], batch: Batch) -> None:
        trie = batch.catalogue.trie
        prompts = [waiting.prompt for waiting in group]
        terms = batch.terms.of(torch.tensor([waiting.row for waiting in group]))
        tails = Tails.lay_out(
            prompts, slots=batch.beams, levels=len(trie.levels), block_size=self._model.block_size
        ).to(self._model.device)
        with self._workspace.in_place_of_cache(tails):
            items_BK, scores_BK = search_scored(
                PagedScorer(self._model, self._workspace, prompts, tails), trie,
                requests=len(group), beams=batch.beams, constraints=terms.constraints,
                policy=terms.policy,
            )  # fmt: skip
        found = zip(items_BK.cpu().numpy(), scores_BK.cpu().numpy(), strict=True)
        batch.answers |= dict(zip((waiting.row for waiting in group), found, strict=True))
