"""The service as an ASGI application."""

import contextlib
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

import genrec
from genrec.models.image_tokens import ImageTokenizer
from genrec.serving.service.config import ServiceConfig
from genrec.serving.service.errors import Refusal
from genrec.serving.service.examples import Examples
from genrec.serving.service.guard import Guard
from genrec.serving.service.metrics import Metrics
from genrec.serving.service.routes import (
    answer_routes,
    catalogue_routes,
    health_routes,
    item_routes,
)
from genrec.serving.service.service import Service
from genrec.serving.service.store import CatalogueStore

PAGE = Path(__file__).parents[1] / "page"
"""The demo page."""

_REMEDIES = {
    "missing": "give it",
    "extra_forbidden": "leave it out; /openapi.json tells all fields",
    "json_invalid": "send JSON",
    "model_attributes_type": "send a JSON object, and the header 'Content-Type: application/json'",
}


def create_app(
    store: CatalogueStore,
    config: ServiceConfig | None = None,
    *,
    tasks: Collection[str] | None = None,
    images: ImageTokenizer | None = None,
    examples: Examples | None = None,
    token: str | None = None,
    admin_token: str | None = None,
) -> FastAPI:
    """Make the application.

    Args:
        store: The catalogue and the model.
        config: Limits and times.
        tasks: What the model has learned; all of them if that is not known.
        images: Makes pictures of image tokens, for a model that draws.
        examples: Histories to begin with on the demo page.
        token: What clients must show; nothing if left out.
        admin_token: What changes of the catalogue need; none can be made if left out.
    """
    config, metrics = config or ServiceConfig(), Metrics()
    service = Service(store, config, tasks=tasks, images=images, on_batch=metrics.batch)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await service.close()

    app = FastAPI(
        title="genrec", version=genrec.__version__, lifespan=lifespan,
        description="Recommendations, searches, ratings and explanations by one language model.",
        docs_url=None, redoc_url=None,  # they load scripts from elsewhere
    )  # fmt: skip
    app.include_router(answer_routes(service))
    app.include_router(item_routes(service, examples or Examples()))
    app.include_router(catalogue_routes(service))
    app.include_router(health_routes(service, metrics))
    app.mount("/page", StaticFiles(directory=PAGE), name="page")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers={"cache-control": "no-cache"})

    app.add_exception_handler(Refusal, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_body)
    app.add_exception_handler(HTTPException, _refuse_route)
    app.add_middleware(
        Guard,
        config=config, metrics=metrics, token=token, admin_token=admin_token,
    )  # fmt: skip
    return app


async def _refuse(_: Request, refusal: Any) -> JSONResponse:
    return JSONResponse(refusal.body, refusal.status, refusal.headers)


async def _refuse_body(_: Request, error: Any) -> JSONResponse:
    """Tell the first thing that is wrong with a body, without repeating what it says."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:]) or "body"
    refusal = Refusal(
        422, "invalid", f"{field}: {first['msg']}", field=field,
        remedy=_REMEDIES.get(first["type"], "see /openapi.json"),
    )  # fmt: skip
    return await _refuse(_, refusal)


async def _refuse_route(_: Request, error: Any) -> JSONResponse:
    refusal = Refusal(error.status_code, "no_route", str(error.detail))
    response = await _refuse(_, refusal)
    response.headers.update(error.headers or {})
    return response
