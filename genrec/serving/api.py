"""The Python API: from raw item ids to raw item ids."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from genrec.data import Catalogue
from genrec.recommender import Ranking, Recommender, Request
from genrec.serving.bundle import load_bundle, load_renderer, model_directory
from genrec.serving.transformers_engine import TransformersRecommender
from genrec.serving.vllm_engine import VLLMConfig, VLLMRecommender

History = Sequence[str]


class Recommendation(NamedTuple):
    """One recommended item."""

    item_id: str
    """The shop's own id of the item."""

    score: float
    """Its log-probability."""


class AnswerError(ValueError):
    """A model's answer in text is not what the task asks for."""


class GenRec:
    """A fine-tuned model with its catalogue: recommends, searches, rates and explains.

    ``*_many`` methods answer many users in one batch, which is much faster than one by one.

    Example:
        >>> rec = GenRec.from_pretrained("runs/demo")
        >>> rec.recommend(["item-0017", "item-0203"], k=3)
    """

    def __init__(self, recommender: Recommender, catalogue: Catalogue) -> None:
        """Put raw item ids in front of any recommender."""
        self.recommender = recommender
        self.catalogue = catalogue

    @classmethod
    def from_pretrained(
        cls,
        path: Path | str,
        *,
        engine: Literal["transformers", "vllm"] = "transformers",
        device: str | None = None,
        dtype: torch.dtype = torch.float32,
        beams: int = 20,
        batch_size: int = 64,
        progress: bool = False,
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
            vllm: How vLLM runs; for that engine alone.

        Raises:
            ArtifactError: When the directory is incomplete or its parts do not fit each other.
            MissingDependencyError: When the engine's package is not installed.
        """
        if engine == "transformers":
            model, renderer = load_bundle(path, dtype=dtype)
            model.to(device or _best_device())
            local = TransformersRecommender(
                model, renderer, beams=beams, batch_size=batch_size, progress=progress
            )
            return cls(local, renderer.catalogue)
        if engine != "vllm":
            raise ValueError(f"there is no engine {engine!r}; there are 'transformers' and 'vllm'")
        if device is not None:
            raise ValueError(
                f"vLLM cannot be told to use {device!r}: it computes where its package was built "
                "for; leave the device out"
            )
        renderer = load_renderer(path)
        served = VLLMRecommender(
            model_directory(path), renderer, config=vllm, dtype=dtype, beams=beams,
            batch_size=batch_size, progress=progress,
        )  # fmt: skip
        return cls(served, renderer.catalogue)

    def recommend(
        self,
        history: History,
        *,
        k: int = 10,
        exclude: Sequence[str] = (),
        only: Sequence[str] | None = None,
        repeat: bool = False,
    ) -> list[Recommendation]:
        """Recommend the ``k`` items that the user is most likely to want next, best first.

        Args:
            history: Raw ids of the user's items, oldest first; may be empty.
            k: Number of items.
            exclude: Items that must not be named.
            only: Items that may be named, such as those in stock; ``None`` allows all.
            repeat: Whether items of the history may be named again.

        Raises:
            DataError: When an id is not in the catalogue.
            ValueError: When no item is left to name.
        """
        return self.recommend_many([history], k=k, exclude=exclude, only=only, repeat=repeat)[0]

    def recommend_many(
        self,
        histories: Sequence[History],
        *,
        k: int = 10,
        exclude: Sequence[str] = (),
        only: Sequence[str] | None = None,
        repeat: bool = False,
    ) -> list[list[Recommendation]]:
        """Recommend to many users; ``exclude`` and ``only`` hold for all. See ``recommend``."""
        return self._rank("recommend", histories, None, k, exclude, only, repeat)

    def search(
        self,
        history: History,
        query: str,
        *,
        k: int = 10,
        exclude: Sequence[str] = (),
        only: Sequence[str] | None = None,
        repeat: bool = False,
    ) -> list[Recommendation]:
        """Find the ``k`` items that fit the query and the user best; see ``recommend``."""
        return self.search_many([history], [query], k=k, exclude=exclude, only=only, repeat=repeat)[
            0
        ]

    def search_many(
        self,
        histories: Sequence[History],
        queries: Sequence[str],
        *,
        k: int = 10,
        exclude: Sequence[str] = (),
        only: Sequence[str] | None = None,
        repeat: bool = False,
    ) -> list[list[Recommendation]]:
        """Search for many users, one query each; see ``search``."""
        return self._rank("search", histories, queries, k, exclude, only, repeat)

    def rate(self, history: History, item: str) -> float:
        """Predict the rating that the user would give an item.

        Raises:
            AnswerError: When the model's answer is no number.
        """
        return self.rate_many([history], [item])[0]

    def rate_many(self, histories: Sequence[History], items: Sequence[str]) -> list[float]:
        """Predict a rating per user and item; see ``rate``."""
        return [_rating(text) for text in self._write("rate", histories, items)]

    def explain(self, history: History, item: str) -> str:
        """Say why the user would like an item, in the words that users write."""
        return self.explain_many([history], [item])[0]

    def explain_many(self, histories: Sequence[History], items: Sequence[str]) -> list[str]:
        """Explain an item to each user; see ``explain``."""
        return self._write("explain", histories, items)

    def _rank(
        self,
        task: str,
        histories: Sequence[History],
        queries: Sequence[str] | None,
        k: int,
        exclude: Sequence[str],
        only: Sequence[str] | None,
        repeat: bool,
    ) -> list[list[Recommendation]]:
        _same_length("histories", histories, "queries", queries)
        banned = self.catalogue.rows(exclude)
        wanted = None if only is None else tuple(self.catalogue.rows(only))
        requests = []
        for number, history in enumerate(map(self._rows, histories)):
            request = Request(
                task=task,
                history=history,
                query=queries[number] if queries is not None else None,
                exclude=tuple(banned) if repeat else (*banned, *history),
                only=wanted,
            )
            requests.append(request)
        return [self._named(ranking) for ranking in self.recommender.recommend(requests, k)]

    def _write(self, task: str, histories: Sequence[History], items: Sequence[str]) -> list[str]:
        _same_length("histories", histories, "items", items)
        rows = self.catalogue.rows(items)
        return self.recommender.generate([
            Request(task=task, history=self._rows(history), item=row)
            for history, row in zip(histories, rows, strict=True)
        ])  # fmt: skip

    def _rows(self, history: History) -> tuple[int, ...]:
        if isinstance(history, str):
            raise TypeError(f"a history is a list of item ids, not the text {history!r}")
        return tuple(self.catalogue.rows(history))

    def _named(self, ranking: Ranking) -> list[Recommendation]:
        return [
            Recommendation(self.catalogue.item_ids[item], float(score))
            for item, score in zip(ranking.items, ranking.scores, strict=True)
        ]


def _same_length(
    first: str, firsts: Sequence[object], second: str, seconds: Sequence[object] | None
) -> None:
    if seconds is not None and len(firsts) != len(seconds):
        raise ValueError(
            f"there are {len(firsts)} {first}, but {len(seconds)} {second}; give one each"
        )


def _rating(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise AnswerError(
            f"the model answered {text!r}, which is no rating; was it trained on the task 'rate'?"
        ) from None


def _best_device() -> torch.device:
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
