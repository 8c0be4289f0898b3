"""Pictures as answers: what a user would want to see for a query (UniMP, section 2.3, equation 9).

Shape letters in this file: R requests, W pictures of each, T codes of a picture.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from genrec.decoding.drawing import Drawing
from genrec.models.image_tokens import ImageTokenizer
from genrec.prompts import Renderer
from genrec.recommender import Ranking, Request

Codes = np.ndarray[Any, np.dtype[np.int32]]

AS_LIKELY: Drawing = Drawing()


@runtime_checkable
class Drawer(Protocol):
    """A recommender that can also answer with the codes of pictures."""

    @property
    def renderer(self) -> Renderer:
        """What writes its prompts."""
        ...

    def recommend(self, requests: Sequence[Request], k: int) -> list[Ranking]:
        """Rank items; see ``Recommender``."""
        ...

    def draw(self, requests: Sequence[Request], *, length: int, how: Drawing) -> Codes:
        """Return the codes of pictures, of shape (R, W, T)."""
        ...


class Painting(NamedTuple):
    """Pictures for one request, and what guided them."""

    pictures: list[Image.Image]
    guides: Ranking
    """The items that a search found first; none where the task does without."""


class Painter:
    """Searches for items that fit a user and a query, and draws what they have in common."""

    def __init__(self, recommender: Drawer, images: ImageTokenizer) -> None:
        """Take the model that searches and says codes, and the one that makes pictures of them.

        Raises:
            ValueError: When their codes are not the same.
        """
        known = len(recommender.renderer.vocabulary.image_tokens)
        if known != images.codebook_size:
            raise ValueError(
                f"the language model knows {known} image tokens, but the image tokenizer has "
                f"{images.codebook_size} codes; they were not made for each other"
            )
        self._recommender = recommender
        self._images = images

    def imagine(
        self,
        requests: Sequence[Request],
        *,
        guides: int = 2,
        how: Drawing = AS_LIKELY,
        task: str = "imagine",
    ) -> list[Painting]:
        """Draw for each request.

        Args:
            requests: Searches, whose answers guide the drawing.
            guides: How many of the items found are told; UniMP takes 2.
            how: How the codes of pictures are chosen.
            task: The task that draws. One without the slot ``{candidates}`` searches nothing.

        Raises:
            ValueError: When a request lacks what a task needs, such as a query.
        """
        found = [_NOTHING] * len(requests)
        drawn = [replace(request, task=task) for request in requests]
        if "candidates" in self._recommender.renderer.tasks[task].slots:
            found = self._recommender.recommend(requests, guides)
            drawn = [
                replace(request, candidates=tuple(ranking.items.tolist()))
                for request, ranking in zip(drawn, found, strict=True)
            ]
        codes_RWT = self._recommender.draw(drawn, length=self._images.length, how=how)
        return [
            Painting(self._images.decode(codes_WT), ranking)
            for codes_WT, ranking in zip(codes_RWT, found, strict=True)
        ]


_NOTHING = Ranking(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))
