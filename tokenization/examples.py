"""Items that share a prefix, to look at: does what begins alike look alike?

Shape letters in this file: N items, L levels.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from PIL import Image

from genrec.data.catalogue import PICTURE
from genrec.figures import data_uri
from genrec.semantic_ids import SemanticIds, code_token
from genrec.tokenization.arrays import Rows
from genrec.tokenization.items import ItemTable

BRANCHES: Final = 6
"""First codes that are shown."""

TWIGS: Final = 3
"""Prefixes of two codes that are shown of each."""

TILES: Final = 8
"""Items that are shown of each."""


@dataclass(frozen=True)
class Tile:
    """One item as it is shown."""

    title: str
    semantic_id: str
    picture: str | None
    """The key of its picture; ``None`` where the item has none."""


@dataclass(frozen=True)
class Twig:
    """Items whose IDs begin with the same two codes."""

    prefix: str
    items: int
    tiles: list[Tile]


@dataclass(frozen=True)
class Branch:
    """Items whose IDs begin with the same code."""

    prefix: str
    items: int
    labels: list[tuple[str, float]]
    """The most frequent labels, with their shares; empty where there are none."""

    twigs: list[Twig]


@dataclass(frozen=True)
class Examples:
    """Branches drawn at random, and their pictures as data URIs, each once."""

    branches: list[Branch]
    pictures: Mapping[str, str] = field(default_factory=dict)


def draw_examples(
    ids: SemanticIds, items: ItemTable, *, label: str | None = None, seed: int = 0
) -> Examples:
    """Draw first codes at random, by how many items have them, and show their largest prefixes.

    Args:
        ids: The ID of every item.
        items: The items, in the same order.
        label: An attribute that classes them.
        seed: Draws the codes.
    """
    first_N = ids.codes_NL[:, 0]
    codes, counts = np.unique(first_N, return_counts=True)
    # Of single items there is nothing to compare.
    chances = np.where(counts > 1, counts, 0).astype(np.float64)
    if not chances.any():
        return Examples([])
    draw = np.random.default_rng(seed)
    wanted = min(BRANCHES, int((chances > 0).sum()))
    drawn = draw.choice(codes, size=wanted, replace=False, p=chances / chances.sum())
    values = None if label is None else np.array(items.column(label).to_list(), dtype=object)
    pictures: dict[str, str] = {}
    branches = []
    for code in sorted(drawn.tolist()):
        row_N = np.flatnonzero(first_N == code)
        labels = [] if values is None else _most_frequent(values[row_N].tolist())
        twigs = [
            _twig(ids, items, rows, pictures)
            for rows in ([row_N] if ids.levels == 1 else _largest(ids, row_N))
        ]
        branches.append(Branch(code_token(0, code), len(row_N), labels, twigs))
    return Examples(branches, pictures)


def _largest(ids: SemanticIds, row_N: Rows) -> list[Rows]:
    """Split items by their second code, and keep the largest groups."""
    second_N = ids.codes_NL[row_N, 1]
    codes, counts = np.unique(second_N, return_counts=True)
    return [row_N[second_N == code] for code in codes[np.argsort(-counts, kind="stable")][:TWIGS]]


def _twig(ids: SemanticIds, items: ItemTable, rows: Rows, pictures: dict[str, str]) -> Twig:
    # In the order of their codes, so that those that share more codes stand side by side.
    shown = rows[np.lexsort(ids.codes_NL[rows].T[::-1])][:TILES]
    table = items.select(shown).read(items.columns, slice(None))
    tiles = []
    for row, told in zip(shown.tolist(), table.iter_rows(named=True), strict=True):
        names = [told.get("title"), *(told[name] for name in items.attributes), *told.values()]
        title = next(str(name) for name in names if name is not None)
        key = f"p{row}"
        if told.get(PICTURE) is not None:
            picture = Image.open(io.BytesIO(told[PICTURE])).convert("RGB")
            pictures.setdefault(key, data_uri(picture))
        tiles.append(Tile(title, ids.text(row), key if key in pictures else None))
    prefix = "".join(
        code_token(level, int(code)) for level, code in enumerate(ids.codes_NL[rows[0], :2])
    )
    return Twig(prefix, len(rows), tiles)


def _most_frequent(values: list[object]) -> list[tuple[str, float]]:
    told = ["none" if value in (None, "") else str(value) for value in values]
    names, counts = np.unique(told, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:3]
    return [(str(names[i]), float(counts[i] / len(values))) for i in order]
