"""Histories cut into pieces, and pieces of like length put into batches.

Shape letters in this file: T train events, P pieces, U users, B pieces of a batch, L places.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from genrec.data import Interactions
from genrec.eval.intervals import Ints
from genrec.eval.questions import Bools

NOTHING = -1
"""The target of a place that is padding."""


class Batch(NamedTuple):
    """Pieces of histories, padded at their end to the longest."""

    history_BL: Tensor
    """What is read: rows of items, or the sign of a start."""

    target_BL: Tensor
    """What follows each place; ``NOTHING`` where the place is padding."""


class Pieces(NamedTuple):
    """The train events of all users, one place each, in pieces of bounded length."""

    history_T: Ints
    """The item before each event, or the sign of a start."""

    target_T: Ints
    """The item of each event."""

    start_P: Ints
    """The first event of each piece."""

    length_P: Ints
    """How many events it has."""


def cut(interactions: Interactions, train: Bools, *, max_items: int, start: int) -> Pieces:
    """Cut every user's train events into pieces, from the end, so that only the oldest is short.

    Every train event is the target of one place, so nothing of a long history is lost.

    Args:
        interactions: All events.
        train: Which of them may be learned from.
        max_items: Longest piece.
        start: What stands before a user's first event.
    """
    target_T = interactions.item[train].astype(np.int64)
    count_U = np.bincount(interactions.user_of[train])
    count_U = count_U[count_U > 0]
    end_U = count_U.cumsum()
    history_T = np.roll(target_T, 1)
    history_T[end_U - count_U] = start
    pieces_U = -(-count_U // max_items)
    user_P = np.repeat(np.arange(len(count_U)), pieces_U)
    number_P = np.arange(len(user_P)) - np.repeat(pieces_U.cumsum() - pieces_U, pieces_U)
    end_P = end_U[user_P] - number_P * max_items
    start_P = np.maximum(end_P - max_items, (end_U - count_U)[user_P])
    return Pieces(history_T, target_T, start_P, end_P - start_P)


def batches(pieces: Pieces, tokens: int, *, rng: np.random.Generator) -> Iterator[Batch]:
    """Yield all pieces once, in batches of about so many places, in random order.

    Pieces of one batch have nearly the same length, so that hardly any place is padding.
    """
    order_P = rng.permutation(len(pieces.start_P))
    order_P = order_P[pieces.length_P[order_P].argsort(kind="stable")]
    batch_P = pieces.length_P[order_P].cumsum() // tokens
    parts = np.split(order_P, np.flatnonzero(np.diff(batch_P)) + 1)
    for number in rng.permutation(len(parts)):
        yield _batch(pieces, parts[number])


def _batch(pieces: Pieces, piece_B: Ints) -> Batch:
    place_L = np.arange(pieces.length_P[piece_B].max())
    real_BL = place_L < pieces.length_P[piece_B, None]
    event_BL = np.where(real_BL, pieces.start_P[piece_B, None] + place_L, 0)
    target_BL = np.where(real_BL, pieces.target_T[event_BL], NOTHING)
    return Batch(torch.from_numpy(pieces.history_T[event_BL]), torch.from_numpy(target_BL))
