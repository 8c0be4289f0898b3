"""Answers from a Hugging Face model in this process."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedModel

from genrec.decoding import Constraints, TokenTrie, beam_search
from genrec.prompts import Renderer
from genrec.recommender import Ranking, Request

Tokens = np.ndarray[Any, np.dtype[np.int32]]


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
    ) -> None:
        """Build the index of the catalogue for a model.

        Args:
            model: The model, on its device, in eval mode.
            renderer: Writes the prompts.
            beams: Fewest beams of a search; a request for more items gets more.
            batch_size: Requests that are computed at once.
            phrasing: Which prompt of each task to use; ``None`` takes the unseen one.
            progress: Whether to show a bar.
        """
        self._model = model
        self._renderer = renderer
        self._beams = beams
        self._batch_size = batch_size
        self._phrasing = phrasing
        self._progress = progress
        trie = TokenTrie.from_semantic_ids(renderer.ids, renderer.vocabulary.level_starts)
        self._trie = trie.to(model.device)

    def recommend(self, requests: Sequence[Request], k: int) -> list[Ranking]:
        """Rank up to ``k`` items per request by constrained beams; see ``Recommender``.

        Raises:
            ValueError: When ``k`` is below 1, a request lacks what its task needs, or its
                constraints leave no item.
        """
        if k < 1:
            raise ValueError(f"k is {k}; ask for at least 1 item")
        constraints = Constraints.from_items(
            self._trie,
            exclude=[request.exclude for request in requests],
            only=[request.only for request in requests],
        )
        answers: dict[int, Ranking] = {}
        for rows, prompts in self._batches(requests):
            tokens_BP, seen_BP = self._pad(prompts)
            items_BK, scores_BK = beam_search(
                self._model, self._trie, tokens_BP, seen_BP,
                beams=max(k, self._beams), constraints=constraints.of(torch.tensor(rows)),
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
        vocabulary = self._renderer.vocabulary
        answers: dict[int, str] = {}
        for rows, prompts in self._batches(requests):
            tokens_BP, seen_BP = self._pad(prompts)
            out_BT = self._model.generate(
                input_ids=tokens_BP,
                attention_mask=seen_BP,
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

    def prompt_text(self, request: Request) -> str:
        """Write out what the model reads for a request, codes and markers included."""
        prompt = self._renderer.render(request, phrasing=self._phrasing).prompt
        return str(self._renderer.vocabulary.tokenizer.decode(prompt.tolist()))

    def _batches(self, requests: Sequence[Request]) -> Iterator[tuple[list[int], list[Tokens]]]:
        """Yield requests of like length together, the longest first: what fails, fails early."""
        render = self._renderer.render
        prompts = [render(request, phrasing=self._phrasing).prompt for request in requests]
        order = sorted(range(len(prompts)), key=lambda row: -len(prompts[row]))
        starts = range(0, len(order), self._batch_size)
        for start in tqdm(starts, desc="answer", unit="batch", disable=not self._progress):
            rows = order[start : start + self._batch_size]
            yield rows, [prompts[row] for row in rows]

    def _pad(self, prompts: Sequence[Tokens]) -> tuple[Tensor, Tensor]:
        """Pad prompts on the left, so that all end where the answers begin."""
        longest = max(len(prompt) for prompt in prompts)
        tokens_BP = np.full((len(prompts), longest), self._renderer.vocabulary.pad, dtype=np.int64)
        seen_BP = np.zeros((len(prompts), longest), dtype=np.int64)
        for row, prompt in enumerate(prompts):
            tokens_BP[row, longest - len(prompt) :] = prompt
            seen_BP[row, longest - len(prompt) :] = 1
        device = self._model.device
        return torch.from_numpy(tokens_BP).to(device), torch.from_numpy(seen_BP).to(device)
