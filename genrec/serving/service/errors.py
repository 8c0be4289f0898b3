"""Refusals: what a client is told instead of an answer."""

from collections.abc import Sized
from typing import Any


class Refusal(Exception):  # noqa: N818 - it is an answer, not a failure
    """A request that is not answered, and why."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        remedy: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        """Refuse.

        Args:
            status: The HTTP status.
            code: A word for programs, such as ``unknown_item``.
            message: What is wrong, for people.
            field: Where in the body, such as ``history.3``.
            remedy: What to do about it.
            retry_after_s: When to come back, where that helps.
        """
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.field, self.remedy = field, remedy
        self.headers: dict[str, str] = {}
        """What goes with it."""

        if retry_after_s is not None:
            self.headers["Retry-After"] = str(retry_after_s)

    @property
    def body(self) -> dict[str, Any]:
        """What the client reads."""
        told = {"code": self.code, "message": self.message}
        if self.field is not None:
            told["field"] = self.field
        if self.remedy is not None:
            told["remedy"] = self.remedy
        return {"error": told}


def check_length(
    values: Sized, field: str, most: int, *, unit: str = "entries", remedy: str | None = None
) -> None:
    """Refuse a list or a text that is too long."""
    if len(values) > most:
        raise Refusal(
            422, "too_many", f"{field} has {len(values):,} {unit}; at most {most:,} are allowed",
            field=field, remedy=remedy or f"send at most {most:,}",
        )  # fmt: skip


def no_tokenizer(field: str) -> Refusal:
    """Refuse new items where nothing can give them IDs."""
    return Refusal(
        422, "no_tokenizer", "new items need semantic IDs, and the service has no tokenizer",
        field=field, remedy="start the service with the model's tokenizer",
    )  # fmt: skip


def item_exists(item_id: str, field: str, *, remedy: str) -> Refusal:
    """Refuse a new item with the name of another."""
    return Refusal(
        422, "item_exists", f"the item {item_id!r} is there already", field=field, remedy=remedy
    )


def unknown_item(item_id: str, field: str) -> Refusal:
    """Refuse a name that no item has."""
    return Refusal(
        422, "unknown_item", f"there is no item {item_id!r}", field=field,
        remedy="GET /v1/items lists all items",
    )  # fmt: skip
