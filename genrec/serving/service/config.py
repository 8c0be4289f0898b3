"""The settings of the HTTP service."""

from dataclasses import dataclass, field, fields

MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class LimitsConfig:
    """What one request may ask; more is answered 413, 422 or 429, with the remedy."""

    body_bytes: int = 4 * MIB
    """Largest body; new items bring pictures."""

    catalogue_body_bytes: int = 64 * MIB
    """Largest body of a change of the catalogue."""

    history: int = 500
    """Most items of a history; prompts show the latest of them."""

    k: int = 100
    """Most items of an answer."""

    named_items: int = 1_000
    """Most items each of ``exclude``, ``only`` and ``boosts``."""

    candidates: int = 50
    """Most items to rate or to select among in one request."""

    new_items: int = 10
    """Most items that are given inline."""

    changed_items: int = 10_000
    """Most items in one change of the catalogue."""

    text: int = 1_000
    """Longest query or hint, in characters."""

    passage: int = 32_000
    """Longest review, or turn of a dialogue, in characters."""

    turns: int = 200
    """Most turns of a dialogue; prompts show the latest of them."""

    picture_pixels: int = 16_000_000
    """Largest picture, width times height."""

    page_size: int = 100
    """Most items on one page of the catalogue."""

    waiting: int = 256
    """Most questions that wait for the model."""

    concurrent: int = 512
    """Most HTTP requests at the same time, whatever they ask."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value < 1:
                raise ValueError(f"{each.name} is {value}; it must be at least 1")


@dataclass(frozen=True, kw_only=True)
class ServiceConfig:
    """How the service works."""

    limits: LimitsConfig = field(default_factory=LimitsConfig)
    batch_size: int = 64
    """Most questions that are computed together."""

    gather_ms: float = 3.0
    """How long a question that finds the model idle waits for others to join it."""

    list_size: int = 20
    """Shorter lists are computed as long as this, so that callers who ask for different lengths
    share a batch. With the engine's number of beams this costs nothing."""

    timeout_s: float = 15.0
    """After so long a request is answered 504, and its question leaves the queue."""

    body_timeout_s: float = 15.0
    """How long a client may take to send its request."""

    catalogue_timeout_s: float = 300.0
    """How long a change of the catalogue may take."""

    follow_s: float = 2.0
    """How often to look for changes that other processes made of the shared catalogue."""

    category: str = "category"
    """The attribute that ``category`` in a request is about; its paths are written ``A > B``."""

    price: str = "price"
    """The attribute that ``price`` in a request is about."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "list_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("timeout_s", "body_timeout_s", "catalogue_timeout_s", "follow_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.gather_ms < 0:
            raise ValueError(f"gather_ms is {self.gather_ms}; it cannot be negative")
