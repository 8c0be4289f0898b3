"""The search queries of the toy shop: writing them, and the probability of each for every item.

Shape letters in this file: N items, C categories, K nouns, D purchases.
"""

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from genrec.data.errors import DataError, did_you_mean
from genrec.data.toy_process import Floats, Ints, ToyProcess, draw
from genrec.data.toy_world import BRANDS, CATEGORIES, TIER_QUERY_WORDS

NOUN_SHARES: Final = (0.6, 0.25, 0.15)
"""How often a query says the category's name, its synonym, and only its department."""

MENTIONS: Final = 0.25
"""How often a query names the brand; independently and as often it has a word about the price."""

_UNSAID = -1


class _Query(NamedTuple):
    """The numbers behind a query; brand and tier may be ``_UNSAID``."""

    noun: int
    brand: int
    tier: int


@dataclass(frozen=True)
class ToyQueries:
    """How users search: "cheap calder cover" means a budget phone case by Calder.

    A query says something true of the item that is then bought, whoever the user is.
    """

    process: ToyProcess

    def sample(self, item_D: Ints, rng: np.random.Generator) -> list[str]:
        """Write the query that led to each purchase."""
        items, count = self.process.items, len(item_D)
        noun_D = draw(self._noun_shares_CK[items.category_N[item_D]], rng)
        brand_D = np.where(rng.random(count) < MENTIONS, items.brand_N[item_D], _UNSAID)
        tier_D = np.where(rng.random(count) < MENTIONS, items.tier_N[item_D], _UNSAID)
        return [self._text(_Query(*query)) for query in zip(noun_D, brand_D, tier_D, strict=True)]

    def likelihood(self, text: str) -> Floats:
        """Return the probability of a query before the purchase of each item, of shape (N,).

        Raises:
            DataError: When the text is none of the queries that users of this shop write.
        """
        if text not in self._queries:
            hint = did_you_mean(text, self._queries)
            raise DataError(f"nobody searches for {text!r} in the toy shop; {hint}")
        items, (noun, brand, tier) = self.process.items, self._queries[text]
        brand_N = 1 - MENTIONS if brand == _UNSAID else MENTIONS * (items.brand_N == brand)
        tier_N = 1 - MENTIONS if tier == _UNSAID else MENTIONS * (items.tier_N == tier)
        noun_N = self._noun_shares_CK[items.category_N, noun]
        return np.asarray(noun_N * brand_N * tier_N)

    @cached_property
    def _nouns(self) -> list[str]:
        categories = CATEGORIES[: self.process.config.categories]
        return list(dict.fromkeys(noun for category in categories for noun in category.nouns))

    @cached_property
    def _noun_shares_CK(self) -> Floats:
        shares_CK = np.zeros((self.process.config.categories, len(self._nouns)))
        for row, category in enumerate(CATEGORIES[: len(shares_CK)]):
            for noun, share in zip(category.nouns, NOUN_SHARES, strict=True):
                shares_CK[row, self._nouns.index(noun)] += share
        return shares_CK

    @cached_property
    def _queries(self) -> dict[str, _Query]:
        """Every query that the process can write."""
        brands, tiers = range(self.process.config.brands), range(len(TIER_QUERY_WORDS))
        numbers = itertools.product(range(len(self._nouns)), (_UNSAID, *brands), (_UNSAID, *tiers))
        return {self._text(query): query for query in itertools.starmap(_Query, numbers)}

    def _text(self, query: _Query) -> str:
        words = [self._nouns[query.noun]]
        if query.brand != _UNSAID:
            words.insert(0, BRANDS[query.brand].lower())
        if query.tier != _UNSAID:
            words.insert(0, TIER_QUERY_WORDS[query.tier])
        return " ".join(words)
