"""How well a VQ model writes pictures: error, use of its codes, and pairs to look at.

Shape letters in this file: U pictures, T codes of each, K codes of the codebook.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from genrec.models.image_tokens.tokenizer import Codes, ImageTokenizer, squared


class ImageQuality(NamedTuple):
    """What becomes of pictures that are written as codes and drawn again."""

    pictures: int
    absolute_error: float
    """Mean absolute error of a pixel's channel, where black to white is 1."""

    psnr: float
    """Peak signal-to-noise ratio in decibels: -10 log10 of the mean squared error."""

    codes_used: float
    """Share of the codebook that some picture uses."""

    perplexity: float
    """How many codes, used equally often, would tell as much: exp of their entropy."""


def measure(tokenizer: ImageTokenizer, pictures: Sequence[Image.Image]) -> ImageQuality:
    """Write pictures as codes, draw them again, and compare."""
    if not pictures:
        raise ValueError("there are no pictures to measure a tokenizer by; give at least one")
    codes_UT = tokenizer.encode(pictures)
    before = (tokenizer.pixels(pictures).numpy() + 1) / 2
    after = (tokenizer.pixels(tokenizer.decode(codes_UT)).numpy() + 1) / 2
    error = float(np.square(after - before).mean())
    used_K = np.bincount(codes_UT.ravel(), minlength=tokenizer.codebook_size)
    return ImageQuality(
        pictures=len(pictures),
        absolute_error=float(np.abs(after - before).mean()),
        psnr=float(-10 * np.log10(max(error, 1e-10))),
        codes_used=float((used_K > 0).mean()),
        perplexity=perplexity(codes_UT),
    )


def perplexity(codes_UT: Codes) -> float:
    """Return exp of the entropy of how often codes are used."""
    count = np.unique(codes_UT, return_counts=True)[1]
    share = count / count.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def side_by_side(
    tokenizer: ImageTokenizer, pictures: Sequence[Image.Image], *, columns: int = 8
) -> Image.Image:
    """Lay out originals, each line of them above what their codes draw."""
    size, gap = tokenizer.size, 4
    drawn = tokenizer.decode(tokenizer.encode(pictures))
    lines = -(-len(pictures) // columns)
    width = columns * (size + gap) + gap
    sheet = Image.new("RGB", (width, lines * (2 * size + 3 * gap) + gap), "white")
    for place, (before, after) in enumerate(zip(pictures, drawn, strict=True)):
        line, column = divmod(place, columns)
        x, y = gap + column * (size + gap), gap + line * (2 * size + 3 * gap)
        sheet.paste(squared(before, size), (x, y))
        sheet.paste(after, (x, y + size + gap))
    return sheet
