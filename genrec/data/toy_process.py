"""How the users of the toy shop choose: the planted process, and sampling from it.

:mod:`genrec.data.toy_shop` gives the equations.

Shape letters in this file: N items, C categories, M items of one category, T tastes, W wishes
(for brand, tier, colour and pattern), U users, E events of the longest history, D draws, V values.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from genrec.data.toy_world import BRANDS, CATEGORIES, COLOURS, PATTERNS, TIERS

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

INDIFFERENT = -1
"""The wish of a taste that does not care."""

UNSEEN = -2
"""Colour and pattern, to all users, of an item without a picture."""

PICTURE_REASONS = 4
"""Reasons count met wishes: 0 to 3 are those of text tastes, from here on those of picture ones."""

WISHES_MET = np.array([0, 1, 1, 2, 0, 1, 2])
"""How many of the two wishes each reason meets: none, brand, tier, both; none, one, both."""

RATINGS = np.arange(1, 6)
RATING_SHARES = np.array(
    [
        [0.25, 0.35, 0.30, 0.08, 0.02],
        [0.03, 0.10, 0.32, 0.40, 0.15],
        [0.01, 0.01, 0.03, 0.20, 0.75],
    ]
)
"""Probability of each rating when 0, 1 or 2 wishes are met; never 0, as nobody is certain."""


@dataclass(frozen=True, kw_only=True)
class ToyShopConfig:
    """The size of the toy shop and the strength of what is planted in it."""

    categories: int = len(CATEGORIES)
    """How many categories, from the first; a habit that leads outside is dropped."""

    items_per_category: int = 30
    """Items of each category; more than a user buys, so that no category sells out."""

    users: int = 2000
    """Users, each with one taste."""

    fewest_events: int = 8
    """Purchases of the least busy users."""

    most_events: int = 16
    """Purchases of the busiest users; all counts in between are equally likely."""

    brands: int = 6
    """How many brands, all of which sell in every category."""

    picture_users: float = 0.5
    """Share of the users whose taste is in pictures; that of the others is in text."""

    missing_pictures: float = 0.03
    """Share of the items without a picture, whose look nobody can wish for."""

    wander: float = 0.15
    """Probability to go to any category rather than to one that the last purchase suggests."""

    usual_share: float = 0.7
    """Share of the usual follow-up among the two habits of a category."""

    brand_weight: float = 3.0
    """Utility of the wished brand; weights are log-odds, 3.0 makes an item 20 times as likely."""

    tier_weight: float = 1.5
    """Utility of the wished price tier."""

    colour_weight: float = 3.0
    """Utility of the wished colour."""

    pattern_weight: float = 2.0
    """Utility of the wished pattern."""

    appeal: float = 0.5
    """Standard deviation of the utility that an item has for everybody."""

    def __post_init__(self) -> None:
        for name, most in (("categories", len(CATEGORIES)), ("brands", len(BRANDS))):
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}; 1 to {most} are possible")
        for name in ("picture_users", "missing_pictures", "wander", "usual_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it is a share from 0 to 1")
        if self.users < 1:
            raise ValueError(f"users is {self.users}; give at least 1")
        if not 1 <= self.fewest_events <= self.most_events:
            raise ValueError(
                f"users have {self.fewest_events} to {self.most_events} events; "
                "fewest_events must be at least 1 and at most most_events"
            )
        if self.items_per_category <= self.most_events:
            raise ValueError(
                f"items_per_category is {self.items_per_category}, but a user may buy "
                f"{self.most_events} items: give more items than most_events, so that no "
                "category sells out"
            )


@dataclass(frozen=True)
class ToyItems:
    """What is planted in every item, as numbers into the lists of :mod:`genrec.data.toy_world`."""

    category_N: Ints
    brand_N: Ints
    tier_N: Ints
    colour_N: Ints
    pattern_N: Ints
    has_picture_N: Bools
    appeal_N: Floats

    def __len__(self) -> int:
        return len(self.category_N)


@dataclass(frozen=True)
class ToyTastes:
    """All tastes that a user can have; a wish is ``INDIFFERENT`` where a taste has none."""

    brand_T: Ints
    tier_T: Ints
    colour_T: Ints
    pattern_T: Ints
    in_pictures_T: Bools
    """Whether a taste is about looks, which only pictures show."""

    prior_T: Floats
    """Share of the users with each taste."""

    def __len__(self) -> int:
        return len(self.prior_T)


@dataclass(frozen=True)
class ToyProcess:
    """Everything that decides what users buy and how they rate it."""

    config: ToyShopConfig
    items: ToyItems
    tastes: ToyTastes

    @cached_property
    def habits_CC(self) -> Floats:
        """Probability of each category after each other, when a user follows a habit.

        A row is zero where both habits lead out of a shop of few categories.
        """
        names = [category.name for category in CATEGORIES[: self.config.categories]]
        habits_CC = np.zeros((len(names), len(names)))
        for row, category in enumerate(CATEGORIES[: len(names)]):
            usual = self.config.usual_share
            for name, share in ((category.usual_next, usual), (category.other_next, 1 - usual)):
                if name in names:
                    habits_CC[row, names.index(name)] = share
        total_C1: Floats = habits_CC.sum(axis=1, keepdims=True)
        return np.divide(habits_CC, total_C1, out=habits_CC, where=total_C1 > 0)

    @cached_property
    def next_CC(self) -> Floats:
        """Probability of the next category after each category, wandering included."""
        follow_C1 = (1 - self.config.wander) * self.habits_CC.any(axis=1, keepdims=True)
        return follow_C1 * self.habits_CC + (1 - follow_C1) / self.config.categories

    @cached_property
    def items_CM(self) -> Ints:
        """The items of each category, in ascending order."""
        return np.argsort(self.items.category_N, kind="stable").reshape(self.config.categories, -1)

    @cached_property
    def met_WTN(self) -> Bools:
        """Whether each item meets the wish of each taste for brand, tier, colour and pattern."""
        tastes, items = self.tastes, self.items
        pairs = (
            (tastes.brand_T, items.brand_N),
            (tastes.tier_T, items.tier_N),
            (tastes.colour_T, np.where(items.has_picture_N, items.colour_N, UNSEEN)),
            (tastes.pattern_T, np.where(items.has_picture_N, items.pattern_N, UNSEEN)),
        )
        return np.stack([wish_T[:, None] == value_N for wish_T, value_N in pairs])

    @cached_property
    def reason_TN(self) -> Ints:
        """Which wishes each item meets for each taste, in the order of ``WISHES_MET``."""
        brand_TN, tier_TN, colour_TN, pattern_TN = self.met_WTN.astype(np.int64)
        look_TN: Ints = PICTURE_REASONS + colour_TN + pattern_TN
        text_TN: Ints = brand_TN + 2 * tier_TN
        return np.where(self.tastes.in_pictures_T[:, None], look_TN, text_TN)

    @cached_property
    def utility_TN(self) -> Floats:
        """Utility of each item for each taste; choices are a softmax of it."""
        weights_W = (
            self.config.brand_weight,
            self.config.tier_weight,
            self.config.colour_weight,
            self.config.pattern_weight,
        )
        return self.items.appeal_N + np.tensordot(weights_W, self.met_WTN, axes=1)


@dataclass(frozen=True)
class ToyLog:
    """What the users did; cells of ``item_UE`` from ``events_U`` on mean nothing."""

    taste_U: Ints
    events_U: Ints
    item_UE: Ints
    rating_UE: Ints


def plant(config: ToyShopConfig, rng: np.random.Generator) -> ToyProcess:
    """Draw the items of a shop; every category gets every brand, tier and look alike."""
    count = config.categories * config.items_per_category
    look_N = _spread(len(COLOURS) * len(PATTERNS), config, rng)
    by_category = np.arange(count) // config.items_per_category
    order = rng.permutation(count)
    items = ToyItems(
        category_N=by_category[order],
        brand_N=_spread(config.brands, config, rng)[order],
        tier_N=_spread(len(TIERS), config, rng)[order],
        colour_N=(look_N // len(PATTERNS))[order],
        pattern_N=(look_N % len(PATTERNS))[order],
        has_picture_N=rng.random(count) >= config.missing_pictures,
        appeal_N=rng.normal(0, config.appeal, count),
    )
    return ToyProcess(config, items, all_tastes(config))


def _spread(values: int, config: ToyShopConfig, rng: np.random.Generator) -> Ints:
    """Give each item one of some values, every category as evenly as it can."""
    M = config.items_per_category
    shuffled = [rng.permutation(values) for _ in range(config.categories)]
    return np.concatenate([rng.permutation(np.resize(value_V, M)) for value_V in shuffled])


def all_tastes(config: ToyShopConfig) -> ToyTastes:
    """List every wish for a brand and a tier, then every wish for a colour and a pattern."""
    brand_T, tier_T = np.divmod(np.arange(config.brands * len(TIERS)), len(TIERS))
    colour_T, pattern_T = np.divmod(np.arange(len(COLOURS) * len(PATTERNS)), len(PATTERNS))
    counts = [len(brand_T), len(colour_T)]
    shares = np.array([1 - config.picture_users, config.picture_users])
    return ToyTastes(
        brand_T=np.pad(brand_T, (0, counts[1]), constant_values=INDIFFERENT),
        tier_T=np.pad(tier_T, (0, counts[1]), constant_values=INDIFFERENT),
        colour_T=np.pad(colour_T, (counts[0], 0), constant_values=INDIFFERENT),
        pattern_T=np.pad(pattern_T, (counts[0], 0), constant_values=INDIFFERENT),
        in_pictures_T=np.repeat([False, True], counts),
        prior_T=np.repeat(shares / counts, counts),
    )


def sample_log(process: ToyProcess, rng: np.random.Generator) -> ToyLog:
    """Let all users shop, one purchase of every user at a time."""
    config, items_CM = process.config, process.items_CM
    users, events = np.arange(config.users), config.most_events
    taste_U = rng.choice(len(process.tastes), size=config.users, p=process.tastes.prior_T)
    events_U = rng.integers(config.fewest_events, config.most_events + 1, size=config.users)
    item_UE = np.zeros((config.users, events), dtype=np.int64)
    bought_UN = np.zeros((config.users, len(process.items)), dtype=bool)
    category_U = rng.integers(config.categories, size=config.users)
    for event in range(events):
        if event:
            category_U = draw(process.next_CC[category_U], rng)
        choice_UM = items_CM[category_U]
        # The largest of utilities plus Gumbel noise is a draw from their softmax.
        utility_UM = process.utility_TN[taste_U[:, None], choice_UM]
        utility_UM = utility_UM + rng.gumbel(size=choice_UM.shape)
        utility_UM[bought_UN[users[:, None], choice_UM]] = -np.inf
        item_UE[:, event] = choice_UM[users, utility_UM.argmax(axis=1)]
        bought_UN[users, item_UE[:, event]] = True
    met_UE = WISHES_MET[process.reason_TN[taste_U[:, None], item_UE]]
    rating_UE = RATINGS[draw(RATING_SHARES[met_UE.reshape(-1)], rng)].reshape(met_UE.shape)
    return ToyLog(taste_U, events_U, item_UE, rating_UE)


def draw(shares_DV: Floats, rng: np.random.Generator) -> Ints:
    """Draw one value from each of several distributions."""
    cumulative_DV = shares_DV.cumsum(axis=1)
    point_D1 = rng.random((len(shares_DV), 1)) * cumulative_DV[:, -1:]
    value_D: Ints = (cumulative_DV <= point_D1).sum(axis=1)
    return value_D
