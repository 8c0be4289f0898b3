"""Which requests are computed together, so that little of it is padding."""

from collections.abc import Sequence

import torch


def cut_batches(lengths: Sequence[int], *, batch_size: int, worth: int) -> list[list[int]]:
    """Put prompts of like length together, the longest first.

    A batch costs as many tokens as it has rows times those of its longest prompt, and ``worth``
    more. Of all ways to cut the sorted prompts into batches this takes the cheapest.

    Args:
        lengths: Tokens of every prompt.
        batch_size: Most prompts of a batch.
        worth: How many tokens more to compute is as slow as one more batch.

    Returns:
        The rows of each batch.
    """
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    cheapest, first_of = [0], [0]
    for end in range(1, len(order) + 1):
        cost, first = min(
            (cheapest[first] + lengths[order[first]] * (end - first) + worth, first)
            for first in range(max(0, end - batch_size), end)
        )
        cheapest.append(cost)
        first_of.append(first)
    batches, end = [], len(order)
    while end:
        batches.append(order[first_of[end] : end])
        end = first_of[end]
    return batches[::-1]


def pass_in_tokens(device: torch.device) -> int:
    """Estimate how many tokens take as long as a pass of the model costs by itself.

    A pass reads all weights, and a GPU is told of it kernel by kernel.
    """
    return 64 if device.type == "cpu" else 4096
