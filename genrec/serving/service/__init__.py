"""The HTTP service: a model behind a queue, a catalogue that changes while it is served, a page."""

from genrec.optional import require
from genrec.serving.learned import learned_tasks

for _module in ("fastapi", "prometheus_client", "uvicorn"):
    require(_module, extra="serve", why="the HTTP service")

from genrec.serving.service.app import create_app  # noqa: E402
from genrec.serving.service.changes import ChangeLog  # noqa: E402
from genrec.serving.service.config import LimitsConfig, ServiceConfig  # noqa: E402
from genrec.serving.service.examples import Examples  # noqa: E402
from genrec.serving.service.loading import images_of, load_store  # noqa: E402
from genrec.serving.service.logs import log_as_json  # noqa: E402
from genrec.serving.service.newcomers import Newcomers  # noqa: E402
from genrec.serving.service.store import CatalogueStore  # noqa: E402

__all__ = [
    "CatalogueStore",
    "ChangeLog",
    "Examples",
    "LimitsConfig",
    "Newcomers",
    "ServiceConfig",
    "create_app",
    "images_of",
    "learned_tasks",
    "load_store",
    "log_as_json",
]
