"""A recommender behind genrec's HTTP service, as any other one."""

import json
import math
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import numpy as np

from genrec.data import Catalogue
from genrec.recommender import Ranking, Rating, Request, refuse_preferences

Answer = TypeVar("Answer")

_ROUTES: Final = {"recommend": "/v1/recommend", "search": "/v1/search"}
_BUSY: Final = 429
_NO_RATING: Final = "answer is no rating"


class ServiceError(RuntimeError):
    """The service did not answer a request, or answered about items that the catalogue lacks."""


class HTTPRecommender:
    """Asks a service of ``recipes/serve.py`` for rankings, ratings, choices and explanations.

    Requests of one batch are sent side by side, so that the service can batch them. One that is
    told to wait waits and asks again.
    """

    tasks = ("recommend", "search", "select", "rate", "explain", "explain_rated", "explain_hint")

    def __init__(
        self,
        url: str,
        catalogue: Catalogue,
        *,
        token: str | None = None,
        callers: int = 16,
        timeout: float = 60.0,
        attempts: int = 20,
    ) -> None:
        """Remember where the service is.

        Args:
            url: Its address, such as ``http://127.0.0.1:8000``.
            catalogue: The items, which must be those of the service.
            token: The bearer token that it asks for, if it does.
            callers: Requests that are under way at once.
            timeout: Seconds to wait for an answer.
            attempts: How often a request is sent that the service is too busy for.
        """
        self._url = url.rstrip("/")
        self._catalogue = catalogue
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._callers = callers
        self._timeout = timeout
        self._attempts = attempts

    def recommend(self, requests: Sequence[Request], k: int) -> list[Ranking]:
        """See ``Recommender``."""
        refuse_preferences(requests, "this client")

        def one(request: Request) -> Ranking:
            if request.task not in _ROUTES:
                raise NotImplementedError(f"the service has no route for {request.task!r}")
            told = self._send(_ROUTES[request.task], self._wanted(request, k))
            scores = [item["score"] for item in told["items"]]
            return Ranking(self._rows(told["items"]), np.array(scores, dtype=np.float32))

        return self._each(one, requests)

    def rate(self, requests: Sequence[Request]) -> list[Rating]:
        """See ``Rater``."""

        def one(request: Request) -> Rating:
            body = {"history": self._ids(request.history), "items": [self._item(request)]}
            try:
                (told,) = self._send("/v1/rate", body)["ratings"]
            except ServiceError as error:
                if _NO_RATING not in str(error):
                    raise
                return Rating(math.nan, math.nan)  # the harness counts it
            return Rating(told["expected"], told["likeliest"])

        return self._each(one, requests)

    def select(self, requests: Sequence[Request]) -> list[tuple[int, ...]]:
        """See ``Selector``."""

        def one(request: Request) -> tuple[int, ...]:
            candidates = self._ids(request.candidates)
            body = {"history": self._ids(request.history), "candidates": candidates}
            return tuple(self._catalogue.rows(self._send("/v1/select", body)["items"]))

        return self._each(one, requests)

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """See ``Recommender``."""

        def one(request: Request) -> str:
            body: dict[str, Any] = {
                "history": self._ids(request.history), "item": self._item(request),
            }  # fmt: skip
            if request.task == "explain_hint":
                body["hint"] = request.hint
            elif request.task == "explain_rated":
                body["rating"] = request.rating
            elif request.task != "explain":
                raise NotImplementedError(f"the service has no route for {request.task!r}")
            return str(self._send("/v1/explain", body)["text"])

        return self._each(one, requests)

    def _wanted(self, request: Request, k: int) -> dict[str, Any]:
        body: dict[str, Any] = {
            "history": self._ids(request.history),
            "k": k,
            "exclude": self._ids(set(request.exclude) - set(request.history)),
            "repeat": not set(request.history) <= set(request.exclude),
            "in_stock": False,  # the whole catalogue is ranked
        }
        if request.task == "search":
            body["query"] = request.query
        if request.only is not None or request.within is not None:
            body["only"] = self._ids(np.flatnonzero(request.allowed(len(self._catalogue))))
        return body

    def _each(self, ask: Callable[[Request], Answer], requests: Sequence[Request]) -> list[Answer]:
        with ThreadPoolExecutor(self._callers) as callers:
            return list(callers.map(ask, requests))

    def _send(self, route: str, body: Mapping[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            self._url + route, json.dumps(body).encode(), self._headers, method="POST"
        )
        for _ in range(self._attempts):
            try:
                with urllib.request.urlopen(request, timeout=self._timeout) as answer:
                    told: dict[str, Any] = json.load(answer)
                    return told
            except urllib.error.HTTPError as error:
                if error.code != _BUSY:
                    text = error.read().decode(errors="replace")[:500]
                    raise ServiceError(f"{route} answered {error.code}: {text}") from error
                time.sleep(float(error.headers.get("Retry-After", "1")))
            except OSError as error:
                raise ServiceError(f"{self._url} does not answer: {error}") from error
        raise ServiceError(f"{route} was too busy {self._attempts} times; send fewer at once")

    def _ids(self, rows: Any) -> list[str]:
        return [self._catalogue.item_ids[row] for row in rows]

    def _rows(self, told: Sequence[Mapping[str, Any]]) -> Any:
        return np.array(self._catalogue.rows(item["item_id"] for item in told), dtype=np.int64)

    def _item(self, request: Request) -> str:
        if request.item is None:
            raise ValueError(f"a request of the task {request.task!r} must name an item")
        return self._catalogue.item_ids[request.item]
