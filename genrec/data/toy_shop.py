r"""The toy shop: a small multimodal shop whose users are known, and so is the best recommender.

Real data never tell how well a recommender could do. Here everything that users do follows a
process that is written down below, so that every score can be shown as a share of the optimum,
and what only pictures tell can be told apart from what text tells.

**Items.** Every item :math:`i` has a category :math:`c_i`, a brand, a price tier, a colour, a
pattern and an appeal :math:`a_i \sim N(0, \sigma^2)`. Text tells category, brand and price; only
the picture tells colour and pattern, and no text names them. Some items have no picture: their
colour and pattern match nobody's wish.

**Users.** Every user has one taste :math:`t` out of finitely many. Half of the users wish for a
brand and a price tier (``"text"``), the others for a colour and a pattern (``"picture"``); all
such pairs are equally likely. The utility of an item is

.. math:: u_t(i) = a_i + \sum_w \beta_w \, [\text{item } i \text{ meets wish } w \text{ of } t].

**Purchases.** The first category is any. Then, with probability :math:`1 - \omega`, a user
follows one of the two habits :math:`H` of the last category :math:`c` (a phone, then its case), or
else wanders to any of the :math:`C` categories; in it the user chooses among the items
:math:`A_{c'}` not bought yet:

.. math::
    P(c' \mid c) &= (1 - \omega) H_{cc'} + \omega / C \\
    P(i \mid c', t) &= e^{u_t(i)} / \sum_{j \in A_{c'}} e^{u_t(j)}.

**Words.** The rating depends on how many wishes the item meets, with noise
(``toy_process.RATING_SHARES``); the explanation tells which ones, and the habit that led there.
A query tells the category, more or less exactly, and sometimes the brand or the price.

**The optimum.** Given a history :math:`h = (i_1, r_1), \dots, (i_n, r_n)`, Bayes' rule over all
tastes gives

.. math::
    P(t \mid h) &\propto P(t) \prod_k P(i_k \mid c_{i_k}, t) \, P(r_k \mid i_k, t) \\
    P(i \mid h, q) &\propto P(q \mid i) \, P(c_i \mid c_{i_n}) \sum_t P(t \mid h) P(i \mid c_i, t),

and ranking by the latter is the best that anyone can do in expectation, for NDCG and likelihood
alike. :class:`ToyOptimum` does it.

Shape letters in this file: U users, E events of the longest history, N items.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from genrec.config import to_dict
from genrec.data.catalogue import Catalogue
from genrec.data.dataset import Dataset
from genrec.data.interactions import Interactions
from genrec.data.toy_optimum import ToyOptimum
from genrec.data.toy_pictures import encode_png, toy_picture
from genrec.data.toy_process import Ints, ToyLog, ToyProcess, ToyShopConfig, plant, sample_log
from genrec.data.toy_queries import ToyQueries
from genrec.data.toy_texts import explanation, item_table
from genrec.data.toy_world import CATEGORIES, COLOURS, PATTERNS

__all__ = ["ToyOptimum", "ToyProcess", "ToyShop", "ToyShopConfig", "toy_shop"]

_OPENING_DAY = 1_704_067_200
"""The shop opens on 2024-01-01 00:00 UTC."""

_DAY = 86_400


@dataclass(frozen=True)
class ToyShop:
    """A toy shop: the data that a recommender may see, and the truth behind them."""

    dataset: Dataset
    """What a recommender may see."""

    process: ToyProcess
    """What is planted: the looks of the items, the tastes, the habits."""

    taste_U: Ints
    """The taste of every user, a number into ``process.tastes``."""

    @cached_property
    def optimum(self) -> ToyOptimum:
        """The best achievable recommender."""
        return ToyOptimum(self.process)

    @cached_property
    def user_kinds(self) -> np.ndarray[Any, np.dtype[np.str_]]:
        """``"text"`` or ``"picture"`` for every user of the interactions: where the taste shows."""
        return np.where(self.process.tastes.in_pictures_T[self.taste_U], "picture", "text")


def toy_shop(config: ToyShopConfig | None = None, *, seed: int = 0) -> ToyShop:
    """Open a toy shop. The same config and seed always give the same shop.

    Args:
        config: Its size and what is planted; about 600 items and 2,000 users when left out.
        seed: Chooses items and users.
    """
    config = config or ToyShopConfig()
    streams = np.random.default_rng(seed).spawn(5)
    process = plant(config, streams[0])
    log = sample_log(process, streams[1])
    catalogue = Catalogue(
        item_table(process, streams[2]).with_columns(_pictures(process, streams[3]))
    )
    events = _event_table(process, log, catalogue, streams[4])
    info = {
        "source": f"genrec.data.toy_shop with seed {seed}",
        "licence": "none needed: generated, and about nobody",
        "missing_pictures": int((~catalogue.has_picture).sum()),
        "seed": seed,
        "config": to_dict(config),
    }
    dataset = Dataset(catalogue, Interactions.from_table(events, catalogue), "toy-shop", info)
    return ToyShop(dataset, process, log.taste_U)


def _pictures(process: ToyProcess, rng: np.random.Generator) -> pl.Series:
    items = process.items
    pictures = [
        encode_png(toy_picture(CATEGORIES[category].name, COLOURS[colour], PATTERNS[pattern], rng))
        if has_picture
        else None
        for category, colour, pattern, has_picture in zip(
            items.category_N, items.colour_N, items.pattern_N, items.has_picture_N, strict=True
        )
    ]
    return pl.Series("picture", pictures, dtype=pl.Binary)


def _event_table(
    process: ToyProcess, log: ToyLog, catalogue: Catalogue, rng: np.random.Generator
) -> pl.DataFrame:
    """Write all purchases with the words about them, user by user."""
    users, events = log.item_UE.shape
    happened_UE = np.arange(events) < log.events_U[:, None]
    user_I, event_I = np.nonzero(happened_UE)
    item_I = log.item_UE[happened_UE]
    previous_I = np.where(event_I > 0, np.roll(item_I, 1), -1)
    reason_I = process.reason_TN[log.taste_U[user_I], item_I]
    variant_I = rng.integers(2, size=len(item_I))
    joined_U1 = rng.integers(500 * _DAY, size=(users, 1))
    waits_UE = 60 + rng.exponential(12 * _DAY, size=(users, events)).astype(np.int64)
    time_UE = _OPENING_DAY + joined_U1 + waits_UE.cumsum(axis=1)
    return pl.DataFrame(
        {
            "user": [f"user-{user:05d}" for user in user_I],
            "item": catalogue.table["item_id"].gather(item_I),
            "time": time_UE[happened_UE],
            "rating": log.rating_UE[happened_UE],
            "text": [
                explanation(process, reason, item, previous if previous >= 0 else None, variant)
                for reason, item, previous, variant in zip(
                    reason_I, item_I, previous_I, variant_I, strict=True
                )
            ],
            "query": ToyQueries(process).sample(item_I, rng),
        }
    )
