"""Answers from vLLM, which computes shared prompts once and keeps many requests going."""

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from genrec.decoding import choose_items, score_answers
from genrec.models.picture_inputs import PictureSource
from genrec.models.picture_store import following_pictures
from genrec.prompts import Answer, Renderer
from genrec.recommender import Ranking, Rating, Request
from genrec.serving.ratings import Calibration, Floats
from genrec.serving.vllm.beams import PromptScorer, make_route
from genrec.serving.vllm.config import VLLMConfig
from genrec.serving.vllm.engine import Engine, Prompt
from genrec.serving.vllm.pictures import PromptPictures


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
        pictures: PictureSource | None = None,
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
            pictures: Where the pictures of prompts come from, for a model that sees them.
        """
        self._renderer = renderer
        self._beams = beams
        self._batch_size = batch_size
        self._phrasing = phrasing
        self._progress = progress
        self._calibration = calibration or Calibration(scale=renderer.config.rating_scale)
        self._calibration.check_scale(renderer.config.rating_scale)
        self._pictures = PromptPictures(pictures)
        self._engine = Engine(path, renderer, config or VLLMConfig(), dtype)
        self._beam_route = make_route(self._engine, renderer)

    @property
    def renderer(self) -> Renderer:
        """What writes the prompts, with the catalogue that answers come from."""
        return self._renderer

    @property
    def pictures(self) -> PictureSource | None:
        """Where the pictures of prompts come from."""
        return self._pictures.source

    def following(self, renderer: Renderer) -> "VLLMRecommender":
        """Return a recommender over another catalogue that asks the same vLLM.

        Both may be used, by one thread at a time; to close one closes both.

        Raises:
            TypeError: When the pictures cannot follow.
        """
        other = copy.copy(self)
        other._renderer = renderer
        pictures = following_pictures(self._pictures.source, renderer.catalogue)
        other._pictures = PromptPictures(pictures)
        other._beam_route = make_route(self._engine, renderer)
        return other

    def recommend(self, requests: Sequence[Request], k: int) -> list[Ranking]:
        """Rank up to ``k`` items per request by constrained beams; see ``Recommender``.

        Raises:
            ValueError: When ``k`` is below 1, a request lacks what its task needs, or its
                constraints leave no item.
        """
        if k < 1:
            raise ValueError(f"k is {k}; ask for at least 1 item")
        self._check(requests, "item")
        prompts, beams = self._prompts(requests), max(k, self._beams)
        rankings = []
        for rows in self._batches(len(requests)):
            rankings += self._beam_route.search(
                [prompts[row] for row in rows], [requests[row] for row in rows], beams
            )
        return [Ranking(ranking.items[:k], ranking.scores[:k]) for ranking in rankings]

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
                [prompts[row].then(answers[row]) for row in unfinished],
                [room - len(answers[row]) for row in unfinished],
                stops=stops,
            )
            for row, tokens in zip(unfinished, written, strict=True):
                answers[row] += tokens
            stopped = [row for row in unfinished if answers[row][-1] in banned]
            for row in stopped:
                answers[row].pop()
            texts = [prompts[row].then(answers[row]) for row in stopped]
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
            scorer = PromptScorer(self._engine, [prompts[row] for row in rows])
            log_prob_ES[rows] = score_answers(scorer, answers, requests=len(rows)).numpy()
        return log_prob_ES

    def select(self, requests: Sequence[Request]) -> list[tuple[int, ...]]:
        """Choose any number of each request's candidates; see ``Selector``."""
        self._check(requests, "items")
        prompts, chosen = self._prompts(requests), []
        for rows in self._batches(len(requests)):
            chosen += choose_items(
                PromptScorer(self._engine, [prompts[row] for row in rows]),
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

    def _prompts(self, requests: Sequence[Request]) -> list[Prompt]:
        render = self._renderer.render
        return self._pictures.prompts(
            [render(request, phrasing=self._phrasing) for request in requests]
        )
