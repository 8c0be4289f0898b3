"""Answers from vLLM, which computes shared prompts once and keeps many requests going.

vLLM writes text and knows no trie, so the beams are led from here. At each level every beam becomes
a request for one token that also scores the codes which may follow: exactly the allowed children of
the beam's node, by their log-probabilities in the whole vocabulary, as transformers scores them.
(To mask first and normalise over what is left would favour thin branches of the trie.) Prefix
caching keeps keys and values of prompts and paths from one level to the next. All this is vLLM's
public interface.

Shape letters in this file: B requests, W beams of each, R all of their beams, T tokens of each so
far, C children of each, A all children that are allowed.
"""

import importlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm
from transformers import AutoConfig

from genrec.decoding import (
    Constraints,
    TokenTrie,
    choose_items,
    score_answers,
    search_scored,
)
from genrec.models import FlamingoConfig
from genrec.optional import require
from genrec.prompts import Answer, Renderer
from genrec.recommender import Ranking, Rating, Request
from genrec.serving.ratings import Calibration, Floats

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class VLLMConfig:
    """How vLLM runs; the fields have the names that vLLM gives them."""

    max_model_len: int | None = None
    """Longest prompt and answer, in tokens; ``None`` takes what the model's prompts may need."""

    max_num_seqs: int = 512
    """Requests that are computed at once. Every beam is one; beyond that they wait in line."""

    gpu_memory_utilization: float = 0.9
    """Share of a GPU's memory for weights, keys and values."""

    kv_cache_memory_bytes: int | None = None
    """Memory for keys and values alone; ``None`` takes the share above, or 1 GiB without a GPU."""

    tensor_parallel_size: int = 1
    """GPUs that share each layer of the model."""

    enforce_eager: bool = False
    """Start in seconds, compiling nothing and capturing no graphs, and compute more slowly."""

    def __post_init__(self) -> None:
        if not 0 < self.gpu_memory_utilization <= 1:
            raise ValueError(
                f"gpu_memory_utilization is {self.gpu_memory_utilization}; "
                "give a share above 0 and up to 1"
            )
        for name in ("max_model_len", "max_num_seqs", "kv_cache_memory_bytes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")


class VLLMRecommender:
    """A :class:`~genrec.recommender.Recommender` over a decoder that vLLM runs.

    It gives the answers of :class:`~genrec.serving.TransformersRecommender`. Only one thread at a
    time may ask it.
    """

    def __init__(
        self,
        path: Path | str,
        renderer: Renderer,
        *,
        config: VLLMConfig | None = None,
        dtype: torch.dtype = torch.float32,
        beams: int = 20,
        batch_size: int = 64,
        phrasing: int | None = 0,
        progress: bool = False,
        calibration: Calibration | None = None,
    ) -> None:
        """Start vLLM and build the index of the catalogue.

        Args:
            path: The model directory.
            renderer: Writes the prompts.
            config: How vLLM runs.
            dtype: The precision to compute in.
            beams: Fewest beams of a search; a request for more items gets more.
            batch_size: Requests whose beams are led together.
            phrasing: Which prompt of each task to use; ``None`` takes the unseen one.
            progress: Whether to show a bar.
            calibration: How to read the model's probabilities of ratings; as they are by default.
        """
        self._renderer = renderer
        self._beams = beams
        self._batch_size = batch_size
        self._phrasing = phrasing
        self._progress = progress
        self._calibration = calibration or Calibration(scale=renderer.config.rating_scale)
        self._calibration.check_scale(renderer.config.rating_scale)
        self._trie = TokenTrie.from_semantic_ids(renderer.ids, renderer.vocabulary.level_starts)
        self._engine = _Engine(path, renderer, config or VLLMConfig(), dtype)

    def recommend(self, requests: Sequence[Request], k: int) -> list[Ranking]:
        """Rank up to ``k`` items per request by constrained beams; see ``Recommender``.

        Raises:
            ValueError: When ``k`` is below 1, a request lacks what its task needs, or its
                constraints leave no item.
        """
        if k < 1:
            raise ValueError(f"k is {k}; ask for at least 1 item")
        self._check(requests, "item")
        prompts = self._prompts(requests)
        constraints = Constraints.from_items(
            self._trie,
            exclude=[request.exclude for request in requests],
            only=[request.only for request in requests],
        )
        rankings = []
        for rows in self._batches(len(requests)):
            items_BK, scores_BK = search_scored(
                _PromptScorer(self._engine, [prompts[row] for row in rows]), self._trie,
                requests=len(rows), beams=max(k, self._beams),
                constraints=constraints.of(torch.tensor(rows)),
            )  # fmt: skip
            for items_K, scores_K in zip(items_BK.numpy(), scores_BK.numpy(), strict=True):
                found = items_K >= 0
                rankings.append(Ranking(items_K[found][:k], scores_K[found][:k]))
        return rankings

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """Answer in text, taking the likeliest token at each step; no code or marker among them.

        On a GPU vLLM masks 1,024 tokens at most, and there may be more codes. So an answer is
        written without a mask until a code or marker stops it. The likeliest token of text takes
        that one's place, and the answer goes on. A trained model hardly ever needs this.
        """
        self._check(requests, "text", "rating")
        vocabulary, room = self._renderer.vocabulary, self._renderer.config.answer_tokens
        stops = {vocabulary.eos, *vocabulary.new_tokens}
        banned = stops - {vocabulary.eos}
        prompts = self._prompts(requests)
        answers: list[list[int]] = [[] for _ in prompts]
        unfinished = list(range(len(prompts)))
        while unfinished:
            written = self._engine.write(
                [prompts[row] + answers[row] for row in unfinished],
                [room - len(answers[row]) for row in unfinished],
                stops=stops,
            )
            for row, tokens in zip(unfinished, written, strict=True):
                answers[row] += tokens
            stopped = [row for row in unfinished if answers[row][-1] in banned]
            for row in stopped:
                answers[row].pop()
            texts = [prompts[row] + answers[row] for row in stopped]
            # One token more than are banned: at least one of them is text.
            likeliest = self._engine.likeliest(texts, len(banned) + 1)
            for row, tokens in zip(stopped, likeliest, strict=True):
                answers[row].append(next(token for token in tokens if token not in banned))
            unfinished = [
                row for row in stopped
                if answers[row][-1] != vocabulary.eos and len(answers[row]) < room
            ]  # fmt: skip
        return [vocabulary.decode(answer) for answer in answers]

    def rate(self, requests: Sequence[Request]) -> list[Rating]:
        """Predict ratings from the probabilities of all that can be given; see ``Rater``."""
        return self._calibration.ratings(self.rating_log_probs(requests))

    def rating_log_probs(self, requests: Sequence[Request]) -> Floats:
        """Return the log-probability of every rating of the scale for every request."""
        self._check(requests, "rating")
        answers, prompts = self._renderer.rating_answers, self._prompts(requests)
        log_prob_ES = np.zeros((len(requests), len(answers)))
        for rows in self._batches(len(requests)):
            scorer = _PromptScorer(self._engine, [prompts[row] for row in rows])
            log_prob_ES[rows] = score_answers(scorer, answers, requests=len(rows)).numpy()
        return log_prob_ES

    def select(self, requests: Sequence[Request]) -> list[tuple[int, ...]]:
        """Choose any number of each request's candidates; see ``Selector``."""
        self._check(requests, "items")
        prompts, chosen = self._prompts(requests), []
        for rows in self._batches(len(requests)):
            chosen += choose_items(
                _PromptScorer(self._engine, [prompts[row] for row in rows]),
                self._renderer.items.tokens_NL, [requests[row].candidates for row in rows],
                end=self._renderer.vocabulary.eos,
            )  # fmt: skip
        return chosen

    def close(self) -> None:
        """Stop vLLM and free its memory; nothing can be asked after that."""
        self._engine.close()

    def _check(self, requests: Sequence[Request], *answers: Answer) -> None:
        self._renderer.tasks.check_answer((request.task for request in requests), answers)

    def _batches(self, count: int) -> Iterator[range]:
        starts = range(0, count, self._batch_size)
        for start in tqdm(starts, desc="answer", unit="batch", disable=not self._progress):
            yield range(start, min(start + self._batch_size, count))

    def _prompts(self, requests: Sequence[Request]) -> list[list[int]]:
        render = self._renderer.render
        return [render(request, phrasing=self._phrasing).prompt.tolist() for request in requests]


class _PromptScorer:
    """Scores the codes that may follow the beams of a batch of prompts."""

    def __init__(self, engine: "_Engine", prompts: Sequence[list[int]]) -> None:
        self._engine = engine
        self._prompts = prompts

    def log_probs(
        self, path_BWT: Tensor, parent_BW: Tensor, next_BWC: Tensor, is_allowed_BWC: Tensor
    ) -> Tensor:
        del parent_BW  # vLLM finds by itself what it has computed of a path
        width = path_BWT.shape[1]
        paths = path_BWT.flatten(0, 1).tolist()
        is_allowed_RC = is_allowed_BWC.flatten(0, 1)
        row_A, _ = is_allowed_RC.nonzero(as_tuple=True)
        token_A = next_BWC[is_allowed_BWC]
        wanted = defaultdict(list)
        for row, token in zip(row_A.tolist(), token_A.tolist(), strict=True):
            wanted[row].append(token)
        prompts = [self._prompts[row // width] + paths[row] for row in wanted]
        scores = self._engine.score(prompts, list(wanted.values()))
        log_prob_BWC = torch.full(next_BWC.shape, -torch.inf)
        log_prob_BWC[is_allowed_BWC] = torch.tensor([s for of_one in scores for s in of_one])
        return log_prob_BWC


class _Engine:
    """All that is asked of vLLM itself, in tokens."""

    scored_at_once = 128
    """Most tokens that one request may have scored (vLLM's ``MAX_LOGPROB_TOKEN_IDS``)."""

    def __init__(
        self, path: Path | str, renderer: Renderer, config: VLLMConfig, dtype: torch.dtype
    ) -> None:
        self._vllm = require("vllm", extra="vllm", why="VLLMRecommender")
        shape = AutoConfig.from_pretrained(str(path))
        if shape.model_type == FlamingoConfig.model_type:
            raise ValueError(
                f"{path} holds a model that sees pictures by cross-attention, which vLLM does not "
                "know; use the engine 'transformers'"
            )
        if shape.is_encoder_decoder:
            raise ValueError(
                f"{path} holds an encoder-decoder, but vLLM runs decoders alone; "
                "use the engine 'transformers'"
            )
        on_cpu = importlib.import_module("vllm.platforms").current_platform.is_cpu()
        memory = config.kv_cache_memory_bytes
        if memory is None and on_cpu:
            memory = 2**30
        prompts = renderer.config
        longest = prompts.prompt_tokens + max(prompts.answer_tokens, renderer.ids.levels)
        self._llm = self._vllm.LLM(
            str(path),
            dtype=dtype,
            max_model_len=config.max_model_len or longest,
            max_num_seqs=config.max_num_seqs,
            gpu_memory_utilization=config.gpu_memory_utilization,
            kv_cache_memory_bytes=memory,
            tensor_parallel_size=config.tensor_parallel_size,
            enforce_eager=config.enforce_eager,
            enable_prefix_caching=True,
            # Only whole blocks are found again, so that long ones (128 on a CPU) cost time.
            block_size=32 if on_cpu else None,
            max_logprobs=max(self.scored_at_once, len(renderer.vocabulary.new_tokens) + 1),
            # Text is encoded and decoded here, and nothing is taken from generation_config.json.
            skip_tokenizer_init=True,
            generation_config="vllm",
        )
        log.info("vLLM %s searches by requests of one token each", self._vllm.__version__)

    def score(self, prompts: Sequence[list[int]], wanted: Sequence[list[int]]) -> list[list[float]]:
        """Return the log-probability of every wanted token to follow its prompt."""
        asked = [
            (row, tokens[start : start + self.scored_at_once])
            for row, tokens in enumerate(wanted)
            for start in range(0, len(tokens), self.scored_at_once)
        ]
        outputs = self._run(
            [prompts[row] for row, _ in asked],
            [self._options(max_tokens=1, logprob_token_ids=tokens) for _, tokens in asked],
        )
        scores: list[list[float]] = [[] for _ in prompts]
        for (row, tokens), output in zip(asked, outputs, strict=True):
            # The token that vLLM wrote stands before those that it was asked for.
            if output.logprobs.token_ids[1:] != tokens:
                raise RuntimeError(
                    f"vLLM {self._vllm.__version__} scored other tokens than it was asked for; "
                    "install a version that genrec[vllm] allows"
                )
            scores[row] += output.logprobs.logprobs[1:]
        return scores

    def write(
        self, prompts: Sequence[list[int]], rooms: Sequence[int], *, stops: Iterable[int]
    ) -> list[list[int]]:
        """Go on with the likeliest tokens up to a stop, which is kept, or while there is room."""
        stop_tokens = sorted(stops)
        options = [self._options(max_tokens=room, stop_token_ids=stop_tokens) for room in rooms]
        return [list(output.token_ids) for output in self._run(prompts, options)]

    def likeliest(self, prompts: Sequence[list[int]], count: int) -> list[list[int]]:
        """Return the ``count`` tokens most likely to follow each prompt, best first."""
        options = [self._options(max_tokens=1, logprobs=count) for _ in prompts]
        return [output.logprobs.token_ids[1:] for output in self._run(prompts, options)]

    def close(self) -> None:
        """Stop vLLM."""
        self._llm.llm_engine.engine_core.shutdown()

    def _options(self, **options: object) -> Any:
        # Each is used for one request, so vLLM need not copy it, which would take long.
        return self._vllm.SamplingParams(
            temperature=0.0, detokenize=False, flat_logprobs=True, skip_clone=True, **options
        )

    def _run(self, prompts: Sequence[list[int]], options: Sequence[object]) -> list[Any]:
        tokens = [{"prompt_token_ids": prompt} for prompt in prompts]
        outputs = self._llm.generate(tokens, options, use_tqdm=False)
        return [output.outputs[0] for output in outputs]
