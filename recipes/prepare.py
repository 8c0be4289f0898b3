"""Bring raw data into the one form that every later step reads: items, interactions, what they are.

    python recipes/prepare.py --config recipes/configs/prepare_beauty.yaml
    python recipes/prepare.py --config recipes/configs/prepare_movielens.yaml --out runs/movies/data

The block in the config chooses the loader: amazon, movielens, sequences, tabular or toy. Nothing
is written unless everything is sound.
"""

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from genrec.artifacts import check_writable
from genrec.data import (
    AmazonConfig,
    Dataset,
    MovieLensConfig,
    SequencesConfig,
    TabularConfig,
    k_core,
    load_amazon,
    load_movielens,
    load_sequences,
    load_tabular,
)
from genrec.data.toy_shop import ToyShopConfig, toy_shop
from genrec.recipe import run_recipe


@dataclass(frozen=True, kw_only=True)
class CoreConfig:
    """A k-core: users and items with too few events are dropped until none is left."""

    user_events: int = 5
    """How many events a user needs."""

    item_events: int = 5
    """How many events an item needs."""

    keep_items: bool = False
    """Keep items without events in the catalogue, for cold-start experiments."""


@dataclass(frozen=True, kw_only=True)
class Config:
    out: Path
    """The directory that is written; one that stands there is replaced when all went well."""

    name: str
    """A short name for tables and reports, such as beauty."""

    source: str = ""
    """Where the data come from, to be cited in reports."""

    licence: str = ""
    """On which terms they may be used."""

    amazon: AmazonConfig | None = None
    """Raw Amazon reviews and metadata."""

    movielens: MovieLensConfig | None = None
    """MovieLens with posters."""

    sequences: SequencesConfig | None = None
    """Sequences of items with gaps of time."""

    tabular: TabularConfig | None = None
    """Any table, with the names of its columns."""

    toy: ToyShopConfig | None = None
    """The generated toy shop."""

    seed: int = 0
    """Chooses the items and the users of the toy shop."""

    core: CoreConfig | None = None
    """Drop sparse users and items; everything stays when left out."""

    def __post_init__(self) -> None:
        loaders = ("amazon", "movielens", "sequences", "tabular", "toy")
        given = [name for name in loaders if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give one of {', '.join(loaders)}, not {' and '.join(given) or 'none'}"
            )


def load(config: Config) -> Dataset:
    if config.amazon is not None:
        return load_amazon(config.amazon, name=config.name)
    if config.movielens is not None:
        return load_movielens(config.movielens, name=config.name)
    if config.sequences is not None:
        return load_sequences(config.sequences, name=config.name)
    if config.tabular is not None:
        return load_tabular(config.tabular, name=config.name)
    assert config.toy is not None
    return toy_shop(config.toy, seed=config.seed).dataset


def summary(dataset: Dataset) -> str:
    """Lay out the counts, and how many items have each attribute and a picture."""
    events, catalogue = dataset.interactions, dataset.catalogue
    per_user = events.events_per_user
    rows = [(name, f"{dataset.counts[name]:,}") for name in ("users", "items", "interactions")]
    rows.append(("events per user", f"{per_user.mean():.1f}, at most {per_user.max():,}"))
    rows.append(("rated", f"{1 - np.isnan(events.rating).mean():.1%} of interactions"))
    for name in events.extras.columns:
        share = 1 - events.extras[name].null_count() / len(events)
        rows.append((name, f"{share:.1%} of interactions"))
    for name in catalogue.attributes:
        share = 1 - catalogue.table[name].null_count() / len(catalogue)
        rows.append((name, f"{share:.1%} of items"))
    rows.append(("picture", f"{catalogue.has_picture.mean():.1%} of items"))
    if dataset.info.get("dropped_events"):
        rows.append(("dropped", f"{dataset.info['dropped_events']:,} events of unknown items"))
    if "pictures" in dataset.info:
        found = dataset.info["pictures"]
        rows.append(("pictures read", f"{found['missing']} missing, {found['broken']} broken"))
    return "\n".join(f"  {name:<18}{value}" for name, value in rows)


def main(config: Config) -> None:
    check_writable(config.out, sign="dataset.json")
    start = time.perf_counter()
    print(f"{config.name}: reading", flush=True)
    dataset = load(config)
    if config.core is not None:
        print(f"{config.name}: filtering {len(dataset.interactions):,} interactions", flush=True)
        dataset = k_core(dataset, **asdict(config.core))
    told = {"source": config.source, "licence": config.licence}
    info = {**dataset.info, **{name: text for name, text in told.items() if text}}
    dataset = replace(dataset, name=config.name, info=info)
    dataset.save(config.out)
    print(summary(dataset))
    print(f"{config.name}: written to {config.out} in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
