"""What a service must survive: a crowd, many requests, and a catalogue that changes meanwhile."""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from recipes.benchmarks.callers import Bodies, Caller, for_requests, for_seconds, load
from recipes.benchmarks.serve_process import memory_mib


async def overload(port: int, bodies: Bodies, *, waiting: int, seconds: float) -> dict[str, Any]:
    """Ask more than the service lets wait, then less again."""
    crowd = await load(port, 2 * waiting + 64, bodies, goes_on=for_seconds(seconds / 2))
    few = max(1, waiting // 12)
    after = await load(port, few, bodies, goes_on=for_seconds(seconds / 4))
    return {
        "answered": crowd.statuses[200],
        "refused_429": crowd.statuses[429],
        "otherwise": crowd.statuses.total() - crowd.statuses[200] - crowd.statuses[429],
        "recovers": set(after.statuses) == {200},
    }


async def memory(port: int, bodies: Bodies, *, waiting: int, requests: int) -> dict[str, Any]:
    """Look whether memory grows once caches are warm, in each half of the requests."""
    callers = min(64, waiting)
    await load(port, callers, bodies, goes_on=for_requests(requests // 10))
    levels, asked = [await memory_mib(port)], 0
    for _ in range(2):
        half = await load(port, callers, bodies, goes_on=for_requests(requests // 2))
        asked += half.statuses.total()
        levels.append(await memory_mib(port))
    return {"requests": asked, "mib": [round(level, 1) for level in levels]}


async def reload(
    port: int, bodies: Bodies, names: Sequence[str], *, changes: int, pause: float
) -> dict[str, Any]:
    """Change the catalogue under load, and check every answer against its own version.

    Args:
        port: Of the service.
        bodies: What is asked meanwhile; histories must name only what no change takes away.
        names: Raw ids of all items; change ``i`` removes every tenth from the ``i``-th on.
        changes: How many, every second of which takes the one before back.
        pause: Seconds before each change and after the last.
    """
    running, gone, took = True, {}, []
    callers = asyncio.create_task(load(port, 16, bodies, goes_on=lambda _: running, keep=True))
    keeper = Caller(port)
    for number in range(changes):
        await asyncio.sleep(pause)
        removed, start = list(names[number::10]), time.perf_counter()
        change = {"remove": removed} if number % 2 == 0 else {"rollback": 1}
        status, content = await keeper.ask("POST", "/v1/catalogue", change)
        assert status == 200, content
        took.append(time.perf_counter() - start)
        version = json.loads(content)["catalogue_version"]
        gone[version] = set(removed) if number % 2 == 0 else set()
    await asyncio.sleep(pause)
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
        "seconds_per_change": round(float(np.median(took)), 3),
    }
