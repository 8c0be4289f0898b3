"""From the bodies of requests to questions for the model, and back.

A question belongs to the version of the catalogue that was served when it was asked, from the rows
in it to the names in its answer.
"""

import asyncio
import contextlib
import functools
import math
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from genrec.decoding.drawing import Drawing
from genrec.models.image_tokens import ImageTokenizer
from genrec.prompts import AnswerError, TaskError
from genrec.recommender import Ranking, Rater, Rating, Request, Selector
from genrec.serving.painting import Drawer, Painting
from genrec.serving.service import answers, schemas
from genrec.serving.service.batching import (
    Batch,
    Batcher,
    Call,
    ClosingError,
    Method,
    OverloadedError,
)
from genrec.serving.service.canvas import Canvas, as_base64
from genrec.serving.service.config import ServiceConfig
from genrec.serving.service.errors import Refusal, check_length, no_tokenizer
from genrec.serving.service.items import ranked
from genrec.serving.service.keeping import CatalogueKeeper
from genrec.serving.service.people import People, dismiss, host
from genrec.serving.service.store import CatalogueStore
from genrec.serving.service.versions import CatalogueVersion
from genrec.serving.service.wishes import check_talk, check_wish, task_of, turns_of, wish

T = TypeVar("T")

TASKS = (
    "recommend", "search", "direct", "rate", "preference", "explain", "explain_hint",
    "explain_rated", "summarize", "select", "converse", "reply", "imagine",
)  # fmt: skip


class Service:
    """Answers what the routes ask, for many callers at once."""

    def __init__(
        self,
        store: CatalogueStore,
        config: ServiceConfig,
        *,
        tasks: Collection[str] | None = None,
        images: ImageTokenizer | None = None,
        on_batch: Callable[[Batch], None] = lambda batch: None,
    ) -> None:
        """Put a catalogue and its model behind a queue.

        Args:
            store: The catalogue.
            config: Limits and times.
            tasks: What the model has learned; all of them if that is not known.
            images: Makes pictures of image tokens, for a model that draws.
            on_batch: Told of every batch.
        """
        self.store, self.config = store, config
        known = TASKS if images is not None else TASKS[:-1]
        self.tasks = [task for task in known if tasks is None or task in tasks]
        self._images = images
        self.batcher = Batcher(
            batch_size=config.batch_size, gather_s=config.gather_ms / 1000,
            most_waiting=config.limits.waiting, on_batch=on_batch,
        )  # fmt: skip
        # Apart from the model's thread: nobody waits for others' pictures to be decoded.
        self._items_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="items")
        self.keeper = CatalogueKeeper(store, config, self.batcher)

    def start(self) -> None:
        """Begin to answer, in the event loop that is running."""
        self.batcher.start()
        self.keeper.start()

    async def close(self) -> None:
        """Answer what was taken, and stop."""
        await self.keeper.close()
        await self.batcher.close()
        await asyncio.to_thread(self._items_thread.shutdown)

    @property
    def version(self) -> CatalogueVersion:
        """The version of the catalogue that is served now."""
        return self.store.current

    async def rank(self, body: schemas.Wanted) -> answers.RankedAnswer:
        """Recommend, search, choose among candidates, or go on with a dialogue."""
        version, task = self.version, task_of(body)
        self._check_task(task)
        check_wish(body, self.config)
        async with self._people(version, body) as people:
            request = wish(people, body, self.config, task=task)
            k = max(body.k, self.config.list_size)
            ranking: Ranking = await self._ask(version.engine, "recommend", request, k)
        return answers.RankedAnswer(
            catalogue_version=version.number, items=ranked(version, ranking, body)
        )

    async def imagine(self, body: schemas.ImagineBody) -> answers.ImagineAnswer:
        """Draw what a user would like to find."""
        version, images = self.version, self._images
        self._check_task("imagine", can=isinstance(version.engine, Drawer))
        check_wish(body, self.config)
        how = Drawing(
            samples=body.pictures, temperature=body.temperature, top_p=body.top_p,
            guidance=body.guidance, seed=body.seed,
        )  # fmt: skip
        async with self._people(version, body) as people:
            request = wish(people, body, self.config, task="search")
            # Without image tokens the task is not among those that can be asked.
            canvas = Canvas(version.engine, images, body.k, how)  # type: ignore[arg-type]
            painting: Painting = await self._ask(canvas, "paint", request)
        return answers.ImagineAnswer(
            catalogue_version=version.number, items=ranked(version, painting.guides, body),
            pictures=[as_base64(picture) for picture in painting.pictures],
        )  # fmt: skip

    async def rate(self, body: schemas.RateBody) -> answers.RateAnswer:
        """Predict ratings."""
        version = self.version
        self._check_task("rate", can=isinstance(version.engine, Rater))
        check_length(body.items, "items", self.config.limits.candidates)
        async with self._people(version, body) as people:
            history, rows = people.rows(body.history, "history"), people.rows(body.items, "items")
            requests = [Request(task="rate", history=history, item=row) for row in rows]
            ratings = await self._ratings(version, requests)
        return answers.RateAnswer(
            catalogue_version=version.number,
            ratings=[
                answers.ItemRating(item_id=name, **rating._asdict())
                for name, rating in zip(body.items, ratings, strict=True)
            ],
        )

    async def rate_review(self, body: schemas.ReviewBody) -> answers.ReviewRatingAnswer:
        """Tell the rating that a review speaks of."""
        version = self.version
        self._check_task("preference", can=isinstance(version.engine, Rater))
        (rating,) = await self._ratings(version, [self._about_review("preference", body)])
        return answers.ReviewRatingAnswer(catalogue_version=version.number, **rating._asdict())

    async def summarize(self, body: schemas.ReviewBody) -> answers.TextAnswer:
        """Sum up a review."""
        version = self.version
        self._check_task("summarize")
        request = self._about_review("summarize", body)
        text = await self._ask(version.engine, "generate", request)
        return answers.TextAnswer(catalogue_version=version.number, text=text)

    async def reply(self, body: schemas.ReplyBody) -> answers.TextAnswer:
        """Say what comes next in a dialogue."""
        version = self.version
        self._check_task("reply")
        check_talk(body.dialogue, self.config)
        async with self._people(version, body) as people:
            request = Request(
                task="reply", history=people.rows(body.history, "history"),
                dialogue=turns_of(people, body.dialogue),
            )  # fmt: skip
            text = await self._ask(version.engine, "generate", request)
        return answers.TextAnswer(catalogue_version=version.number, text=text)

    async def explain(self, body: schemas.ExplainBody) -> answers.TextAnswer:
        """Say why a user would like an item."""
        version, task = self.version, "explain"
        if body.hint is not None:
            task = "explain_hint"
            check_length(body.hint, "hint", self.config.limits.text, unit="characters")
        elif body.rating is not None:
            task = "explain_rated"
        if body.hint is not None and body.rating is not None:
            raise Refusal(
                422, "too_many", "an explanation takes a hint or a rating, not both", field="hint",
                remedy="leave one of them out",
            )  # fmt: skip
        self._check_task(task)
        async with self._people(version, body) as people:
            request = Request(
                task=task, history=people.rows(body.history, "history"),
                item=people.rows([body.item], "item")[0], hint=body.hint, rating=body.rating,
            )  # fmt: skip
            text = await self._ask(version.engine, "generate", request)
        return answers.TextAnswer(catalogue_version=version.number, text=text)

    async def select(self, body: schemas.SelectBody) -> answers.SelectAnswer:
        """Choose among candidates."""
        version = self.version
        self._check_task("select", can=isinstance(version.engine, Selector))
        check_length(body.candidates, "candidates", self.config.limits.candidates)
        async with self._people(version, body) as people:
            request = Request(
                task="select", history=people.rows(body.history, "history"),
                candidates=version.rows(body.candidates, "candidates"),
            )  # fmt: skip
            rows = await self._ask(version.engine, "select", request)
        names = [version.catalogue.item_ids[row] for row in rows]
        return answers.SelectAnswer(catalogue_version=version.number, items=names)

    @contextlib.asynccontextmanager
    async def _people(
        self, version: CatalogueVersion, body: schemas.About
    ) -> AsyncIterator[People]:
        """Take in the items that a request brings along, until it is answered."""
        limits, guests = self.config.limits, dict[str, int]()
        latest = f"send the latest {limits.history:,}"
        check_length(body.history, "history", limits.history, remedy=latest)
        check_length(body.new_items, "new_items", limits.new_items)
        if not body.new_items:
            yield People(version)
            return
        if self.store.newcomers is None:
            raise no_tokenizer("new_items")
        hosting = functools.partial(
            host, version, body.new_items, self.store.newcomers, guests,
            picture_pixels=limits.picture_pixels,
        )  # fmt: skip
        try:
            await self._on(self._items_thread, hosting)
            yield People(version, guests)
        finally:
            # Behind what may still be taking them in, and behind the batch that looks at them.
            forget = functools.partial(dismiss, version, guests)
            with contextlib.suppress(RuntimeError):  # the service has ended, and they with it
                self._items_thread.submit(self.batcher.afterwards, forget)

    def _about_review(self, task: str, body: schemas.ReviewBody) -> Request:
        limit = self.config.limits.passage
        check_length(body.review, "review", limit, unit="characters", remedy="shorten it")
        return Request(task=task, review=body.review)

    async def _ratings(
        self, version: CatalogueVersion, requests: Sequence[Request]
    ) -> list[Rating]:
        ratings: list[Rating] = await self._ask_all(version, "rate", requests)
        if any(math.isnan(rating.expected) for rating in ratings):
            raise Refusal(501, "not_learned", "the model's answer is no rating")
        return ratings

    async def _ask_all(
        self, version: CatalogueVersion, method: Method, requests: Sequence[Request]
    ) -> list[Any]:
        asks = (self._ask(version.engine, method, request) for request in requests)
        answers = await asyncio.gather(*asks, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return list(answers)

    async def _ask(
        self, engine: object, method: Method, request: Request, k: int | None = None
    ) -> Any:
        try:
            return await self.batcher.ask(Call(engine, method, k), request)
        except OverloadedError as error:
            raise Refusal(
                429, "overloaded", "too many questions wait for the model",
                remedy=f"come back in {error.retry_after_s} s", retry_after_s=error.retry_after_s,
            ) from None  # fmt: skip
        except ClosingError:
            raise Refusal(503, "closing", "the service shuts down", retry_after_s=5) from None
        except (AnswerError, TaskError) as error:
            raise Refusal(501, "not_learned", str(error)) from None
        except ValueError as error:
            raise Refusal(422, "unanswerable", str(error)) from None

    async def _on(self, thread: ThreadPoolExecutor, work: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread, work, *args)

    def _check_task(self, task: str, *, can: bool = True) -> None:
        if task not in self.tasks or not can:
            raise Refusal(
                501, "not_learned", f"the model did not learn the task {task!r}",
                remedy=f"it learned {', '.join(self.tasks)}",
            )  # fmt: skip
