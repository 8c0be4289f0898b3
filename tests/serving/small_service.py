"""The small shop behind the HTTP service, with pictures and a tokenizer for new items."""

import base64
import io
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image
from starlette.testclient import TestClient

from genrec.data import Catalogue
from genrec.prompts import PromptConfig, Renderer, Tasks, Vocabulary, corpus, train_tokenizer
from genrec.serving import TransformersRecommender
from genrec.serving.service import (
    CatalogueStore,
    ChangeLog,
    Newcomers,
    ServiceConfig,
    create_app,
)
from genrec.tokenization import (
    Blend,
    FeaturesConfig,
    ItemTable,
    RQKMeansConfig,
    SemanticTokenizer,
    encode_sources,
    join_sources,
)
from genrec.tokenization.sources import PictureConfig
from tests.small_shop import COLOURS, small_dataset, small_model

ADMIN = {"Authorization": "Bearer keeper"}


def png(seed: int, colour: str = "red") -> bytes:
    """Paint one colour with some noise in it."""
    noise = np.random.default_rng(seed).integers(0, 40, (16, 16, 3), dtype=np.uint8)
    plain = np.asarray(Image.new("RGB", (16, 16), colour)) // 2
    file = io.BytesIO()
    Image.fromarray(plain + noise).save(file, "PNG")
    return file.getvalue()


def base64_png(seed: int, colour: str = "red") -> str:
    """Write such a picture as requests bring it."""
    return base64.b64encode(png(seed, colour)).decode()


def shop_with_pictures() -> Catalogue:
    """List the small shop's items with categories, and pictures of all but one."""
    table = small_dataset().catalogue.table
    things = [title.split()[1] for title in table["title"]]
    pictures = [png(row, COLOURS[row // 3]) if row != 5 else None for row in range(len(table))]
    return Catalogue(
        table.with_columns(
            pl.Series("category", [f"home > {thing}" for thing in things]),
            pl.Series("picture", pictures, dtype=pl.Binary),
        )
    )


def tokenizer_of(catalogue: Catalogue, folder: Path) -> SemanticTokenizer:
    """Make IDs out of how the items look."""
    sources = FeaturesConfig(text=None, pictures=PictureConfig(encoder="thumbnail"))
    items = ItemTable.of(catalogue)
    joined = join_sources(items, sources, encode_sources(items, sources, cache=folder / "features"))
    blend = Blend.fit(joined, list(sources.weights.values()))
    return SemanticTokenizer.train(
        blend.apply(joined), RQKMeansConfig(codebook_sizes=(4, 4, 4)), catalogue=catalogue,
        source={"pictures": {"encoder": "thumbnail", "weight": 1.0}}, blend=blend,
    )  # fmt: skip


def make_engine(folder: Path) -> tuple[TransformersRecommender, SemanticTokenizer]:
    """Make an untrained model that recommends in this shop."""
    catalogue, tasks = shop_with_pictures(), Tasks.load()
    tokenizer = tokenizer_of(catalogue, folder)
    dataset = small_dataset()
    words = corpus(dataset, np.ones(len(dataset.interactions), dtype=bool), tasks)
    renderer = Renderer(
        vocabulary=Vocabulary.extend(train_tokenizer(words, size=400, kind="llama"), tokenizer.ids),
        ids=tokenizer.ids, catalogue=catalogue, tasks=tasks, config=PromptConfig(),
    )  # fmt: skip
    return TransformersRecommender(small_model(renderer), renderer, beams=20), tokenizer


def make_store(
    engine: TransformersRecommender, tokenizer: SemanticTokenizer | None, state: Path | None = None
) -> CatalogueStore:
    """Serve the shop; a tokenizer that is given is left as it is."""
    newcomers = None if tokenizer is None else Newcomers(tokenizer)
    renderer = engine.renderer
    base = {"catalogue": renderer.catalogue.fingerprint, "IDs": renderer.ids.fingerprint}
    return CatalogueStore(engine, ChangeLog(state, base), newcomers)


def client_of(
    store: CatalogueStore, config: ServiceConfig | None = None, **settings: object
) -> TestClient:
    """Talk to a service without a network; use it in a ``with`` statement."""
    app = create_app(store, config, **{"admin_token": "keeper", **settings})
    return TestClient(app, raise_server_exceptions=False)
