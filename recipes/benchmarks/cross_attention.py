"""Measure a cross-attention whose tokens see their own pictures against one under a written mask.

    OMP_NUM_THREADS=1 python recipes/benchmarks/cross_attention.py
    python recipes/benchmarks/cross_attention.py --width 1024 --heads 16 --device cuda

Both give the same numbers. The mask goes over all pictures of the batch, as it is commonly done.
The last line is JSON.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from genrec.config import to_dict
from genrec.models.flamingo.fusion import GatedCrossAttention
from genrec.models.flamingo.resampler import join_heads, split_heads
from genrec.models.flamingo.sight import own_pictures
from genrec.recipe import run_recipe


@dataclass(frozen=True, kw_only=True)
class Config:
    rows: int = 8
    """Rows of a batch."""

    tokens: int = 512
    """Tokens of a row."""

    items: tuple[int, ...] = (9, 18, 37)
    """Items with a picture in each row."""

    item_tokens: int = 10
    """Tokens of an item that see its picture."""

    pictures: int = 64
    """Distinct pictures of the batch."""

    latents: int = 16
    """Latents of a picture."""

    width: int = 256
    """Width of the decoder."""

    heads: int = 4
    """Attention heads."""

    runs: int = 5
    """Runs, of which the fastest counts."""

    device: str = "cpu"


def main(config: Config) -> None:
    torch.manual_seed(0)
    layer = GatedCrossAttention(config.width, heads=config.heads, multiple=4, gate=1.0)
    layer.to(config.device)
    x_RTD = torch.randn(config.rows, config.tokens, config.width, device=config.device)
    latents_UCD = torch.randn(config.pictures, config.latents, config.width, device=config.device)
    found = {}
    for items in config.items:
        owner_RT = owners(config, items).to(config.device)

        def grouped(owner_RT: Tensor = owner_RT) -> Tensor:
            return layer(x_RTD, own_pictures(owner_RT, latents_UCD))  # type: ignore[no-any-return]

        def written(owner_RT: Tensor = owner_RT) -> Tensor:
            return under_a_mask(layer, x_RTD, owner_RT, latents_UCD)

        torch.testing.assert_close(grouped(), written(), rtol=1e-4, atol=1e-4)
        ours, theirs = milliseconds(grouped, config), milliseconds(written, config)
        share = float((owner_RT >= 0).float().mean())
        print(f"{items} items, {share:.0%} of tokens: grid {ours:.1f} ms, mask {theirs:.1f} ms")
        found[f"speedup_{items}_items"] = theirs / ours
    print(json.dumps(found | {"config": to_dict(config)}))


def owners(config: Config, items: int) -> Tensor:
    """Lay items out evenly; which pictures they show differs from row to row."""
    owner_RT = torch.full((config.rows, config.tokens), -1)
    room = config.tokens // items
    for row in range(config.rows):
        for item in range(items):
            owner_RT[row, item * room : item * room + config.item_tokens] = (
                7 * row + 5 * item
            ) % config.pictures
    return owner_RT


def under_a_mask(
    layer: GatedCrossAttention, x_RTD: Tensor, owner_RT: Tensor, latents_UCD: Tensor
) -> Tensor:
    """Compute the same with a mask of tokens by all latents."""
    key_XD, value_XD = layer.key_value(latents_UCD).flatten(0, 1).chunk(2, dim=-1)
    picture_X = torch.arange(len(latents_UCD), device=x_RTD.device)
    sees_RTX = (owner_RT[..., None] == picture_X).repeat_interleave(latents_UCD.shape[1], dim=2)
    is_seeing_RT1 = (owner_RT >= 0)[..., None]
    query_RHTd = split_heads(layer.query(layer.norm(x_RTD)), layer.heads)
    key_RHXd, value_RHXd = (
        split_heads(states_XD.expand(len(x_RTD), -1, -1), layer.heads)
        for states_XD in (key_XD, value_XD)
    )
    read_RHTd = functional.scaled_dot_product_attention(
        query_RHTd, key_RHXd, value_RHXd, attn_mask=(sees_RTX | ~is_seeing_RT1)[:, None]
    )
    y_RTD = x_RTD + layer.attention_gate.tanh() * layer.out(join_heads(read_RHTd))
    y_RTD = y_RTD + layer.feed_forward_gate.tanh() * layer.feed_forward(y_RTD)
    return torch.where(is_seeing_RT1, y_RTD, x_RTD)


def milliseconds(forward: Callable[[], Tensor], config: Config) -> float:
    """Time the fastest forward and backward; on a CPU in time of the process, not of the clock."""
    is_cuda = config.device.startswith("cuda")
    clock = time.perf_counter if is_cuda else time.process_time
    times = []
    for _ in range(config.runs):
        began = clock()
        forward().sum().backward()  # type: ignore[no-untyped-call]
        if is_cuda:
            torch.cuda.synchronize()
        times.append(clock() - began)
    return 1000 * min(times)


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
