"""An eye for toy pictures: reads shape, colour and pattern, independently of what draws them.

Shape letters in this file: U pictures, S side in pixels, F features.
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from genrec.data.toy_pictures import SHAPES, toy_picture
from genrec.data.toy_world import CATEGORIES, COLOURS, PATTERNS

Ints = np.ndarray[Any, np.dtype[np.int64]]

SHAPE_NAMES = tuple(category.name for category in CATEGORIES)
assert set(SHAPE_NAMES) == set(SHAPES)


class Looks(NamedTuple):
    """What some pictures show, as numbers into the names of the toy world."""

    shape_U: Ints
    colour_U: Ints
    pattern_U: Ints


class Eye(nn.Module):
    """A small convolutional net with a head for each attribute."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        widths = (3, 24, 48, 96)
        blocks = [
            nn.Sequential(
                nn.Conv2d(before, after, 3, padding=1, stride=2), nn.BatchNorm2d(after), nn.ReLU(),
                nn.Conv2d(after, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(),
            )
            for before, after in itertools.pairwise(widths)
        ]  # fmt: skip
        # Where things are tells shapes, how often patterns: a grid of means keeps both.
        self.body = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(3), nn.Flatten())
        heads = (len(SHAPE_NAMES), len(COLOURS), len(PATTERNS))
        self.heads = nn.ModuleList(nn.Linear(9 * widths[-1], classes) for classes in heads)
        self.num_features = 9 * widths[-1]

    def forward(self, bytes_U3SS: Tensor) -> Tensor:
        """Return the features of pictures given as bytes, of shape (U, F)."""
        features_UF: Tensor = self.body(bytes_U3SS.float() / 127.5 - 1)
        return features_UF

    def read(self, pictures: Sequence[Image.Image]) -> Looks:
        """Tell the likeliest shape, colour and pattern of pictures."""
        self.eval()
        found: list[list[Tensor]] = [[], [], []]
        with torch.no_grad():
            for start in range(0, len(pictures), 128):
                features_UF = self(as_bytes(pictures[start : start + 128], self.size))
                for attribute, head in zip(found, self.heads, strict=True):
                    attribute.append(head(features_UF).argmax(dim=1))
        return Looks(*(torch.cat(attribute).numpy() for attribute in found))


def as_bytes(pictures: Sequence[Image.Image], size: int) -> Tensor:
    """Lay out pictures as bytes of shape (U, 3, S, S)."""
    arrays = [np.asarray(picture.convert("RGB").resize((size, size))) for picture in pictures]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)


def train_eye(size: int, *, pictures: int, steps: int, seed: int) -> Eye:
    """Teach an eye freshly drawn pictures, none of them of any shop.

    Args:
        size: Side that pictures are shrunk to, as those that it will read are.
        pictures: How many to draw.
        steps: Optimizer steps of 64 pictures.
        seed: Decides pictures, weights and order.
    """
    rng = np.random.default_rng([seed, 7])
    looks_U3 = np.stack(
        [rng.integers(len(names), size=pictures) for names in (SHAPE_NAMES, COLOURS, PATTERNS)],
        axis=1,
    )
    drawn = [
        toy_picture(SHAPE_NAMES[shape], COLOURS[colour], PATTERNS[pattern], rng)
        for shape, colour, pattern in looks_U3
    ]
    bytes_U3SS, label_U3 = as_bytes(drawn, size), torch.from_numpy(looks_U3)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        eye = Eye(size)
        optimizer = torch.optim.AdamW(eye.parameters(), lr=3e-3, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
        for _ in range(steps):
            chosen_U = torch.randint(pictures, (64,))
            features_UF = eye(bytes_U3SS[chosen_U])
            losses = [
                functional.cross_entropy(head(features_UF), label_U)
                for head, label_U in zip(eye.heads, label_U3[chosen_U].T, strict=True)
            ]
            loss = torch.stack(losses).sum()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return eye.eval()
