"""A last level that is used evenly, by optimal transport.

LC-Rec (https://arxiv.org/abs/2311.09049, section 3.2) maps items that collide to the codes of the
last level under the constraint that every code takes the same mass, solved by Sinkhorn's algorithm
(https://arxiv.org/abs/1306.0895). Spreading two near duplicates evenly over 256 codes would tear
them apart, so here every code offers as many places as an ID may hold, and empty places count as
mass: the cheapest way to seat all items of a prefix together.

Shape letters in this file: M items, G prefixes, K codes of the last level.
"""

import torch
from torch import Tensor


def transport_prices(
    costs_MK: Tensor,
    group_M: Tensor,
    places_GK: Tensor,
    *,
    epsilon: float = 0.003,
    iterations: int = 50,
) -> Tensor:
    """Price the codes of each prefix so that its items do not all want the same one.

    Args:
        costs_MK: What each code costs an item.
        group_M: The prefix of every item, numbered from 0.
        places_GK: How many items each code has room for under each prefix.
        epsilon: How blurred the transport is, as a share of the mean cost; 0.003 as in LC-Rec.
        iterations: Rounds in which rows and columns are balanced.

    Returns:
        The costs plus a charge for every code under every prefix, shape (M, K): the items' mass is
        largest where this is least. A code without room costs infinity.
    """
    mean = costs_MK.mean().clamp(min=1e-12)
    log_places_GK = places_GK.to(costs_MK).log()
    items_G = torch.bincount(group_M, minlength=len(places_GK)).to(costs_MK)
    empty_G = (places_GK.sum(dim=1) - items_G).clamp(min=0).log()
    charge_GK = torch.where(places_GK > 0, 0.0, torch.inf).to(costs_MK)
    for turn in range(iterations):
        # From a blurred transport to the sharp one: at once, charges would rise by tiny steps.
        unit = mean * epsilon ** min(1.0, (turn + 1) / (0.8 * iterations))
        row_M = -((-costs_MK - charge_GK[group_M]) / unit).logsumexp(dim=1)
        empty_row_G = empty_G - (-charge_GK / unit).logsumexp(dim=1)
        seated_GK = _group_logsumexp(row_M[:, None] - costs_MK / unit, group_M, len(places_GK))
        charge_GK = unit * (torch.logaddexp(seated_GK, empty_row_G[:, None]) - log_places_GK)
    return costs_MK + charge_GK[group_M]


def _group_logsumexp(values_MK: Tensor, group_M: Tensor, groups: int) -> Tensor:
    """Add up exponentials of the rows of each group, (G, K), without overflow."""
    index_MK = group_M[:, None].expand_as(values_MK)
    largest_GK = values_MK.new_full((groups, values_MK.shape[1]), -torch.inf)
    largest_GK = largest_GK.scatter_reduce(0, index_MK, values_MK, "amax")
    safe_GK = torch.where(largest_GK.isfinite(), largest_GK, 0.0)
    sums_GK = torch.zeros_like(safe_GK).index_add_(0, group_M, (values_MK - safe_GK[group_M]).exp())
    return sums_GK.log() + safe_GK
