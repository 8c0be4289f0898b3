"""IDs for new items in a catalogue whose other items keep theirs.

Shape letters in this file: N items that have an ID, M new items, P levels of the quantizer, L
levels of an ID (one more than P where the last one counts), K codes of one level, F features.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from genrec.data import DataError
from genrec.semantic_ids import Codes
from genrec.tokenization.arrays import Bools, Features, Rows
from genrec.tokenization.quantizer import Quantizer

ROWS_AT_ONCE = 65_536
"""Items priced against a codebook at a time; bounds the memory of the costs."""


class Seated(NamedTuple):
    """IDs of new items, and which of them had to leave the codes nearest to them."""

    codes_ML: Codes
    moved_M: Bools


@torch.no_grad()
def seat(
    codes_MP: Tensor,
    features_MF: Tensor,
    quantizer: Quantizer,
    taken_NL: Codes,
    codebook_sizes: tuple[int, ...],
    *,
    items_per_id: int = 1,
) -> Seated:
    """Give new items IDs that no ``items_per_id`` others have; the IDs that are taken stay.

    First everybody sits down whose nearest codes have room; a contest goes to the item that they
    describe best. Then each of the others takes, level by level, the cheapest code with room below
    it, as :func:`genrec.tokenization.assignment.reassign` does for a whole catalogue.

    Args:
        codes_MP: What the quantizer chose for the new items.
        features_MF: The features that it chose them for.
        quantizer: Prices the other codes.
        taken_NL: The IDs that are in use or kept for items that may return.
        codebook_sizes: Codes per level of an ID; a level that the quantizer does not have counts.
        items_per_id: Most items on one ID.

    Raises:
        DataError: When there are more items than free IDs.
    """
    free = math.prod(codebook_sizes) * items_per_id - len(taken_NL)
    if len(codes_MP) > free:
        raise DataError(
            f"{len(codes_MP)} new items do not fit the {free} places that are free; free the IDs "
            "of removed items (free=True) or train a tokenizer with larger codebooks"
        )
    seats = _Seats(taken_NL, codebook_sizes, items_per_id)
    nearest_MP = codes_MP.cpu().numpy()
    codes_ML = np.empty((len(nearest_MP), len(codebook_sizes)), dtype=np.int32)
    moved_M = np.zeros(len(nearest_MP), dtype=np.bool_)
    order = np.argsort(_own_costs(codes_MP, features_MF, quantizer), kind="stable").tolist()
    for row in order:
        moved_M[row] = not seats.has_room(nearest_MP[row])
        if not moved_M[row]:
            codes_ML[row] = seats.take(nearest_MP[row].tolist())
    for row in filter(moved_M.__getitem__, order):
        codes = seats.cheapest(features_MF[row : row + 1], quantizer, levels=nearest_MP.shape[1])
        codes_ML[row] = seats.take(codes)
    return Seated(codes_ML, moved_M)


class _Seats:
    """How many places are taken below every prefix: a sorted table, and who sat down since."""

    def __init__(self, taken_NL: Codes, codebook_sizes: tuple[int, ...], items_per_id: int) -> None:
        self.sizes = codebook_sizes
        self.sorted_NL = taken_NL[np.lexsort(taken_NL.T[::-1])]
        self.since: dict[tuple[int, ...], Rows] = {}
        self.rooms = [
            math.prod(codebook_sizes[level + 1 :]) * items_per_id
            for level in range(len(codebook_sizes))
        ]

    def has_room(self, codes_P: Rows) -> bool:
        """Tell whether another item may have these codes of a quantizer."""
        room = self.rooms[len(codes_P) - 1]
        return bool(self._taken(tuple(codes_P[:-1].tolist()))[codes_P[-1]] < room)

    def cheapest(self, features_1F: Tensor, quantizer: Quantizer, *, levels: int) -> list[int]:
        """Choose level by level the cheapest code of a quantizer with room below it."""
        codes: list[int] = []
        for room in self.rooms[:levels]:
            prefix_1P = torch.tensor([codes], dtype=torch.long, device=features_1F.device)
            costs_K = quantizer.costs(features_1F, prefix_1P)[0].cpu().numpy()
            full_K = self._taken(tuple(codes)) >= room
            codes.append(int(np.where(full_K, np.inf, costs_K).argmin()))
        return codes

    def take(self, codes: list[int]) -> list[int]:
        """Count one more item on codes; where a level counts on, append its first free number."""
        for room in self.rooms[len(codes) :]:
            codes = [*codes, int((self._taken(tuple(codes)) < room).argmax())]
        for level, size in enumerate(self.sizes):
            counts_K = self.since.setdefault(tuple(codes[:level]), np.zeros(size, dtype=np.int64))
            counts_K[codes[level]] += 1
        return codes

    def _taken(self, prefix: tuple[int, ...]) -> Rows:
        """Count the items below each code that may follow a prefix, of shape (K,)."""
        low, high = 0, len(self.sorted_NL)
        for level, code in enumerate(prefix):
            column = self.sorted_NL[low:high, level]
            low, high = low + np.searchsorted(column, [code, code + 1])
        size = self.sizes[len(prefix)]
        counts_K = np.bincount(self.sorted_NL[low:high, len(prefix)], minlength=size)
        since_K = self.since.get(prefix)
        return counts_K if since_K is None else counts_K + since_K


def _own_costs(codes_MP: Tensor, features_MF: Tensor, quantizer: Quantizer) -> Features:
    """Price the last code of every item."""
    costs = [
        quantizer.costs(x_MF, part_MP[:, :-1]).gather(1, part_MP[:, -1:])[:, 0].cpu().numpy()
        for x_MF, part_MP in zip(
            torch.split(features_MF, ROWS_AT_ONCE), torch.split(codes_MP, ROWS_AT_ONCE), strict=True
        )
    ]
    return np.concatenate(costs) if costs else np.empty(0, dtype=np.float32)
