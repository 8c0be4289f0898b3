"""The ledger of a growing catalogue: who has which ID since when, and every version so far.

An item keeps its ID for as long as it exists, and its ID is kept for it when it leaves, unless the
ID is freed. A version is told by who came and who left, so that each can be had again.

Shape letters in this file: E entries of the ledger, N items of one version, M items that came,
L levels.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from genrec.artifacts import ArtifactError, read_json, write_json
from genrec.data import DataError
from genrec.semantic_ids import Codes
from genrec.tokenization.arrays import Bools, Features, Rows
from genrec.tokenization.drift import Drift, measure_drift

LEDGER_FILE: Final = "ledger.parquet"
CHANGES_FILE: Final = "changes.safetensors"
VERSIONS_FILE: Final = "versions.json"


@dataclass(frozen=True, eq=False)
class Entries:
    """What is known of items with an ID, row by row."""

    item_ids: list[str]
    """Raw ids; an item whose ID was freed and that came back has two entries."""

    codes_EL: Codes
    """Their IDs."""

    error_E: Features
    """Reconstruction errors by the nearest codes, see :class:`genrec.tokenization.drift.Drift`."""

    final_error_E: Features
    """The same by the codes of their IDs."""

    moved_E: Bools
    """Whose nearest codes were taken."""

    freed_E: Bools = field(default_factory=lambda: np.empty(0, dtype=np.bool_))
    """Whose ID may go to another item."""

    def __post_init__(self) -> None:
        if len(self.freed_E) == 0:
            object.__setattr__(self, "freed_E", np.zeros(len(self.item_ids), dtype=np.bool_))

    def __len__(self) -> int:
        return len(self.item_ids)

    def drift(self, trained: Rows, since: Rows) -> Drift:
        """Compare some entries with those of training."""
        return measure_drift(
            self.error_E[trained], self.error_E[since], self.final_error_E[since],
            self.moved_E[since],
        )  # fmt: skip

    def __add__(self, other: "Entries") -> "Entries":
        return Entries(
            self.item_ids + other.item_ids,
            np.concatenate([self.codes_EL, other.codes_EL]),
            np.concatenate([self.error_E, other.error_E]),
            np.concatenate([self.final_error_E, other.final_error_E]),
            np.concatenate([self.moved_E, other.moved_E]),
            np.concatenate([self.freed_E, other.freed_E]),
        )


@dataclass(frozen=True, kw_only=True)
class Version:
    """One state of the catalogue, as the log tells it."""

    version: int
    """Counted from 1, which is the catalogue of training."""

    when: str
    """Date and time, UTC."""

    change: str
    """What happened, in words."""

    items: int
    """Number of items after the change."""

    added: int
    """Items that came, those among them that had been here before included."""

    removed: int
    """Items that left."""

    catalogue: str
    """Fingerprint of the catalogue after the change; empty where none was given."""

    semantic_ids: str
    """Fingerprint of the IDs in the order of that catalogue."""

    drift: Drift | None = None
    """How well the codes describe the items that were new."""

    def to_json(self) -> dict[str, Any]:
        """Turn the entry of the log into plain values."""
        return {**asdict(self), "drift": self.drift.to_json() if self.drift else None}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Version":
        """Read what :meth:`to_json` gave."""
        drift = Drift.from_json(value["drift"]) if value["drift"] else None
        return cls(**{**value, "drift": drift})


@dataclass(frozen=True, eq=False)
class Change:
    """Who came and who left, as rows of the ledger, and the order of the rows afterwards."""

    came: Rows
    gone: Rows
    order: Rows | None = None
    """The rows of the version; left out where those that came simply follow those that stayed."""

    def apply(self, rows_N: Rows) -> Rows:
        """Turn the rows of one version into those of the next."""
        return self._appended(rows_N) if self.order is None else self.order

    @classmethod
    def between(cls, before_N: Rows, after_N: Rows) -> "Change":
        """Describe what turns the rows of one version into those of another."""
        change = cls(
            after_N[~np.isin(after_N, before_N)], before_N[~np.isin(before_N, after_N)]
        )  # fmt: skip
        if not np.array_equal(change._appended(before_N), after_N):
            change = replace(change, order=after_N)
        return change

    def _appended(self, rows_N: Rows) -> Rows:
        return np.concatenate([rows_N[~np.isin(rows_N, self.gone)], self.came])


@dataclass(frozen=True, eq=False)
class Ledger:
    """Every item that ever had an ID, and every version of the catalogue."""

    entries: Entries
    changes: tuple[Change, ...]
    versions: tuple[Version, ...]

    @cached_property
    def rows_N(self) -> Rows:
        """The entries of the items that are in the catalogue now, in its order."""
        return self.rows_at(len(self.changes))

    @cached_property
    def item_ids(self) -> list[str]:
        """The raw ids of the items that are in the catalogue now, in its order."""
        return [self.entries.item_ids[row] for row in self.rows_N.tolist()]

    @property
    def codes_NL(self) -> Codes:
        """The IDs of the items that are in the catalogue now, in its order."""
        return self.entries.codes_EL[self.rows_N]

    @property
    def taken_EL(self) -> Codes:
        """The IDs that no new item may have: those in use, and those kept for their items."""
        return self.entries.codes_EL[~self.entries.freed_E]

    @cached_property
    def known(self) -> dict[str, int]:
        """The entry of every item that has an ID or whose ID is kept for it."""
        kept = np.flatnonzero(~self.entries.freed_E).tolist()
        return {self.entries.item_ids[row]: row for row in kept}

    def rows_at(self, version: int) -> Rows:
        """Find the entries of the items of a version, in the order of its catalogue.

        Raises:
            DataError: When there is no such version.
        """
        if not 1 <= version <= len(self.changes):
            raise DataError(f"there is no version {version}; there are 1 to {len(self.changes)}")
        rows_N = np.empty(0, dtype=np.int64)
        for change in self.changes[:version]:
            rows_N = change.apply(rows_N)
        return rows_N

    def present_rows(self, item_ids: Sequence[str]) -> Rows:
        """Find the entries of items that are in the catalogue now.

        Raises:
            DataError: When one is not.
        """
        row_of = dict(zip(self.item_ids, self.rows_N.tolist(), strict=True))
        for item_id in item_ids:
            if item_id not in row_of:
                raise DataError(f"the tokenizer's catalogue has no item {item_id!r}")
        return np.array([row_of[item_id] for item_id in item_ids], dtype=np.int64)

    @property
    def drift(self) -> Drift | None:
        """Compare all items that came since training, and are still there, with those of training.

        ``None`` where there are none.
        """
        trained = self.changes[0].came
        since = self.rows_N[~np.isin(self.rows_N, trained)]
        if len(since) == 0:
            return None
        return self.entries.drift(trained, since)

    def next(
        self,
        rows_N: Rows,
        *,
        entries: Entries | None = None,
        change: str,
        catalogue: str,
        semantic_ids: str,
        drift: Drift | None = None,
    ) -> "Ledger":
        """Append a version.

        Args:
            rows_N: Its entries, in the order of its catalogue.
            entries: All entries, where new ones came or some were freed.
            change: What happened, in words.
            catalogue: Fingerprint of the catalogue.
            semantic_ids: Fingerprint of the IDs.
            drift: How well the codes describe the new items.
        """
        before_N = self.rows_N if self.changes else rows_N[:0]
        step = Change.between(before_N, rows_N)
        version = Version(
            version=len(self.versions) + 1,
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            change=change,
            items=len(rows_N),
            added=len(step.came),
            removed=len(step.gone),
            catalogue=catalogue,
            semantic_ids=semantic_ids,
            drift=drift,
        )
        entries = self.entries if entries is None else entries
        return Ledger(entries, (*self.changes, step), (*self.versions, version))

    def save(self, folder: Path) -> None:
        """Write the ledger: who has which ID, what changed, and the log of versions."""
        entries = self.entries
        pl.DataFrame({
            "item_id": pl.Series(entries.item_ids, dtype=pl.String),
            "codes": pl.Series(
                entries.codes_EL, dtype=pl.Array(pl.Int32, entries.codes_EL.shape[1])
            ),
            "error": entries.error_E,
            "final_error": entries.final_error_E,
            "moved": entries.moved_E,
            "freed": entries.freed_E,
        }).write_parquet(folder / LEDGER_FILE)  # fmt: skip
        steps = enumerate(self.changes, start=1)
        arrays = {
            f"{number}.{name}": rows
            for number, change in steps
            for name, rows in asdict(change).items()
            if rows is not None
        }
        save_file(arrays, folder / CHANGES_FILE)
        write_json(folder / VERSIONS_FILE, {"versions": [one.to_json() for one in self.versions]})

    @classmethod
    def load(cls, folder: Path) -> "Ledger":
        """Read what :meth:`save` wrote.

        Raises:
            ArtifactError: When a file is missing or broken.
        """
        try:
            table = pl.read_parquet(folder / LEDGER_FILE)
            arrays = load_file(folder / CHANGES_FILE)
            versions = read_json(folder / VERSIONS_FILE)["versions"]
            return cls(
                Entries(
                    table["item_id"].to_list(),
                    table["codes"].to_numpy().astype(np.int32),
                    *(
                        table[name].to_numpy()
                        for name in ("error", "final_error", "moved", "freed")
                    ),
                ),
                tuple(
                    Change(*(arrays.get(f"{number}.{name}") for name in ("came", "gone", "order")))  # type: ignore[arg-type]
                    for number in range(1, len(versions) + 1)
                ),
                tuple(Version.from_json(version) for version in versions),
            )
        except (OSError, KeyError, TypeError, SafetensorError, pl.exceptions.PolarsError) as error:
            raise ArtifactError(f"{folder} holds no ledger that can be read: {error}") from error
