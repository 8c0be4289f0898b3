"""A growing catalogue: new items get IDs from the frozen tokenizer, old ones never change theirs.

Every function turns one ledger into the next and leaves the old one as it was.

Shape letters in this file: M new items, N items of a catalogue, E entries of the ledger, F
features, P levels of the quantizer, L levels of an ID.
"""

import collections
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch

from genrec.data import DataError
from genrec.semantic_ids import SemanticIds
from genrec.tokenization.arrays import Features, Rows
from genrec.tokenization.encoding import quantize, reconstruction_errors
from genrec.tokenization.ledger import Entries, Ledger
from genrec.tokenization.quantizer import Quantizer
from genrec.tokenization.seating import seat

log = logging.getLogger(__name__)


class Items(Protocol):
    """All that is asked of a catalogue here: who is in it, in which order."""

    def __len__(self) -> int: ...

    @property
    def item_ids(self) -> list[str]:
        """The raw id of every row."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of the catalogue."""
        ...


@dataclass(frozen=True)
class IdSpace:
    """The frozen tokenizer, as far as new items need it."""

    quantizer: Quantizer
    codebook_sizes: tuple[int, ...]
    items_per_id: int
    variance: float
    """Mean squared distance of the training items' features from their mean."""


def start_ledger(entries: Entries, sizes: tuple[int, ...], catalogue: Items | None) -> Ledger:
    """Open a ledger with the items of training as its first version."""
    rows_N = np.arange(len(entries))
    empty = Ledger(entries, (), ())
    return _commit(empty, entries, rows_N, sizes, change="trained", catalogue=catalogue)


def add_items(
    ledger: Ledger,
    space: IdSpace,
    features_MF: Features,
    item_ids: Sequence[str],
    *,
    catalogue: Items | None = None,
) -> Ledger:
    """Add items; one that comes back gets the ID that was kept for it.

    Args:
        ledger: What was.
        space: The frozen tokenizer.
        features_MF: One row for each of the items.
        item_ids: Their raw ids.
        catalogue: All items afterwards, where their order or fingerprint matters.

    Raises:
        DataError: When an item is in the catalogue already, or is named twice.
        ValueError: When the free IDs do not suffice, or features and items differ in number.
    """
    if len(features_MF) != len(item_ids):
        raise ValueError(f"there are features of {len(features_MF)} items for {len(item_ids)} ids")
    twice = [item_id for item_id, count in collections.Counter(item_ids).items() if count > 1]
    present = set(ledger.item_ids)
    here = [item_id for item_id in item_ids if item_id in present]
    if twice or here:
        name, why = (twice[0], "is named twice") if twice else (here[0], "is there already")
        raise DataError(f"the item {name!r} {why}; add every new item once")
    back = [item_id for item_id in item_ids if item_id in ledger.known]
    new_M = np.array([item_id not in ledger.known for item_id in item_ids], dtype=np.bool_)
    came = [item_id for item_id in item_ids if item_id not in ledger.known]
    entries = ledger.entries + _new_entries(ledger, space, features_MF[new_M], came)
    rows_N = np.concatenate([
        ledger.rows_N,
        np.array([ledger.known[item_id] for item_id in back], dtype=np.int64),
        np.arange(len(ledger.entries), len(entries)),
    ])  # fmt: skip
    words = f"added {len(came)}" + (f", {len(back)} came back" if back else "")
    return _commit(ledger, entries, rows_N, space.codebook_sizes, change=words, catalogue=catalogue)


def remove_items(
    ledger: Ledger,
    item_ids: Sequence[str],
    sizes: tuple[int, ...],
    *,
    free: bool = False,
    catalogue: Items | None = None,
) -> Ledger:
    """Remove items. Their IDs are kept for them, unless they are freed for others.

    Args:
        ledger: What was.
        item_ids: The items; to free the IDs of items that left before, name them again.
        sizes: Codes per level of an ID.
        free: Let new items have the IDs. A model that learnt an ID as the old item will say it for
            the new one until it is trained again.
        catalogue: All items afterwards.

    Raises:
        DataError: When an item is not there, or none would be left.
    """
    entries = ledger.entries
    if free:
        gone = _known_rows(ledger, item_ids)
        entries = _freed(ledger, gone.tolist()).entries
    else:
        gone = ledger.present_rows(item_ids)
    rows_N = ledger.rows_N[~np.isin(ledger.rows_N, gone)]
    words = f"removed {len(ledger.rows_N) - len(rows_N)}"
    words += f", freed {len(set(gone.tolist()))} IDs" if free else ""
    return _commit(ledger, entries, rows_N, sizes, change=words, catalogue=catalogue)


def update_items(
    ledger: Ledger, space: IdSpace, features_MF: Features, catalogue: Items, *, free: bool = False
) -> Ledger:
    """Follow a catalogue: add what is new in it and remove what it lacks, in one version.

    Args:
        ledger: What was.
        space: The frozen tokenizer.
        features_MF: One row for each of :func:`new_rows`.
        catalogue: All items afterwards.
        free: Let new items have the IDs of those that leave.

    Raises:
        ValueError: When features and new items differ in number.
    """
    new = new_rows(ledger, catalogue)
    if len(features_MF) != len(new):
        raise ValueError(
            f"there are features of {len(features_MF)} items, but {len(new)} items of the "
            "catalogue have no ID; give one row for each of new_items(catalogue)"
        )
    came = [catalogue.item_ids[row] for row in new.tolist()]
    stay = {ledger.known[item_id] for item_id in catalogue.item_ids if item_id in ledger.known}
    gone = [row for row in ledger.rows_N.tolist() if row not in stay]
    before = _freed(ledger, gone) if free else ledger
    entries = before.entries + _new_entries(before, space, features_MF, came)
    entry_of = ledger.known | {
        item_id: len(ledger.entries) + number for number, item_id in enumerate(came)
    }
    rows_N = np.array([entry_of[item_id] for item_id in catalogue.item_ids], dtype=np.int64)
    back = len(rows_N) - len(came) - (len(ledger.rows_N) - len(gone))
    words = f"added {len(came)}, removed {len(gone)}" + (f", {back} came back" if back else "")
    words += f", freed {len(gone)} IDs" if free and gone else ""
    return _commit(ledger, entries, rows_N, space.codebook_sizes, change=words, catalogue=catalogue)


def roll_back(ledger: Ledger, version: int, sizes: tuple[int, ...], *, items_per_id: int) -> Ledger:
    """Append a version with the items and IDs of an older one; nothing of the log is lost.

    Items that came since leave. Where such an item has the freed ID of one that returns, it will
    get another ID should it come again. An item that returns to an ID that was freed gives up the
    one that it got since.
    """
    rows_N = ledger.rows_at(version)
    entries = ledger.entries
    freed_E = entries.freed_E.copy()
    freed_E[rows_N] = False
    ids = SemanticIds(entries.codes_EL, sizes)
    holders = collections.Counter(map(tuple, ids.codes_NL[rows_N].tolist()))
    here = {entries.item_ids[row] for row in rows_N.tolist()}
    away = np.flatnonzero(~freed_E & ~np.isin(np.arange(len(entries)), rows_N))
    for row in away.tolist():
        codes = tuple(entries.codes_EL[row].tolist())
        freed_E[row] = entries.item_ids[row] in here or holders[codes] >= items_per_id
        holders[codes] += not freed_E[row]
    was = ledger.versions[version - 1]
    return ledger.next(
        rows_N, entries=replace(entries, freed_E=freed_E), change=f"rolled back to {version}",
        catalogue=was.catalogue, semantic_ids=was.semantic_ids,
    )  # fmt: skip


def new_rows(ledger: Ledger, catalogue: Items) -> Rows:
    """Find the rows of a catalogue whose items need an ID, and features for it."""
    return np.array(
        [row for row, item_id in enumerate(catalogue.item_ids) if item_id not in ledger.known],
        dtype=np.int64,
    )


def _new_entries(
    ledger: Ledger, space: IdSpace, features_MF: Features, item_ids: list[str]
) -> Entries:
    """Find IDs for new items among the free ones."""
    levels = len(space.codebook_sizes)
    if not item_ids:
        nothing = np.empty(0, dtype=np.float32)
        codes_0L, nobody = np.empty((0, levels), np.int32), nothing.astype(np.bool_)
        return Entries([], codes_0L, nothing, nothing, nobody)
    x_MF = torch.from_numpy(np.ascontiguousarray(features_MF, dtype=np.float32))
    codes_MP = quantize(space.quantizer, x_MF)
    codes_ML, moved_M = seat(
        codes_MP, x_MF, space.quantizer, ledger.taken_EL, space.codebook_sizes,
        items_per_id=space.items_per_id,
    )  # fmt: skip
    log.info("%d new items, %d of them moved to IDs with room", len(item_ids), moved_M.sum())
    # A level beyond the quantizer's only counts; it describes nothing.
    final_MP = torch.from_numpy(codes_ML[:, : codes_MP.shape[1]]).long()
    error_M, final_error_M = (
        reconstruction_errors(space.quantizer, x_MF, codes) / np.float32(space.variance)
        for codes in (codes_MP, final_MP)
    )
    return Entries(item_ids, codes_ML, error_M, final_error_M, moved_M)


def _freed(ledger: Ledger, rows: Sequence[int]) -> Ledger:
    """Let others have the IDs of some entries."""
    freed_E = ledger.entries.freed_E.copy()
    freed_E[list(rows)] = True
    return replace(ledger, entries=replace(ledger.entries, freed_E=freed_E))


def _known_rows(ledger: Ledger, item_ids: Sequence[str]) -> Rows:
    for item_id in item_ids:
        if item_id not in ledger.known:
            raise DataError(f"the tokenizer keeps no ID for an item {item_id!r}")
    return np.array([ledger.known[item_id] for item_id in item_ids], dtype=np.int64)


def _commit(
    ledger: Ledger,
    entries: Entries,
    rows_N: Rows,
    sizes: tuple[int, ...],
    *,
    change: str,
    catalogue: Items | None,
) -> Ledger:
    """Append a version in the order of its catalogue, with the drift of what is new in it."""
    if len(rows_N) == 0:
        raise DataError("no item would be left; a catalogue has at least one")
    if catalogue is not None:
        rows_N = _in_order_of(catalogue, entries, rows_N)
    drift = None
    if ledger.changes and len(entries) > len(ledger.entries):
        new = np.arange(len(ledger.entries), len(entries))
        drift = entries.drift(ledger.changes[0].came, new)
    return ledger.next(
        rows_N, entries=entries, change=change, drift=drift,
        catalogue=catalogue.fingerprint if catalogue is not None else "",
        semantic_ids=SemanticIds(entries.codes_EL[rows_N], sizes).fingerprint,
    )  # fmt: skip


def _in_order_of(catalogue: Items, entries: Entries, rows_N: Rows) -> Rows:
    """Order entries as a catalogue orders its items.

    Raises:
        DataError: When the catalogue has other items.
    """
    row_of = {entries.item_ids[row]: row for row in rows_N.tolist()}
    strange = next((item_id for item_id in catalogue.item_ids if item_id not in row_of), None)
    if strange is not None:
        raise DataError(f"the catalogue has the item {strange!r}, which was not added")
    if len(catalogue.item_ids) != len(rows_N):
        gone = next(iter(row_of.keys() - set(catalogue.item_ids)))
        raise DataError(f"the catalogue lacks the item {gone!r}, which was not removed")
    return np.array([row_of[item_id] for item_id in catalogue.item_ids], dtype=np.int64)
