"""Follow a catalogue that has changed: IDs for what is new, the same IDs for all the rest.

    python recipes/update_catalogue.py --config recipes/configs/update_toy.yaml
    python recipes/update_catalogue.py --config recipes/configs/update_toy.yaml --rollback 1

The tokenizer stays frozen. Items of the data set that it does not know are encoded and get IDs that
nobody has; items that the data set lacks leave. The report tells how far the new items have drifted
from those of training, and whether it is time for a new tokenizer. The tokenizer is replaced in one
step, and every version can be brought back.
"""

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from accelerate import PartialState

from genrec.artifacts import ArtifactError, check_same, check_writable
from genrec.data import Dataset
from genrec.optional import require
from genrec.recipe import run_recipe
from genrec.serving import update_catalogue
from genrec.tokenization import (
    FeaturesConfig,
    ItemTable,
    SemanticTokenizer,
    encode_sources,
    join_sources,
)
from genrec.tokenization.arrays import Features
from genrec.tokenization.page import render_page


@dataclass(frozen=True, kw_only=True)
class Config:
    dataset: Path
    """The data set as it is now; recipes/prepare.py wrote it."""

    tokenizer: Path
    """The tokenizer that is to follow it."""

    out: Path | None = None
    """Where the new version goes; it replaces the old one when left out."""

    free: bool = False
    """Let new items have the IDs of items that leave. A model says the old item's ID for the new
    one until it is trained again."""

    vectors: Path | None = None
    """Given vectors of all items of the data set, where the tokenizer was trained on such."""

    label: str | None = None
    """An attribute that classes items, for the examples of quality.html."""

    rollback: int | None = None
    """Go back to this version of the catalogue instead."""

    model: Path | None = None
    """A model directory that is to follow too: its weights stay, its items become those of the data
    set."""

    page: bool = True
    """Write quality.html too, where the data set is the one whose items have IDs now."""


def features_of(
    items: ItemTable, tokenizer: SemanticTokenizer, config: Config, state: PartialState
) -> Features:
    """Make features of some items as those of training were made; the processes share the work."""
    if tokenizer.blend is None:
        raise ArtifactError(
            f"{config.tokenizer} does not say how its features were made; "
            "recipes/train_tokenizer.py writes tokenizers that do"
        )
    sources = FeaturesConfig.from_json(tokenizer.recipe["features"], vectors=config.vectors)
    encoded = encode_sources(
        items, sources, cache=config.tokenizer.with_name(f"{config.tokenizer.name}-features"),
        device=state.device, progress=state.is_main_process,
        process=state.process_index, processes=state.num_processes,
    )  # fmt: skip
    state.wait_for_everyone()
    # Nobody has met new items yet: what users do says nothing of them.
    return tokenizer.blend.apply(join_sources(items, sources, encoded))


def follow(model: Path, dataset: Path, tokenizer: SemanticTokenizer) -> None:
    """Let a trained model recommend the items that there are now."""
    catalogue = Dataset.load(dataset).catalogue
    check_same(
        "catalogue", catalogue.fingerprint, tokenizer.catalogue,
        ours_from=str(dataset), theirs_from="the tokenizer",
    )  # fmt: skip
    update_catalogue(model, catalogue, tokenizer.ids)


def main(config: Config) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if config.page:
        require("jinja2", extra="eval", why="quality.html (--page false does without)")
    state = PartialState()
    items = ItemTable.open(config.dataset)
    tokenizer = SemanticTokenizer.from_pretrained(config.tokenizer)
    check_writable(config.out or config.tokenizer, sign="semantic_ids.safetensors")
    start = time.perf_counter()
    if config.rollback is not None:
        tokenizer.rollback(config.rollback)
    else:
        new = tokenizer.new_items(items)
        features_MF = features_of(items.select(new), tokenizer, config, state) if len(new) else None
        tokenizer.update(items, features_MF, free=config.free)
    if state.is_main_process:
        if config.model is not None:  # first: it refuses what does not fit
            follow(config.model, config.dataset, tokenizer)
        shown = config.page and items.fingerprint == tokenizer.catalogue
        page = render_page(tokenizer, items, label=config.label) if shown else None
        tokenizer.save_pretrained(config.out or config.tokenizer, page=page)
        version = tokenizer.ledger.versions[-1]
        print(f"version {version.version}: {version.change}; {version.items:,} items")
        if version.drift:
            print(version.drift.table())
        print(f"{time.perf_counter() - start:.1f} s")
    state.wait_for_everyone()
    state.destroy_process_group()


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
