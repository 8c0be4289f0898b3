"""The best achievable recommender of the toy shop: Bayes' rule over all tastes, exactly.

:mod:`genrec.data.toy_shop` gives the equations.

Shape letters in this file: B requests, N items, C categories, T tastes, L longest history,
R ratings.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np

from genrec.data.toy_process import (
    RATING_SHARES,
    RATINGS,
    WISHES_MET,
    Bools,
    Floats,
    Ints,
    ToyProcess,
)
from genrec.data.toy_queries import ToyQueries
from genrec.data.toy_texts import explanation
from genrec.recommender import Ranking, Rating, Request, refuse_preferences

_REQUESTS_AT_ONCE = 1024


class _Belief(NamedTuple):
    """What the histories of some requests tell."""

    taste_BT: Floats
    """Posterior of each taste."""

    unsold_BCT: Floats
    """Sum of the weights exp(utility) of the items that the user has not bought, by category."""

    bought_BN: Bools
    """What the user has bought."""

    last_B: Ints
    """Category of the last purchase; -1 where there is none."""


@dataclass(frozen=True)
class ToyOptimum:
    """A recommender that knows the planted process, but of a user only the request.

    No recommender can have a higher expected NDCG, nor a higher expected log-likelihood.
    """

    process: ToyProcess

    tasks: ClassVar = ("recommend", "search", "direct", "rate", "explain")

    def posterior(self, requests: Sequence[Request]) -> Floats:
        """Return the probability of each taste given each request's history, of shape (B, T)."""
        return self._believe(requests).taste_BT

    def predict(self, requests: Sequence[Request]) -> Floats:
        """Return the probability of each item to be bought next, of shape (B, N).

        A query of the request counts as evidence; ``exclude`` and ``only`` do not. All is 0 where a
        query fits only items that the user has bought already.
        """
        belief, categories = self._believe(requests), self.process.config.categories
        # The row of no last category, -1, is that of first purchases: any category is as likely.
        next_CC = np.vstack([self.process.next_CC, np.full(categories, 1 / categories)])
        share_BCT = belief.taste_BT[:, None, :] / belief.unsold_BCT
        share_BCT *= next_CC[belief.last_B][:, :, None]
        chance_BN = np.empty((len(requests), len(self.process.items)))
        for category, item_M in enumerate(self.process.items_CM):
            chance_BN[:, item_M] = share_BCT[:, category] @ self._weight_TN[:, item_M]
        chance_BN[belief.bought_BN] = 0
        for chance_N, request in zip(chance_BN, requests, strict=True):
            if request.query is not None:
                chance_N *= self._queries.likelihood(request.query)
                chance_N /= max(chance_N.sum(), np.finfo(float).tiny)
        return chance_BN

    def recommend(self, requests: Sequence[Request], k: int) -> list[Ranking]:
        """Rank up to ``k`` distinct items for every request, most probable first.

        Scores are log-probabilities; impossible items come last, with that of a tiny float.
        """
        refuse_preferences(requests, "the optimum")
        rankings = []
        for start in range(0, len(requests), _REQUESTS_AT_ONCE):
            some = requests[start : start + _REQUESTS_AT_ONCE]
            for request, chance_N in zip(some, self.predict(some), strict=True):
                rankings.append(_rank(request, chance_N, k))
        return rankings

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """Answer ``rate`` and ``explain``: that the user bought the item counts as evidence.

        A rating is the rounded mean of its posterior, an explanation the planted sentence of the
        likeliest reason.
        """
        taste_BT = self.posterior([_with_item_bought(request) for request in requests])
        answers = []
        for taste_T, request in zip(taste_BT, requests, strict=True):
            assert request.item is not None  # _with_item_bought refuses it
            reason_T = self.process.reason_TN[:, request.item]
            if request.task == "rate":
                mean = float(self._ratings(taste_T, request.item) @ RATINGS)
                answers.append(str(round(mean)))
            elif request.task == "explain":
                reason = int(np.bincount(reason_T, weights=taste_T).argmax())
                previous = request.history[-1] if request.history else None
                answers.append(explanation(self.process, reason, request.item, previous))
            else:
                raise ValueError(
                    f"the toy shop's optimum cannot generate for {request.task!r}; "
                    "it answers 'rate' and 'explain', and ranks with recommend()"
                )
        return answers

    def rate(self, requests: Sequence[Request]) -> list[Rating]:
        """Tell the mean and the mode of the posterior of each rating."""
        for request in requests:
            if request.task != "rate":
                raise ValueError(f"the toy shop's optimum rates nothing for {request.task!r}")
        taste_BT = self.posterior([_with_item_bought(request) for request in requests])
        ratings = []
        for taste_T, request in zip(taste_BT, requests, strict=True):
            assert request.item is not None  # _with_item_bought refuses it
            share_R = self._ratings(taste_T, request.item)
            ratings.append(Rating(float(share_R @ RATINGS), float(RATINGS[share_R.argmax()])))
        return ratings

    def _ratings(self, taste_T: Floats, item: int) -> Floats:
        """Return the probability of each rating of an item, of shape (R,)."""
        share_R: Floats = taste_T @ RATING_SHARES[WISHES_MET[self.process.reason_TN[:, item]]]
        return share_R

    @cached_property
    def _queries(self) -> ToyQueries:
        return ToyQueries(self.process)

    @cached_property
    def _weight_TN(self) -> Floats:
        return np.exp(self.process.utility_TN)

    def _believe(self, requests: Sequence[Request]) -> _Belief:
        """Walk through all histories side by side, one purchase at a time."""
        process, weight_TN = self.process, self._weight_TN
        history_BL, rating_BL = self._pad(requests)
        with np.errstate(divide="ignore"):  # a taste that nobody has stays at minus infinity
            log_BT = np.tile(np.log(process.tastes.prior_T), (len(requests), 1))
        unsold_CT = weight_TN[:, process.items_CM].sum(axis=2).T
        unsold_BCT = np.tile(unsold_CT, (len(requests), 1, 1))
        bought_BN = np.zeros((len(requests), len(process.items)), dtype=bool)
        last_B = np.full(len(requests), -1)
        for item_B, rating_B in zip(history_BL.T, rating_BL.T, strict=True):
            buys_B = np.flatnonzero(item_B >= 0)
            item_B, rating_B = item_B[buys_B], rating_B[buys_B]
            last_B[buys_B] = process.items.category_N[item_B]
            weight_BT, unsold_BT = weight_TN[:, item_B].T, unsold_BCT[buys_B, last_B[buys_B]]
            log_BT[buys_B] += np.log(weight_BT / unsold_BT)
            log_BT[buys_B] += self._log_rating_TNR[:, item_B, rating_B].T
            unsold_BCT[buys_B, last_B[buys_B]] -= weight_BT
            bought_BN[buys_B, item_B] = True
        taste_BT = np.exp(log_BT - log_BT.max(axis=1, keepdims=True))
        taste_BT /= taste_BT.sum(axis=1, keepdims=True)
        return _Belief(taste_BT, unsold_BCT, bought_BN, last_B)

    @cached_property
    def _log_rating_TNR(self) -> Floats:
        """Log-probability of each rating from 1, after that of no rating, which tells nothing."""
        log_TNR = np.log(RATING_SHARES)[WISHES_MET[self.process.reason_TN]]
        return np.pad(log_TNR, ((0, 0), (0, 0), (1, 0)))

    def _pad(self, requests: Sequence[Request]) -> tuple[Ints, Ints]:
        """Write histories and ratings as arrays of shape (B, L); -1 is no item, 0 no rating."""
        for request in requests:
            self._check(request)
        longest = max((len(request.history) for request in requests), default=0)
        history_BL = np.full((len(requests), longest), -1)
        rating_BL = np.zeros((len(requests), longest), dtype=np.int64)
        for row, request in enumerate(requests):
            history_BL[row, : len(request.history)] = request.history
            rating_BL[row, : len(request.ratings)] = [_as_int(r) for r in request.ratings]
        return history_BL, rating_BL

    def _check(self, request: Request) -> None:
        history, most = request.history, self.process.config.items_per_category - 1
        if len(history) > most:
            raise ValueError(
                f"a history has {len(history)} items, so that a category of this toy shop could "
                f"be sold out; give at most the last {most}"
            )
        if len(set(history)) < len(history):
            raise ValueError(f"nobody buys an item of the toy shop twice, as in {history}")
        for item in history:
            if not 0 <= item < len(self.process.items):
                raise ValueError(f"there is no item {item}; there are {len(self.process.items)}")


def _as_int(rating: float | None) -> int:
    if rating is None or math.isnan(rating):
        return 0
    if rating not in RATINGS:
        raise ValueError(f"nobody rates {rating} in the toy shop; ratings are 1 to 5")
    return int(rating)


def _with_item_bought(request: Request) -> Request:
    """Add the item that is asked about to the history."""
    if request.item is None:
        raise ValueError(f"the task {request.task!r} needs the item that it is about")
    if request.item in request.history:
        return request
    ratings = request.ratings or (None,) * len(request.history)
    return dataclasses.replace(
        request,
        history=(*request.history, request.item),
        ratings=(*ratings, request.rating if request.task == "explain" else None),
        behaviours=(), scenarios=(), times=(),
    )  # fmt: skip


def _rank(request: Request, chance_N: Floats, k: int) -> Ranking:
    allowed_N = request.allowed(len(chance_N))
    score_N = np.log(np.maximum(chance_N, np.finfo(np.float32).tiny)).astype(np.float32)
    order_N = np.argsort(-chance_N, kind="stable")
    top_K = order_N[allowed_N[order_N]][:k]
    return Ranking(top_K, score_N[top_K])
