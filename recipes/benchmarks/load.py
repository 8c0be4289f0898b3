"""Measure the HTTP service under load: how many answers a second, how late, and what it survives.

    OMP_NUM_THREADS=1 python recipes/benchmarks/load.py
    OMP_NUM_THREADS=1 python recipes/benchmarks/load.py --quick true
    python recipes/benchmarks/load.py --model runs/demo/model --threads 2

Starts recipes/serve.py as a process of its own and asks it over loopback in a closed loop: each
caller waits for its answer before it asks again. First with few and many callers; then with more
than the service takes, which must be told so, and with few again; then long enough to see whether
memory grows; then while the catalogue changes, when no request may be lost and none answered by two
versions. Without a model one with random weights is made. The last line is JSON.
"""

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from genrec.config import parse_args, to_dict
from genrec.serving import load_renderer, save_bundle

if not __package__:  # run by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from recipes.benchmarks import serving

SERVE = Path(__file__).parents[1] / "serve.py"
ADMIN_TOKEN = "load"


@dataclass(frozen=True, kw_only=True)
class Config:
    model: Path | None = None
    """A model directory; one with random weights is made if left out."""

    items: int = 12_000
    """Items of the made model, with four codes of 256 each."""

    layers: int = 2
    """Layers of the made model."""

    width: int = 128
    """Its hidden size."""

    history: int = 20
    """Items of each user."""

    callers: tuple[int, ...] = (1, 8, 64)
    """How many ask at the same time."""

    seconds: float = 10.0
    """How long each number of callers asks."""

    waiting: int = 96
    """Questions that the service lets wait; twice as many callers overload it."""

    requests: int = 10_000
    """Requests over which memory must stay flat."""

    changes: int = 5
    """Changes of the catalogue under load."""

    threads: int = 1
    """Threads of the model."""

    quick: bool = False
    """A tenth of everything, for a look."""

    seed: int = 0
    """Decides weights and histories."""


@dataclass
class Asked:
    """What came of some requests."""

    seconds: list[float] = field(default_factory=list)
    """Time to each answer that was one."""

    statuses: Counter[int] = field(default_factory=Counter)
    """0 counts connections that broke."""

    took: float = 0.0
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
    bodies: Callable[[], dict[str, Any]],
    *,
    goes_on: Callable[[Asked], bool],
    keep: bool = False,
) -> Asked:
    """Let callers ask in a closed loop as long as something holds of what they have got."""
    asked, began = Asked(), time.perf_counter()

    async def call() -> None:
        caller = Caller(port)
        while goes_on(asked):
            start = time.perf_counter()
            try:
                status, content = await caller.ask("POST", "/v1/recommend", bodies())
            except (OSError, asyncio.IncompleteReadError):
                status, content = 0, b""
                caller.close()
            asked.statuses[status] += 1
            if status == 200:
                asked.seconds.append(time.perf_counter() - start)
                if keep:
                    asked.answers.append(json.loads(content))
            else:
                await asyncio.sleep(0.05)  # a polite client does not hammer
        caller.close()

    await asyncio.gather(*(call() for _ in range(callers)))
    asked.took = time.perf_counter() - began
    return asked


def for_seconds(seconds: float) -> Callable[[Asked], bool]:
    """Go on for some time."""
    end = time.perf_counter() + seconds
    return lambda _: time.perf_counter() < end


def for_requests(count: int) -> Callable[[Asked], bool]:
    """Go on until so many were asked."""
    return lambda asked: asked.statuses.total() < count


@contextlib.asynccontextmanager
async def served(config: Config, model: Path, state: Path) -> AsyncIterator[int]:
    """Run the service as a process, from ready to stopped, and yield its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = (
        sys.executable, str(SERVE), f"--model={model}", f"--state={state}", f"--port={port}",
        f"--threads={config.threads}", f"--service.limits.waiting={config.waiting}",
    )  # fmt: skip
    with (state.parent / "serve.log").open("w") as log:
        environment = os.environ | {"GENREC_ADMIN_TOKEN": ADMIN_TOKEN}
        process = subprocess.Popen(command, stderr=log, env=environment)
        try:
            await ready(port, process)
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            ended = process.wait(60)
    # A server that finished what it had ends by the signal, too, so that its keeper knows why.
    if ended not in (0, -signal.SIGTERM):
        told = (state.parent / "serve.log").read_text()[-2000:]
        raise RuntimeError(f"recipes/serve.py ended with {ended}:\n{told}")


async def ready(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the service takes requests."""
    while process.poll() is None:
        with contextlib.suppress(OSError):
            if (await Caller(port).ask("GET", "/ready"))[0] == 200:
                return
        await asyncio.sleep(0.2)
    raise RuntimeError(f"recipes/serve.py ended with {process.returncode}; its log tells why")


async def memory_mib(port: int) -> float:
    """Read how much memory the service takes."""
    text = (await Caller(port).ask("GET", "/metrics"))[1].decode()
    found = re.search(r"^process_resident_memory_bytes (\S+)", text, re.MULTILINE)
    assert found is not None
    return float(found[1]) / 2**20


async def overload(
    port: int, config: Config, bodies: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Ask more than the service takes, then less again."""
    crowd = await load(
        port, 2 * config.waiting + 64, bodies, goes_on=for_seconds(config.seconds / 2)
    )
    few = max(1, config.waiting // 12)
    after = await load(port, few, bodies, goes_on=for_seconds(config.seconds / 4))
    return {
        "answered": crowd.statuses[200],
        "refused_429": crowd.statuses[429],
        "otherwise": crowd.statuses.total() - crowd.statuses[200] - crowd.statuses[429],
        "recovers": set(after.statuses) == {200},
    }


async def memory(port: int, config: Config, bodies: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Look whether memory grows once caches are warm, in each half of the requests."""
    callers = min(64, config.waiting)
    await load(port, callers, bodies, goes_on=for_requests(config.requests // 10))
    levels, asked = [await memory_mib(port)], 0
    for _ in range(2):
        half = await load(port, callers, bodies, goes_on=for_requests(config.requests // 2))
        asked += half.statuses.total()
        levels.append(await memory_mib(port))
    return {"requests": asked, "mib": [round(level, 1) for level in levels]}


async def reload(
    port: int, config: Config, names: Sequence[str], bodies: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Change the catalogue under load, and check every answer against its own version."""
    running, gone, seconds = True, {}, []
    callers = asyncio.create_task(load(port, 16, bodies, goes_on=lambda _: running, keep=True))
    keeper = Caller(port)
    for number in range(config.changes):
        await asyncio.sleep(config.seconds / 10)
        removed, start = list(names[number::10]), time.perf_counter()
        change = {"remove": removed} if number % 2 == 0 else {"rollback": 1}
        status, content = await keeper.ask("POST", "/v1/catalogue", change)
        assert status == 200, content
        seconds.append(time.perf_counter() - start)
        version = json.loads(content)["catalogue_version"]
        gone[version] = set(removed) if number % 2 == 0 else set()
    await asyncio.sleep(config.seconds / 10)
    running = False
    asked = await callers
    mixed = sum(
        bool({one["item_id"] for one in answer["items"]} & gone.get(version, set()))
        for answer in asked.answers
        for version in [answer["catalogue_version"]]
    )
    versions = {answer["catalogue_version"] for answer in asked.answers}
    return {
        "answered": asked.statuses[200],
        "lost": asked.statuses.total() - asked.statuses[200],
        "mixed": mixed,
        "versions": len(versions),
        "seconds_per_change": round(float(np.median(seconds)), 3),
    }


async def measure(config: Config, model: Path, folder: Path) -> dict[str, Any]:
    names, draw = load_renderer(model).catalogue.item_ids, random.Random(config.seed)
    # Histories name only what no change takes away.
    kept = [name for number, name in enumerate(names) if number % 10 >= config.changes] or names

    def bodies() -> dict[str, Any]:
        return {"history": draw.choices(kept, k=config.history), "k": 10}

    found: dict[str, Any] = {"callers": {}}
    async with served(config, model, folder / "state") as port:
        await load(port, 8, bodies, goes_on=for_seconds(config.seconds / 5))  # to warm up
        print(f"{'callers':>8}  {'answers/s':>9}  {'p50 ms':>7}  {'p95 ms':>7}  {'p99 ms':>7}")
        for callers in config.callers:
            row = (await load(port, callers, bodies, goes_on=for_seconds(config.seconds))).row()
            found["callers"][str(callers)] = row
            rate, *late = row.values()
            told = "  ".join(f"{value:>7.1f}" for value in late)
            print(f"{callers:>8}  {rate:>9.1f}  {told}", flush=True)
        for name, work in (("overload", overload), ("memory", memory)):
            found[name] = await work(port, config, bodies)
            print(name, found[name], flush=True)
        found["reload"] = await reload(port, config, names, bodies)
        print("reload", found["reload"], flush=True)
    return found


def main(config: Config) -> None:
    if config.quick:
        config = replace(config, seconds=config.seconds / 10, requests=config.requests // 10)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if config.model is None:
            shape = serving.Config(
                items=config.items, layers=config.layers, width=config.width, seed=config.seed
            )
            made = serving.make_bundle(shape, np.random.default_rng(config.seed))
            save_bundle(folder / "model", *made)
        found = asyncio.run(measure(config, config.model or folder / "model", folder))
    print(json.dumps({"config": to_dict(config), **found}))


if __name__ == "__main__":
    main(parse_args(Config, __doc__))
