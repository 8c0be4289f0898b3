"""Callers who ask a service in a closed loop, each waiting for its answer before it asks again."""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

ADMIN_TOKEN = "load"
"""What callers show, so that they may change the catalogue too."""

Bodies = Callable[[], dict[str, Any]]
"""Makes what the next request asks."""


@dataclass
class Outcome:
    """What came of some requests."""

    seconds: list[float] = field(default_factory=list)
    """Time to each answer that was one."""

    statuses: Counter[int] = field(default_factory=Counter)
    """0 counts connections that broke."""

    took: float = 0.0
    """Seconds from the first question to the last answer."""

    answers: list[dict[str, Any]] = field(default_factory=list)
    """The answers themselves, where they are kept."""

    def row(self) -> dict[str, float]:
        """Sum up: answers a second, and how late the slow ones are, in milliseconds."""
        late = np.percentile(self.seconds, (50, 95, 99)) * 1000
        names = ("p50_ms", "p95_ms", "p99_ms")
        return {
            "requests_per_second": round(len(self.seconds) / self.took, 1),
            **{name: round(float(value), 1) for name, value in zip(names, late, strict=True)},
        }


class Caller:
    """One connection that stays open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """Send a request, and return status and body of its answer."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        content = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {ADMIN_TOKEN}\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        self._writer.write(head.encode() + content)
        told = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = re.search(r"content-length: (\d+)", told)
        answer = await self._reader.readexactly(int(length[1]) if length else 0)
        if "connection: close" in told:
            self.close()
        return int(told.split(" ", 2)[1]), answer

    def close(self) -> None:
        """Hang up."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None


async def load(
    port: int,
    callers: int,
    bodies: Bodies,
    *,
    goes_on: Callable[[Outcome], bool],
    keep: bool = False,
) -> Outcome:
    """Let callers ask in a closed loop as long as something holds of what they have got."""
    outcome, began = Outcome(), time.perf_counter()

    async def call() -> None:
        caller = Caller(port)
        while goes_on(outcome):
            start = time.perf_counter()
            try:
                status, content = await caller.ask("POST", "/v1/recommend", bodies())
            except (OSError, asyncio.IncompleteReadError):
                status, content = 0, b""
                caller.close()
            outcome.statuses[status] += 1
            if status == 200:
                outcome.seconds.append(time.perf_counter() - start)
                if keep:
                    outcome.answers.append(json.loads(content))
            else:
                await asyncio.sleep(0.05)  # a polite client does not hammer
        caller.close()

    await asyncio.gather(*(call() for _ in range(callers)))
    outcome.took = time.perf_counter() - began
    return outcome


def for_seconds(seconds: float) -> Callable[[Outcome], bool]:
    """Go on for some time."""
    end = time.perf_counter() + seconds
    return lambda _: time.perf_counter() < end


def for_requests(count: int) -> Callable[[Outcome], bool]:
    """Go on until so many were asked."""
    return lambda outcome: outcome.statuses.total() < count
