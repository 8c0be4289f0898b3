"""The catalogue changes while it is served: by request, and when another process changes it."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from genrec.serving.service.batching import Batcher
from genrec.serving.service.changes import ConflictError
from genrec.serving.service.config import ServiceConfig
from genrec.serving.service.errors import Refusal, check_length
from genrec.serving.service.inline import table_of
from genrec.serving.service.schemas import ChangeBody
from genrec.serving.service.store import Build, CatalogueStore
from genrec.serving.service.versions import CatalogueVersion, Engine

T = TypeVar("T")

log = logging.getLogger(__name__)


class CatalogueKeeper:
    """Makes the changes of a catalogue one after the other, beside what is served."""

    def __init__(self, store: CatalogueStore, config: ServiceConfig, batcher: Batcher) -> None:
        """Keep a catalogue whose engines are built on the batcher's thread."""
        self._store, self._config, self._batcher = store, config, batcher
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="catalogue")
        self._follower: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for changes of others, in the event loop that is running."""
        self._follower = asyncio.get_running_loop().create_task(self._follow())

    async def close(self) -> None:
        """Finish the changes that have begun, which need the batcher still."""
        if self._follower is not None:
            self._follower.cancel()
        await asyncio.to_thread(self._thread.shutdown)

    async def change(self, body: ChangeBody) -> CatalogueVersion:
        """Make the next version of the catalogue."""
        given = [name for name in ("add", "remove", "stock") if getattr(body, name)]
        if (body.rollback is None) == (not given):
            raise Refusal(
                422, "too_many" if given else "nothing",
                "a change is either a rollback or any of add, remove and stock",
                field="rollback", remedy="make two changes, one after the other" if given else None,
            )  # fmt: skip
        for name in given:
            check_length(getattr(body, name), name, self._config.limits.changed_items)
        # To its end, even when the client has left: a change happens as a whole or not at all.
        changing = self._on_thread(self._changed, body, self._build())
        try:
            return await asyncio.shield(changing)
        except ConflictError as error:
            raise Refusal(
                409, "conflict", str(error), remedy="look at the catalogue again, then ask again"
            ) from None

    def _changed(self, body: ChangeBody, build: Build) -> CatalogueVersion:
        self._store.catch_up(build)
        now = self._store.current
        if body.if_version not in (None, now.number):
            raise ConflictError(f"the catalogue is at version {now.number}")
        pixels = self._config.limits.picture_pixels
        return self._store.change(
            remove=body.remove, stock=body.stock, rollback=body.rollback, build=build,
            add=table_of(body.add, now.catalogue, field="add", picture_pixels=pixels)
            if body.add else None,
        )  # fmt: skip

    async def _follow(self) -> None:
        """Look now and then whether another process has changed the catalogue."""
        while True:
            await asyncio.sleep(self._config.follow_s)
            try:
                await self._on_thread(self._store.catch_up, self._build())
            except Exception as error:  # what is served stays good
                log.error("a change of the catalogue cannot be followed: %s", type(error).__name__)

    def _build(self) -> Build:
        """Let another thread build an engine on the thread that asks engines."""
        loop = asyncio.get_running_loop()

        def build(work: Callable[[], Engine]) -> Engine:
            return asyncio.run_coroutine_threadsafe(self._batcher.run(work), loop).result()

        return build

    async def _on_thread(self, work: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)
