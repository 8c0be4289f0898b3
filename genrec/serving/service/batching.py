"""Many callers, one engine: what is asked at the same time is computed together.

An engine computes many requests in hardly more time than one, but only one thread may ask it. So
callers leave their requests in a queue. Whenever the engine is free, all that are waiting for the
same kind of answer as the oldest one go to it as one batch.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

from genrec.recommender import Request

T = TypeVar("T")

log = logging.getLogger(__name__)

Method = Literal["recommend", "rate", "generate", "select", "paint"]


class Call(NamedTuple):
    """What requests must have in common to be computed together."""

    engine: Any
    """The recommender, which is that of one version of the catalogue, or a ``Canvas`` over it."""

    method: Method
    k: int | None = None
    """Items per request, where ``method`` is ``recommend``."""

    def __call__(self, requests: Sequence[Request]) -> Sequence[Any]:
        """Ask the engine."""
        ask = getattr(self.engine, self.method)
        answers: Sequence[Any] = ask(requests) if self.k is None else ask(requests, self.k)
        return answers


class OverloadedError(Exception):
    """More requests wait than may; the answer is to come back later."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"the queue is full; come back in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class ClosingError(Exception):
    """The service shuts down and takes nothing more."""


class Batch(NamedTuple):
    """What one batch was, for whoever counts."""

    method: str
    size: int
    seconds: float


@dataclass(eq=False)
class _Waiting:
    call: Call | None
    """``None`` for other work on the engine's thread."""

    work: Any
    """The request, or what to run."""

    answer: asyncio.Future[Any] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Batcher:
    """Gathers the requests of all callers into batches for one thread that asks the engine."""

    def __init__(
        self,
        *,
        batch_size: int = 64,
        gather_s: float = 0.003,
        most_waiting: int = 256,
        on_batch: Callable[[Batch], None] = lambda batch: None,
    ) -> None:
        """Set the limits; :meth:`start` begins to work.

        Args:
            batch_size: Most requests in a batch.
            gather_s: How long a request that finds the engine idle waits for others to join it.
            most_waiting: Most requests in the queue; one more is refused.
            on_batch: Told of every batch, on the event loop.
        """
        self._batch_size, self._gather_s = batch_size, gather_s
        self._most_waiting, self._on_batch = most_waiting, on_batch
        self._queue: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")
        self._task: asyncio.Task[None] | None = None
        self._is_closing = self._is_closed = False
        self._seconds_per_request = 0.01

    def start(self) -> None:
        """Begin to work, in the event loop that is running."""
        self._task = asyncio.get_running_loop().create_task(self._serve())

    async def close(self) -> None:
        """Refuse new requests, answer all that were taken, and stop."""
        self._is_closing = True
        self._arrived.set()
        if self._task is not None:
            await self._task
        self._is_closed = True
        self._thread.shutdown()

    @property
    def is_open(self) -> bool:
        """Whether it works, and takes requests."""
        return self._task is not None and not self._is_closing

    @property
    def waiting(self) -> int:
        """How many requests are in the queue."""
        return len(self._queue)

    async def ask(self, call: Call, request: Request) -> Any:
        """Have one request answered, together with others like it.

        A caller that stops waiting costs nothing more: its request leaves the queue, or its answer
        is thrown away with the batch that it is in.

        Raises:
            OverloadedError: When too many wait.
            ClosingError: When the service shuts down.
        """
        if len(self._queue) >= self._most_waiting:
            wait_s = len(self._queue) * self._seconds_per_request
            raise OverloadedError(max(1, math.ceil(wait_s)))
        return await self._enqueue(_Waiting(call, request))

    async def run(self, work: Callable[[], T]) -> T:
        """Run something on the engine's thread, between two batches."""
        answer: T = await self._enqueue(_Waiting(None, work))
        return answer

    def afterwards(self, work: Callable[[], object]) -> None:
        """Run something on the engine's thread as soon as the batch that runs now is done."""
        if self._is_closed:
            work()
        else:
            self._thread.submit(work)

    async def _enqueue(self, waiting: _Waiting) -> Any:
        if self._is_closing:
            raise ClosingError("the service shuts down")
        self._queue.append(waiting)
        self._arrived.set()
        return await waiting.answer

    async def _serve(self) -> None:
        while True:
            if not self._queue:
                if self._is_closing:
                    return
                self._arrived.clear()
                await self._arrived.wait()
                await asyncio.sleep(0 if self._is_closing else self._gather_s)
            batch = self._take()
            if batch:
                await self._compute(batch)

    def _take(self) -> list[_Waiting]:
        """Take the oldest request that somebody still waits for, and all that fit it."""
        waiting = [one for one in self._queue if not one.answer.done()]
        if not waiting:
            self._queue.clear()
            return []
        call = waiting[0].call
        most = 1 if call is None else self._batch_size
        batch = [one for one in waiting if one.call == call][:most]
        taken = set(map(id, batch))
        self._queue = deque(one for one in waiting if id(one) not in taken)
        return batch

    async def _compute(self, batch: list[_Waiting]) -> None:
        call, work = batch[0].call, [one.work for one in batch]
        loop, began = asyncio.get_running_loop(), time.perf_counter()
        if call is None:
            answers = await loop.run_in_executor(self._thread, _run, work[0])
        else:
            answers = await loop.run_in_executor(self._thread, _answer, call, work)
            seconds = time.perf_counter() - began
            # The latest batches count most.
            self._seconds_per_request += 0.2 * (seconds / len(batch) - self._seconds_per_request)
            self._on_batch(Batch(call.method, len(batch), seconds))
        for one, answer in zip(batch, answers, strict=True):
            if one.answer.done():
                continue
            if isinstance(answer, Exception):
                one.answer.set_exception(answer)
            else:
                one.answer.set_result(answer)


def _run(work: Callable[[], Any]) -> list[Any]:
    try:
        return [work()]
    except Exception as error:
        return [error]


def _answer(call: Call, requests: list[Request]) -> list[Any]:
    """Ask the engine; where a batch fails, each request alone, so that only the culprit fails."""
    try:
        answers = list(call(requests))
        if len(answers) != len(requests):
            raise RuntimeError(f"{len(requests)} requests were given {len(answers)} answers")
        return answers
    except Exception as error:
        if len(requests) == 1:
            return [error]
        log.warning("a batch of %d failed (%s); one by one", len(requests), type(error).__name__)
        return [_answer(call, [request])[0] for request in requests]
