"""Whether codes keep neighbours: are the items nearest by code also the nearest by feature?

Shape letters in this file: N items, F features, L levels, Q queries, B items of a block, K nearest,
X the nearest so far and a block beside them.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from genrec.tokenization.quantizer import Quantizer

ROWS_AT_ONCE = 16_384
"""Items compared with all queries at a time; bounds the memory of the distances."""

QUERIES = 1000
"""Items whose neighbours are looked at, drawn at random: enough to know the share to 1 %."""

NEAREST = 10
"""How many neighbours of each."""


@torch.no_grad()
def neighbours_kept(
    features_NF: Tensor,
    codes_NL: Tensor,
    quantizer: Quantizer,
    *,
    generator: torch.Generator,
    queries: int = QUERIES,
    nearest: int = NEAREST,
) -> float:
    """Find how many of the nearest items by feature are among the nearest by code.

    Near by code means: what the codes stand for is near. Chance gives ``nearest / (N - 1)``.

    Args:
        features_NF: The features.
        codes_NL: The codes, of the quantizer's levels.
        quantizer: Tells what codes stand for.
        generator: Draws the queries.
        queries: How many items to look at; all where there are fewer.
        nearest: How many neighbours of each; all others where there are fewer.

    Raises:
        ValueError: When there is one item only.
    """
    count = len(features_NF)
    if count < 2:
        raise ValueError("one item alone has no neighbours")
    nearest = min(nearest, count - 1)
    row_Q = torch.randperm(count, generator=generator)[:queries].to(features_NF.device)
    by_feature_QK = _nearest(features_NF.__getitem__, count, row_Q, nearest)
    by_code_QK = _nearest(
        lambda rows: quantizer.reconstruct(codes_NL[rows]), count, row_Q, nearest
    )  # fmt: skip
    kept_QK = (by_feature_QK[:, :, None] == by_code_QK[:, None, :]).any(dim=2)
    return float(kept_QK.float().mean())


def _nearest(read: Callable[[Tensor], Tensor], count: int, row_Q: Tensor, nearest: int) -> Tensor:
    """Find the nearest other items of some, block by block, of shape (Q, K)."""
    query_QF = read(row_Q)
    best_QK = query_QF.new_full((len(row_Q), nearest), torch.inf)
    found_QK = row_Q.new_full((len(row_Q), nearest), -1)
    for row_B in _blocks(count, row_Q.device):
        item_BF = read(row_B)
        # |q - x|^2 without |q|^2, which is the same for all items of a query.
        distance_QB = torch.addmm(item_BF.square().sum(dim=1), query_QF, item_BF.T, alpha=-2)
        distance_QB[row_Q[:, None] == row_B] = torch.inf
        merged_QX = torch.cat([best_QK, distance_QB], dim=1)
        rows_QX = torch.cat([found_QK, row_B.expand(len(row_Q), -1)], dim=1)
        best_QK, chosen_QK = merged_QX.topk(nearest, largest=False, dim=1)
        found_QK = rows_QX.gather(1, chosen_QK)
    return found_QK


def _blocks(count: int, device: torch.device) -> Iterator[Tensor]:
    yield from torch.split(torch.arange(count, device=device), ROWS_AT_ONCE)
