"""Every change of the catalogue, in memory and in a folder that other processes may share.

A change is one small file, ``000002.json``, that appears whole or not at all: it *is* the new
version. What it needs besides (new items, their IDs, the tokenizer that gave them) is written
before, in a folder of its own. Two processes that write the same version at once: one wins, the
other is told to look again.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from genrec.artifacts import (
    ArtifactError,
    check_same,
    read_json,
    sync,
    write_directory,
    write_json,
)
from genrec.semantic_ids import SemanticIds
from genrec.tokenization import SemanticTokenizer

_BASE = "base.json"
_ITEMS = "items.parquet"
_IDS = "semantic_ids.safetensors"
_TOKENIZER = "tokenizer"

TOKENIZERS_KEPT = 2
"""How many of the latest tokenizers stay on the disk: another process may be reading one."""


class ConflictError(Exception):
    """Somebody else has made this version already."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What makes one version out of the one before it."""

    version: int
    """The new version; 1 is the catalogue of the model directory."""

    when: str
    """Date and time, UTC."""

    remove: tuple[str, ...] = ()
    """Items that leave, first of all."""

    add: tuple[str, ...] = ()
    """Items that come, in this order, behind all others."""

    stock: Mapping[str, bool] = field(default_factory=dict)
    """Items that are in stock from now on, or no longer."""

    rollback: int | None = None
    """The version that this one is again; then nothing else is said."""

    folder: str | None = None
    """Where the new items and the tokenizer are, beside this file."""

    @property
    def words(self) -> str:
        """Tell the change in a few words, without naming items."""
        if self.rollback is not None:
            return f"rolled back to {self.rollback}"
        counts = {
            "added": len(self.add),
            "removed": len(self.remove),
            "back in stock": sum(self.stock.values()),
            "out of stock": len(self.stock) - sum(self.stock.values()),
        }
        return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


class Arrivals(NamedTuple):
    """Items that come with a change."""

    table: pl.DataFrame
    ids: SemanticIds


class ChangeLog:
    """The changes in a folder; without one they live as long as the process."""

    def __init__(self, folder: Path | None, base: Mapping[str, str]) -> None:
        """Open a log, or begin one.

        Args:
            folder: Where it is kept.
            base: Fingerprints of the catalogue of version 1 and of its IDs.

        Raises:
            ArtifactError: When the folder holds the changes of another catalogue.
        """
        self.folder = folder
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / _BASE).is_file():
            write_json(folder / _BASE, dict(base))
        theirs = read_json(folder / _BASE)
        for name, value in base.items():
            check_same(
                name, value, str(theirs.get(name)),
                ours_from="the model", theirs_from=f"the state in {folder}",
            )  # fmt: skip

    def after(self, version: int) -> list[Change]:
        """Read the changes that came after a version, in their order."""
        changes: list[Change] = []
        if self.folder is None:
            return changes
        while (path := self._path(version + 1)).is_file():
            version += 1
            changes.append(_change_of(read_json(path), path))
        return changes

    def prepare(
        self,
        change: Change,
        arrivals: Arrivals | None = None,
        tokenizer: SemanticTokenizer | None = None,
    ) -> Change:
        """Write what a change needs; it happens with :meth:`commit`, or not.

        Args:
            change: The change.
            arrivals: The items that come.
            tokenizer: As it is after the change, where that changed it.

        Returns:
            The change with its folder.
        """
        if self.folder is None or (arrivals is None and tokenizer is None):
            return change
        name = Path(tempfile.mkdtemp(prefix=f"{change.version:06d}-", dir=self.folder)).name
        with write_directory(self.folder / name) as folder:
            if arrivals is not None:
                arrivals.table.write_parquet(folder / _ITEMS)
                arrivals.ids.save(folder / _IDS)
            if tokenizer is not None:
                tokenizer.save_pretrained(folder / _TOKENIZER)
        return replace(change, folder=name)

    def commit(self, change: Change) -> None:
        """Let a change happen; when this returns it is on the disk.

        Raises:
            ConflictError: When another process has written this version.
        """
        if self.folder is None:
            return
        handle, draft = tempfile.mkstemp(prefix=".draft.", dir=self.folder)
        os.close(handle)
        try:
            write_json(draft, asdict(change))
            os.link(draft, self._path(change.version))  # fails where it exists, in one step
        except FileExistsError:
            raise ConflictError(f"version {change.version} exists already") from None
        finally:
            Path(draft).unlink()
        sync(self.folder)
        for old in sorted(self.folder.glob(f"*-*/{_TOKENIZER}"))[:-TOKENIZERS_KEPT]:
            shutil.rmtree(old, ignore_errors=True)  # later ones hold all that it did

    def discard(self, change: Change) -> None:
        """Delete what :meth:`prepare` wrote for a change that did not happen."""
        if self.folder is not None and change.folder is not None:
            shutil.rmtree(self._folder_of(change), ignore_errors=True)

    def arrivals(self, change: Change) -> Arrivals | None:
        """Read the items that came with a change."""
        if not change.add:
            return None
        folder = self._folder_of(change)
        try:
            table = pl.read_parquet(folder / _ITEMS)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise ArtifactError(f"{folder / _ITEMS} cannot be read: {error}") from error
        return Arrivals(table, SemanticIds.load(folder / _IDS))

    def tokenizer(self, change: Change) -> SemanticTokenizer | None:
        """Read the tokenizer as it was after a change; ``None`` if the change left it alone."""
        if change.folder is None or not (self._folder_of(change) / _TOKENIZER).is_dir():
            return None
        return SemanticTokenizer.from_pretrained(self._folder_of(change) / _TOKENIZER)

    def _path(self, version: int) -> Path:
        assert self.folder is not None
        return self.folder / f"{version:06d}.json"

    def _folder_of(self, change: Change) -> Path:
        assert self.folder is not None
        assert change.folder is not None
        return self.folder / change.folder


def _change_of(values: Mapping[str, Any], path: Path) -> Change:
    try:
        lists = {name: tuple(values[name]) for name in ("remove", "add")}
        return Change(**{**values, **lists})
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path} does not tell a change of the catalogue: {error}") from error
