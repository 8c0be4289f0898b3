"""The routes of the service, and what they tell of themselves in OpenAPI."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from genrec.artifacts import fingerprint
from genrec.serving.service import answers, schemas
from genrec.serving.service.errors import Refusal, check_length, unknown_item
from genrec.serving.service.examples import Examples
from genrec.serving.service.items import categories_of, find_items, item_of, picture_of
from genrec.serving.service.metrics import Level, Metrics
from genrec.serving.service.service import Service

_WORDS = {
    401: "The token is missing or wrong.",
    404: "There is no such item.",
    413: "The body is too large.",
    422: "The body asks for what cannot be; the answer names the field and the remedy.",
    429: "Too much is asked at once; Retry-After tells when to come back.",
    501: "The model did not learn this task.",
    504: "There was no answer in time.",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the refusals of a route."""
    return {
        status: {"model": answers.ErrorAnswer, "description": _WORDS[status]} for status in statuses
    }


def answer_routes(service: Service) -> APIRouter:
    """Routes that ask the model."""
    router = APIRouter(
        prefix="/v1", tags=["answers"], responses=refusals(401, 413, 422, 429, 501, 504)
    )

    @router.post("/recommend")
    async def recommend(body: schemas.RecommendBody) -> answers.RankedAnswer:
        """Recommend the items that a user is likely to want next, best first."""
        return await service.rank(body)

    @router.post("/search")
    async def search(body: schemas.SearchBody) -> answers.RankedAnswer:
        """Find the items that fit a query and a user, best first."""
        return await service.rank(body)

    @router.post("/converse")
    async def converse(body: schemas.ConverseBody) -> answers.RankedAnswer:
        """Recommend what a dialogue asks for, best first."""
        return await service.rank(body)

    @router.post("/reply")
    async def reply(body: schemas.ReplyBody) -> answers.TextAnswer:
        """Say in words what the recommending side of a dialogue says next."""
        return await service.reply(body)

    @router.post("/rate")
    async def rate(body: schemas.RateBody) -> answers.RateAnswer:
        """Predict how a user would rate some items."""
        return await service.rate(body)

    @router.post("/rate_review")
    async def rate_review(body: schemas.ReviewBody) -> answers.ReviewRatingAnswer:
        """Tell the rating that a review speaks of."""
        return await service.rate_review(body)

    @router.post("/summarize")
    async def summarize(body: schemas.ReviewBody) -> answers.TextAnswer:
        """Sum up a review."""
        return await service.summarize(body)

    @router.post("/explain")
    async def explain(body: schemas.ExplainBody) -> answers.TextAnswer:
        """Say why a user would like an item, in the words that users write."""
        return await service.explain(body)

    @router.post("/select")
    async def select(body: schemas.SelectBody) -> answers.SelectAnswer:
        """Name all of some candidates that fit a user, and maybe none."""
        return await service.select(body)

    @router.post("/imagine")
    async def imagine(body: schemas.ImagineBody) -> answers.ImagineAnswer:
        """Draw what a user would like to find for a query, guided by what a search finds."""
        return await service.imagine(body)

    return router


def item_routes(service: Service, examples: Examples) -> APIRouter:
    """Routes that look things up."""
    router = APIRouter(prefix="/v1", tags=["catalogue"], responses=refusals(401))

    @router.get("/items", responses=refusals(422))
    def items(
        ids: Annotated[list[str] | None, Query(description="These items, in this order.")] = None,
        text: Annotated[str, Query(description="Words that an item's attributes hold.")] = "",
        category: Annotated[str | None, Query(description="A whole path, or a step of it.")] = None,
        in_stock: bool | None = None,
        page: Annotated[int, Query(ge=1)] = 1,
        page_size: Annotated[int, Query(ge=1)] = 24,
    ) -> answers.ItemsAnswer:
        """List items by their ids, or those that hold some words, a page at a time."""
        version, limits = service.version, service.config.limits
        if page_size > limits.page_size:
            raise Refusal(
                422, "too_many", f"page_size is {page_size}; at most {limits.page_size} are given",
                field="page_size", remedy=f"ask for at most {limits.page_size}",
            )  # fmt: skip
        check_length(ids or (), "ids", limits.named_items)
        check_length(text, "text", limits.text, unit="characters", remedy="shorten it")
        return find_items(
            version, text=text, rows=None if ids is None else version.rows(ids, "ids"),
            category=category, attribute=service.config.category, in_stock=in_stock, page=page,
            page_size=page_size,
        )  # fmt: skip

    @router.get(
        "/items/{item_id:path}/picture",
        response_class=Response,
        responses={200: {"content": {"image/png": {}, "image/jpeg": {}}}, **refusals(404)},
    )
    def picture(item_id: str, request: Request) -> Response:
        """Show the picture of an item."""
        version = service.version
        found = picture_of(version, _row(service, item_id))
        if found is None:
            raise Refusal(404, "no_picture", "the item has no picture")
        tag = f'"{fingerprint(found.content)}"'
        headers = {"etag": tag, "cache-control": "private, max-age=300"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(found.content, media_type=found.media_type, headers=headers)

    @router.get("/items/{item_id:path}", responses=refusals(404))
    def item(item_id: str) -> answers.Item:
        """Tell all about one item."""
        return item_of(service.version, _row(service, item_id))

    @router.get("/examples")
    def example() -> answers.ExampleAnswer:
        """Draw the history of somebody to begin with."""
        version = service.version
        return answers.ExampleAnswer(
            catalogue_version=version.number, history=examples.draw(version)
        )

    return router


def catalogue_routes(service: Service) -> APIRouter:
    """Routes about the catalogue as a whole."""
    router = APIRouter(prefix="/v1", tags=["catalogue"], responses=refusals(401))

    @router.get("/catalogue")
    def catalogue() -> answers.CatalogueAnswer:
        """Tell what is served: items, attributes, tasks and versions."""
        version = service.version
        return answers.CatalogueAnswer(
            catalogue_version=version.number, items=len(version.catalogue),
            in_stock=int(version.in_stock_N.sum()), attributes=list(version.catalogue.attributes),
            categories=categories_of(version, service.config.category), tasks=service.tasks,
            can_add=service.store.newcomers is not None,
            versions=[
                answers.VersionAnswer(version=one.version, when=one.when, change=one.words)
                for one in reversed(service.store.changes[-100:])
            ],
        )  # fmt: skip

    @router.post("/catalogue", responses=refusals(413, 422, 504))
    async def change(body: schemas.ChangeBody) -> answers.CatalogueAnswer:
        """Add items, remove some, tell what is in stock, or go back; needs the admin token."""
        await service.keeper.change(body)
        return catalogue()

    return router


def health_routes(service: Service, metrics: Metrics) -> APIRouter:
    """Routes for whoever keeps the service running."""
    router = APIRouter(tags=["health"])

    @router.get("/health")
    async def health() -> answers.HealthAnswer:
        """Tell that the process is alive."""
        return answers.HealthAnswer(status="alive")

    @router.get("/ready", responses={503: {"model": answers.ErrorAnswer}})
    async def ready() -> answers.HealthAnswer:
        """Tell whether the service takes requests."""
        if not service.batcher.is_open:
            raise Refusal(503, "not_ready", "the service starts or shuts down", retry_after_s=2)
        return answers.HealthAnswer(status="ready")

    @router.get("/metrics", response_class=Response)
    async def counters() -> Response:
        """Tell all counters in the text format of Prometheus."""
        version = service.version
        level = Level(
            waiting=service.batcher.waiting, version=version.number, items=len(version.catalogue),
            in_stock=int(version.in_stock_N.sum()),
        )  # fmt: skip
        return Response(metrics.text(level), media_type="text/plain; version=0.0.4")

    return router


def _row(service: Service, item_id: str) -> int:
    try:
        return service.version.rows([item_id], "item_id")[0]
    except Refusal:
        missing = unknown_item(item_id, "item_id")
        missing.status = 404
        raise missing from None
