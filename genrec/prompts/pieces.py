"""Runs of tokens that prompts are joined from."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Tokens = np.ndarray[Any, np.dtype[np.int32]]
Weights = np.ndarray[Any, np.dtype[np.float64]]

NO_TOKENS: Tokens = np.zeros(0, dtype=np.int32)


class Piece(NamedTuple):
    """Tokens that follow each other, with the loss weight of each and the picture they may see."""

    tokens: Tokens
    weights: Weights

    picture: int = -1
    """Row of the item whose picture they see; -1 for none."""

    sees_from: int = 0
    """The first of the tokens that see it; all behind it do, too."""

    @classmethod
    def of(cls, tokens: Sequence[int] | Tokens, weight: float = 0.0) -> "Piece":
        """Make a piece that sees no picture and weighs the same everywhere."""
        return cls(np.asarray(tokens, dtype=np.int32), np.full(len(tokens), weight))


class Joined(NamedTuple):
    """Pieces end to end; see :class:`genrec.prompts.Example`."""

    tokens: Tokens
    weights: Weights
    owner: Tokens
    pictures: tuple[int, ...]


def join(pieces: Sequence[Piece]) -> Joined:
    """Put pieces end to end."""
    tokens = np.concatenate([piece.tokens for piece in pieces])
    weights = np.concatenate([piece.weights for piece in pieces])
    pictures = tuple(piece.picture for piece in pieces if piece.picture >= 0)
    if not pictures:
        return Joined(tokens, weights, NO_TOKENS, ())
    owner = np.full(len(tokens), -1, dtype=np.int32)
    start, number = 0, 0
    for piece in pieces:
        stop = start + len(piece.tokens)
        if piece.picture >= 0:
            owner[start + piece.sees_from : stop] = number
            number += 1
        start = stop
    return Joined(tokens, weights, owner, pictures)
