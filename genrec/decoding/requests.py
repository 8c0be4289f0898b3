"""What requests ask of a search: their constraints and their policies, made for a trie.

Shape letters in this file: N items, R requests that are taken out of a batch.
"""

from collections.abc import Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

from torch import Tensor

from genrec.decoding.constraints import Constraints, ItemSet
from genrec.decoding.policy import Boosts, Policy
from genrec.decoding.trie import TokenTrie
from genrec.recommender import Request, Subset


class Terms(NamedTuple):
    """What every request of a batch may name, and how it is chosen."""

    constraints: Constraints
    policy: Policy

    def of(self, request_R: Tensor) -> "Terms":
        """Return the terms of some requests, in the order given."""
        return Terms(self.constraints.of(request_R), self.policy.of(request_R))


class TermsReader:
    """Reads the terms of requests for one trie, and remembers the sets that they share."""

    def __init__(self, trie: TokenTrie) -> None:
        self._trie = trie
        self._sets: WeakKeyDictionary[Subset, ItemSet] = WeakKeyDictionary()

    def read(self, requests: Sequence[Request]) -> Terms:
        """Gather the terms of all requests; each may have its own.

        Raises:
            ValueError: When an item is not in the catalogue, a set is of another one, or a request
                is left without any item.
        """
        constraints = Constraints.from_items(
            self._trie,
            exclude=[request.exclude for request in requests],
            only=[request.only for request in requests],
            within=[self._set(request.within) for request in requests],
            histories=[request.history for request in requests],
        )
        boosts = [_allowed_boosts(request) for request in requests]
        diversity = [request.diversity for request in requests]
        sampling = [request.sampling for request in requests]
        policy = Policy(
            boosts=Boosts.from_items(self._trie, boosts) if any(boosts) else None,
            diversity=diversity if any(diversity) else None,
            sampling=sampling if any(sampling) else None,
        )
        return Terms(constraints, policy)

    def _set(self, subset: Subset | None) -> ItemSet | None:
        if subset is None:
            return None
        found = self._sets.get(subset)
        if found is None:
            found = self._sets[subset] = ItemSet.from_mask(self._trie, subset.is_in_N)
        return found


def _allowed_boosts(request: Request) -> dict[int, float]:
    """Leave out what cannot be named: it would lead beams to where there is nothing for them."""
    boosts = dict(request.boosts)
    if boosts:
        for row in boosts.keys() & set(request.exclude):
            del boosts[row]
        if request.only is not None:
            boosts = {row: boosts[row] for row in boosts.keys() & set(request.only)}
        if request.within is not None:
            is_in_N = request.within.is_in_N
            boosts = {
                row: boost
                for row, boost in boosts.items()
                if not 0 <= row < len(is_in_N) or is_in_N[row]
            }
    return boosts
