"""What a batch says about pictures: the distinct ones, and which token may see which.

Shape letters in this file: R rows, T tokens of a row, P tokens of a prompt, U distinct pictures.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

Owners = np.ndarray[Any, np.dtype[np.int32]]


class PictureSource(Protocol):
    """Gives the pictures of items as a vision-language model takes them."""

    def inputs(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """Return ``picture_features`` or ``pixel_values``, one entry for each of the items.

        Args:
            rows: Items with a picture, as rows of the catalogue.
        """
        ...


class PictureInputs:
    """Gathers the pictures of a batch while its rows are laid out, each picture once."""

    def __init__(self, rows: int, tokens: int) -> None:
        """Begin with a batch of so many rows of so many tokens, none of which sees a picture."""
        self.owner_RT = np.full((rows, tokens), -1, dtype=np.int64)
        self._number_of: dict[int, int] = {}

    def place(self, row: int, start: int, owner_P: Owners, pictures: Sequence[int]) -> None:
        """Note the pictures of a prompt that begins at token ``start`` of a row.

        Args:
            row: Row of the batch.
            start: Where in the row the prompt begins.
            owner_P: For each token an index into ``pictures``, or -1; empty if all are -1.
            pictures: Items, as rows of the catalogue; an item may come several times.
        """
        if len(pictures) == 0:
            return
        numbers = [self._number_of.setdefault(item, len(self._number_of)) for item in pictures]
        # The last place of the table is what an owner of -1 points at.
        table = np.array([*numbers, -1], dtype=np.int64)
        self.owner_RT[row, start : start + len(owner_P)] = table[owner_P]

    def inputs(self, source: PictureSource) -> dict[str, Tensor]:
        """Return ``owner`` and the distinct pictures; nothing where the batch shows no picture."""
        if not self._number_of:
            return {}
        pictures = source.inputs(list(self._number_of))
        return {"owner": torch.from_numpy(self.owner_RT), **pictures}
