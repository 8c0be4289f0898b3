"""What the service counts, for Prometheus; nothing of it tells of a user or an item."""

from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from genrec.serving.service.batching import Batch

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Level(NamedTuple):
    """What stands at a level right now."""

    waiting: int
    version: int
    items: int
    in_stock: int


class Metrics:
    """The counters of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        registry = self._registry
        self.requests = Counter(
            "genrec_requests", "Requests that were answered.", ["route", "method", "status"],
            registry=registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "genrec_request_seconds", "Time to an answer.", ["route"], buckets=_SECONDS,
            registry=registry,
        )  # fmt: skip
        self.in_flight = Gauge("genrec_in_flight", "Requests in flight.", registry=registry)
        self._batches = Histogram(
            "genrec_batch_size", "Questions that were computed together.", ["method"],
            buckets=_SIZES, registry=registry,
        )  # fmt: skip
        self._batch_seconds = Histogram(
            "genrec_batch_seconds", "Time that the model took for a batch.", ["method"],
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._waiting = Gauge("genrec_waiting", "Questions that wait.", registry=registry)
        self._version = Gauge(
            "genrec_catalogue_version", "The version that is served.", registry=registry
        )
        self._items = Gauge(
            "genrec_catalogue_items", "Items of the catalogue.", ["in_stock"], registry=registry
        )

    def batch(self, batch: Batch) -> None:
        """Count a batch."""
        self._batches.labels(batch.method).observe(batch.size)
        self._batch_seconds.labels(batch.method).observe(batch.seconds)

    def text(self, level: Level) -> bytes:
        """Write all counters as Prometheus reads them."""
        self._waiting.set(level.waiting)
        self._version.set(level.version)
        self._items.labels("yes").set(level.in_stock)
        self._items.labels("no").set(level.items - level.in_stock)
        return generate_latest(self._registry)
