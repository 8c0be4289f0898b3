"""What stands before every route: who may come in, how many, with how much, and for how long."""

import asyncio
import hashlib
import hmac
import json
import logging
import time
import uuid
from collections.abc import Awaitable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genrec.serving.service.config import ServiceConfig
from genrec.serving.service.errors import Refusal
from genrec.serving.service.logs import access
from genrec.serving.service.metrics import Metrics

log = logging.getLogger(__name__)

CATALOGUE = "/v1/catalogue"

GONE = 499
"""The status that logs and counters give to requests of clients that have left, as nginx does."""

_OPEN = ("/health", "/ready", "/")
"""What needs no token: it tells nothing."""

_METHODS = ("GET", "HEAD", "OPTIONS", "POST")
"""What is counted by its name: clients may make others up."""

_SECURITY = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


class Guard:
    """Middleware that checks tokens, bodies and times, counts, and logs one line per request."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        config: ServiceConfig,
        metrics: Metrics,
        token: str | None = None,
        admin_token: str | None = None,
    ) -> None:
        """Stand before an application.

        Args:
            app: The application.
            config: Limits and times.
            metrics: Counts requests.
            token: What clients must show; nothing if left out.
            admin_token: What changes of the catalogue need; none can be made if left out.
        """
        self._app, self._config, self._metrics = app, config, metrics
        self._token, self._admin_token = token, admin_token
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        watch = _Watch(scope, send)
        self._in_flight += 1
        self._metrics.in_flight.set(self._in_flight)
        try:
            await self._answer(scope, receive, watch)
        except Refusal as refusal:
            await watch.refuse(refusal)
        except Exception:
            log.exception("a request failed", extra={"facts": {"request": watch.request_id}})
            remedy = f"tell its keeper about request {watch.request_id}"
            failure = Refusal(500, "internal", "the service failed to answer", remedy=remedy)
            await watch.refuse(failure)
        finally:
            self._in_flight -= 1
            self._metrics.in_flight.set(self._in_flight)
            self._note(scope, watch)

    async def _answer(self, scope: Scope, receive: Receive, watch: "_Watch") -> None:
        limits, path = self._config.limits, scope["path"]
        is_change = path.startswith(CATALOGUE) and scope["method"] != "GET"
        if self._in_flight > limits.concurrent and path not in _OPEN:
            raise Refusal(
                429, "overloaded", "too many requests at once", remedy="come back in 1 s",
                retry_after_s=1,
            )  # fmt: skip
        self._check_token(scope, is_change)
        most = limits.catalogue_body_bytes if is_change else limits.body_bytes
        try:
            async with asyncio.timeout(self._config.body_timeout_s):
                body = await _read(scope, receive, most)
        except TimeoutError:
            raise Refusal(
                408, "slow", f"the body did not come within {self._config.body_timeout_s:g} s",
                remedy="send it faster, or less of it",
            ) from None  # fmt: skip
        limit_s = self._config.catalogue_timeout_s if is_change else self._config.timeout_s
        try:
            async with asyncio.timeout(limit_s):
                answer = self._app(scope, _replay(body, receive), watch.send)
                is_question = scope["method"] == "POST" and not is_change
                await (_while_there(answer, receive) if is_question else answer)
        except TimeoutError:
            raise Refusal(
                504, "timeout", f"there was no answer within {limit_s:g} s",
                remedy="ask for less, or again later", retry_after_s=1,
            ) from None  # fmt: skip

    def _check_token(self, scope: Scope, is_change: bool) -> None:
        path = scope["path"]
        if path in _OPEN or path.startswith("/page/"):
            return
        given = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        kind, _, shown = given.partition(" ")
        shown = shown.strip() if kind.lower() == "bearer" else ""
        is_admin = self._admin_token is not None and _equal(shown, self._admin_token)
        if is_change:
            if self._admin_token is None:
                raise Refusal(
                    403, "no_changes", "this service takes no changes of the catalogue",
                    remedy="start it with an admin token",
                )  # fmt: skip
            if not is_admin:
                raise _unauthorized("changes of the catalogue need the admin token")
        elif self._token is not None and not is_admin and not _equal(shown, self._token):
            raise _unauthorized("this service needs a token")

    def _note(self, scope: Scope, watch: "_Watch") -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        seconds = time.perf_counter() - watch.began
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        self._metrics.requests.labels(route, method, str(watch.status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        facts = {
            "request": watch.request_id, "route": route, "method": method,
            "status": watch.status, "seconds": round(seconds, 4), "bytes": watch.bytes,
        }  # fmt: skip
        access.info("answered", extra={"facts": facts})


class _Watch:
    """Sends an answer, with what all answers carry, and remembers what it was."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        self.request_id = uuid.uuid4().hex
        self.began = time.perf_counter()
        self.status, self.bytes = 0, 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message.get("headers", []))
            names = {name.lower() for name, _ in headers}
            extra = {**_SECURITY, "x-request-id": self.request_id, "cache-control": "no-store"}
            for name, value in extra.items():
                if name.encode() not in names:
                    headers.append((name.encode(), value.encode()))
            message = {**message, "headers": headers}
        elif message["type"] == "http.response.body":
            self.bytes += len(message.get("body", b""))
        await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        if self.status:
            return  # too late: the answer has begun, and breaks off here
        body = json.dumps(refusal.body).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body))}
        headers |= {name.lower(): value for name, value in refusal.headers.items()}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": refusal.status, "headers": raw})
        await self.send({"type": "http.response.body", "body": body})


async def _read(scope: Scope, receive: Receive, most: int) -> bytes:
    """Read a body up to its largest size, without trusting what it says of itself."""
    too_large = Refusal(
        413, "too_large", f"the body is larger than {most:,} bytes",
        remedy="send fewer items at once, or smaller pictures",
    )  # fmt: skip
    told = dict(scope["headers"]).get(b"content-length", b"0")
    if told.isdigit() and int(told) > most:
        raise too_large
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(GONE, "gone", "the client has left")
        part, more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        if size > most:
            raise too_large
        parts.append(part)
    return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give out a body that was read already."""
    first: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return first.pop() if first else await receive()

    return replay


async def _while_there(answer: Awaitable[None], receive: Receive) -> None:
    """Answer as long as the client waits for it: nothing is computed for who has left."""
    answering = asyncio.ensure_future(answer)
    leaving = asyncio.ensure_future(receive())  # all else has been received
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise Refusal(GONE, "gone", "the client has left")
        answering.result()
    finally:
        answering.cancel()
        leaving.cancel()


def _equal(shown: str, expected: str) -> bool:
    """Compare two tokens in a time that tells neither where they differ nor how long they are."""
    digests = (hashlib.sha256(text.encode()).digest() for text in (shown, expected))
    return hmac.compare_digest(*digests)


def _unauthorized(message: str) -> Refusal:
    refusal = Refusal(
        401, "unauthorized", message, remedy="send the header 'Authorization: Bearer <token>'"
    )
    refusal.headers["WWW-Authenticate"] = "Bearer"
    return refusal
