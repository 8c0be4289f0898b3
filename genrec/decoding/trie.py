"""All semantic IDs of a catalogue as a trie, in tensors.

Items are sorted by their codes, and an item's place in that order is its rank. The items below any
node then have ranks that follow each other, and so have the children of any node: two bounds say
all about a node, and one gather finds the children of many nodes at once. STATIC
(https://arxiv.org/abs/2602.22647) decodes from such rows, compressed as in a sparse matrix (CSR).

Shape letters in this file: N items, M nodes of a level, C children of a node, R paths of T tokens
each. Above the first level there is one node, the root.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from genrec.semantic_ids import SemanticIds


class Children(NamedTuple):
    """The children of some nodes, padded to the most that any node of the level has."""

    node: Tensor
    """Nodes of the level below, of shape (..., C). A padded place holds one of another parent."""

    is_present: Tensor
    """Whether each place holds a child of its parent."""


@dataclass(frozen=True)
class TrieLevel:
    """The nodes of one level, ordered as their items are."""

    token_M: Tensor
    """Vocabulary id of the code that leads to each node."""

    rank_bounds: Tensor
    """M + 1 ranks: the items below node ``m`` have those from number ``m`` up to ``m + 1``."""

    child_bounds: Tensor
    """The same for the children, nodes of this level, of the nodes of the level above."""

    max_branch: int
    """The most children that any node of the level above has."""

    def children(self, parent: Tensor) -> Children:
        """Find the children, at this level, of nodes of the level above, of any shape."""
        start, end = self.child_bounds[parent], self.child_bounds[parent + 1]
        place_C = torch.arange(self.max_branch, device=parent.device)
        node = start.long()[..., None] + place_C
        return Children(node.clamp_max(len(self.token_M) - 1), node < end[..., None])

    def ranks(self, node: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first rank below each node and the one after the last."""
        return self.rank_bounds[node].long(), self.rank_bounds[node + 1].long()


@dataclass(frozen=True)
class TokenTrie:
    """Every path from the root to a leaf writes the ID of one item, or of several that share it."""

    levels: tuple[TrieLevel, ...]

    row_N: Tensor
    """The item, as a row of the catalogue, at each rank. Items of one ID are in order of rows."""

    rank_N: Tensor
    """The rank of each item; the inverse of ``row_N``."""

    vocabulary_end: int
    """All tokens are below this vocabulary id."""

    @classmethod
    def from_semantic_ids(cls, ids: SemanticIds, first_token: int | Sequence[int]) -> "TokenTrie":
        """Index the IDs of all items.

        Args:
            ids: One ID per item; several items may share one.
            first_token: Vocabulary id of code 0. One number stands for the first level, with the
                codes of all levels following each other as in ``ids.tokens``; a sequence gives
                one for every level.
        """
        starts = _first_tokens(ids, first_token)
        row_N = np.lexsort(ids.codes_NL.T[::-1])
        rank_N = np.empty_like(row_N)
        rank_N[row_N] = np.arange(len(row_N))
        levels, parent_bounds = [], np.array([0, len(ids)])
        opens_node_N = np.zeros(len(ids), dtype=bool)
        opens_node_N[0] = True
        for codes_N, start in zip(ids.codes_NL.T, starts, strict=True):
            code_N = codes_N[row_N]
            opens_node_N[1:] |= code_N[1:] != code_N[:-1]
            first_rank_M = np.flatnonzero(opens_node_N)
            bounds = np.append(first_rank_M, len(ids))
            child_bounds = np.searchsorted(bounds, parent_bounds)
            levels.append(
                TrieLevel(
                    token_M=_tensor(code_N[first_rank_M] + start),
                    rank_bounds=_tensor(bounds),
                    child_bounds=_tensor(child_bounds),
                    max_branch=int(np.diff(child_bounds).max()),
                )
            )
            parent_bounds = bounds
        end = max(start + size for start, size in zip(starts, ids.codebook_sizes, strict=True))
        return cls(tuple(levels), _tensor(row_N), _tensor(rank_N), end)

    def __len__(self) -> int:
        return len(self.row_N)

    def walk(self, token_RT: Tensor) -> Tensor:
        """Follow paths from the root and return the node of level T - 1 that each one ends at.

        Raises:
            ValueError: When no ID begins with such a path.
        """
        node_R = torch.zeros(len(token_RT), dtype=torch.long, device=token_RT.device)
        for level, token_R in zip(self.levels, token_RT.T, strict=False):
            child_RC, is_present_RC = level.children(node_R)
            is_next_RC = is_present_RC & (level.token_M[child_RC] == token_R[:, None])
            is_lost_R = ~is_next_RC.any(dim=1)
            if is_lost_R.any():
                row = int(is_lost_R.nonzero()[0])
                raise ValueError(
                    f"row {row}: no ID begins with the tokens {token_RT[row].tolist()}"
                )
            node_R = child_RC[is_next_RC]
        return node_R

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.row_N.device

    def to(self, device: torch.device | str) -> "TokenTrie":
        """Return the same trie on another device."""
        levels = [
            dataclasses.replace(
                level,
                token_M=level.token_M.to(device),
                rank_bounds=level.rank_bounds.to(device),
                child_bounds=level.child_bounds.to(device),
            )
            for level in self.levels
        ]
        row_N, rank_N = self.row_N.to(device), self.rank_N.to(device)
        return dataclasses.replace(self, levels=tuple(levels), row_N=row_N, rank_N=rank_N)


def _first_tokens(ids: SemanticIds, first_token: int | Sequence[int]) -> list[int]:
    if isinstance(first_token, int):
        starts = list(itertools.accumulate(ids.codebook_sizes[:-1], initial=first_token))
    else:
        starts = [int(token) for token in first_token]
    if len(starts) != ids.levels:
        raise ValueError(
            f"first_token gives {len(starts)} vocabulary ids, but the IDs have {ids.levels} levels"
        )
    if min(starts) < 0:
        raise ValueError(f"first_token holds {min(starts)}, but vocabulary ids count from 0")
    return starts


def _tensor(values: np.ndarray) -> Tensor:
    # Half the memory of int64, and enough: neither items nor nodes nor tokens reach 2**31.
    return torch.from_numpy(values.astype(np.int32))
