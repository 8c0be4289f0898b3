"""A recommender behind genrec's HTTP service, as any other one."""

import json
import math
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, Final, TypeVar

import numpy as np

from genrec.data import Catalogue
from genrec.recommender import Ranking, Rating, Request, refuse_preferences

Answer = TypeVar("Answer")

_RANKED: Final = {
    "recommend": "/v1/recommend", "search": "/v1/search", "direct": "/v1/recommend",
    "converse": "/v1/converse",
}  # fmt: skip
_TEXTS: Final = {
    "explain": "/v1/explain", "explain_rated": "/v1/explain", "explain_hint": "/v1/explain",
    "summarize": "/v1/summarize", "reply": "/v1/reply",
}  # fmt: skip
_ASKED: Final = (*_RANKED, *_TEXTS, "select", "rate", "preference")
_BUSY: Final = 429
_NO_RATING: Final = "answer is no rating"


class ServiceError(RuntimeError):
    """The service did not answer a request, or answered about items that the catalogue lacks."""


class HTTPRecommender:
    """Asks a service of ``recipes/serve.py`` for rankings, ratings, choices and texts.

    Requests of one batch are sent side by side, so that the service can batch them. One that is
    told to wait waits and asks again.
    """

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

        Raises:
            ValueError: When that is no address.
        """
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} is no address of a service; give http://HOST:PORT")
        self._url = url.rstrip("/")
        self._catalogue = catalogue
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._callers = callers
        self._timeout = timeout
        self._attempts = attempts

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that the service has a route for and its model learned.

        Raises:
            ServiceError: When the service does not answer.
        """
        served = self._send("/v1/catalogue")["tasks"]
        return tuple(task for task in _ASKED if task in served)

    def recommend(self, requests: Sequence[Request], k: int) -> list[Ranking]:
        """See ``Recommender``."""
        refuse_preferences(requests, "this client")

        def one(request: Request) -> Ranking:
            told = self._send(_route(_RANKED, request), self._wanted(request, k))
            scores = [item["score"] for item in told["items"]]
            return Ranking(self._rows(told["items"]), np.array(scores, dtype=np.float32))

        return self._each(one, requests)

    def rate(self, requests: Sequence[Request]) -> list[Rating]:
        """See ``Rater``."""

        def one(request: Request) -> Rating:
            try:
                if request.task == "preference":
                    told = self._send("/v1/rate_review", {"review": request.review})
                else:
                    body = {"history": self._ids(request.history), "items": [self._item(request)]}
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
            route = _route(_TEXTS, request)
            if request.task == "summarize":
                return str(self._send(route, {"review": request.review})["text"])
            body: dict[str, Any] = {"history": self._ids(request.history)}
            if request.task == "reply":
                return str(self._send(route, body | self._talk(request))["text"])
            body["item"] = self._item(request)
            if request.task == "explain_hint":
                body["hint"] = request.hint
            elif request.task == "explain_rated":
                body["rating"] = request.rating
            return str(self._send(route, body)["text"])

        return self._each(one, requests)

    def _wanted(self, request: Request, k: int) -> dict[str, Any]:
        history, exclude = set(request.history), set(request.exclude)
        repeat = not history <= exclude
        body: dict[str, Any] = {
            "history": self._ids(request.history),
            "k": k,
            "exclude": self._ids(exclude if repeat else exclude - history),
            "repeat": repeat,
            "in_stock": False,  # the whole catalogue is ranked
        }
        if request.task == "search":
            body["query"] = request.query
        elif request.task == "converse":
            body |= self._talk(request)
        elif request.task == "direct":
            body["candidates"] = self._ids(request.candidates)
        if request.only is not None or request.within is not None:
            body["only"] = self._ids(np.flatnonzero(request.allowed(len(self._catalogue))))
        return body

    def _talk(self, request: Request) -> dict[str, Any]:
        return {
            "dialogue": [
                {"speaker": turn.speaker, "text": turn.text, "items": self._ids(turn.items)}
                for turn in request.dialogue
            ]
        }

    def _each(self, ask: Callable[[Request], Answer], requests: Sequence[Request]) -> list[Answer]:
        with ThreadPoolExecutor(self._callers) as callers:
            return list(callers.map(ask, requests))

    def _send(self, route: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Post a body, or get what is there where none is given."""
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + route, content, self._headers)
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


def _route(routes: Mapping[str, str], request: Request) -> str:
    if request.task not in routes:
        raise NotImplementedError(f"the service has no route for {request.task!r}")
    return routes[request.task]
