"""Recommend to many users at once: histories in, ten items each out, both as JSON lines.

    python recipes/generate.py --model runs/demo/model --requests users.jsonl --out items.jsonl

A line of the input is ``{"user": "u1", "history": ["item-00324"], "query": "gym bag"}``. Only the
history is needed; all fields come back beside the answer.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from genrec.artifacts import write_text_stream
from genrec.data import Catalogue, DataError
from genrec.recipe import run_recipe
from genrec.serving import GenRec


@dataclass(frozen=True, kw_only=True)
class Config:
    model: Path
    """The model directory that recipes/finetune.py wrote."""

    requests: Path
    """One JSON object a line, with the raw ids of a user's items, oldest first, in ``history``."""

    out: Path
    """Where the answers go, a line each in the order of the requests."""

    k: int = 10
    """Items to recommend to each user."""

    exclude: tuple[str, ...] = ()
    """Items that must not be named."""

    only: tuple[str, ...] | None = None
    """Items that may be named; all where it is left out."""

    repeat: bool = False
    """Whether items of a history may be recommended again."""

    beams: int = 20
    """Fewest beams of a search."""

    batch_size: int = 256
    """Requests that are answered at once."""

    def __post_init__(self) -> None:
        for name in ("k", "beams", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")


def main(config: Config) -> None:
    if not config.requests.is_file():
        raise DataError(f"{config.requests} does not exist")
    rec = GenRec.from_pretrained(config.model, beams=config.beams)
    rec.catalogue.rows((*config.exclude, *(config.only or ())))  # refuses unknown ones at once
    constraints: dict[str, Any] = {
        "k": config.k, "exclude": config.exclude, "only": config.only, "repeat": config.repeat,
    }  # fmt: skip
    users = 0
    with (
        config.requests.open(encoding="utf-8-sig") as lines,
        write_text_stream(config.out) as out,
        tqdm(desc="recommend", unit="user", disable=None) as bar,
    ):
        numbered = read(lines, rec.catalogue, source=config.requests)
        while batch := list(islice(numbered, config.batch_size)):
            requests = [request for _, request in batch]
            try:
                answers = answer(rec, requests, constraints)
            except ValueError as error:
                where = f"{config.requests}, lines {batch[0][0]} to {batch[-1][0]}"
                raise DataError(f"{where}: {error}") from error
            for request, items in zip(requests, answers, strict=True):
                out.write(json.dumps(request | {"items": items}, ensure_ascii=False) + "\n")
            users += len(batch)  # a bar that is not shown does not count
            bar.update(len(batch))
    print(f"{config.out}: {users} users")


def read(
    lines: TextIO, catalogue: Catalogue, *, source: Path
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read requests with their line numbers; what is wrong with one is said with its number."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{source}, line {number}"
        try:
            request = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{where}: no JSON object: {error}") from error
        if not isinstance(request, dict) or not isinstance(request.get("history"), list):
            raise DataError(f'{where}: needs "history", a list of item ids')
        if not isinstance(request.get("query"), str | None):
            raise DataError(
                f'{where}: "query" is {request["query"]!r}; give words, or leave it out'
            )
        try:
            catalogue.rows(request["history"])
        except (DataError, TypeError) as error:
            raise DataError(f"{where}: {error}") from error
        yield number, request


def answer(
    rec: GenRec, batch: list[dict[str, Any]], constraints: dict[str, Any]
) -> list[list[dict[str, Any]]]:
    """Search for the requests with a query, recommend to the others, and keep their order."""
    found: dict[int, Any] = {}
    for searches in (True, False):
        rows = [row for row, request in enumerate(batch) if bool(request.get("query")) is searches]
        histories = [batch[row]["history"] for row in rows]
        if searches:
            queries = [batch[row]["query"] for row in rows]
            rankings = rec.search_many(histories, queries, **constraints)
        else:
            rankings = rec.recommend_many(histories, **constraints)
        found |= zip(rows, rankings, strict=True)
    return [[item._asdict() for item in found[row]] for row in range(len(batch))]


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
