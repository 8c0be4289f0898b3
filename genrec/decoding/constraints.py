"""Which items a request may name, pushed down to every node of the trie.

The items below a node have ranks that follow each other, so a node may be taken if some allowed
rank lies between its bounds. Two binary searches in the request's own sorted ranks tell: the cost
grows with the logarithm of the request's set and not at all with the catalogue. A set that many
requests share, such as all that is in stock, is counted once, and two look-ups tell.

Shape letters in this file: N items, B requests, X items that a request names, S shared sets,
R ranges of ranks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genrec.decoding.trie import TokenTrie
from genrec.decoding.trie_level import Children

Rows = np.ndarray[tuple[int], np.dtype[np.int64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class ItemSet:
    """Items that many requests may name: what is in stock, a category, a range of prices."""

    below_N1: Tensor
    """How many of the set's items have a rank below each number from 0 to N."""

    is_in_N: Bools
    """Whether each item, by its row, is in the set; kept on the host."""

    size: int
    """Number of items in the set."""

    @classmethod
    def from_mask(cls, trie: TokenTrie, is_in_N: Bools) -> "ItemSet":
        """Count a set once, for any number of requests.

        Args:
            trie: The catalogue that the items belong to.
            is_in_N: Whether each item, by its row, is in the set.

        Raises:
            ValueError: When the mask has another length, or no item is in the set.
        """
        if is_in_N.shape != (len(trie),):
            raise ValueError(
                f"the mask has the shape {is_in_N.shape}, but the catalogue has {len(trie)} items"
            )
        if not is_in_N.any():
            raise ValueError("the set of items is empty; a request without a set may name all")
        is_in = torch.tensor(is_in_N, device=trie.device)[trie.row_N]
        zero = torch.zeros(1, dtype=torch.int32, device=trie.device)
        below_N1 = torch.cat([zero, is_in.cumsum(dim=0, dtype=torch.int32)])
        return cls(below_N1, is_in_N, int(is_in_N.sum()))

    def __len__(self) -> int:
        return self.size


@dataclass(frozen=True)
class Constraints:
    """A set of items for every request of a batch: only these may be named, or all but these."""

    rank_BX: Tensor
    """Ranks of the set's items, sorted; padded with growing numbers that are no ranks."""

    is_only_B: Tensor
    """Whether only the set's items may be named; else all others may."""

    below_SN1: Tensor | None = None
    """Counts of the shared sets, see :class:`ItemSet`; the last row counts all items."""

    shared_B: Tensor | None = None
    """The shared set that each request is held to."""

    @classmethod
    def from_items(
        cls,
        trie: TokenTrie,
        *,
        exclude: Sequence[Iterable[int]] | None = None,
        only: Sequence[Iterable[int] | None] | None = None,
        within: Sequence[ItemSet | None] | None = None,
        histories: Sequence[Iterable[int]] | None = None,
    ) -> "Constraints":
        """Gather what every request asks for; what is given together holds together.

        Args:
            trie: The catalogue that the items belong to.
            exclude: For every request, the items that its answer must not name.
            only: For every request, the items that its answer may name; ``None`` allows all.
            within: For every request, a set that it shares with others; ``None`` allows all.
            histories: For every request, what the user had, so that a message can tell whether that
                is what is excluded; it bans nothing by itself.

        Raises:
            ValueError: When an item is not in the catalogue, or a request is left without any.
        """
        given = {"exclude": exclude, "only": only, "within": within, "histories": histories}
        lengths = {name: len(each) for name, each in given.items() if each is not None}
        if len(set(lengths.values())) > 1:
            told = " and ".join(f"`{name}` for {length}" for name, length in lengths.items())
            raise ValueError(f"constraints are given for different numbers of requests: {told}")
        requests = next(iter(lengths.values()), 0)
        banned = exclude or [()] * requests
        wanted = only or [None] * requests
        shared = within or [None] * requests
        had = histories or [()] * requests
        rows = [
            _one_set(trie, request, *asked)
            for request, asked in enumerate(zip(banned, wanted, shared, had, strict=True))
        ]
        is_only = [items is not None for items in wanted]
        below_SN1, shared_B = _stacked(trie, shared)
        return cls(
            named_ranks(trie, rows).sort(dim=1).values,
            torch.tensor(is_only, device=trie.device),
            below_SN1,
            shared_B,
        )

    def __len__(self) -> int:
        return len(self.is_only_B)

    def of(self, request_R: Tensor) -> "Constraints":
        """Return the sets of some requests, in the order given; one may come several times."""
        shared_R = None if self.shared_B is None else self.shared_B[request_R]
        return Constraints(
            self.rank_BX[request_R], self.is_only_B[request_R], self.below_SN1, shared_R
        )

    def count(self, rank_bounds: Tensor) -> Tensor:
        """Count the allowed items with ranks from each bound up to, not including, the next.

        Bounds have the shape (B, ..., R + 1) and grow along R; the answer is (B, ..., R).
        """
        one_each = (-1, *[1] * (rank_bounds.ndim - 1))
        own_below = count_below(self.rank_BX, rank_bounds)
        all_below = rank_bounds  # as many items of the catalogue have a rank below it
        if self.below_SN1 is not None and self.shared_B is not None:
            place = self.shared_B.view(one_each) * self.below_SN1.shape[1] + rank_bounds
            all_below = self.below_SN1.flatten().index_select(0, place.flatten()).view_as(place)
        is_only = self.is_only_B.view(one_each)
        return torch.where(is_only, own_below, all_below - own_below).diff()

    def mask(self, children: Children) -> Tensor:
        """Return the mask of children, with -inf also where no allowed item is below a child."""
        is_left = self.count(children.rank_bounds) > 0
        return children.mask + children.in_places(torch.where(is_left, 0.0, -torch.inf))


def _stacked(
    trie: TokenTrie, shared: Sequence[ItemSet | None]
) -> tuple[Tensor | None, Tensor | None]:
    """Put each shared set of a batch in one table, with all items last, and number them."""
    sets = {id(items): items for items in shared if items is not None}
    if not sets:
        return None, None
    if len(sets) == 1 and None not in shared:  # the usual case, which needs no copy
        only_set = next(iter(sets.values()))
        return only_set.below_N1[None], torch.zeros(len(shared), dtype=torch.long).to(trie.device)
    everything = torch.arange(len(trie) + 1, dtype=torch.int32, device=trie.device)
    table = torch.stack([*(items.below_N1 for items in sets.values()), everything])
    number_of = {key: number for number, key in enumerate(sets)}
    numbers = [number_of.get(id(items), len(sets)) for items in shared]
    return table, torch.tensor(numbers, device=trie.device)


def _one_set(
    trie: TokenTrie,
    request: int,
    banned_items: Iterable[int],
    wanted_items: Iterable[int] | None,
    shared: ItemSet | None,
    history: Iterable[int],
) -> Rows:
    """Find the rows that decide for a request: those it may name, or those it must not."""
    banned = _rows(trie, banned_items, f"request {request}: `exclude`")
    if shared is not None:
        banned = banned[shared.is_in_N[banned]]
    if wanted_items is None:
        if len(banned) == (len(trie) if shared is None else len(shared)):
            of_what = "" if shared is None else " of the set in `within`"
            cause, remedy = _told(banned, history)
            raise ValueError(f"request {request}: {cause} leaves no item{of_what}{remedy}")
        return banned
    wanted = _rows(trie, wanted_items, f"request {request}: `only`")
    if wanted.size == 0:
        raise ValueError(f"request {request}: `only` is empty; None would allow every item")
    if shared is not None:
        wanted = wanted[shared.is_in_N[wanted]]
        if wanted.size == 0:
            raise ValueError(f"request {request}: no item of `only` is in the set in `within`")
    left = np.setdiff1d(wanted, banned, assume_unique=True)
    if left.size == 0:
        cause, remedy = _told(np.intersect1d(wanted, banned), history)
        raise ValueError(f"request {request}: `only` minus {cause} leaves no item{remedy}")
    return left


def _told(banned: Rows, history: Iterable[int]) -> tuple[str, str]:
    """Tell what bans some items, and how to allow them again where a history does."""
    is_had = np.isin(banned, np.fromiter(history, dtype=np.int64))
    if not is_had.any():
        return "`exclude`", ""
    cause = "the history" if is_had.all() else "`exclude` with the history"
    return cause, ": what a user had is not named again unless `repeat` allows it"


def _rows(trie: TokenTrie, items: Iterable[int], what: str) -> Rows:
    listed = items if isinstance(items, np.ndarray) else np.fromiter(items, dtype=np.int64)
    rows = np.unique(listed.astype(np.int64))
    outside = rows[(rows < 0) | (rows >= len(trie))]
    if outside.size:
        raise ValueError(
            f"{what} names item {outside[0]}, but the catalogue has the items 0 to {len(trie) - 1}"
        )
    return rows


def named_ranks(trie: TokenTrie, rows: Sequence[Rows]) -> Tensor:
    """Find the ranks of the items that each request names, (B, X), padded with growing numbers."""
    # One place more than the largest set needs, so that an empty one can be looked up as well.
    width = max((len(row) for row in rows), default=0) + 1
    row_BX = np.full((len(rows), width), -1, dtype=np.int64)
    for request, row in enumerate(rows):
        row_BX[request, : len(row)] = row
    named_BX = torch.from_numpy(row_BX).to(trie.device)
    padding_X = len(trie) + torch.arange(width, device=trie.device)
    return torch.where(named_BX < 0, padding_X, trie.rank_N[named_BX.clamp_min(0)])


def count_below(sorted_BX: Tensor, bound: Tensor) -> Tensor:
    """Count the numbers of each request below bounds of shape (B, ...)."""
    return torch.searchsorted(sorted_BX, bound.flatten(1).contiguous()).view_as(bound)
