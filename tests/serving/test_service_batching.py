import asyncio
import threading

import pytest

from genrec.recommender import Request
from genrec.serving.service.batching import Batcher, Call, ClosingError, OverloadedError


class Echo:
    """An engine that answers with what it was asked, and can be held up."""

    def __init__(self):
        self.batches, self.threads = [], set()
        self.gate = threading.Event()
        self.gate.set()

    def recommend(self, requests, k):
        self.threads.add(threading.get_ident())
        self.batches.append([request.history for request in requests])
        self.gate.wait(5)
        if any(request.history == (13,) for request in requests):
            raise ValueError("unlucky")
        if any(request.history == (17,) for request in requests):
            return []
        return [(*request.history, k) for request in requests]

    def generate(self, requests):
        self.batches.append(["text" for _ in requests])
        return ["text" for _ in requests]


def run(scenario, **limits):
    async def main():
        engine, batcher = Echo(), Batcher(**limits)
        batcher.start()
        try:
            return await scenario(engine, batcher)
        finally:
            engine.gate.set()
            await batcher.close()

    return asyncio.run(asyncio.wait_for(main(), 20))


def one(number):
    return Request(history=(number,))


def test_callers_share_a_batch_and_each_gets_its_own_answer():
    async def scenario(engine, batcher):
        call = Call(engine, "recommend", 5)
        answers = await asyncio.gather(*(batcher.ask(call, one(n)) for n in range(10)))
        assert answers == [(n, 5) for n in range(10)]
        assert [len(batch) for batch in engine.batches] == [10]
        assert len(engine.threads) == 1

    run(scenario)


def test_a_batch_holds_one_kind_of_question_and_the_oldest_goes_first():
    async def scenario(engine, batcher):
        asks = [
            batcher.ask(Call(engine, "recommend", 5), one(0)),
            batcher.ask(Call(engine, "generate"), one(1)),
            batcher.ask(Call(engine, "recommend", 5), one(2)),
            batcher.ask(Call(engine, "recommend", 6), one(3)),
        ]
        assert await asyncio.gather(*asks) == [(0, 5), "text", (2, 5), (3, 6)]
        assert engine.batches == [[(0,), (2,)], ["text"], [(3,)]]

    run(scenario)


def test_batches_are_no_larger_than_allowed():
    async def scenario(engine, batcher):
        call = Call(engine, "recommend", 1)
        await asyncio.gather(*(batcher.ask(call, one(n)) for n in range(7)))
        assert [len(batch) for batch in engine.batches] == [3, 3, 1]

    run(scenario, batch_size=3)


def test_only_the_culprit_of_a_failed_batch_fails():
    async def scenario(engine, batcher):
        call = Call(engine, "recommend", 1)
        asks = (batcher.ask(call, one(n)) for n in (12, 13, 14, 17))
        answers = await asyncio.gather(*asks, return_exceptions=True)
        assert answers[0] == (12, 1)
        assert isinstance(answers[1], ValueError)
        assert answers[2] == (14, 1)
        assert isinstance(answers[3], RuntimeError)
        assert await batcher.ask(call, one(15)) == (15, 1)

    run(scenario)


def test_a_full_queue_refuses_and_recovers():
    async def scenario(engine, batcher):
        engine.gate.clear()
        call = Call(engine, "recommend", 1)
        running = asyncio.create_task(batcher.ask(call, one(0)))
        while not engine.batches:
            await asyncio.sleep(0.01)
        waiting = [asyncio.create_task(batcher.ask(call, one(n))) for n in (1, 2)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError) as refused:
            await batcher.ask(call, one(3))
        assert refused.value.retry_after_s >= 1
        engine.gate.set()
        assert await asyncio.gather(running, *waiting) == [(0, 1), (1, 1), (2, 1)]
        assert await batcher.ask(call, one(4)) == (4, 1)

    run(scenario, most_waiting=2)


def test_who_stops_waiting_is_not_computed():
    async def scenario(engine, batcher):
        engine.gate.clear()
        call = Call(engine, "recommend", 1)
        running = asyncio.create_task(batcher.ask(call, one(0)))
        while not engine.batches:
            await asyncio.sleep(0.01)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(batcher.ask(call, one(1)), 0.02)
        later = asyncio.create_task(batcher.ask(call, one(2)))
        await asyncio.sleep(0)
        engine.gate.set()
        assert await asyncio.gather(running, later) == [(0, 1), (2, 1)]
        assert engine.batches == [[(0,)], [(2,)]]

    run(scenario)


def test_closing_answers_what_was_taken_and_takes_nothing_more():
    async def main():
        engine, batcher = Echo(), Batcher(batch_size=1)
        batcher.start()
        call = Call(engine, "recommend", 1)
        asks = [asyncio.create_task(batcher.ask(call, one(n))) for n in range(4)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        with pytest.raises(ClosingError):
            await batcher.ask(call, one(9))
        assert await asyncio.gather(*asks) == [(n, 1) for n in range(4)]
        await closing

    asyncio.run(asyncio.wait_for(main(), 20))


def test_other_work_runs_on_the_engines_thread_between_batches():
    async def scenario(engine, batcher):
        await batcher.ask(Call(engine, "recommend", 1), one(0))
        assert {await batcher.run(threading.get_ident)} == engine.threads
        with pytest.raises(ZeroDivisionError):
            await batcher.run(lambda: 1 // 0)

    run(scenario)
