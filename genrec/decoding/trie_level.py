"""One level of a trie, and how the children of nodes are found in it.

Shape letters in this file: M nodes of the level, P nodes of the level above, K codes of the level,
C places for the children of a node, R most children that a node has, B requests, W nodes of each,
X children that are picked.
"""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

DENSE_FROM = 4
"""A level gets a table if a node has up to a ``DENSE_FROM``-th of all codes as children ..."""

DENSE_ENTRIES = 1 << 25
"""... and the table has no more entries than this: 128 MiB, and half as much for its masks."""


class Picked(NamedTuple):
    """Some of the children of each request's nodes."""

    parent_BX: Tensor
    """Which of the request's nodes each is a child of, as a number from 0 to W - 1."""

    node_BX: Tensor
    """The child; without meaning where the place holds none."""

    token_BX: Tensor
    """Vocabulary id of the code that leads to it; -1 where an ID has ended before."""


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
    """The most children that any node of the level above has (R)."""

    token_K: Tensor
    """Vocabulary id of each code; -1 for what fills up an ID that has ended."""

    node_PK: Tensor | None = None
    """The child of each node of the level above at each code, or -1; ``None`` where that would be
    mostly empty."""

    @property
    def width(self) -> int:
        """How many places :meth:`children` gives every node (C)."""
        return self.max_branch if self.node_PK is None else self.node_PK.shape[1]

    @cached_property
    def has_ends(self) -> bool:
        """Whether an ID has ended before this level."""
        return bool((self.token_K < 0).any())

    @cached_property
    def mask_rows(self) -> Tensor | None:
        """The masks of a level with a table, made by the first search and never saved, (P + 1, K).

        Row ``p + 1`` is 0 at the codes that lead on from node ``p`` and -inf at all others; row 0,
        of no node, is -inf throughout. To read half the memory saves more time than it takes to
        make float32 of float16.
        """
        if self.node_PK is None:
            return None
        parents, codes = self.node_PK.shape
        rows = self.node_PK.new_zeros((parents + 1, codes), dtype=torch.float16)
        rows[0] = -torch.inf
        rows[1:].masked_fill_(self.node_PK < 0, -torch.inf)
        return rows

    @property
    def mask_bytes(self) -> int:
        """How much memory :attr:`mask_rows` take."""
        return 0 if self.node_PK is None else 2 * (self.node_PK.numel() + self.width)

    @cached_property
    def place_R(self) -> Tensor:
        """Numbers of the children of a node."""
        return torch.arange(self.max_branch, device=self.token_M.device, dtype=torch.int32)

    def children(self, parent: Tensor) -> "Children":
        """Find the children, at this level, of nodes of the level above, of any shape (...).

        Node -1 is none, and has no children.
        """
        if self.mask_rows is not None:
            mask = functional.embedding(parent + 1, self.mask_rows).float()
            return Children(self, parent, mask, self.token_K.long().expand_as(mask))
        # Of node -1 both bounds are the last one.
        first, end = self.child_bounds[parent], self.child_bounds[1:][parent]
        node = first[..., None] + self.place_R
        mask = torch.where(node < end[..., None], 0.0, -torch.inf)
        node = node.clamp_max(len(self.token_M) - 1)
        token = self.token_M.index_select(0, node.flatten()).view_as(node)
        return Children(self, parent, mask, token.long(), node)

    def ranks(self, node: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first rank below each node and the one after the last; none below node -1."""
        return self.rank_bounds[node].long(), self.rank_bounds[1:][node].long()

    def to(self, device: torch.device | str) -> "TrieLevel":
        """Return the same level on another device."""
        return dataclasses.replace(
            self,
            token_M=self.token_M.to(device),
            rank_bounds=self.rank_bounds.to(device),
            child_bounds=self.child_bounds.to(device),
            token_K=self.token_K.to(device),
            node_PK=None if self.node_PK is None else self.node_PK.to(device),
        )


@dataclass(eq=False)
class Children:
    """The children of some nodes, all of which have as many places as the level is wide.

    Where the level keeps a table, a place stands for a code. Elsewhere a node's own children come
    first, and what follows them is padding.
    """

    level: TrieLevel

    parent: Tensor
    """The nodes of the level above, (...)."""

    mask: Tensor
    """What to add to the score of each place, (..., C), float32: 0 where it holds a child, and -inf
    where it does not."""

    token: Tensor
    """Vocabulary id of the code that leads to each, (..., C); -1 where an ID has ended before."""

    _node: Tensor | None = None

    @property
    def node(self) -> Tensor:
        """The children as nodes of their level, (..., C); without meaning where there is none.

        Of a table they are not looked up before they are asked for: most searches never do.
        """
        if self._node is None:
            assert self.level.node_PK is not None
            self._node = functional.embedding(self.parent.clamp_min(0), self.level.node_PK)
        return self._node

    @property
    def rank_bounds(self) -> Tensor:
        """Ranks that part the items of a parent's children, (..., R + 1).

        Those of its first child are from number 0 up to 1, those of the next up to 2, and so on.
        """
        place_R1 = functional.pad(self.level.place_R, (0, 1), value=self.level.max_branch)
        node = (self._first[..., None] + place_R1).clamp_max(len(self.level.token_M))
        return self.level.rank_bounds.index_select(0, node.flatten()).view_as(node).long()

    def in_places(self, each: Tensor) -> Tensor:
        """Bring what is known of a parent's first child, the next and so on to their places.

        The shape (..., R) becomes (..., C).
        """
        if self.level.node_PK is None:
            return each
        return each.gather(-1, (self.node - self._first[..., None]).clamp_min(0).long())

    def pick(self, place_BX: Tensor) -> Picked:
        """Look up some children of parents of shape (B, W), by places from 0 to W C - 1."""
        parent_BX = place_BX // self.level.width
        if self.level.node_PK is None:
            node_BX = self.node.flatten(1).gather(1, place_BX)
            token_BX = self.token.flatten(1).gather(1, place_BX)
        else:
            code_BX = place_BX % self.level.width
            node_BX = self.level.node_PK[self.parent.gather(1, parent_BX), code_BX]
            token_BX = self.level.token_K.take(code_BX).long()
        return Picked(parent_BX, node_BX.long(), token_BX)

    @property
    def _first(self) -> Tensor:
        """The first child of each parent, (...)."""
        return self.level.child_bounds[self.parent]


def child_table(
    code_M: np.ndarray[Any, Any], child_bounds: np.ndarray[Any, Any], size: int, max_branch: int
) -> Tensor | None:
    """Write the children of every node as a row with a column for each code, where it pays."""
    parents = len(child_bounds) - 1
    if max_branch * DENSE_FROM < size or parents * size > DENSE_ENTRIES:
        return None
    node_PK = np.full((parents, size), -1, dtype=np.int32)
    parent_M = np.repeat(np.arange(parents), np.diff(child_bounds))
    node_PK[parent_M, code_M] = np.arange(len(code_M))
    return torch.from_numpy(node_PK)
