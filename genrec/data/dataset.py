"""A data set: a catalogue, the interactions with it, and where both come from."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from genrec.artifacts import ArtifactError, fingerprint, read_json, write_directory, write_json
from genrec.data.catalogue import Catalogue
from genrec.data.errors import DataError
from genrec.data.interactions import Interactions

ITEMS_FILE = "items.parquet"
INTERACTIONS_FILE = "interactions.parquet"
INFO_FILE = "dataset.json"

ITEMS_PER_GROUP = 1024
"""Items that are read together."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """What every later step starts from.

    On disk it is a directory with ``items.parquet``, ``interactions.parquet`` (raw ids, so that it
    explains itself) and ``dataset.json`` (name, counts, source, licence, hash).
    """

    catalogue: Catalogue
    """The items."""

    interactions: Interactions
    """The events, which name items by their row of the catalogue."""

    name: str
    """A short name for tables and reports, such as ``beauty``."""

    info: dict[str, Any] = field(default_factory=dict)
    """Whatever is worth knowing: ``source``, ``licence``, ``pictures`` (missing ones counted)."""

    def __post_init__(self) -> None:
        if self.interactions.item.max() >= len(self.catalogue):
            raise DataError(
                f"an event names item {self.interactions.item.max()}, but the catalogue has "
                f"{len(self.catalogue)} items"
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dataset) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    @property
    def counts(self) -> dict[str, int]:
        """Users, items, interactions, and items with a picture."""
        return {
            "users": self.interactions.user_count,
            "items": len(self.catalogue),
            "interactions": len(self.interactions),
            "pictures": int(self.catalogue.has_picture.sum()),
        }

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the catalogue and the interactions; name and info do not count."""
        return fingerprint(self.catalogue.fingerprint, self.interactions.fingerprint)

    def save(self, directory: Path | str) -> None:
        """Write the data set; the directory appears whole or not at all."""
        with write_directory(directory) as path:
            # In small groups of rows, so that a few pictures can be read without all the others.
            self.catalogue.table.write_parquet(path / ITEMS_FILE, row_group_size=ITEMS_PER_GROUP)
            table = self.interactions.to_table(self.catalogue)
            table.write_parquet(path / INTERACTIONS_FILE)
            about = {
                "name": self.name,
                "counts": self.counts,
                "fingerprint": self.fingerprint,
                "catalogue_fingerprint": self.catalogue.fingerprint,
                "time_is_relative": self.interactions.time_is_relative,
                "info": self.info,
            }
            write_json(path / INFO_FILE, about)

    @classmethod
    def load(cls, directory: Path | str) -> "Dataset":
        """Read what :meth:`save` wrote.

        Raises:
            ArtifactError: When a file is missing or was changed.
        """
        path = Path(directory)
        about = read_json(path / INFO_FILE)
        try:
            catalogue = Catalogue(pl.read_parquet(path / ITEMS_FILE))
            interactions = Interactions.from_table(
                pl.scan_parquet(path / INTERACTIONS_FILE),
                catalogue,
                source=str(path / INTERACTIONS_FILE),
                time_is_relative=about["time_is_relative"],
            )
            dataset = cls(catalogue, interactions, about["name"], about["info"])
        except (OSError, KeyError, ValueError, pl.exceptions.PolarsError) as error:
            raise ArtifactError(f"{path} is not a data set that can be read: {error}") from error
        if dataset.fingerprint != about.get("fingerprint"):
            raise ArtifactError(
                f"{path} holds data with the hash {dataset.fingerprint}, but {INFO_FILE} says "
                f"{about.get('fingerprint')}: it was changed; run recipes/prepare.py again"
            )
        return dataset
