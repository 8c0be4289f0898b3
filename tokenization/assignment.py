"""Unique semantic IDs from codes that items may share.

Three strategies. ``extra_level`` counts the items that share all codes in one more level, as TIGER
does (https://arxiv.org/abs/2305.05065, section 3.1); codes stay as they are, IDs grow longer.
``reassign`` moves the items that an ID has no room for to the next best code with room, last level
first; IDs keep their length, and a moved item is described slightly worse. ``sinkhorn`` seats all
items of crowded IDs anew in the last level, by optimal transport as in LC-Rec
(https://arxiv.org/abs/2311.09049): the best for all together, where ``reassign`` is fair to one
after the other.

Shape letters in this file: N items, L levels, K codes of one level, M items on crowded codes, E of
them that must move, W of those still waiting, G prefixes, F features, P levels already settled.
"""

import logging
import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from genrec.semantic_ids import Codes, SemanticIds
from genrec.tokenization.arrays import Bools, Rows
from genrec.tokenization.groups import group_rows, rank_in_group
from genrec.tokenization.quantizer import Quantizer
from genrec.tokenization.sinkhorn import transport_prices
from genrec.tokenization.streaming import Rowwise, read_rows

Costs = np.ndarray[Any, np.dtype[np.float32]]

ROWS_AT_ONCE = 16_384
"""Rows priced against a whole codebook at a time; bounds the memory of the costs."""

ROWS_TOGETHER = 65_536
"""Rows that are seated together, unless one prefix has more."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class AssignmentConfig:
    """How items that share all codes are told apart."""

    strategy: Literal["extra_level", "reassign", "sinkhorn"] = "reassign"
    """``extra_level`` appends a level that counts; ``reassign`` moves items to codes with room;
    ``sinkhorn`` spreads them over the last level."""

    items_per_id: int = 1
    """Most items on one ID; 1 makes every ID unique."""

    def __post_init__(self) -> None:
        if self.items_per_id < 1:
            raise ValueError(f"items_per_id is {self.items_per_id}; an ID holds at least 1 item")


class Assignment(NamedTuple):
    """IDs that hold no more items than allowed, and the rows whose codes had to change for it."""

    ids: SemanticIds
    moved: Rows


def assign(
    codes_NL: Tensor, features_NF: Rowwise, quantizer: Quantizer, config: AssignmentConfig
) -> Assignment:
    """Make IDs out of codes by the strategy of the config.

    Args:
        codes_NL: What the quantizer chose for every item.
        features_NF: The features that it chose them for; rows are read as they are needed.
        quantizer: Prices the other codes.
        config: The strategy and how many items one ID may hold.
    """
    if config.strategy == "extra_level":
        ids = append_level(codes_NL, quantizer.codebook_sizes, items_per_id=config.items_per_id)
        return Assignment(ids, np.empty(0, dtype=np.int64))
    return reassign(
        codes_NL, features_NF, quantizer,
        items_per_id=config.items_per_id, transport=config.strategy == "sinkhorn",
    )  # fmt: skip


def append_level(
    codes_NL: Tensor, codebook_sizes: tuple[int, ...], *, items_per_id: int = 1
) -> SemanticIds:
    """Append a level that counts the items with the same codes, in the order of their rows."""
    codes = codes_NL.cpu().numpy()
    extra_N = rank_in_group(group_rows(codes), np.arange(len(codes))) // items_per_id
    size = int(extra_N.max()) + 1
    return SemanticIds(np.column_stack([codes, extra_N]), (*codebook_sizes, size))


@torch.no_grad()
def reassign(
    codes_NL: Tensor,
    features_NF: Rowwise,
    quantizer: Quantizer,
    *,
    items_per_id: int = 1,
    transport: bool = False,
) -> Assignment:
    """Move the items that IDs have no room for to the cheapest codes that have.

    Of the items on one ID, those that its last code describes best stay; an item whose ID was
    never too full stays always. The others move within their last level if they can. A level before
    it acts only where a whole branch is full: under a prefix, a code of level ``l`` has room for
    ``items_per_id`` times the number of IDs below it. So everything fits, whatever the codes were.

    Args:
        codes_NL: What the quantizer chose.
        features_NF: The features that it chose them for; rows are read as they are needed.
        quantizer: Prices the other codes.
        items_per_id: Most items on one ID.
        transport: Let all items of a crowded ID choose anew in the last level, together.

    Raises:
        ValueError: When there are more items than all IDs together hold.
    """
    sizes = quantizer.codebook_sizes
    if len(codes_NL) > math.prod(sizes) * items_per_id:
        raise ValueError(
            f"{len(codes_NL)} items do not fit {math.prod(sizes)} IDs of {items_per_id} item(s) "
            f"each; add a level to the codebook sizes {list(sizes)} or enlarge them"
        )
    before_NL = codes_NL.cpu().numpy().astype(np.int64)
    seating = _Seating(before_NL.copy(), features_NF, quantizer)
    excess_N = seating.excess(items_per_id)
    crowded_N = seating.crowded(items_per_id)
    for level in range(len(sizes)):
        room = math.prod(sizes[level + 1 :]) * items_per_id
        if transport and level == len(sizes) - 1:
            seating.transport(room, crowded_N)
        seating.settle(level, room, excess_N)
    moved = np.flatnonzero((seating.codes_NL != before_NL).any(axis=1))
    log.info("moved %d of %d items to IDs with room", len(moved), len(before_NL))
    return Assignment(SemanticIds(seating.codes_NL.astype(np.int32), sizes), moved)


@dataclass
class _Seating:
    """The codes of all items, on their way to having room for everyone."""

    codes_NL: Rows
    features_NF: Rowwise
    quantizer: Quantizer

    def excess(self, room: int) -> Bools:
        """Find the items that their ID has no room for: the ones its last code describes worst."""
        id_N = group_rows(self.codes_NL)
        crowded_M = np.flatnonzero(np.bincount(id_N)[id_N] > room)
        rank_M = rank_in_group(id_N[crowded_M], self._own_costs(crowded_M, -1))
        excess_N = np.zeros(len(id_N), dtype=np.bool_)
        excess_N[crowded_M] = rank_M >= room
        return excess_N

    def settle(self, level: int, room: int, excess_N: Bools) -> None:
        """Leave no code of a level with more than ``room`` items under the same prefix."""
        prefix_N = group_rows(self.codes_NL[:, :level])
        place_N = group_rows(np.column_stack([prefix_N, self.codes_NL[:, level]]))
        crowded_M = np.flatnonzero(np.bincount(place_N)[place_N] > room)
        if len(crowded_M) == 0:
            return
        costs_M = self._own_costs(crowded_M, level)
        rank_M = rank_in_group(place_N[crowded_M], excess_N[crowded_M], costs_M)
        rows_E = crowded_M[rank_M >= room]
        for part_E in _whole_prefixes(rows_E, prefix_N):
            self.codes_NL[part_E, level] = self._fill(part_E, level, room, prefix_N)
        if level == self.codes_NL.shape[1] - 1:
            return
        for rows_W in np.split(rows_E, range(ROWS_AT_ONCE, len(rows_E), ROWS_AT_ONCE)):
            rest_WL = self.quantizer.quantize(*self._priced_by(rows_W, level + 1))
            self.codes_NL[rows_W] = rest_WL.cpu().numpy()

    def crowded(self, room: int) -> Bools:
        """Find the items on IDs that have more of them than room."""
        id_N = group_rows(self.codes_NL)
        return np.bincount(id_N)[id_N] > room

    def transport(self, room: int, movable_N: Bools) -> None:
        """Seat items of crowded IDs anew in the last level, each prefix by the best for all."""
        level = self.codes_NL.shape[1] - 1
        prefix_N = group_rows(self.codes_NL[:, :level])
        place_N = group_rows(np.column_stack([prefix_N, self.codes_NL[:, level]]))
        crowded_M = np.flatnonzero(movable_N & (np.bincount(place_N)[place_N] > room))
        for rows_E in _whole_prefixes(crowded_M, prefix_N):
            taken_GK, group_E = self._taken(rows_E, level, prefix_N)
            costs_EK = self.quantizer.costs(*self._priced_by(rows_E, level)).cpu()
            prices_EK = transport_prices(
                costs_EK, torch.from_numpy(group_E), torch.from_numpy(room - taken_GK).clamp(min=0)
            )
            self.codes_NL[rows_E, level] = self._fill(
                rows_E, level, room, prefix_N, prices_EK=prices_EK.numpy()
            )

    def _fill(
        self,
        rows_E: Rows,
        level: int,
        room: int,
        prefix_N: Rows,
        *,
        prices_EK: Costs | None = None,
    ) -> Rows:
        """Find the cheapest code with room for every item; a contest goes to the closest.

        All items choose at once, round after round; those that lose a contest choose again among
        what is left. Every round settles at least one item of each prefix.
        """
        taken_GK, group_E = self._taken(rows_E, level, prefix_N)
        chosen_E = np.full(len(rows_E), -1)
        waiting_W = np.arange(len(rows_E))
        while len(waiting_W) > 0:
            group_W = group_E[waiting_W]
            full_WK = (taken_GK >= room)[group_W]
            if prices_EK is None:
                code_W, cost_W = self._cheapest(rows_E[waiting_W], level, full_WK)
            else:
                costs_WK = np.where(full_WK, np.inf, prices_EK[waiting_W])
                code_W, cost_W = costs_WK.argmin(axis=1), costs_WK.min(axis=1)
            place_W = group_rows(np.column_stack([group_W, code_W]))
            wins_W = rank_in_group(place_W, cost_W) < room - taken_GK[group_W, code_W]
            chosen_E[waiting_W[wins_W]] = code_W[wins_W]
            np.add.at(taken_GK, (group_W[wins_W], code_W[wins_W]), 1)
            waiting_W = waiting_W[~wins_W]
        return chosen_E

    def _taken(self, rows_E: Rows, level: int, prefix_N: Rows) -> tuple[Codes, Rows]:
        """Count the items that stay on each code of the prefixes G of some rows; number those."""
        prefixes_G, group_E = np.unique(prefix_N[rows_E], return_inverse=True)
        group_of = np.full(int(prefix_N.max()) + 1, -1)
        group_of[prefixes_G] = np.arange(len(prefixes_G))
        group_N = group_of[prefix_N]
        group_N[rows_E] = -1
        stays_N = group_N >= 0
        taken_GK = np.zeros((len(prefixes_G), self.quantizer.codebook_sizes[level]), dtype=np.int32)
        np.add.at(taken_GK, (group_N[stays_N], self.codes_NL[stays_N, level]), 1)
        return taken_GK, group_E

    def _cheapest(self, rows_W: Rows, level: int, full_WK: Bools) -> tuple[Rows, Costs]:
        """Find the cheapest code that is not full, and its cost."""
        codes, costs = [], []
        for start in range(0, len(rows_W), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            costs_WK = self.quantizer.costs(*self._priced_by(rows_W[part], level)).cpu().numpy()
            costs_WK = np.where(full_WK[part], np.inf, costs_WK)
            codes.append(costs_WK.argmin(axis=1))
            costs.append(costs_WK.min(axis=1))
        return np.concatenate(codes), np.concatenate(costs)

    def _own_costs(self, rows_M: Rows, level: int) -> Costs:
        """Price the codes that some rows have at a level."""
        level %= self.codes_NL.shape[1]
        costs_M = np.empty(len(rows_M), dtype=np.float32)
        for start in range(0, len(rows_M), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            costs_MK = self.quantizer.costs(*self._priced_by(rows_M[part], level)).cpu().numpy()
            own_M1 = self.codes_NL[rows_M[part], level][:, None]
            costs_M[part] = np.take_along_axis(costs_MK, own_M1, axis=1)[:, 0]
        return costs_M

    def _priced_by(self, rows_M: Rows, levels: int) -> tuple[Tensor, Tensor]:
        """Give what a quantizer prices codes by: the features of rows and their first codes."""
        features_MF = read_rows(self.features_NF, rows_M)
        codes_MP = torch.from_numpy(self.codes_NL[rows_M, :levels])
        return features_MF, codes_MP.to(features_MF.device, torch.long)


def _whole_prefixes(rows_E: Rows, prefix_N: Rows) -> list[Rows]:
    """Split rows into parts that no prefix is torn between; what is counted per prefix stays small.

    Within a prefix rows keep their order.
    """
    rows_E = rows_E[np.argsort(prefix_N[rows_E], kind="stable")]
    starts = np.flatnonzero(np.diff(prefix_N[rows_E], prepend=-1))
    firsts = starts[np.flatnonzero(np.diff(starts // ROWS_TOGETHER, prepend=0))]
    return [part_E for part_E in np.split(rows_E, firsts) if len(part_E) > 0]
