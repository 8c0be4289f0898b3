"""Which items a request may name, pushed down to every node of the trie.

The items below a node have ranks that follow each other, so a node may be taken if some allowed
rank lies between its bounds. Two binary searches in the request's own sorted ranks tell: the cost
grows with the logarithm of the request's set and not at all with the catalogue.

Shape letters in this file: B requests, X items that a request names, Q questions per request.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genrec.decoding.trie import TokenTrie

Rows = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True)
class Constraints:
    """A set of items for every request of a batch: only these may be named, or all but these."""

    rank_BX: Tensor
    """Ranks of the set's items, sorted; padded with growing numbers that are no ranks."""

    is_only_B: Tensor
    """Whether only the set's items may be named; else all others may."""

    @classmethod
    def from_items(
        cls,
        trie: TokenTrie,
        *,
        exclude: Sequence[Iterable[int]] | None = None,
        only: Sequence[Iterable[int] | None] | None = None,
    ) -> "Constraints":
        """Gather what every request asks for; with both, the answer is of ``only - exclude``.

        Args:
            trie: The catalogue that the items belong to.
            exclude: For every request, the items that its answer must not name.
            only: For every request, the items that its answer may name; ``None`` allows all.

        Raises:
            ValueError: When an item is not in the catalogue, or a request is left without any.
        """
        if exclude is not None and only is not None and len(exclude) != len(only):
            raise ValueError(
                f"`exclude` is given for {len(exclude)} requests and `only` for {len(only)}"
            )
        requests = len(exclude or only or ())
        banned = exclude or [()] * requests
        wanted = only or [None] * requests
        rows = [_one_set(trie, r, banned[r], wanted[r]) for r in range(requests)]
        is_only = [items is not None for items in wanted]
        return cls(_sorted_ranks(trie, rows), torch.tensor(is_only, device=trie.device))

    def __len__(self) -> int:
        return len(self.is_only_B)

    def of(self, request_R: Tensor) -> "Constraints":
        """Return the sets of some requests, in the order given; one may come several times."""
        return Constraints(self.rank_BX[request_R], self.is_only_B[request_R])

    def count(self, first: Tensor, end: Tensor) -> Tensor:
        """Count the allowed items with ranks from ``first`` up to, not including, ``end``.

        Both have the shape (B, ...), and so has the answer.
        """
        named = _count_below(self.rank_BX, end) - _count_below(self.rank_BX, first)
        is_only = self.is_only_B.view(-1, *[1] * (first.ndim - 1))
        return torch.where(is_only, named, end - first - named)

    def nth(self, first_BQ: Tensor, n_BQ: Tensor) -> Tensor:
        """Return the rank of the ``n``-th allowed item, from 0, at or after rank ``first``.

        There must be so many, as :meth:`count` tells.
        """
        before_BQ = _count_below(self.rank_BX, first_BQ)
        place_BQ = (before_BQ + n_BQ).clamp_max(self.rank_BX.shape[1] - 1)
        # Of the ranks below the i-th excluded one, all but i are free. So the free rank with f
        # free ones below it lies behind those excluded ones that have no more than f below them.
        free_BQ = first_BQ - before_BQ + n_BQ
        free_below_BX = self.rank_BX - torch.arange(self.rank_BX.shape[1], device=free_BQ.device)
        skipping_BQ = free_BQ + _count_below(free_below_BX, free_BQ + 1)
        return torch.where(self.is_only_B[:, None], self.rank_BX.gather(1, place_BQ), skipping_BQ)


def _one_set(
    trie: TokenTrie, request: int, banned_items: Iterable[int], wanted_items: Iterable[int] | None
) -> Rows:
    banned = _rows(trie, banned_items, f"request {request}: `exclude`")
    if wanted_items is None:
        if len(banned) == len(trie):
            raise ValueError(f"request {request}: `exclude` leaves no item")
        return banned
    wanted = _rows(trie, wanted_items, f"request {request}: `only`")
    if wanted.size == 0:
        raise ValueError(f"request {request}: `only` is empty; None would allow every item")
    left = np.setdiff1d(wanted, banned, assume_unique=True)
    if left.size == 0:
        raise ValueError(f"request {request}: `only` minus `exclude` leaves no item")
    return left


def _rows(trie: TokenTrie, items: Iterable[int], what: str) -> Rows:
    listed = items if isinstance(items, np.ndarray) else np.fromiter(items, dtype=np.int64)
    rows = np.unique(listed.astype(np.int64))
    outside = rows[(rows < 0) | (rows >= len(trie))]
    if outside.size:
        raise ValueError(
            f"{what} names item {outside[0]}, but the catalogue has the items 0 to {len(trie) - 1}"
        )
    return rows


def _sorted_ranks(trie: TokenTrie, rows: Sequence[Rows]) -> Tensor:
    # One place more than the largest set needs, so that an empty one can be looked up as well.
    width = max((len(row) for row in rows), default=0) + 1
    row_BX = np.full((len(rows), width), -1, dtype=np.int64)
    for request, row in enumerate(rows):
        row_BX[request, : len(row)] = row
    named_BX = torch.from_numpy(row_BX).to(trie.device)
    padding_X = len(trie) + torch.arange(width, device=trie.device)
    rank_BX = torch.where(named_BX < 0, padding_X, trie.rank_N[named_BX.clamp_min(0)])
    return rank_BX.sort(dim=1).values


def _count_below(sorted_BX: Tensor, bound: Tensor) -> Tensor:
    return torch.searchsorted(sorted_BX, bound.flatten(1).contiguous()).view_as(bound)
