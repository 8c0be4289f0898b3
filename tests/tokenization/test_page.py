import io
import re

import numpy as np
import polars as pl
import pytest
from PIL import Image

from genrec.data import Catalogue
from genrec.semantic_ids import SemanticIds
from genrec.tokenization import ItemTable, RQKMeansConfig, SemanticTokenizer
from genrec.tokenization.examples import draw_examples
from genrec.tokenization.page import render_page

ITEMS = 48
EVIL = '<script>alert("x")</script>'


def png(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (300, 200), colour).save(file, format="PNG")
    return file.getvalue()


def catalogue(items: int = ITEMS) -> Catalogue:
    return Catalogue(
        pl.DataFrame({
            "item_id": [f"sku-{row}" for row in range(items)],
            "title": [EVIL if row == 0 else f"thing {row}" for row in range(items)],
            "kind": ["soap" if row % 2 else None for row in range(items)],
            "picture": [png("red") if row % 3 else None for row in range(items)],
        })
    )  # fmt: skip


def features(items: int = ITEMS, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    heaps = np.random.default_rng(9).normal(size=(4, 6))[draw.integers(4, size=items)]
    return (heaps + 0.2 * draw.normal(size=(items, 6))).astype(np.float32)


@pytest.fixture(scope="module")
def tokenizer():
    items = ItemTable.of(catalogue())
    return SemanticTokenizer.train(
        features(), RQKMeansConfig(codebook_sizes=(4, 6, 6), components=4),
        catalogue=items, labels=items.labels("kind"),
    )  # fmt: skip


def ids() -> SemanticIds:
    codes = [[row // 16, row // 4 % 4, row % 4] for row in range(ITEMS)]
    return SemanticIds(np.array(codes, dtype=np.int32), (3, 4, 4))


def test_examples_share_their_prefixes():
    examples = draw_examples(ids(), ItemTable.of(catalogue()), label="kind")
    assert [branch.prefix for branch in examples.branches] == ["<a_0>", "<a_1>", "<a_2>"]
    first = examples.branches[0]
    assert first.items == 16
    assert first.labels == [("none", 0.5), ("soap", 0.5)]
    assert [twig.prefix for twig in first.twigs] == ["<a_0><b_0>", "<a_0><b_1>", "<a_0><b_2>"]
    for branch in examples.branches:
        for twig in branch.twigs:
            assert twig.prefix.startswith(branch.prefix)
            assert all(tile.semantic_id.startswith(twig.prefix) for tile in twig.tiles)


def test_a_label_of_zero_is_one():
    table = catalogue().table.with_columns(shelf=pl.Series([row % 2 for row in range(ITEMS)]))
    examples = draw_examples(ids(), ItemTable.of(Catalogue(table)), label="shelf")
    assert examples.branches[0].labels == [("0", 0.5), ("1", 0.5)]


def test_only_pictures_that_are_there_are_shown():
    tiles = draw_examples(ids(), ItemTable.of(catalogue())).branches[0].twigs[0].tiles
    assert [tile.title for tile in tiles] == [EVIL, "thing 1", "thing 2", "thing 3"]
    assert [tile.picture for tile in tiles] == [None, "p1", "p2", None]


def test_items_of_which_nothing_is_known_are_named_by_their_ids():
    bare = Catalogue(catalogue().table.select("item_id"))
    tiles = draw_examples(ids(), ItemTable.of(bare)).branches[0].twigs[0].tiles
    assert tiles[0].title == "sku-0"


def test_items_that_share_nothing_give_no_examples():
    apart = SemanticIds(np.arange(ITEMS, dtype=np.int32)[:, None], (ITEMS,))
    assert draw_examples(apart, ItemTable.of(catalogue())).branches == []


def test_ids_of_one_level_have_examples_too():
    flat = SemanticIds(np.arange(ITEMS, dtype=np.int32)[:, None] // 8, (6,))
    branch = draw_examples(flat, ItemTable.of(catalogue())).branches[0]
    assert [twig.prefix for twig in branch.twigs] == [branch.prefix]


def test_the_page_needs_nothing_else_and_runs_nothing(tokenizer):
    page = render_page(tokenizer, ItemTable.of(catalogue()), label="kind")
    assert EVIL not in page
    assert "<script" not in page
    assert not re.findall(r"(?:src|href)=", page.replace("xlink:href=", ""))
    assert "url(data:image/webp;base64," in page
    assert page.count("<svg") == 3
    assert "Versions" not in page


def test_the_page_tells_of_growth(tmp_path):
    items = ItemTable.of(catalogue())
    known = items.select(np.arange(40))
    grown = SemanticTokenizer.train(
        features()[:40], RQKMeansConfig(codebook_sizes=(4, 6, 6), components=4), catalogue=known
    )
    with pytest.raises(ValueError, match="update the tokenizer first"):
        render_page(grown, items)
    grown.update(items, features()[40:] + 5)
    page = render_page(grown, items)
    assert "added 8, removed 0" in page
    assert "train a new tokenizer and model soon" in page
    grown.save_pretrained(tmp_path / "tokenizer", page=page)
    assert (tmp_path / "tokenizer" / "quality.html").read_text(encoding="utf-8") == page
