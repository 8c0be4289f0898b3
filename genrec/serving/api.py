"""The Python API: from raw item ids to raw item ids."""

import math
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import Unpack

import torch

from genrec.data import Catalogue
from genrec.decoding.drawing import Drawing
from genrec.prompts import AnswerError
from genrec.recommender import Ranking, Rater, Recommender, Request, Selector, Subset
from genrec.serving.answers import Imagined, Recommendation
from genrec.serving.asking import (
    Dialogue,
    History,
    about_review,
    check_whole,
    choices_for,
    requests_for,
    talks_for,
)
from genrec.serving.bundle import load_image_tokenizer
from genrec.serving.engines import Engine, load_recommender
from genrec.serving.learned import learned_tasks, refuse_unlearned
from genrec.serving.painting import AS_LIKELY, Drawer, Painter
from genrec.serving.ratings import read_rating
from genrec.serving.vllm import VLLMConfig
from genrec.serving.wishes import Condition, Wishes, choose_subset, with_wishes


class GenRec:
    """A fine-tuned model with its catalogue: recommends, searches, selects, rates and explains.

    ``*_many`` methods answer many users in one batch, which is much faster than one by one.

    Example:
        >>> rec = GenRec.from_pretrained("runs/demo")
        >>> rec.recommend(["item-0017", "item-0203"], k=3)
    """

    def __init__(
        self,
        recommender: Recommender,
        catalogue: Catalogue,
        *,
        path: Path | str | None = None,
        tasks: Collection[str] | None = None,
    ) -> None:
        """Put raw item ids in front of any recommender.

        Args:
            recommender: What answers.
            catalogue: Its items.
            path: The model directory, for models that draw pictures.
            tasks: What the recommender has learned; others are refused with a ``TaskError``. By
                default that is not known, and all are asked.
        """
        self.recommender = recommender
        self.catalogue = catalogue
        self._path = path
        self._tasks = tasks

    @classmethod
    def from_pretrained(
        cls,
        path: Path | str,
        *,
        engine: Engine = "transformers",
        device: str | None = None,
        dtype: torch.dtype = torch.float32,
        beams: int = 20,
        batch_size: int = 64,
        progress: bool = False,
        fixed_shapes: bool = False,
        vllm: VLLMConfig | None = None,
    ) -> "GenRec":
        """Load a model directory that ``recipes/finetune.py`` wrote.

        Args:
            path: The model directory, or the run's directory that holds it as ``model``.
            engine: What computes the answers: ``transformers`` runs every model; ``vllm``, which
                the extra of that name brings, runs decoders, and faster.
            device: Where to compute, such as ``"cuda"``; by default an accelerator if there is one.
                vLLM computes where its package was built for.
            dtype: The precision to compute in.
            beams: Fewest beams of a search; more beams find better items and take longer.
            batch_size: Requests that are computed at once.
            progress: Whether long calls show a bar.
            fixed_shapes: Whether the transformers engine searches in tensors of fixed shapes, which
                a GPU replays as CUDA graphs: faster where batches are small; see
                :class:`~genrec.decoding.StaticDecoder`.
            vllm: How vLLM runs; for that engine alone.

        Raises:
            ArtifactError: When the directory is incomplete or its parts do not fit each other.
            MissingDependencyError: When the engine's package is not installed.
        """
        recommender = load_recommender(
            path, engine=engine, device=device, dtype=dtype, beams=beams, batch_size=batch_size,
            progress=progress, fixed_shapes=fixed_shapes, vllm=vllm,
        )  # fmt: skip
        catalogue = recommender.renderer.catalogue
        return cls(recommender, catalogue, path=path, tasks=learned_tasks(path))

    def recommend(
        self,
        history: History,
        *,
        k: int = 10,
        candidates: Sequence[str] | None = None,
        task: str | None = None,
        **wishes: Unpack[Wishes],
    ) -> list[Recommendation]:
        """Recommend the ``k`` items that the user is most likely to want next, best first.

        Args:
            history: Raw ids of the user's items, oldest first; may be empty.
            k: Number of items.
            candidates: A few items to choose among, which the prompt tells the model; ``only`` is
                the better choice for many, or where the model did not learn the task ``direct``.
            task: The task to ask, for tasks of one's own; by default ``recommend``, and ``direct``
                where there are candidates.
            **wishes: What the answer may name and how it is chosen: ``exclude``, ``only``,
                ``within``, ``boosts``, ``diversity``, ``temperature``, ``seed`` and ``repeat``;
                see :class:`Wishes`.

        Raises:
            DataError: When an id is not in the catalogue.
            TaskError: When the model did not learn the task.
            ValueError: When no item is left to name.
        """
        return self.recommend_many(
            [history], k=k, task=task, candidates=None if candidates is None else [candidates],
            **wishes,
        )[0]  # fmt: skip

    def recommend_many(
        self,
        histories: Sequence[History],
        *,
        k: int = 10,
        candidates: Sequence[Sequence[str]] | None = None,
        task: str | None = None,
        **wishes: Unpack[Wishes],
    ) -> list[list[Recommendation]]:
        """Recommend to many users, with the same wishes for all; see :meth:`recommend`.

        Each user has candidates of their own.
        """
        if candidates is None:
            requests = requests_for(self.catalogue, task or "recommend", histories)
        else:
            requests = choices_for(self.catalogue, task or "direct", histories, candidates)
        return self._rank(requests, k, wishes)

    def search(
        self,
        history: History,
        query: str,
        *,
        k: int = 10,
        task: str = "search",
        **wishes: Unpack[Wishes],
    ) -> list[Recommendation]:
        """Find the ``k`` items that fit the query and the user best; see :meth:`recommend`."""
        return self.search_many([history], [query], k=k, task=task, **wishes)[0]

    def search_many(
        self,
        histories: Sequence[History],
        queries: Sequence[str],
        *,
        k: int = 10,
        task: str = "search",
        **wishes: Unpack[Wishes],
    ) -> list[list[Recommendation]]:
        """Search for many users, one query each; see :meth:`search`."""
        return self._rank(requests_for(self.catalogue, task, histories, query=queries), k, wishes)

    def converse(
        self,
        dialogue: Dialogue,
        history: History = (),
        *,
        k: int = 10,
        **wishes: Unpack[Wishes],
    ) -> list[Recommendation]:
        """Recommend what a dialogue asks for.

        Args:
            dialogue: Who said what, oldest first, such as ``("user", "Something for rain?")``, and
                where it was about items which: ``("recommender", "This one.", ["item-0017"])``.
            history: What the user had before; for prompts that tell it.
            k: Number of items.
            **wishes: What the answer may name and how it is chosen; see :meth:`recommend`.
        """
        return self.converse_many([dialogue], [history], k=k, **wishes)[0]

    def converse_many(
        self,
        dialogues: Sequence[Dialogue],
        histories: Sequence[History] | None = None,
        *,
        k: int = 10,
        **wishes: Unpack[Wishes],
    ) -> list[list[Recommendation]]:
        """Recommend what many dialogues ask for; see :meth:`converse`."""
        return self._rank(talks_for(self.catalogue, "converse", dialogues, histories), k, wishes)

    def reply(self, dialogue: Dialogue) -> str:
        """Say in words what comes next in a dialogue; see :meth:`converse`."""
        return self.reply_many([dialogue])[0]

    def reply_many(self, dialogues: Sequence[Dialogue]) -> list[str]:
        """Go on with many dialogues; see :meth:`reply`."""
        return self._write(talks_for(self.catalogue, "reply", dialogues))

    def subset(self, *, items: Sequence[str] | None = None, **conditions: Condition) -> Subset:
        """Gather a set of items once, to hold many answers to by ``within``.

        Args:
            items: Raw ids of items, such as those in stock.
            **conditions: What columns of the catalogue must hold: one value, any of a list of
                values, or, for numbers, what lies in a pair ``(low, high)``, whose ends belong to
                it and may be ``None``. Items whose value is unknown are left out. All conditions
                hold together; ``one & other`` takes what is in both of two sets.

        Raises:
            DataError: When an id or a column is not in the catalogue.
            ValueError: When no item is in the set, or a condition does not fit its column.

        Example:
            >>> cheap = rec.subset(brand=["Acme", "Bolt"], price=(None, 20))
            >>> rec.recommend(["item-0017"], within=cheap)
        """
        return choose_subset(self.catalogue, items, conditions)

    def select(self, history: History, candidates: Sequence[str]) -> list[str]:
        """Name all candidates that fit the user, and maybe none."""
        return self.select_many([history], [candidates])[0]

    def select_many(
        self, histories: Sequence[History], candidates: Sequence[Sequence[str]]
    ) -> list[list[str]]:
        """Select for many users, each with candidates of their own; see ``select``."""
        if not isinstance(self.recommender, Selector):
            raise TypeError(f"{type(self.recommender).__name__} cannot select items")
        requests = choices_for(self.catalogue, "select", histories, candidates)
        refuse_unlearned(requests, self._tasks)
        chosen = self.recommender.select(requests)
        return [[self.catalogue.item_ids[row] for row in rows] for rows in chosen]

    def rate(self, history: History, item: str, *, likeliest: bool = False) -> float:
        """Predict the rating that the user would give an item.

        Args:
            history: Raw ids of the user's items, oldest first.
            item: Raw id of the item.
            likeliest: Whether to give the most probable rating; by default it is the expected one,
                the mean of all ratings weighed by their probability, which errs less.

        Raises:
            AnswerError: When the model's answer is no rating.
        """
        return self.rate_many([history], [item], likeliest=likeliest)[0]

    def rate_many(
        self, histories: Sequence[History], items: Sequence[str], *, likeliest: bool = False
    ) -> list[float]:
        """Predict a rating per user and item; see ``rate``."""
        requests = requests_for(self.catalogue, "rate", histories, item=self.catalogue.rows(items))
        return self._rate(requests, likeliest=likeliest)

    def rate_review(self, review: str, *, likeliest: bool = False) -> float:
        """Tell the rating that a review speaks of; see ``rate``."""
        return self._rate([about_review("preference", review)], likeliest=likeliest)[0]

    def explain(
        self, history: History, item: str, *, hint: str | None = None, rating: float | None = None
    ) -> str:
        """Say why the user would like an item, in the words that users write.

        Args:
            history: Raw ids of the user's items, oldest first.
            item: Raw id of the item.
            hint: A word to write about, such as a feature of the item.
            rating: The rating to explain, where it is known and no hint is given.
        """
        return self.explain_many(
            [history], [item],
            hints=None if hint is None else [hint], ratings=None if rating is None else [rating],
        )[0]  # fmt: skip

    def explain_many(
        self,
        histories: Sequence[History],
        items: Sequence[str],
        *,
        hints: Sequence[str] | None = None,
        ratings: Sequence[float] | None = None,
    ) -> list[str]:
        """Explain an item to each user; see ``explain``."""
        if hints is not None and ratings is not None:
            raise ValueError("an explanation takes a hint or a rating, not both")
        task = "explain" if ratings is None else "explain_rated"
        task = task if hints is None else "explain_hint"
        requests = requests_for(
            self.catalogue, task, histories,
            item=self.catalogue.rows(items), hint=hints, rating=ratings,
        )  # fmt: skip
        return self._write(requests)

    def summarize(self, review: str) -> str:
        """Sum up a review."""
        return self._write([about_review("summarize", review)])[0]

    def imagine(
        self,
        history: History,
        query: str,
        *,
        guides: int = 2,
        how: Drawing = AS_LIKELY,
        task: str = "imagine",
        **wishes: Unpack[Wishes],
    ) -> Imagined:
        """Draw what the user would like to find for a query, guided by what a search finds.

        Args:
            history: Raw ids of the user's items, oldest first; may be empty.
            query: What to draw, such as ``"kettle"``.
            guides: Number of items that guide the drawing.
            how: How many pictures to draw, and how their tokens are chosen.
            task: The task to ask: ``imagine``, or ``imagine_directly``, which searches nothing.
            **wishes: What may guide the drawing and how it is chosen; see :meth:`recommend`.

        Raises:
            ArtifactError: When the model was not trained to draw.
            ValueError: When the query is empty.
        """
        return self.imagine_many([history], [query], guides=guides, how=how, task=task, **wishes)[0]

    def imagine_many(
        self,
        histories: Sequence[History],
        queries: Sequence[str],
        *,
        guides: int = 2,
        how: Drawing = AS_LIKELY,
        task: str = "imagine",
        **wishes: Unpack[Wishes],
    ) -> list[Imagined]:
        """Draw for many users, one query each; see :meth:`imagine`."""
        requests = requests_for(self.catalogue, "search", histories, query=queries)
        requests = with_wishes(requests, self.catalogue, **wishes)
        refuse_unlearned([Request(task=task)], self._tasks)
        drawn = self._painter.imagine(requests, guides=guides, how=how, task=task)
        return [Imagined(one.pictures, self._named(one.guides)) for one in drawn]

    @cached_property
    def _painter(self) -> Painter:
        if not isinstance(self.recommender, Drawer) or self._path is None:
            raise TypeError(
                f"{type(self.recommender).__name__} cannot draw pictures; load a model that was "
                "trained to, with the engine 'transformers'"
            )
        return Painter(self.recommender, load_image_tokenizer(self._path))

    def _rank(
        self, requests: Sequence[Request], k: int, wishes: Wishes
    ) -> list[list[Recommendation]]:
        refuse_unlearned(requests, self._tasks)
        check_whole("k", k)
        bound = with_wishes(requests, self.catalogue, **wishes)
        return [self._named(ranking) for ranking in self.recommender.recommend(bound, k)]

    def _write(self, requests: Sequence[Request]) -> list[str]:
        refuse_unlearned(requests, self._tasks)
        return self.recommender.generate(requests)

    def _rate(self, requests: Sequence[Request], *, likeliest: bool) -> list[float]:
        refuse_unlearned(requests, self._tasks)
        if not isinstance(self.recommender, Rater):
            return [read_rating(text) for text in self.recommender.generate(requests)]
        ratings = self.recommender.rate(requests)
        numbers = [rating.likeliest if likeliest else rating.expected for rating in ratings]
        if any(map(math.isnan, numbers)):
            raise AnswerError(
                f"the model's answer is no rating; was it trained on {requests[0].task!r}?"
            )
        return numbers

    def _named(self, ranking: Ranking) -> list[Recommendation]:
        return [
            Recommendation(self.catalogue.item_ids[item], float(score))
            for item, score in zip(ranking.items, ranking.scores, strict=True)
        ]
