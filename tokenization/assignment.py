"""Unique semantic IDs from codes that items may share.

Two strategies. ``extra_level`` counts the items that share all codes in one more level, as TIGER
does (https://arxiv.org/abs/2305.05065, section 3.1); codes stay as they are, IDs grow longer.
``reassign`` moves the items that an ID has no room for to the next best code with room, last level
first; IDs keep their length, and a moved item is described slightly worse.

Shape letters in this file: N items, F features, L levels, P levels already settled, E items in
excess, K codes of one level.
"""

import logging
import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from genrec.semantic_ids import SemanticIds
from genrec.tokenization.quantizer import Quantizer

Rows = np.ndarray[Any, np.dtype[np.int64]]

ROWS_AT_ONCE = 65_536
"""Rows priced against a whole codebook at a time; bounds the memory of the costs."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class AssignmentConfig:
    """How items that share all codes are told apart."""

    strategy: Literal["extra_level", "reassign"] = "reassign"
    """``extra_level`` appends a level that counts; ``reassign`` moves items to codes with room."""

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
    codes_NL: Tensor, features_NF: Tensor, quantizer: Quantizer, config: AssignmentConfig
) -> Assignment:
    """Make IDs out of codes by the strategy of the config.

    Args:
        codes_NL: What the quantizer chose for every item.
        features_NF: The features that it chose them for.
        quantizer: Prices the other codes.
        config: The strategy and how many items one ID may hold.
    """
    if config.strategy == "extra_level":
        ids = append_level(codes_NL, quantizer.codebook_sizes, items_per_id=config.items_per_id)
        return Assignment(ids, np.empty(0, dtype=np.int64))
    return reassign(codes_NL, features_NF, quantizer, items_per_id=config.items_per_id)


def append_level(
    codes_NL: Tensor, codebook_sizes: tuple[int, ...], *, items_per_id: int = 1
) -> SemanticIds:
    """Append a level that counts the items with the same codes, in the order of their rows."""
    codes = codes_NL.cpu().numpy()
    extra_N = _rank_in_group(_group(codes), np.arange(len(codes))) // items_per_id
    size = int(extra_N.max()) + 1
    return SemanticIds(np.column_stack([codes, extra_N]), (*codebook_sizes, size))


@torch.no_grad()
def reassign(
    codes_NL: Tensor, features_NF: Tensor, quantizer: Quantizer, *, items_per_id: int = 1
) -> Assignment:
    """Move items in excess to the cheapest code with room, level by level from the coarsest.

    At level ``l`` a code under a prefix has room for ``items_per_id`` times the number of IDs
    below it, so the last level decides about single IDs and the ones before it act only where a
    whole branch is full: whatever the codes were, everything fits. An item whose ID was never too
    full keeps it. Of the items that want one place, those that the code describes best get it.

    Raises:
        ValueError: When there are more items than all IDs together hold.
    """
    sizes = quantizer.codebook_sizes
    if len(codes_NL) > math.prod(sizes) * items_per_id:
        raise ValueError(
            f"{len(codes_NL)} items do not fit {math.prod(sizes)} IDs of {items_per_id} item(s) "
            f"each; add a level to the codebook sizes {list(sizes)} or enlarge them"
        )
    before_NL = codes_NL
    for level in range(len(sizes)):
        room = math.prod(sizes[level + 1 :]) * items_per_id
        codes_NL = _settle(codes_NL, features_NF, quantizer, level, room, before_NL)
    moved = (codes_NL != before_NL).any(dim=1).nonzero()[:, 0]
    return Assignment(SemanticIds(codes_NL.cpu().numpy(), sizes), moved.cpu().numpy())


def _settle(
    codes_NL: Tensor,
    features_NF: Tensor,
    quantizer: Quantizer,
    level: int,
    room: int,
    before_NL: Tensor,
) -> Tensor:
    """Leave no code of one level with more than ``room`` items under the same prefix."""
    codes = codes_NL.cpu().numpy()
    prefix_N = _group(codes[:, :level])
    place_N = _group(np.column_stack([prefix_N, codes[:, level]]))
    crowded_M = np.flatnonzero(np.bincount(place_N)[place_N] > room)
    if len(crowded_M) == 0:
        return codes_NL
    costs_M = _own_costs(codes_NL, features_NF, quantizer, level, crowded_M)
    moved_M = (codes_NL != before_NL).any(dim=1).cpu().numpy()[crowded_M]
    rank_M = _rank_in_group(place_N[crowded_M], costs_M, moved_M)
    excess_E = crowded_M[rank_M >= room]

    codes_NL = codes_NL.clone()
    rows_E = torch.from_numpy(excess_E).to(codes_NL.device)
    taken_GK, group_E = _occupancy(prefix_N, codes[:, level], excess_E, quantizer, level)
    features_EF, codes_EP = features_NF[rows_E], codes_NL[rows_E, :level]
    chosen_E = _fill(features_EF, codes_EP, quantizer, taken_GK, group_E, room)
    codes_EP = torch.cat([codes_EP, chosen_E[:, None]], dim=1)
    codes_NL[rows_E] = quantizer.quantize(features_EF, codes_EP)
    log.info("level %d: moved %d items to codes with room", level, len(excess_E))
    return codes_NL


def _fill(
    features_EF: Tensor,
    codes_EP: Tensor,
    quantizer: Quantizer,
    taken_GK: Rows,
    group_E: Rows,
    room: int,
) -> Tensor:
    """Give every item the cheapest code that its group has room for; contests go to the closest.

    All items choose at once, round after round; the ones that lose a contest choose again among
    what is left. A round settles at least one item in every group, most settle in the first.
    """
    chosen_E = np.full(len(group_E), -1)
    waiting = np.arange(len(group_E))
    while len(waiting) > 0:
        full_WK = torch.from_numpy(taken_GK >= room)
        choice_W, cost_W = [], []
        for part in np.array_split(waiting, -(-len(waiting) // ROWS_AT_ONCE)):
            costs_WK = quantizer.costs(features_EF[part], codes_EP[part])
            costs_WK = costs_WK.masked_fill(full_WK[group_E[part]].to(costs_WK.device), torch.inf)
            cost, choice = costs_WK.min(dim=1)
            choice_W.append(choice.cpu().numpy())
            cost_W.append(cost.cpu().numpy())
        group_W, code_W = group_E[waiting], np.concatenate(choice_W)
        rank_W = _rank_in_group(_group(np.column_stack([group_W, code_W])), np.concatenate(cost_W))
        wins_W = rank_W < room - taken_GK[group_W, code_W]
        chosen_E[waiting[wins_W]] = code_W[wins_W]
        np.add.at(taken_GK, (group_W[wins_W], code_W[wins_W]), 1)
        waiting = waiting[~wins_W]
    return torch.from_numpy(chosen_E).to(codes_EP.device)


def _occupancy(
    prefix_N: Rows, code_N: Rows, excess_E: Rows, quantizer: Quantizer, level: int
) -> tuple[Rows, Rows]:
    """Count the items that stay at each code of the prefixes in question; number those prefixes."""
    prefixes_G, group_E = np.unique(prefix_N[excess_E], return_inverse=True)
    group_N = np.full(int(prefix_N.max()) + 1, -1)
    group_N[prefixes_G] = np.arange(len(prefixes_G))
    group_N = group_N[prefix_N]
    group_N[excess_E] = -1
    stays_N = group_N >= 0
    taken_GK = np.zeros((len(prefixes_G), quantizer.codebook_sizes[level]), dtype=np.int64)
    np.add.at(taken_GK, (group_N[stays_N], code_N[stays_N]), 1)
    return taken_GK, group_E


def _own_costs(
    codes_NL: Tensor, features_NF: Tensor, quantizer: Quantizer, level: int, rows_M: Rows
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Price the codes that the rows have at one level."""
    costs = []
    for part in torch.split(torch.from_numpy(rows_M).to(codes_NL.device), ROWS_AT_ONCE):
        costs_MK = quantizer.costs(features_NF[part], codes_NL[part, :level])
        costs.append(costs_MK.gather(1, codes_NL[part, level : level + 1])[:, 0].cpu().numpy())
    return np.concatenate(costs)


def _group(keys_NP: Rows) -> Rows:
    """Number the distinct rows of keys: equal rows get equal numbers, counted from 0."""
    group_N = np.zeros(len(keys_NP), dtype=np.int64)
    for key_N in keys_NP.T:
        # Numbered anew after every column, so that no product of codebook sizes can overflow.
        mixed_N = group_N * (int(key_N.max()) + 1) + key_N
        group_N = np.unique(mixed_N, return_inverse=True)[1]
    return group_N


def _rank_in_group(group_N: Rows, *order_by: np.ndarray[Any, Any]) -> Rows:
    """Rank the members of each group from 0; the last of the keys counts first, ties go by row."""
    order_N = np.lexsort((np.arange(len(group_N)), *order_by, group_N))
    sorted_N = group_N[order_N]
    starts_N = np.flatnonzero(np.diff(sorted_N, prepend=-1))
    rank_N = np.empty_like(group_N)
    rank_N[order_N] = np.arange(len(group_N)) - np.repeat(
        starts_N, np.diff(starts_N, append=len(group_N))
    )
    return rank_N
