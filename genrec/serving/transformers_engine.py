"""Answers from a Hugging Face model in this process."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedModel

from genrec.decoding import (
    LogitsScorer,
    StaticDecoder,
    TermsReader,
    TokenTrie,
    beam_search,
    choose_items,
    make_stepper,
    score_answers,
)
from genrec.decoding.drawing import Drawing, GuidedScorer, draw_runs, every_run
from genrec.decoding.scorers import Scorer, make_scorer
from genrec.models.picture_inputs import PictureInputs, PictureSource
from genrec.models.picture_store import following_pictures
from genrec.prompts import Answer, Example, Renderer
from genrec.recommender import Ranking, Rating, Request
from genrec.serving.batches import cut_batches, pass_in_tokens
from genrec.serving.bundle import old_rows
from genrec.serving.ratings import Calibration, Floats, fit_calibration

Codes = np.ndarray[Any, np.dtype[np.int32]]


class TransformersRecommender:
    """A :class:`~genrec.recommender.Recommender` over a decoder or an encoder-decoder.

    Requests of like length are computed together, so their order costs nothing.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        renderer: Renderer,
        *,
        beams: int = 20,
        batch_size: int = 64,
        phrasing: int | None = 0,
        progress: bool = False,
        pictures: PictureSource | None = None,
        calibration: Calibration | None = None,
        trie: TokenTrie | None = None,
        static: StaticDecoder | None = None,
    ) -> None:
        """Build the index of the catalogue for a model.

        Args:
            model: The model, on its device, in eval mode.
            renderer: Writes the prompts.
            beams: Fewest beams of a search; a request for more items gets more.
            batch_size: Requests that are computed at once.
            phrasing: Which prompt of each task to use; ``None`` takes the unseen one.
            progress: Whether to show a bar.
            pictures: Where the pictures of prompts come from, for a model that sees them.
            calibration: How to read the model's probabilities of ratings; as they are by default.
            trie: The index of the catalogue, where there is one already.
            static: Runs searches of the same model in tensors of fixed shapes. Only one thread at a
                time may then ask for recommendations.
        """
        for name, number in (("beams", beams), ("batch_size", batch_size)):
            if number < 1:
                raise ValueError(f"{name} is {number}; it must be at least 1")
        self._model = model
        self._renderer = renderer
        self._beams = beams
        self._batch_size = batch_size
        self._phrasing = phrasing
        self._progress = progress
        self._pictures = pictures
        self._calibration = calibration or Calibration(scale=renderer.config.rating_scale)
        self._calibration.check_scale(renderer.config.rating_scale)
        if trie is None:
            trie = TokenTrie.from_semantic_ids(renderer.ids, renderer.vocabulary.level_starts)
        self._trie = trie.to(model.device)
        self._terms = TermsReader(self._trie)
        self._static = static

    @property
    def renderer(self) -> Renderer:
        """What writes the prompts; it holds the catalogue that answers are about."""
        return self._renderer

    @property
    def pictures(self) -> PictureSource | None:
        """Where the pictures of prompts come from."""
        return self._pictures

    def following(self, renderer: Renderer) -> "TransformersRecommender":
        """Answer with the same model about another catalogue; this recommender stays as it is.

        Raises:
            TypeError: When the pictures cannot follow.
        """
        pictures = following_pictures(self._pictures, renderer.catalogue)
        return TransformersRecommender(
            self._model, renderer, beams=self._beams, batch_size=self._batch_size,
            phrasing=self._phrasing, progress=self._progress, pictures=pictures,
            calibration=self._calibration,
            trie=self._trie.updated(renderer.ids, old_rows(self._renderer, renderer).tolist()),
            static=self._static,
        )  # fmt: skip

    def recommend(self, requests: Sequence[Request], k: int) -> list[Ranking]:
        """Rank up to ``k`` items per request by constrained beams; see ``Recommender``.

        Raises:
            ValueError: When ``k`` is below 1, a request lacks what its task needs, or its
                constraints leave no item.
        """
        if k < 1:
            raise ValueError(f"k is {k}; ask for at least 1 item")
        self._check(requests, "item")
        all_terms = self._terms.read(requests)
        answers: dict[int, Ranking] = {}
        for rows, examples in self._batches(requests):
            tokens_BP, seen_BP, prompt_inputs = self._pad(examples)
            terms = all_terms.of(torch.tensor(rows))
            items_BK, scores_BK = beam_search(
                self._model, self._trie, tokens_BP, seen_BP,
                beams=max(k, self._beams), constraints=terms.constraints,
                policy=terms.policy, prompt_inputs=prompt_inputs, static=self._static,
            )  # fmt: skip
            for row, items_K, scores_K in zip(
                rows, items_BK.cpu().numpy(), scores_BK.cpu().numpy(), strict=True
            ):
                found = items_K >= 0
                answers[row] = Ranking(items_K[found][:k], scores_K[found][:k])
        return [answers[row] for row in range(len(requests))]

    @torch.no_grad()
    def generate(self, requests: Sequence[Request]) -> list[str]:
        """Answer in text, taking the likeliest token at each step; no code or marker among them."""
        self._check(requests, "text", "rating")
        vocabulary = self._renderer.vocabulary
        answers: dict[int, str] = {}
        passes = self._renderer.config.answer_tokens
        for rows, examples in self._batches(requests, passes=passes):
            tokens_BP, seen_BP, prompt_inputs = self._pad(examples)
            out_BT = self._model.generate(
                input_ids=tokens_BP,
                attention_mask=seen_BP,
                **prompt_inputs,
                do_sample=False,
                num_beams=1,
                max_new_tokens=self._renderer.config.answer_tokens,
                suppress_tokens=vocabulary.new_tokens,
                eos_token_id=vocabulary.eos,
                pad_token_id=vocabulary.pad,
            )
            if not self._model.config.is_encoder_decoder:
                out_BT = out_BT[:, tokens_BP.shape[1] :]
            for row, numbers in zip(rows, out_BT.tolist(), strict=True):
                answers[row] = vocabulary.decode(numbers)
        return [answers[row] for row in range(len(requests))]

    def rate(self, requests: Sequence[Request]) -> list[Rating]:
        """Predict ratings from the probabilities of all that can be given; see ``Rater``."""
        return self._calibration.ratings(self.rating_log_probs(requests))

    def calibrate(self, requests: Sequence[Request], ratings: Sequence[float]) -> Calibration:
        """Fit how to read the probabilities of ratings to some that the model has not learned from.

        From here on :meth:`rate` reads them so.
        """
        log_prob_ES = self.rating_log_probs(requests)
        scale = self._renderer.config.rating_scale
        self._calibration = fit_calibration(log_prob_ES, ratings, scale)
        return self._calibration

    @torch.no_grad()
    def rating_log_probs(self, requests: Sequence[Request]) -> Floats:
        """Return the log-probability of every rating of the scale for every request."""
        self._check(requests, "rating")
        answers = self._renderer.rating_answers
        log_prob_ES = np.zeros((len(requests), len(answers)))
        for rows, examples in self._batches(requests):
            found_BS = score_answers(
                self._scorer(examples), answers, requests=len(rows), device=self._model.device
            )
            log_prob_ES[rows] = found_BS.cpu().numpy()
        return log_prob_ES

    @torch.no_grad()
    def select(self, requests: Sequence[Request]) -> list[tuple[int, ...]]:
        """Choose any number of each request's candidates; see ``Selector``."""
        self._check(requests, "items")
        chosen: dict[int, tuple[int, ...]] = {}
        for rows, examples in self._batches(requests):
            named = choose_items(
                self._scorer(examples), self._renderer.items.tokens_NL,
                [requests[row].candidates for row in rows],
                end=self._renderer.vocabulary.eos, device=self._model.device,
            )  # fmt: skip
            chosen.update(zip(rows, named, strict=True))
        return [chosen[row] for row in range(len(requests))]

    @torch.no_grad()
    def draw(
        self, requests: Sequence[Request], *, length: int, how: Drawing | None = None
    ) -> Codes:
        """Answer with pictures: the codes of several for each request; see ``Painter``.

        Raises:
            ValueError: When the vocabulary has no image tokens.
        """
        self._check(requests, "picture")
        how, tokens = how or Drawing(), self._renderer.vocabulary.image_tokens
        if not tokens:
            raise ValueError(
                "the model's vocabulary has no image tokens; fine-tune it with an image_tokenizer "
                "and a task such as 'imagine'"
            )
        runs = every_run(tokens, length).to(self._model.device)
        codes_RWT = np.zeros((len(requests), how.samples, length), dtype=np.int32)
        for rows, examples in self._batches(requests, passes=length):
            scorer: Scorer = self._run_scorer(examples, runs)
            if how.guidance != 1:
                blank = [
                    self._renderer.render(requests[row], phrasing=self._phrasing, blank=True)
                    for row in rows
                ]
                scorer = GuidedScorer(scorer, self._run_scorer(blank, runs), guidance=how.guidance)
            drawn_BWT = draw_runs(scorer, runs, requests=len(rows), how=how)
            codes_RWT[rows] = drawn_BWT.cpu().numpy()
        return codes_RWT

    def _run_scorer(self, examples: Sequence[Example], runs: TokenTrie) -> Scorer:
        stepper = make_stepper(self._model, *self._pad(examples))
        return make_scorer(self._model, stepper, runs, renormalise=True)

    def prompt_text(self, request: Request) -> str:
        """Write out what the model reads for a request, codes and markers included."""
        prompt = self._renderer.render(request, phrasing=self._phrasing).prompt
        return str(self._renderer.vocabulary.tokenizer.decode(prompt.tolist()))

    def _check(self, requests: Sequence[Request], *answers: Answer) -> None:
        self._renderer.tasks.check_answer((request.task for request in requests), answers)

    def _scorer(self, examples: Sequence[Example]) -> LogitsScorer:
        tokens_BP, seen_BP, prompt_inputs = self._pad(examples)
        return LogitsScorer(make_stepper(self._model, tokens_BP, seen_BP, prompt_inputs))

    def _batches(
        self, requests: Sequence[Request], *, passes: int | None = None
    ) -> Iterator[tuple[list[int], list[Example]]]:
        """Yield requests of like length together, the longest first: what fails, fails early.

        Each batch takes so many passes of the model; by default as many as an ID has codes.
        """
        render = self._renderer.render
        examples = [render(request, phrasing=self._phrasing) for request in requests]
        batches = cut_batches(
            [len(example.prompt) for example in examples],
            batch_size=self._batch_size,
            worth=pass_in_tokens(self._model.device) * (passes or self._renderer.ids.levels),
        )
        for rows in tqdm(batches, desc="answer", unit="batch", disable=not self._progress):
            yield rows, [examples[row] for row in rows]

    def _pad(self, examples: Sequence[Example]) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Pad prompts on the left, so that all end where the answers begin.

        Returns:
            The tokens, what is no padding, and what else the model reads with the prompts.
        """
        longest = max(len(example.prompt) for example in examples)
        tokens_BP = np.full((len(examples), longest), self._renderer.vocabulary.pad, dtype=np.int64)
        is_token_BP = np.zeros((len(examples), longest), dtype=np.int64)
        seen = PictureInputs(len(examples), longest)
        for row, example in enumerate(examples):
            start = longest - len(example.prompt)
            tokens_BP[row, start:] = example.prompt
            is_token_BP[row, start:] = 1
            seen.place(row, start, example.owner, example.pictures)
        pictures = {} if self._pictures is None else seen.inputs(self._pictures)
        device = self._model.device
        return (
            torch.from_numpy(tokens_BP).to(device),
            torch.from_numpy(is_token_BP).to(device),
            {name: tensor.to(device) for name, tensor in pictures.items()},
        )
