"""How good semantic IDs are: collisions, use of the codebooks, what is lost, what is kept.

Shape letters in this file: N items, L levels, P codes of a prefix, K codes of one level.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genrec.semantic_ids import Codes, SemanticIds
from genrec.tokenization.arrays import Labels
from genrec.tokenization.neighbours import NEAREST


class CollapsedCodebookError(ValueError):
    """A codebook that tells almost nothing; the message says which, how badly, and the remedy."""


@dataclass(frozen=True, kw_only=True)
class LevelQuality:
    """How evenly the items use the codes of one level."""

    codes: int
    """Size of the codebook."""

    used: int
    """Codes that at least one item has."""

    entropy: float
    """Information of a code in bits; at most the logarithm of the number of codes."""

    perplexity: float
    """The number of equally frequent codes that would tell as much: 2 to the entropy."""

    gini: float
    """Inequality of use: 0 when all codes are equally frequent, near 1 when one has all items."""


@dataclass(frozen=True, kw_only=True)
class PrefixQuality:
    """What items have in common whose IDs begin alike."""

    length: int
    """Number of codes from the first on."""

    prefixes: int
    """How many different ones there are."""

    shared_share: float
    """Share of items that share theirs with another item."""

    label_agreement: float | None = None
    """Among pairs of items with the same prefix, the share with the same label."""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """The quality report of a tokenizer."""

    items: int
    """Number of items."""

    collision_rate: float
    """Share of items that share all codes with another before IDs are made unique."""

    final_collision_rate: float
    """The same share for the final IDs."""

    moved_share: float
    """Share of items whose codes were changed to make IDs unique."""

    largest_group: int
    """Most items on the same codes before IDs are made unique."""

    reconstruction_error: float
    """Variance of the features that the quantizer's own codes do not explain, as a share of 1."""

    final_reconstruction_error: float
    """The same with the codes of the final IDs; the difference is what uniqueness costs."""

    levels: tuple[LevelQuality, ...]
    """The levels of the final IDs, coarsest first."""

    prefixes: tuple[PrefixQuality, ...]
    """The prefixes of the final IDs, from the first code to all but the last."""

    neighbours_kept: float | None = None
    """Of the 10 items nearest by feature, the share among the 10 nearest by code."""

    random_neighbours_kept: float | None = None
    """The same share for codes that tell nothing."""

    label_agreement: float | None = None
    """Among pairs of items with the same level-0 code, the share with the same label."""

    random_label_agreement: float | None = None
    """The share of all pairs of items with the same label: what chance gives."""

    def to_json(self) -> dict[str, Any]:
        """Turn the report into plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Quality":
        """Read what :meth:`to_json` gave."""
        levels = tuple(LevelQuality(**level) for level in value["levels"])
        prefixes = tuple(PrefixQuality(**prefix) for prefix in value["prefixes"])
        return cls(**{**value, "levels": levels, "prefixes": prefixes})

    def table(self) -> str:
        """Lay the report out for a terminal."""
        lines = [
            f"items                   {self.items:>10,}",
            f"in collision            {self.collision_rate:>10.3%}  (largest group "
            f"{self.largest_group}; {self.final_collision_rate:.3%} in the final IDs)",
            f"moved to be unique      {self.moved_share:>10.3%}",
            f"variance unexplained    {self.reconstruction_error:>10.4f}  "
            f"({self.final_reconstruction_error:.4f} in the final IDs)",
        ]
        if self.neighbours_kept is not None:
            lines.append(
                f"neighbours kept         {self.neighbours_kept:>10.3f}  "
                f"(chance {self.random_neighbours_kept:.3f})"
            )
        if self.label_agreement is not None:
            agreements = ", ".join(f"{prefix.label_agreement:.3f}" for prefix in self.prefixes)
            lines.append(
                f"same label in a prefix  {agreements}  (chance {self.random_label_agreement:.3f})"
            )
        lines.append("level    codes     used    entropy  perplexity    gini")
        lines += [
            f"{index:>5}{level.codes:>9}{level.used:>9}{level.entropy:>11.2f}"
            f"{level.perplexity:>12.1f}{level.gini:>8.3f}"
            for index, level in enumerate(self.levels)
        ]
        return "\n".join(lines)


def measure(
    before: SemanticIds,
    final: SemanticIds,
    *,
    moved: int,
    errors: tuple[float, float],
    neighbours: float | None = None,
    labels: Labels | None = None,
) -> Quality:
    """Write the quality report.

    Args:
        before: The quantizer's own codes, where items may share IDs.
        final: The IDs after that was resolved.
        moved: How many items got other codes for it.
        errors: The reconstruction errors before and after.
        neighbours: The share of neighbours that the final codes keep, see
            :mod:`genrec.tokenization.neighbours`.
        labels: A class per item, such as its category, to see whether codes keep neighbours.
    """
    code_N = final.codes_NL[:, 0]
    return Quality(
        items=len(final),
        collision_rate=float((before.items_per_id > 1).mean()),
        final_collision_rate=float((final.items_per_id > 1).mean()),
        moved_share=moved / len(final),
        largest_group=int(before.items_per_id.max()),
        reconstruction_error=errors[0],
        final_reconstruction_error=errors[1],
        levels=tuple(
            level_quality(final.codes_NL[:, level], size)
            for level, size in enumerate(final.codebook_sizes)
        ),
        prefixes=tuple(
            prefix_quality(final.codes_NL[:, :length], labels)
            for length in range(1, max(final.levels, 2))
        ),
        neighbours_kept=neighbours,
        random_neighbours_kept=None if neighbours is None else min(1.0, NEAREST / (len(final) - 1)),
        label_agreement=None if labels is None else agreement(code_N, labels),
        random_label_agreement=None if labels is None else agreement(np.zeros_like(code_N), labels),
    )


def level_quality(code_N: Codes, size: int) -> LevelQuality:
    """Measure how evenly items use the codes of one level."""
    counts_K = np.sort(np.bincount(code_N, minlength=size))
    share_K = counts_K / counts_K.sum()
    used_K = share_K[share_K > 0]
    entropy = float(-(used_K * np.log2(used_K)).sum())
    ranks_K = np.arange(1, size + 1)
    return LevelQuality(
        codes=size,
        used=len(used_K),
        entropy=entropy,
        perplexity=2**entropy,
        gini=float(2 * (ranks_K * share_K).sum() / size - (size + 1) / size),
    )


def prefix_quality(codes_NP: Codes, labels: Labels | None = None) -> PrefixQuality:
    """Measure what items have in common whose first P codes are the same."""
    _, prefix_N, counts = np.unique(codes_NP, axis=0, return_inverse=True, return_counts=True)
    prefix_N = prefix_N.reshape(-1)
    return PrefixQuality(
        length=codes_NP.shape[1],
        prefixes=len(counts),
        shared_share=float((counts[prefix_N] > 1).mean()),
        label_agreement=None if labels is None else agreement(prefix_N, labels),
    )


def agreement(code_N: Codes | Labels, label_N: Labels) -> float:
    """Among pairs of items with the same code, find the share with the same label.

    Returns 0 when no two items share a code.
    """
    both_N = code_N.astype(np.int64) * (int(label_N.max()) + 1) + label_N
    pairs = _pairs(code_N)
    return _pairs(both_N) / pairs if pairs else 0.0


def _pairs(key_N: Labels | Codes) -> float:
    """Count the pairs of items with equal keys."""
    counts = np.unique(key_N, return_counts=True)[1].astype(np.float64)
    return float((counts * (counts - 1) / 2).sum())


def check_codebooks(ids: SemanticIds, *, least_perplexity_share: float = 0.1) -> None:
    """Refuse codes of which one level has collapsed.

    A codebook counts as collapsed when its perplexity, counted from 1, is below a share of what it
    could be: the number of its codes, or of the items where these are fewer.

    Raises:
        CollapsedCodebookError: For the first level that has collapsed.
    """
    for index, size in enumerate(ids.codebook_sizes):
        level = level_quality(ids.codes_NL[:, index], size)
        possible = min(size, len(ids))
        if level.used == 1 < possible:
            raise CollapsedCodebookError(
                f"level {index} is empty: all {len(ids)} items have its code "
                f"{ids.codes_NL[0, index]}, so it tells nothing; use fewer levels, or smaller "
                "codebooks before it that leave it something to tell"
            )
        if level.perplexity - 1 < least_perplexity_share * (possible - 1):
            raise CollapsedCodebookError(
                f"the codebook of level {index} has collapsed: perplexity {level.perplexity:.1f} "
                f"of {possible} possible, {level.used} of {size} codes used; check that features "
                "differ between items, use smaller codebooks or fewer levels, or train longer"
            )


def check_weights(weights: Mapping[str, Tensor]) -> None:
    """Refuse a quantizer of which a weight is no number.

    Raises:
        CollapsedCodebookError: For the first such weight.
    """
    for name, weight in weights.items():
        broken = int((~torch.isfinite(weight)).sum()) if weight.is_floating_point() else 0
        if broken:
            raise CollapsedCodebookError(
                f"{broken} of {weight.numel()} values of {name} are not finite, so nearest codes "
                "mean nothing; scale the features to unit length or lower the learning rate"
            )
