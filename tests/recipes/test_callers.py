"""Callers in a closed loop, against a service of a few lines that answers by a script."""

import asyncio
import json

import pytest

from recipes.benchmarks import serve_process
from recipes.benchmarks.callers import Caller, Outcome, for_requests, load


async def scripted(script, visit):
    """Answer requests by the script's statuses in turn, 0 hangs up; returns what was asked."""
    heard, answers = [], iter(script)

    async def talk(reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(head.lower().split("content-length: ")[1].split()[0])
                heard.append((head.splitlines()[0], (await reader.readexactly(length)).decode()))
                status = next(answers)
                if status == 0:
                    break
                body = json.dumps({"number": len(heard)}).encode()
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode())
                writer.write(body)
        except asyncio.IncompleteReadError:
            pass  # the caller hung up
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        found = await visit(server.sockets[0].getsockname()[1])
    return heard, found


def test_a_caller_sends_what_is_asked_and_keeps_its_connection():
    async def visit(port):
        caller = Caller(port)
        found = [await caller.ask("GET", "/ready"), await caller.ask("POST", "/v1/x", {"k": 1})]
        caller.close()
        return found

    heard, found = asyncio.run(scripted([200, 429], visit))
    assert heard == [("GET /ready HTTP/1.1", ""), ("POST /v1/x HTTP/1.1", '{"k": 1}')]
    assert found == [(200, b'{"number": 1}'), (429, b'{"number": 2}')]


@pytest.mark.parametrize("keep", [True, False])
def test_refusals_and_broken_connections_are_counted_and_are_no_answers(keep):
    async def visit(port):
        return await load(port, 1, dict, goes_on=for_requests(4), keep=keep)

    _, outcome = asyncio.run(scripted([200, 429, 0, 200], visit))
    assert outcome.statuses == {200: 2, 429: 1, 0: 1}
    assert len(outcome.seconds) == 2
    assert outcome.answers == ([{"number": 1}, {"number": 4}] if keep else [])
    assert outcome.took >= sum(outcome.seconds)


def test_the_row_of_an_outcome():
    outcome = Outcome(seconds=[number / 1000 for number in range(101)], took=2.0)
    assert outcome.row() == {
        "requests_per_second": 50.5, "p50_ms": 50.0, "p95_ms": 95.0, "p99_ms": 99.0
    }  # fmt: skip


def test_a_service_that_does_not_start_is_reported_with_its_log(tmp_path):
    async def start():
        async with serve_process.served(tmp_path / "none", tmp_path / "state", ()):
            pytest.fail("a service without a model must not start")

    with pytest.raises(RuntimeError, match=r"(?s)recipes/serve.py ended with 1:.*none"):
        asyncio.run(start())
